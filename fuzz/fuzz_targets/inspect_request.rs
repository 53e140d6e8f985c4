//! A whole request, as the gateway gets it; and the fast way of inspection against the one that runs every check.

#![no_main]

use attack::report::FINDINGS_MAX;
use attack::request::{Header, Request};
use fuzz::{EXHAUSTIVE, FAST, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Target, content type, cookie, another field, body.
    let mut parts = bytes.splitn(5, |it| *it == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (target, kind, cookie, other, body) = (part(), part(), part(), part(), part());
    let headers =
        [("content-type", kind), ("cookie", cookie), ("user-agent", other), ("referer", other), ("x-a", other)];
    let headers = headers.map(|(name, value)| Header { name, value });
    let request =
        Request { method: "POST", target, version: "HTTP/1.1", headers: &headers, body, has_all_headers: true };
    let (fast, slow) = (inspect(&FAST, &request), inspect(&EXHAUSTIVE, &request));
    assert!(fast.findings.len() <= FINDINGS_MAX);
    if slow.findings.len() < FINDINGS_MAX {
        for finding in &slow.findings {
            let is_found = |it: &attack::report::Finding| it.name() == finding.name() && it.place == finding.place;
            assert!(fast.findings.iter().any(is_found), "the scan lost {}", finding.sentence());
        }
    }
});
