//! A segment of the log, walked over frame by frame.

#![no_main]

use backends::log::embedded::frame::Salt;
use backends::log::embedded::segment::{Bounds, SegmentHead, walk};
use libfuzzer_sys::fuzz_target;
use model::place::Sequence;
use model::time::Timestamp;

fuzz_target!(|bytes: &[u8]| {
    let decoded = SegmentHead::decode(bytes, "fuzz.seg").ok().flatten();
    let head = decoded.unwrap_or(SegmentHead { first: Sequence(0), tag: 0, made: Timestamp(0), salt: Salt::default() });
    let _ = walk(bytes, &head, "fuzz.seg", Bounds::default(), |_, _| {});
});
