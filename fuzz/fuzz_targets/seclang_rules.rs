//! Rule files of the Core Rule Set, and a request under them.

#![no_main]

use attack::request::{Header, Request};
use libfuzzer_sys::fuzz_target;
use seclang::detectors::Plain;
use seclang::evaluate::Scratch;
use seclang::load::load;
use seclang::outcome::Outcome;
use seclang::settings::Settings;

fuzz_target!(|parts: (&str, &[u8], &[u8])| {
    let (rules, target, body) = parts;
    let (set, _) = load(&[("fuzz.conf", rules)], &|_| Some(rules.to_owned()), &Settings::default());
    let headers = [Header { name: "content-type", value: b"application/x-www-form-urlencoded" }];
    let request =
        Request { method: "POST", target, version: "HTTP/1.1", headers: &headers, body, has_all_headers: true };
    set.evaluate(&request, None, &Plain, &mut Scratch::default(), &mut Outcome::default());
    assert_eq!(set.lost_by_prefilter(body), Vec::<u32>::new(), "the searcher lost what a pattern finds");
});
