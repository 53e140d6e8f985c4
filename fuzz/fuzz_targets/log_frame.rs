//! A frame of the log, as it is and with its checksum put right: behind that, lengths and packed bytes are what they are.

#![no_main]

use backends::log::ReadBlock;
use backends::log::embedded::frame::{HEAD_BYTES, Salt, Unpacker, check, salt_of};
use libfuzzer_sys::fuzz_target;
use model::place::Position;

fn read(bytes: &[u8]) {
    let _ = salt_of(bytes);
    let Some(head) = check(bytes, Salt::default()) else { return };
    let Some(raw) = Unpacker::default().unpack(bytes, &head) else { return };
    let block = ReadBlock::new(head.first, head.count, raw);
    let _ = block.records(Position::START).count();
}

fn mend(bytes: &mut [u8]) {
    bytes[..4].copy_from_slice(b"BZF1");
    let body_bytes = (bytes.len() - HEAD_BYTES) as u32;
    bytes[4..8].copy_from_slice(&body_bytes.to_le_bytes());
    let (head, body) = bytes.split_at_mut(HEAD_BYTES);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..HEAD_BYTES - 4]), body);
    head[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if HEAD_BYTES <= bytes.len() {
        // Whole words, as frames are padded to them.
        let mut mended = bytes[..bytes.len() / 8 * 8].to_vec();
        mend(&mut mended);
        read(&mended);
    }
});
