//! The `AnormalEvent` of another detector: a finding without an id of its own.
//!
//! With the tolerance of that system's own worker: keys in Pascal or camel case, the enums as a number, a
//! text of digits or a name in any case, a time without a zone, any `Request`, a `StatusCode` that is
//! ignored unless it can be used. Required are `ServiceName`, `Ip`, `Description` (not empty), `EventType`,
//! `Severity` and `OccurredAt`. Numbers outside the enums are taken: type 99 is the rule `99`, and a severity
//! that is not in the table is never made milder.
//! Source: the `ServiceName`. Log source: product `anormal`, category `finding`, complete, so that no rule
//! about web traffic counts it as a request. The severity as the source meant it is in `SourceSeverity`.

use std::borrow::Cow;

use model::event::{Original, TextField};
use model::json::Value;
use model::severity::Severity;

use crate::draft::Draft;
use crate::forms::{Complaints, finding};
use crate::member::Member;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

/// Number, name, and kind of an alert.
const EVENT_TYPES: [(i64, &str, &str); 9] = [
    (0, "Unknown", "unknown"),
    (1, "SQLInjection", "sql_injection"),
    (2, "XSS", "xss"),
    (10, "RateLimiting", "rate_limiting"),
    (11, "TooManyRequestsBurst", "too_many_requests_burst"),
    (12, "SuspiciousScan", "suspicious_scan"),
    (13, "BotDetected", "bot_detected"),
    (20, "WafRuleTriggered", "waf_rule_triggered"),
    (21, "FirewallBlock", "firewall_block"),
];

/// Number and name.
const SEVERITIES: [(i64, &str); 4] = [(0, "Info"), (1, "Warning"), (2, "Error"), (3, "Attack")];

/// The members that are read, in Pascal case; the spelling of the sender may begin in lower case.
const NAMES: [&str; 11] = [
    "ServiceName",
    "Ip",
    "EventType",
    "Severity",
    "Description",
    "OccurredAt",
    "Id",
    "Method",
    "Path",
    "StatusCode",
    "UserAgent",
];

/// Reads an `AnormalEvent` and writes its event at the end of `out`.
pub(super) fn read(
    object: Object<'_>,
    place: u64,
    reading: &Reading<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Refusal>> {
    let [service, ip, kind, severity, description, time, id, method, path, status, user_agent] = pick_either(object);
    let mut complaints = Complaints::default();
    let mut draft = Draft::new("anormal-event", Original::Json(object.text()));
    let source = complaints.required("ServiceName", service.as_ref(), not_empty);
    draft.set_option(TextField::Source, source);
    draft.client_ip = complaints.required("Ip", ip.as_ref(), Member::address);
    let kind = complaints.required("EventType", kind.as_ref(), |it| {
        enum_number(it, EVENT_TYPES.iter().map(|(number, name, _)| (*number, *name)))
    });
    let severity = complaints.required("Severity", severity.as_ref(), |it| enum_number(it, SEVERITIES.iter().copied()));
    let description = complaints.required("Description", description.as_ref(), not_empty);
    draft.time = complaints.required("OccurredAt", time.as_ref(), Member::lenient_time);
    complaints.end()?;
    set_kind(&mut draft, kind.unwrap_or_default());
    set_severity(&mut draft, severity.unwrap_or_default());
    draft.set_option(TextField::Message, description.clone());
    draft.set_option(TextField::FindingTitle, description);
    draft.own_id = id.as_ref().and_then(Member::as_text);
    draft.set_option(TextField::Method, method.as_ref().and_then(Member::as_text));
    draft.set_option(TextField::Path, path.as_ref().and_then(Member::as_text));
    draft.set_option(TextField::UserAgent, user_agent.as_ref().and_then(Member::as_text));
    draft.status_code = status.as_ref().and_then(Member::as_status);
    draft.set(TextField::Product, "anormal");
    draft.set(TextField::Category, finding::CATEGORY);
    draft.is_complete = true;
    draft.write(reading, place, out);
    Ok(())
}

/// The last member of each name, in Pascal or camel case.
fn pick_either(object: Object<'_>) -> [Option<Member<'_>>; NAMES.len()] {
    let mut found = [const { None }; NAMES.len()];
    for member in object.members() {
        if let Some(index) = NAMES.iter().position(|it| is_spelling_of(&member.name, it)) {
            found[index] = Some(member);
        }
    }
    found
}

/// Whether `name` is `pascal` with its first letter in either case.
pub(super) fn is_spelling_of(name: &str, pascal: &str) -> bool {
    name.len() == pascal.len()
        && name.as_bytes()[1..] == pascal.as_bytes()[1..]
        && name.as_bytes()[0].eq_ignore_ascii_case(&pascal.as_bytes()[0])
}

fn not_empty<'a>(member: &Member<'a>) -> Result<Cow<'a, str>, Refusal> {
    let text = member.text()?;
    if text.trim().is_empty() { Err(member.refuse("which is empty")) } else { Ok(text) }
}

/// Reads a number, a text of digits, or a name of `names` in any case.
fn enum_number(member: &Member<'_>, mut names: impl Iterator<Item = (i64, &'static str)>) -> Result<i64, Refusal> {
    let number = match member.value() {
        Value::Number(digits) => digits.parse().ok(),
        Value::Text(text) => {
            let text = text.decode();
            let text = text.trim();
            let named = names.find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(number, _)| number);
            named.or_else(|| text.parse().ok())
        }
        _ => None,
    };
    number.ok_or_else(|| member.refuse("which is no number and no name of this enum"))
}

