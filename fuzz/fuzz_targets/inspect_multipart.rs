//! Bodies of parts, and of XML.

#![no_main]

use attack::request::{Header, Request};
use fuzz::{EXHAUSTIVE, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for kind in ["multipart/form-data; boundary=b", "text/xml", "text/plain", "application/x-www-form-urlencoded"] {
        let headers = [Header { name: "content-type", value: kind.as_bytes() }];
        let request = Request {
            method: "POST",
            target: b"/",
            version: "HTTP/1.1",
            headers: &headers,
            body,
            ..Request::default()
        };
        let _ = inspect(&EXHAUSTIVE, &request);
    }
});
