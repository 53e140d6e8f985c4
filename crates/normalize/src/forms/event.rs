//! One record of `POST /v1/events` and of our NDJSON files: any mix of forms.
//!
//! Told apart by the names of the members, whatever their order: all six of a cloud event; `ServiceName`,
//! `EventType` and `OccurredAt` of a finding in Pascal or camel case; `eventVersion`, `eventSource` and
//! `eventName` of CloudTrail; else our own event, which also understands the log events of systems 001 and 004.

use crate::forms::own::Found;
use crate::forms::{anormal, cloud_event, cloudtrail};
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

const CLOUDTRAIL: [&str; 3] = ["eventVersion", "eventSource", "eventName"];
const ANORMAL: [&str; 3] = ["ServiceName", "EventType", "OccurredAt"];

/// Reads one record and writes its event at the end of `out`.
///
/// `place` is its index in the request or its offset in the file.
///
/// # Errors
///
/// Returns every refusal that was found; `out` is then as it was.
pub fn read(bytes: &[u8], place: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<(), Vec<Refusal>> {
    let object = Object::parse(bytes).map_err(|it| vec![it])?;
    read_object(object, place, reading, out)
}

/// Like [`read`], for an object that is validated.
pub(crate) fn read_object(
    object: Object<'_>,
    place: u64,
    reading: &Reading<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Refusal>> {
    let mut found = Found::default();
    let mut seen = Seen::default();
    for member in object.members() {
        seen.note(&member.name);
        found.take(member);
    }
    if seen.cloud_event == all(cloud_event::NAMES.len()) {
        cloud_event::read(object, place, reading, out)
    } else if seen.cloudtrail == all(CLOUDTRAIL.len()) {
        cloudtrail::read(object, place, reading, out)
    } else if seen.anormal == all(ANORMAL.len()) {
        anormal::read(object, place, reading, out)
    } else {
        found.read(object, place, reading, out)
    }
}

/// Which of the names of each form have been seen, a bit each.
#[derive(Debug, Default)]
struct Seen {
    cloud_event: u8,
    cloudtrail: u8,
    anormal: u8,
}

impl Seen {
    fn note(&mut self, name: &str) {
        // Every name of these forms begins with one of these letters; most names of other events do not.
        if !matches!(name.as_bytes().first(), Some(b'A' | b'E' | b'O' | b'R' | b'S' | b'e' | b'o' | b's')) {
            return;
        }
        self.cloud_event |= bit(cloud_event::NAMES.iter().position(|it| *it == name));
        self.cloudtrail |= bit(CLOUDTRAIL.iter().position(|it| *it == name));
        self.anormal |= bit(ANORMAL.iter().position(|it| anormal::is_spelling_of(name, it)));
    }
}

fn bit(index: Option<usize>) -> u8 {
    index.map_or(0, |it| 1 << it)
}

const fn all(names: usize) -> u8 {
    ((1_u16 << names) - 1) as u8
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView, Original, TextField};
    use model::id::EventId;
    use proptest::prelude::*;

    use super::*;
    use crate::reading::Ids;
    use crate::reading::tests::{AT_NOON, NOON};

    #[track_caller]
    fn check(text: &str, test: impl FnOnce(EventView<'_>)) {
        let mut out = Vec::new();
        if let Err(refusals) = read(text.as_bytes(), 3, &AT_NOON, &mut out) {
            panic!("{text}: {refusals:?}");
        }
        let view = EventView::of(&out).unwrap();
        assert_eq!(view.original, Original::Json(text));
        test(view);
    }

    #[track_caller]
    fn check_refused(text: &str, field: Option<&str>) {
        let mut out = vec![7];
        let refusals = read(text.as_bytes(), 0, &AT_NOON, &mut out).expect_err(text);
        assert_eq!(refusals.iter().map(|it| it.field.as_deref()).collect::<Vec<_>>(), [field], "{text}");
        assert_eq!(out, [7]);
    }

    #[test]
    fn reads_every_field_of_an_own_event() {
        let text = r#"{"time":"2026-11-20T10:00:00Z","source":"shop","client_ip":"192.0.2.1","user":"ann","host":"web-1",
            "method":"GET","path":"/cart","status_code":404,"user_agent":"Mozilla/5.0","message":"not there","severity":"Warn",
            "logsource":{"product":"shop","category":"webserver","service":"cart"},"dst_ip":"2001:DB8::1","more":[1]}"#;
        check(text, |view| {
            assert_eq!(view.time.to_string(), "2026-11-20T10:00:00Z");
            assert_eq!((view.client_ip.unwrap().to_string().as_str(), view.status_code), ("192.0.2.1", Some(404)));
            for (field, expected) in [
                (TextField::Source, "shop"),
                (TextField::Input, "door"),
                (TextField::User, "ann"),
                (TextField::Host, "web-1"),
                (TextField::Method, "GET"),
                (TextField::Path, "/cart"),
                (TextField::UserAgent, "Mozilla/5.0"),
                (TextField::Message, "not there"),
                (TextField::SourceSeverity, "Warn"),
                (TextField::Product, "shop"),
                (TextField::Category, "webserver"),
                (TextField::Service, "cart"),
                (TextField::DestinationIp, "2001:db8::1"),
            ] {
                assert_eq!(view.text(field), Some(expected), "{field:?}");
            }
            assert!(!view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
        });
    }

    #[test]
    fn every_alias_is_understood() {
        for (time, ip, path) in
            [("time", "client_ip", "path"), ("timestamp", "src_ip", "endpoint"), ("@timestamp", "ip", "uri")]
        {
            let text = format!(r#"{{"{time}":1700000000,"{ip}":"192.0.2.1","{path}":"/a","status_code":"401"}}"#);
            check(&text, |view| {
                assert_eq!(view.time.to_string(), "2023-11-14T22:13:20Z");
                assert_eq!((view.client_ip.is_some(), view.text(TextField::Path)), (true, Some("/a")));
                assert_eq!((view.status_code, view.text(TextField::Category)), (Some(401), Some("webserver")));
                assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
            });
        }
    }

    #[test]
    fn one_field_is_enough() {
        for text in [r#"{"message":"alone"}"#, r#"{"any-name":1}"#, r#"{"client_ip":"198.18.0.1","time":null}"#] {
            check(text, |view| {
                assert_eq!((view.time, view.received, view.id), (NOON, Some(NOON), EventId::default()));
                assert_eq!((view.text(TextField::Category), view.text(TextField::Source)), (None, Some("door")));
            });
        }
        check_refused("{}", None);
    }

    #[test]
    fn a_bad_value_names_the_field_as_it_was_spelled() {
        for (text, field) in [
            (r#"{"ip":"x"}"#, "ip"),
            (r#"{"client_ip":"300.1.1.1","ip":"192.0.2.1"}"#, "client_ip"),
            (r#"{"@timestamp":"soon"}"#, "@timestamp"),
            (r#"{"timestamp":1e400}"#, "timestamp"),
            (r#"{"time":true}"#, "time"),
            (r#"{"status_code":600}"#, "status_code"),
            (r#"{"status_code":"4xx"}"#, "status_code"),
            (r#"{"uri":[]}"#, "uri"),
            (r#"{"message":{}}"#, "message"),
            (r#"{"user":[]}"#, "user"),
            (r#"{"logsource":"linux"}"#, "logsource"),
            (r#"{"logsource":{"product":5}}"#, "logsource.product"),
            (r#"{"sigma_product":5}"#, "sigma_product"),
            (r#"{"finding":"x"}"#, "finding"),
            (r#"{"finding":{"id":"1"}}"#, "finding.rule"),
            (r#"{"finding":{"rule":"r","severity":"terrible"}}"#, "finding.severity"),
        ] {
            check_refused(text, Some(field));
        }
    }

    #[test]
    fn numbers_and_nested_names_are_taken_as_text() {
        check(r#"{"user":17,"host":{"name":"web-1"},"source":{"ip":"x"},"message":true}"#, |view| {
            assert_eq!((view.text(TextField::User), view.text(TextField::Host)), (Some("17"), Some("web-1")));
            assert_eq!((view.text(TextField::Source), view.text(TextField::Message)), (Some("door"), Some("true")));
        });
    }

    #[test]
    fn an_id_is_per_source_and_an_empty_one_is_none() {
        check(r#"{"id":"x","source":"a"}"#, |view| {
            assert_eq!(view.id, EventId::of_source("door", "a", "x"));
            assert!(view.flags.has(EventFlags::REPEATABLE));
        });
        check(r#"{"id":17}"#, |view| assert_eq!(view.id, EventId::of_source("door", "door", "17")));
        check(r#"{"id":"","m":1}"#, |view| assert_eq!(view.id, EventId::default()));
    }

    #[test]
    fn a_record_without_an_id_is_known_by_key_and_index() {
        let reading = Reading { ids: Ids::Request { key: "k" }, ..AT_NOON };
        let mut out = Vec::new();
        read(br#"{"m":1}"#, 3, &reading, &mut out).unwrap();
        assert_eq!(EventView::of(&out).unwrap().id, EventId::of_request("door", "k", 3));
    }

    #[test]
    fn a_finding_has_its_fields_and_its_id() {
        let text = r#"{"source":"falco","finding":{"id":"f-1","rule":"shell","title":"A shell","severity":"High","type":"shell"}}"#;
        check(text, |view| {
            assert_eq!(view.id, EventId::of_source("door", "falco", "f-1"));
            let fields =
                [TextField::FindingId, TextField::FindingRule, TextField::FindingTitle, TextField::FindingKind];
            assert_eq!(fields.map(|it| view.text(it).unwrap()), ["f-1", "shell", "A shell", "shell"]);
            assert_eq!(view.finding_severity().unwrap().as_str(), "high");
            assert_eq!(view.text(TextField::Category), Some("finding"));
        });
    }

    #[test]
    fn tells_the_forms_apart() {
        let anormal = r#"{"serviceName":"g","ip":"192.0.2.1","eventType":1,"severity":3,"description":"d",
            "occurredAt":"2026-11-20T20:14:38.1234567Z"}"#;
        let cloud = r#"{"AffectedAssets":[],"EventTimestamp":"2026-11-20T20:14:38Z","EventType":"t","RoleID":"r",
            "EventID":"e","RequestID":"q"}"#;
        let trail = r#"{"eventName":"n","eventSource":"s","eventVersion":"1","eventTime":"2026-11-20T20:14:38Z",
            "sigma_product":"aws"}"#;
        let log =
            r#"{"timestamp":"2026-11-20T20:14:38Z","source":"auth","message":"hello","ip":"192.0.2.1","user":null}"#;
        for (text, expected) in
            [(anormal, "anormal-event"), (cloud, "cloud-event"), (trail, "cloudtrail"), (log, "event")]
        {
            check(text, |view| assert_eq!(view.text(TextField::Format), Some(expected)));
        }
        check(r#"{"EventID":"e","EventType":"t"}"#, |view| assert_eq!(view.text(TextField::Format), Some("event")));
    }

    #[test]
    fn the_last_of_a_repeated_key_wins() {
        check(r#"{"status_code":"bad","status_code":401,"user":"a","user":null}"#, |view| {
            assert_eq!((view.status_code, view.text(TextField::User)), (Some(401), None));
        });
    }

    proptest! {
        #[test]
        fn no_value_is_a_panic(name in "(time|client_ip|status_code|logsource|finding|user)", value in r#"[\{\}\[\]"\\,:a1u.\- ]{0,16}"#) {
            let _ = read(format!("{{\"{name}\":{value}}}").as_bytes(), 0, &AT_NOON, &mut Vec::new());
        }
    }
}
