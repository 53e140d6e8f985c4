//! Lines of access logs, good, odd and bad.

use model::event::{EventFlags, EventView};
use proptest::prelude::*;

use super::*;
use crate::reading::tests::AT_NOON;

const TIME: &str = "[20/Nov/2026:12:00:00 +0200]";

#[derive(Debug, Default, PartialEq)]
struct Expected<'a> {
    ip: Option<&'a str>,
    host: Option<&'a str>,
    user: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
    protocol: Option<&'a str>,
    status: Option<u16>,
    bytes: Option<u64>,
    referer: Option<&'a str>,
    agent: Option<&'a str>,
    message: Option<&'a str>,
}

const USUAL: Expected<'static> = Expected {
    ip: Some("192.0.2.1"),
    host: None,
    user: None,
    method: Some("GET"),
    path: Some("/a?b=c"),
    protocol: Some("HTTP/1.1"),
    status: Some(200),
    bytes: Some(512),
    referer: None,
    agent: None,
    message: None,
};

#[track_caller]
fn check(line: &str, expected: Expected<'_>) {
    let mut out = Vec::new();
    if let Err(refusal) = read(line.as_bytes(), 0, &AT_NOON, &mut out) {
        panic!("{line}: {refusal}");
    }
    let view = EventView::of(&out).unwrap();
    let ip = view.client_ip.map(|it| it.to_string());
    let actual = Expected {
        ip: ip.as_deref(),
        host: view.text(TextField::Host),
        user: view.text(TextField::User),
        method: view.text(TextField::Method),
        path: view.text(TextField::Path),
        protocol: view.text(TextField::Protocol),
        status: view.status_code,
        bytes: view.response_bytes,
        referer: view.text(TextField::Referer),
        agent: view.text(TextField::UserAgent),
        message: view.text(TextField::Message),
    };
    assert_eq!(actual, expected, "{line}");
    assert_eq!(view.time.to_string(), "2026-11-20T10:00:00Z");
    assert_eq!(view.original, Original::Text(line));
    assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
}

