//! One value under every check: tokens of SQL, markup, script, paths, commands, expressions.

#![no_main]

use attack::request::{Header, Request};
use fuzz::{EXHAUSTIVE, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let headers = [Header { name: "x-a", value }];
    let request = Request { method: "GET", target: b"/", version: "HTTP/1.1", headers: &headers, ..Request::default() };
    let report = inspect(&EXHAUSTIVE, &request);
    let score: u32 = report.findings.iter().filter(|it| it.family.is_attack()).map(|it| it.score).sum();
    assert_eq!(score, report.attack_score);
});
