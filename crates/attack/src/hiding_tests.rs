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
