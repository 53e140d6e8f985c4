//! What attackers repeat to make a reader slow costs its length, and no more. Steps are counted, not time.

use crate::families_tests::report;
use crate::inspector::Inspector;
use crate::request::Header;
use crate::work::steps_of;

/// Repeated again and again.
const UNITS: &[&str] = &[
    "<",
    "'",
    "\"",
    "`",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "%",
    "%25",
    "&",
    "\\",
    "/",
    "/*",
    "*/",
    "--",
    "#",
    "$",
    ";",
    "|",
    "\n",
    "\r\n",
    "=",
    "../",
    ".",
    ",",
    "+",
    "-",
    "!",
    "~",
    "^",
    "*",
    "@",
    ":",
    "\0",
    " ",
    "\t",
    "||",
    "&&",
    "'||",
    "(|",
    ";(",
    "(;",
    "';",
    "<a",
    "<a ",
    "<a/",
    "<a b=",
    "<a b='",
    "<a:",
    "<!--#",
    "</",
    "<script",
    "<style>",
    "<svg onload",
    "<x y=z ",
    "on=",
    "onfocus=",
    "select",
    "select(",
    "(select ",
    "(((select",
    "select 1;",
    "1;select 1 ",
    "select * from a;",
    "union ",
    "1 or ",
    "or (",
    "not ",
    "'+'",
    "order by 1,",
    "char(1)||",
    "case when ",
    "sleep(",
    "$a$",
    "$a$$b",
    "1e",
    "0x",
    "{\"a\":",
    "[1,",
    "{{",
    "${",
    "${env:",
    "${${",
    "{%",
    "<%",
    "alert",
    "alert(",
    "alert/*",
    "window[",
    "document[ ",
    "constructor",
    "eval(",
    "[]+",
    "data:",
    "javascript:",
    "://",
    "http://a",
    "%c0%ae",
    "%u0027",
    "&#x27;",
    "&lt;",
    "\\x27",
    "\\u{27}",
    "$(",
    "() {",
    "; ls",
    "|ls ",
    "etc/passwd",
    "o:1:\"a\"",
    ":\"",
    "<!entity",
    "<!doctype ",
    "<![CDATA[",
    "a=b&",
    "'a'=",
    "YWFhYWFhPGE+",
    "\"YWFhYWFhPGE+",
    "\u{e9}",
    "\u{ff0e}",
    "\u{560d}",
    "aaaa",
    "1111",
];
/// In bytes; the second is four times the first.
const LENGTHS: [usize; 2] = [8 << 10, 32 << 10];
/// How many steps a byte may cost: six forms, each read as SQL in four ways, as markup from each of its tags, as commands.
const STEPS_A_BYTE_MAX: usize = 400;

#[track_caller]
fn check(kind: &str, unit: &str, body_of: impl Fn(&str) -> String) {
    let inspector = Inspector::exhaustive();
    let headers = [Header { name: "content-type", value: kind.as_bytes() }];
    let steps = LENGTHS.map(|length| {
        let body = body_of(&unit.repeat(length / unit.len()));
        steps_of(|| drop(report(&inspector, "/", &headers, body.as_bytes())))
    });
    assert!(steps[1] <= 5 * steps[0] + LENGTHS[0], "{unit:?} as {kind}: {steps:?}");
    assert!(steps[1] <= STEPS_A_BYTE_MAX * LENGTHS[1], "{unit:?} as {kind}: {steps:?}");
}

#[test]
fn what_is_repeated_costs_its_length() {
    for unit in UNITS {
        check("application/x-www-form-urlencoded", unit, |it| format!("a=1{it}"));
        check("text/plain", unit, |it| format!("1' {it}"));
        check("text/xml", unit, |it| format!("<a>{it}"));
        check("application/json", unit, |it| {
            format!("{{\"a\":\"1 {}\"}}", it.replace(['"', '\\', '\n', '\r', '\t', '\0'], "'"))
        });
        check("application/json", unit, str::to_owned);
        check("multipart/form-data; boundary=b", unit, |it| {
            format!("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{it}")
        });
    }
}

#[test]
fn what_is_nested_costs_its_length() {
    check("application/json", "[", |it| format!("{it}\"x\""));
    check("application/json", "{\"a\":", |it| format!("{it}1"));
    check("text/plain", "(", |it| format!("1 or {it}"));
    // Base64 of a document with base64 in it, and so on.
    let mut inner = "[\"' or 1=1--\"]".to_owned();
    while inner.len() < LENGTHS[1] {
        inner = format!("[\"{}\"]", base64(inner.as_bytes()));
    }
    let steps = steps_of(|| {
        drop(report(
            &Inspector::new(),
            "/",
            &[Header { name: "content-type", value: b"application/json" }],
            inner.as_bytes(),
        ))
    });
    assert!(steps <= STEPS_A_BYTE_MAX * inner.len(), "{steps} of {}", inner.len());
}

#[test]
fn many_arguments_cost_their_number() {
    let cost = |count: usize| {
        let body = (0..count).map(|it| format!("a{it}='{it}")).collect::<Vec<_>>().join("&");
        let headers = [Header { name: "content-type", value: b"application/x-www-form-urlencoded" as &[u8] }];
        steps_of(|| drop(report(&Inspector::new(), "/", &headers, body.as_bytes())))
    };
    assert!(cost(20_000) <= 5 * cost(5_000));
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|it| {
            let bits = it.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - it.len()));
            (0..=it.len()).map(move |digit| char::from(DIGITS[bits >> (18 - 6 * digit) & 63]))
        })
        .collect()
}
