//! The walker over JSON, in a body and inside base64 in an argument.

#![no_main]

use attack::request::{Header, Request};
use fuzz::{EXHAUSTIVE, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let headers = [Header { name: "content-type", value: b"application/json" }];
    let request =
        Request { method: "POST", target: b"/", version: "HTTP/1.1", headers: &headers, body, ..Request::default() };
    let _ = inspect(&EXHAUSTIVE, &request);
    let target = [b"/?a={\"b\":", body].concat();
    let _ = inspect(&EXHAUSTIVE, &Request { target: &target, body: b"", ..request });
});
