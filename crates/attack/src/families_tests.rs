//! What the tests of the families share: an attack is found as an argument, what looks like one passes wherever it stands.

use std::fmt::Write as _;

use crate::inspector::{Inspector, Scratch};
use crate::report::{Family, Report};
use crate::request::{Header, Request};

/// A text as an argument of a query, with all of its special characters escaped.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, it| {
        match it {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(it)),
            _ => write!(out, "%{it:02X}").expect("a text takes it"),
        }
        out
    })
}

/// What is said of one part of a request.
pub(crate) fn report(inspector: &Inspector, target: &str, headers: &[Header<'_>], body: &[u8]) -> Report {
    let mut report = Report::default();
    let request =
        Request { method: "POST", target: target.as_bytes(), version: "HTTP/1.1", headers, body, ..Request::default() };
    inspector.inspect(&request, &mut Scratch::default(), &mut report);
    report
}

/// What is said of a text at several places: an argument, a field of a form, a text of JSON.
pub(crate) fn everywhere(inspector: &Inspector, text: &str) -> [Report; 3] {
    let of_type = |value: &'static str| [Header { name: "content-type", value: value.as_bytes() }];
    let quoted = text.bytes().fold(String::new(), |mut out, it| {
        write!(out, "\\u{it:04x}").expect("a text takes it");
        out
    });
    let is_ascii = text.is_ascii();
    let json = format!("{{\"q\":\"{}\"}}", if is_ascii { &quoted } else { text });
    [
        report(inspector, &format!("/search?q={}", escaped(text)), &[], b""),
        report(
            inspector,
            "/",
            &of_type("application/x-www-form-urlencoded"),
            format!("q={}", escaped(text)).as_bytes(),
        ),
        report(inspector, "/", &of_type("application/json"), json.as_bytes()),
    ]
}

/// Each of the attacks is found, and called what it is.
#[track_caller]
pub(crate) fn find(family: Family, attacks: &[&str]) {
    let inspector = Inspector::new();
    let missed: Vec<_> = attacks
        .iter()
        .filter_map(|it| {
            let [report, ..] = everywhere(&inspector, it);
            let is_found = report.is_attack() && report.families().contains(&family);
            (!is_found).then(|| (*it, report.findings.iter().map(|it| it.name()).collect::<Vec<_>>()))
        })
        .collect();
    assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
}

/// A text is taken for an attack, whatever it is called.
#[track_caller]
pub(crate) fn is_attack(text: &str) {
    let [report, ..] = everywhere(&Inspector::new(), text);
    assert!(report.is_attack(), "{text}: {report:?}");
}

/// None of what only looks like an attack is taken for one.
#[track_caller]
pub(crate) fn pass(look_alikes: &[&str]) {
    let inspector = Inspector::new();
    let taken: Vec<_> = look_alikes
        .iter()
        .flat_map(|text| everywhere(&inspector, text).map(|report| (*text, report)))
        .filter(|it| it.1.is_attack())
        .map(|(text, report)| (text, report.findings.iter().map(|it| it.sentence()).collect::<Vec<_>>()))
        .collect();
    assert!(taken.is_empty(), "{} taken: {taken:#?}", taken.len());
}
