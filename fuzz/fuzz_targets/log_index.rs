//! The index of a segment, as it is and with the checksum of its head put right.

#![no_main]

use backends::log::embedded::files::Memory;
use backends::log::embedded::index::IndexFile;
use libfuzzer_sys::fuzz_target;
use model::id::EventId;
use model::place::Sequence;

/// The head: magic, summary, three counts and the checksum.
const HEAD_BYTES: usize = 56;

fn read(bytes: Vec<u8>) {
    let Some(index) = IndexFile::open(Box::new(Memory(bytes))) else { return };
    let _ = (index.is_whole(), index.group(0), index.group_of(Sequence(1)));
    let _ = (index.group_of_id(EventId(1)), index.groups_of("192.0.2.1"));
    let _ = index.for_each_id(|_| {});
}

/// Puts magic, counts and checksum right: one group, and as many ids and entities as fit.
fn mend(bytes: &mut [u8]) {
    bytes[..8].copy_from_slice(b"BZINDEX1");
    let room = bytes.len() - HEAD_BYTES - 45 - 4;
    let (ids, entities) = (room / 28, (room - room / 28 * 20) / 8);
    for (at, count) in [(40, 1), (44, ids), (48, entities)] {
        bytes[at..at + 4].copy_from_slice(&(count as u32).to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes[..HEAD_BYTES - 4]);
    bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes.to_vec());
    if HEAD_BYTES + 45 + 4 <= bytes.len() {
        let room = bytes.len() - HEAD_BYTES - 45 - 4;
        let fits = room / 28 * 20 + (room - room / 28 * 20) / 8 * 8;
        let mut mended = bytes[..HEAD_BYTES + 45 + 4 + fits].to_vec();
        mend(&mut mended);
        read(mended);
    }
});
