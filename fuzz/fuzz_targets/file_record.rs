//! One record of a file, with its format found out and with each format pinned.

#![no_main]

use libfuzzer_sys::fuzz_target;
use normalize::formats::{FORMATS, Read, Sniffer};

fuzz_target!(|bytes: &[u8]| {
    for mut sniffer in FORMATS.iter().map(Sniffer::pinned).chain([Sniffer::new()]) {
        let mut out = Vec::new();
        let read = sniffer.read(bytes, 7, &fuzz::AT_NOON, &mut out);
        fuzz::check_written(matches!(read, Ok(Read::Event)), &out);
    }
});
