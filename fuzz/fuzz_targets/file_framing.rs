//! Telling the records of a file apart: what is cut anywhere gives the same records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use normalize::framing::{Framer, Framing, Unframed};

fn records(framing: Framing, pieces: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
    let (mut framer, mut found) = (Framer::new(framing, 0), Vec::new());
    let mut sink = |offset: u64, record: Result<&[u8], Unframed<'_>>| found.push((offset, record.ok().map(<[u8]>::to_vec)));
    pieces.iter().for_each(|it| framer.push(it, &mut sink));
    framer.finish(&mut sink);
    found
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&at, bytes)) = bytes.split_first() else { return };
    let (front, back) = bytes.split_at(usize::from(at).min(bytes.len()));
    for framing in [Framing::Lines, Framing::Document, Framing::Blocks, Framing::of_head(bytes)] {
        assert_eq!(records(framing, &[bytes]), records(framing, &[front, back]));
    }
});
