//! The query of a request, and percent encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use web::query::{Query, decode, encode};

fuzz_target!(|text: &str| {
    let _ = Query::of(text, &["limit", "cursor", "from"]);
    let _ = (decode(text, true), decode(text, false));
    assert_eq!(decode(&encode(text), false), text);
});
