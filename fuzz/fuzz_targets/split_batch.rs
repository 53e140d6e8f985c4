//! The body of `POST /v1/events`: an object, an array or NDJSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use normalize::batch::split_batch;

fuzz_target!(|bytes: &[u8]| {
    let _ = split_batch(bytes, 1_000);
});