#[test]
fn reads_common_and_combined() {
    let common = format!(r#"192.0.2.1 - - {TIME} "GET /a?b=c HTTP/1.1" 200 512"#);
    check(&common, USUAL);
    check(&format!(r#"{common} "-" "-""#), USUAL);
    check(
        &format!(r#"{common} "http://r/" "Mozilla/5.0 (X)" "1.2.3.4" rt=0.1"#),
        Expected { referer: Some("http://r/"), agent: Some("Mozilla/5.0 (X)"), ..USUAL },
    );
    check(&format!(r#"{common} "-" "cut off"#), Expected { agent: Some("cut off"), ..USUAL });
}

#[test]
fn reads_every_kind_of_client() {
    let line = |who: &str| format!(r#"{who} {TIME} "GET /a?b=c HTTP/1.1" 200 512"#);
    check(&line("2001:DB8::00A1 - -"), Expected { ip: Some("2001:db8::a1"), ..USUAL });
    check(&line("crawler.example.net - -"), Expected { ip: None, host: Some("crawler.example.net"), ..USUAL });
    check(&line("www.example.net:443 192.0.2.1 - -"), Expected { host: Some("www.example.net"), ..USUAL });
    check(
        &line("www.example.net 192.0.2.1 - ann"),
        Expected { host: Some("www.example.net"), user: Some("ann"), ..USUAL },
    );
    check(
        &line("www.example.net:80 2001:db8::1 - -"),
        Expected { ip: Some("2001:db8::1"), host: Some("www.example.net"), ..USUAL },
    );
    check(&line("192.0.2.1 - ann of the hill"), Expected { user: Some("ann of the hill"), ..USUAL });
    check(&line("192.0.2.1 - \"\""), USUAL);
    check(&line(r"192.0.2.1 - a\x22b"), Expected { user: Some("a\"b"), ..USUAL });
    check(&line("- - -"), Expected { ip: None, ..USUAL });
}

#[test]
fn a_user_cannot_forge_the_time() {
    let line = format!(r#"192.0.2.1 - x [01/Jan/2020:00:00:00 +0000] y {TIME} "GET /a?b=c HTTP/1.1" 200 512"#);
    check(&line, Expected { user: Some("x [01/Jan/2020:00:00:00 +0000] y"), ..USUAL });
}

#[test]
fn reads_every_kind_of_request() {
    let line = |request: &str| format!(r#"192.0.2.1 - - {TIME} "{request}" 200 512"#);
    let none = Expected { method: None, path: None, protocol: None, ..USUAL };
    check(&line(""), Expected { ..none });
    check(&line("-"), Expected { method: None, path: None, protocol: None, ..USUAL });
    for (request, message) in [
        (r"\x16\x03\x01\x02", "\u{16}\u{3}\u{1}\u{2}"),
        ("GET", "GET"),
        ("GET HTTP/1.1", "GET HTTP/1.1"),
        ("{1} /a HTTP/1.1", "{1} /a HTTP/1.1"),
    ] {
        check(&line(request), Expected { method: None, path: None, protocol: None, message: Some(message), ..USUAL });
    }
    for (request, path) in [
        ("GET /a b HTTP/1.1", "/a b"),
        (r#"GET /\"q\" HTTP/1.1"#, "/\"q\""),
        (r"GET /\xc3\xbc\\n HTTP/1.1", "/ü\\n"),
        (r"GET /\xff HTTP/1.1", "/\u{fffd}"),
        (r"GET /\xzz HTTP/1.1", "/\\xzz"),
        (r#"GET /"unescaped" HTTP/1.1"#, "/\"unescaped\""),
    ] {
        check(&line(request), Expected { path: Some(path), ..USUAL });
    }
    check(&line("GET /a?b=c"), Expected { protocol: None, ..USUAL });
    check(
        &line("PROPFIND http://h/ HTTP/1.1"),
        Expected { method: Some("PROPFIND"), path: Some("http://h/"), ..USUAL },
    );
}

#[test]
fn a_status_or_size_that_is_none_is_left_out() {
    let line = |rest: &str| format!(r#"192.0.2.1 - - {TIME} "GET /a?b=c HTTP/1.1" {rest}"#);
    check(&line("- -"), Expected { status: None, bytes: None, ..USUAL });
    check(&line("000 0"), Expected { status: None, bytes: Some(0), ..USUAL });
    check(&line("599 -"), Expected { status: Some(599), bytes: None, ..USUAL });
    check(&line("600 -"), Expected { status: None, bytes: None, ..USUAL });
}

#[test]
fn bytes_that_are_no_text_do_not_fail_the_line() {
    let mut line = format!(r#"192.0.2.1 - - {TIME} "GET /X HTTP/1.1" 200 512"#).into_bytes();
    let at = line.iter().position(|it| *it == b'X').unwrap();
    line[at] = 0xff;
    let mut out = Vec::new();
    read(&line, 0, &AT_NOON, &mut out).unwrap();
    assert_eq!(EventView::of(&out).unwrap().text(TextField::Path), Some("/\u{fffd}"));
}

#[test]
fn refuses_what_is_no_line_of_a_log() {
    for line in [
        "",
        "complete nonsense",
        r#"999.1.1.1 - - [yesterday] "GET" x y"#,
        r#"192.0.2.1 - - [20/Nov/2026:12:00:00 +0200] "GET / HTTP/1.1""#,
        r#"192.0.2.1 - - [20/Nov/2026:12:00:00 +0200] "GET / HTTP/1.1" abc 5"#,
        r#"192.0.2.1 - - [32/Nov/2026:12:00:00 +0200] "GET / HTTP/1.1" 200 5"#,
        r#"192.0.2.1 - - [20/Nox/2026:12:00:00 +0200] "GET / HTTP/1.1" 200 5"#,
        r#"192.0.2.1 - - [20/Nov/2026:25:00:00 +0200] "GET / HTTP/1.1" 200 5"#,
        r#"[20/Nov/2026:12:00:00 +0200] "GET / HTTP/1.1" 200 5"#,
    ] {
        let refusal = read(line.as_bytes(), 0, &AT_NOON, &mut Vec::new()).expect_err(line);
        assert_eq!(refusal.code, Code::BadLine);
    }
}

proptest! {
    #[test]
    fn no_request_fails_a_line(request in "[^\"\\\\\n\r]{0,40}") {
        let line = format!(r#"192.0.2.1 - - {TIME} "{request}" 200 512 "-" "a""#);
        let mut out = Vec::new();
        prop_assert!(read(line.as_bytes(), 0, &AT_NOON, &mut out).is_ok());
        let view = EventView::of(&out).unwrap();
        prop_assert_eq!((view.status_code, view.text(TextField::UserAgent)), (Some(200), Some("a")));
    }
}
