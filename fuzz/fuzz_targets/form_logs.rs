//! The body of `POST /logs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    let read = normalize::forms::logs::read(bytes, 0, &fuzz::AT_NOON, &mut out);
    fuzz::check_written(read.is_ok(), &out);
});