fn set_kind(draft: &mut Draft<'_>, number: i64) {
    match EVENT_TYPES.iter().find(|it| it.0 == number) {
        Some((_, name, kind)) => {
            draft.set(TextField::FindingRule, *name);
            draft.set(TextField::FindingKind, *kind);
        }
        None => {
            draft.set(TextField::FindingRule, number.to_string());
            draft.set(TextField::FindingKind, number.to_string());
        }
    }
}

fn set_severity(draft: &mut Draft<'_>, number: i64) {
    let word = SEVERITIES.iter().find(|it| it.0 == number).map(|(_, name)| Cow::Borrowed(*name));
    draft.set(TextField::SourceSeverity, word.unwrap_or_else(|| Cow::Owned(number.to_string())));
    draft.set(TextField::FindingSeverity, finding::rank_text(Severity::from_anormal(number)));
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView};

    use super::*;
    use crate::reading::tests::AT_NOON;

    const FIELDS: [(&str, &str); 11] = [
        ("Id", "null"),
        ("ServiceName", "\"API.Gateway\""),
        ("Ip", "\"4.4.4.4/32\""),
        ("EventType", "12"),
        ("Severity", "1"),
        ("Description", "\"Suspicious scan detected\""),
        ("OccurredAt", "\"2026-11-20T20:14:38.1234567Z\""),
        ("Method", "\"GET\""),
        ("Path", "\"/wp-admin\""),
        ("StatusCode", "null"),
        ("Request", "\"{\\\"url\\\":\\\"/\\\"}\""),
    ];

    fn with(name: &str, value: Option<&str>) -> String {
        let kept = FIELDS.iter().filter(|(key, _)| *key != name).map(|(key, value)| format!("\"{key}\":{value}"));
        let replaced = value.map(|it| format!("\"{name}\":{it}"));
        format!("{{{}}}", kept.chain(replaced).collect::<Vec<_>>().join(","))
    }

    fn read_text(text: &str) -> Result<Vec<u8>, Vec<Refusal>> {
        let mut out = Vec::new();
        read(Object::parse(text.as_bytes()).unwrap(), 0, &AT_NOON, &mut out).map(|()| out)
    }

    #[track_caller]
    fn check(name: &str, value: &str, expected: (&str, &str, u8, Option<u16>)) {
        let out = read_text(&with(name, Some(value))).unwrap();
        let view = EventView::of(&out).unwrap();
        let text = |field| view.text(field).unwrap();
        let rank = view.finding_severity().unwrap().rank();
        let actual = (text(TextField::FindingRule), text(TextField::FindingKind), rank, view.status_code);
        assert_eq!(actual, expected, "{name} {value}");
        assert!(view.is_finding());
    }

    const SCAN: (&str, &str, u8, Option<u16>) = ("SuspiciousScan", "suspicious_scan", 1, None);

    #[test]
    fn reads_what_the_gateway_writes() {
        let text = with("", None);
        let out = read_text(&text).unwrap();
        let view = EventView::of(&out).unwrap();
        assert_eq!(view.client_ip.unwrap().to_string(), "4.4.4.4");
        assert_eq!(view.time.to_string(), "2026-11-20T20:14:38.123456700Z");
        assert_eq!((view.text(TextField::Source), view.text(TextField::FindingId)), (Some("API.Gateway"), None));
        assert!(!view.flags.has(EventFlags::REPEATABLE));
        assert_eq!(view.original, Original::Json(&text));
    }

    #[test]
    fn reads_camel_case() {
        let fields = FIELDS.map(|(key, value)| format!("\"{}{}\":{value}", key[..1].to_lowercase(), &key[1..]));
        assert!(read_text(&format!("{{{}}}", fields.join(","))).is_ok());
    }

    #[test]
    fn reads_every_spelling_of_the_enums() {
        for value in ["1", "\"1\"", "\"SQLInjection\"", "\"sqlinjection\""] {
            check("EventType", value, ("SQLInjection", "sql_injection", 1, None));
        }
        check("EventType", "99", ("99", "99", 1, None));
        check("EventType", "\"unknown\"", ("Unknown", "unknown", 1, None));
        for (value, rank) in [("0", 0), ("\"3\"", 3), ("\"attack\"", 3), ("\"WARNING\"", 1), ("99", 3), ("-1", 3)] {
            check("Severity", value, (SCAN.0, SCAN.1, rank, None));
        }
    }

    #[test]
    fn any_request_and_any_status_will_do() {
        for value in ["{\"url\":\"/a\"}", "[1,2]", "\"just text\"", "\"\"", "null", "\"{broken\""] {
            check("Request", value, SCAN);
        }
        for value in ["null", "{}", "[]", "1.5", "-1", "true", "\"forbidden\""] {
            check("StatusCode", value, SCAN);
        }
        check("StatusCode", "403", (SCAN.0, SCAN.1, 1, Some(403)));
        check("StatusCode", "\"403\"", (SCAN.0, SCAN.1, 1, Some(403)));
    }

    #[test]
    fn names_what_is_missing_or_bad() {
        for (name, values) in [
            ("ServiceName", &["\"\"", "7"][..]),
            ("Ip", &["\"unknown\"", "\"4.4.4.4/24\""]),
            ("Description", &["\"\"", "[]"]),
            ("EventType", &["\"NoSuchName\"", "1.5", "true"]),
            ("Severity", &["[]", "\"terrible\""]),
            ("OccurredAt", &["\"soon\"", "[]"]),
        ] {
            for value in values.iter().copied().map(Some).chain([None, Some("null")]) {
                let refusals = read_text(&with(name, value)).expect_err(name);
                let fields: Vec<_> = refusals.iter().map(|it| it.field.as_deref()).collect();
                assert_eq!(fields, [Some(name)], "{value:?}");
            }
        }
    }
}
