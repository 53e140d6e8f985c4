//! Bodies that are read in more than one way: as sent and undone, by several boundaries, in several alphabets.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};

use crate::families_tests::report;
use crate::inspector::Inspector;
use crate::report::{Report, Unread};
use crate::request::Header;

const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=BB";

fn coded(kind: &str, coding: &str, body: &[u8]) -> Report {
    let headers = [
        Header { name: "content-type", value: kind.as_bytes() },
        Header { name: "content-encoding", value: coding.as_bytes() },
    ];
    report(&Inspector::new(), "/", &headers, body)
}

#[track_caller]
fn check(kind: &str, coding: &str, body: &[u8], is_attack: bool, unread: Option<Unread>) {
    let report = coded(kind, coding, body);
    assert_eq!((report.is_attack(), report.unread), (is_attack, unread), "{kind}, {coding}: {report:?}");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    named_gzip("-", text)
}

/// With the name of a file in its head.
fn named_gzip(name: &str, text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new().filename(name).write(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_bodies_are_undone() {
    check(FORM, "gzip", &gzip(b"q=%27+or+1%3D1--+"), true, None);
    check(FORM, "gzip", &gzip(b"q=it%27s+on"), false, None);
    check(FORM, "br", b"q=%27+or+1%3D1--+", true, Some(Unread::Encoding));
}

#[test]
fn a_compressed_body_is_read_as_sent_too() {
    for (text, is_attack) in [("%27+or+1%3D1--+", true), ("' union select 1,2 -- ", true), ("it%27s+on", false)] {
        for (coding, body) in [("gzip", gzip(b"a=1")), ("deflate", zlib(b"a=1")), ("deflate", deflate(b"a=1"))] {
            let behind = [&body[..], format!("&q={text}&z=").as_bytes()].concat();
            check(FORM, coding, &behind, is_attack, Some(Unread::Encoding));
        }
        let named = named_gzip(&format!("&q={text}&z="), b"a=1");
        check(FORM, "gzip", &named, is_attack, None);
        let part = format!("\r\n--BB\r\nContent-Disposition: form-data; name=q\r\n\r\n{text}\r\n--BB--\r\n");
        check(PARTS, "gzip", &named_gzip(&part, b"a=1"), is_attack, None);
    }
}

#[test]
fn compressed_noise_is_no_attack() {
    let mut seed = 7_u64;
    for _ in 0..400 {
        let text: String = (0..1500)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b' ' + (seed >> 33) as u8 % 64)
            })
            .filter(|it| it.is_alphanumeric())
            .collect();
        for kind in [FORM, "application/json", "text/plain", PARTS] {
            let report = coded(kind, "gzip", &gzip(format!("{{\"a\":\"{text}\"}}").as_bytes()));
            assert!(!report.is_attack(), "{kind}: {report:?}");
        }
    }
}

#[test]
fn boundaries_beyond_the_limit_are_told() {
    let part = |boundary: &str, text: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=q\r\n\r\n{text}\r\n--{boundary}--\r\n")
    };
    let names = ["B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9"];
    for (count, unread) in [(4, None), (5, Some(Unread::Length)), (10, Some(Unread::Length))] {
        let kind: String = names[..count].iter().map(|it| format!("; boundary={it}")).collect();
        let body: String = names[..count].iter().map(|it| part(it, "it's")).collect();
        let headers = format!("multipart/form-data{kind}");
        let headers = [Header { name: "content-type", value: headers.as_bytes() }];
        assert_eq!(report(&Inspector::new(), "/", &headers, body.as_bytes()).unread, unread, "{count}");
    }
}

#[test]
fn a_query_is_read_in_the_alphabet_that_is_stated_without_a_body() {
    // `' or 1=1-- ` and `it's on` in code page 037.
    for (text, is_attack) in
        [("%7d%40%96%99%40%f1%7e%f1%60%60%40", true), ("%89%a3%7d%a2%40%96%95", false), ("%27%20or%201=1--%20", true)]
    {
        let headers = [Header { name: "content-type", value: b"text/plain; charset=ibm037" }];
        let report = report(&Inspector::new(), &format!("/?a=1&q={text}"), &headers, b"");
        assert_eq!((report.is_attack(), report.unread), (is_attack, None), "{text}: {report:?}");
    }
}

#[test]
fn noise_without_a_type_is_read_as_it_is() {
    let noise: Vec<u8> = (0..=255).cycle().take(3000).collect();
    for kind in ["", "text/plain; charset=utf-8"] {
        check(kind, "identity", &[&noise[..], b" 1 union select 1,2-- "].concat(), true, None);
        check(kind, "identity", &[&noise[..], b" the union can select"].concat(), false, None);
        check(kind, "identity", &[&noise.repeat(3)[..], b"' union select 1,2-- "].concat(), true, None);
    }
    check("application/x-protobuf", "identity", &noise, false, Some(Unread::Type));
}
