//! The records of a block whose checksum was right.

#![no_main]

use backends::log::ReadBlock;
use libfuzzer_sys::fuzz_target;
use model::place::{Position, Sequence};

fuzz_target!(|bytes: &[u8]| {
    let block = ReadBlock::new(Sequence(0), 1, bytes.into());
    let _ = block.records(Position::START).count();
});
