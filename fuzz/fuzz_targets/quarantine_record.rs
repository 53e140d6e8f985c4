//! A quarantined record as the log keeps it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline::quarantine::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Some(read) = decode(bytes) {
        assert_eq!(decode(&encode(&read)), Some(read));
    }
});
