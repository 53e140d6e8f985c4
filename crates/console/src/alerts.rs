//! An alert as JSON text: the object of `/v1`, the object of `/alerts`, the canonical line.

use backends::store::{StatusChange, StoredAlert};
use model::alert::Alert;
use model::entity::Entity;
use model::time::Timestamp;
use serde_json::value::RawValue;

use crate::object::{ObjectWriter, array};

/// Writes an alert in the form of `GET /v1/alerts/{id}`.
///
/// All fields are always there, `null` where there is no value, but `evidence_total`, which is there when
/// `evidence` is cut. Times are RFC 3339 in UTC. Source: docs/alerts.md, "An alert".
#[must_use]
pub fn alert_json(stored: &StoredAlert) -> String {
    let mut object = ObjectWriter::new();
    write_alert(&mut object, &stored.alert);
    write_times(&mut object, stored);
    object.end()
}

/// Writes an alert with what was done with it: [`alert_json`] with `history`, oldest first.
#[must_use]
pub fn alert_with_history_json(stored: &StoredAlert, history: &[StatusChange]) -> String {
    let mut object = ObjectWriter::new();
    write_alert(&mut object, &stored.alert);
    write_times(&mut object, stored);
    let history: Vec<String> = history.iter().map(change_of).collect();
    object.raw("history", array(&history));
    object.end()
}

fn change_of(change: &StatusChange) -> String {
    let mut object = ObjectWriter::new();
    object.plain("at", change.at);
    object.text("actor", &change.actor);
    object.text("from", change.before.as_str());
    object.text("to", change.after.as_str());
    object.text("note", &change.note);
    object.end()
}

/// Writes an alert that nobody stored, as `scan` finds it: [`alert_json`] without `created_at` and `updated_at`.
#[must_use]
pub fn found_alert_json(alert: &Alert) -> String {
    let mut object = ObjectWriter::new();
    write_alert(&mut object, alert);
    object.end()
}

/// Writes an alert in the form of `GET /alerts`: [`alert_json`] with `src_ip` and the first evidence as `event`.
#[must_use]
pub fn alert_superset_json(stored: &StoredAlert) -> String {
    let alert = &stored.alert;
    let mut object = ObjectWriter::new();
    write_alert(&mut object, alert);
    write_times(&mut object, stored);
    object.option("src_ip", alert.client_ip.map(|it| it.to_string()).as_deref());
    object.raw("event", event_of(alert));
    object.end()
}

/// Writes an alert as one line that is the same wherever and whenever the same events were detected on.
///
/// Keys are sorted. Left out: times of storing, the life that people give it (`status`), the place in the log, and so
/// the evidence ids that the log with `log_tag` made from places; ids that senders gave or that follow from a file stay.
#[must_use]
pub fn alert_canonical(alert: &Alert, log_tag: u64) -> String {
    let evidence: Vec<_> = alert.evidence.iter().filter(|it| it.upper() != log_tag).collect();
    let mut object = ObjectWriter::new();
    object.option("client_ip", alert.client_ip.map(|it| it.to_string()).as_deref());
    object.raw("confidence", alert.confidence);
    object.raw("count", alert.count);
    object.option("country", alert.country.as_deref());
    object.text("description", &alert.description);
    object.text("details", &alert.details);
    object.text("detector", &alert.detector);
    object.option("dst_ip", alert.dst_ip.map(|it| it.to_string()).as_deref());
    object.raw("entity", entity_of(&alert.entity));
    object.raw("event", event_of(alert));
    object.plain_list("evidence", &evidence);
    object.plain("first_seen", alert.first_seen);
    object.plain("id", alert.id);
    object.plain("last_seen", alert.last_seen);
    object.raw("matched", matched_of(alert, true));
    object.text("reason", &alert.reason);
    object.text("rule_id", &alert.rule_id);
    object.text("rule_version", &alert.rule_version);
    object.plain("severity", alert.severity);
    object.text("source", &alert.source);
    object.raw("synthetic", alert.synthetic);
    object.plain("timestamp", alert.timestamp);
    object.text("title", &alert.title);
    object.text("type", &alert.kind);
    object.option("user", alert.user.as_deref());
    object.plain("window_start", alert.window_start);
    object.end()
}

fn write_alert(object: &mut ObjectWriter, alert: &Alert) {
    object.plain("id", alert.id);
    object.text("rule_id", &alert.rule_id);
    object.text("rule_version", &alert.rule_version);
    object.text("title", &alert.title);
    object.text("type", &alert.kind);
    object.plain("severity", alert.severity);
    object.raw("confidence", alert.confidence);
    object.text("status", alert.status.as_str());
    object.raw("entity", entity_of(&alert.entity));
    object.option("client_ip", alert.client_ip.map(|it| it.to_string()).as_deref());
    object.option("dst_ip", alert.dst_ip.map(|it| it.to_string()).as_deref());
    object.raw("count", alert.count);
    write_seen(object, alert);
    object.text("details", &alert.details);
    object.text("reason", &alert.reason);
    object.text("description", &alert.description);
    object.text("detector", &alert.detector);
    object.text("source", &alert.source);
    object.option("country", alert.country.as_deref());
    object.option("user", alert.user.as_deref());
    object.raw("matched", matched_of(alert, false));
    object.plain_list("evidence", &alert.evidence);
    if (alert.evidence.len() as u64) < alert.count {
        object.raw("evidence_total", alert.count);
    }
    object.raw("synthetic", alert.synthetic);
}

fn write_seen(object: &mut ObjectWriter, alert: &Alert) {
    let times: [(&str, Timestamp); 4] = [
        ("first_seen", alert.first_seen),
        ("last_seen", alert.last_seen),
        ("window_start", alert.window_start),
        ("timestamp", alert.timestamp),
    ];
    times.into_iter().for_each(|(name, time)| object.plain(name, time));
}

fn write_times(object: &mut ObjectWriter, stored: &StoredAlert) {
    object.plain("created_at", stored.created_at);
    object.plain("updated_at", stored.updated_at);
}

fn entity_of(entity: &Entity) -> String {
    let mut object = ObjectWriter::new();
    object.text("kind", entity.kind.as_str());
    object.text("value", &entity.value);
    object.end()
}

/// The matched fields as an object; of a repeated name the first, which belongs to the first evidence.
fn matched_of(alert: &Alert, is_sorted: bool) -> String {
    let mut pairs: Vec<&(String, String)> = Vec::new();
    for pair in &alert.matched {
        if pairs.iter().all(|it| it.0 != pair.0) {
            pairs.push(pair);
        }
    }
    if is_sorted {
        pairs.sort();
    }
    let mut object = ObjectWriter::new();
    pairs.into_iter().for_each(|(name, value)| object.text(name, value));
    object.end()
}

/// The first evidence as it was kept; `null` where there is none, so that a broken text never breaks an answer.
fn event_of(alert: &Alert) -> &str {
    let is_json = serde_json::from_str::<&RawValue>(&alert.event).is_ok();
    if is_json { &alert.event } else { "null" }
}

#[cfg(test)]
pub(crate) mod tests {
    use model::alert::AlertStatus;
    use model::id::{AlertId, EventId};
    use model::severity::Severity;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// A stored alert whose user and source are formulas.
    pub(crate) fn sample(id: u128) -> StoredAlert {
        let at = |seconds: i64| Timestamp(1_795_176_000_000_000_000 + seconds * 1_000_000_000);
        let alert = Alert {
            id: AlertId(id),
            rule_id: "bruteforce".into(),
            rule_version: "v1".into(),
            title: "Brute force attack".into(),
            kind: "bruteforce".into(),
            severity: Severity::High,
            confidence: 80,
            status: AlertStatus::New,
            entity: Entity::of_ip("198.18.0.1".parse().unwrap()),
            client_ip: Some("198.18.0.1".parse().unwrap()),
            dst_ip: None,
            count: 5,
            first_seen: at(0),
            last_seen: at(id as i64 % 100_000),
            window_start: at(0),
            timestamp: at(4),
            details: "5 responses 401 in 60 s".into(),
            reason: "too many".into(),
            description: String::new(),
            detector: "threshold".into(),
            source: "+SUM(1)*cmd|'/C calc'!A0".into(),
            country: None,
            user: Some("=HYPERLINK(\"http://x\",\"y\")".into()),
            matched: vec![("status_code".into(), "401".into()), ("b".into(), "1".into()), ("b".into(), "2".into())],
            evidence: vec![EventId(1), EventId(2)],
            event: "{\"message\":\"m\"}".into(),
            synthetic: false,
            incarnation: 3,
        };
        StoredAlert { alert, created_at: at(100), updated_at: at(200) }
    }

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_alert_has_its_fields() {
        let alert = read(&alert_json(&sample(7)));
        assert_eq!(alert["entity"]["value"], "198.18.0.1");
        assert_eq!((&alert["type"], &alert["severity"]), (&"bruteforce".into(), &"high".into()));
        assert_eq!((&alert["country"], &alert["evidence_total"]), (&Value::Null, &5.into()));
        assert_eq!((&alert["matched"]["status_code"], &alert["matched"]["b"]), (&"401".into(), &"1".into()));
        assert_eq!(alert["created_at"], "2026-11-20T12:01:40Z");
        assert!(alert.get("event").is_none() && alert.get("incarnation").is_none());
    }

    #[test]
    fn evidence_that_is_whole_has_no_total() {
        let mut stored = sample(7);
        stored.alert.count = 2;
        assert!(read(&alert_json(&stored)).get("evidence_total").is_none());
    }

    #[test]
    fn the_superset_adds_the_event_and_survives_a_broken_one() {
        let mut stored = sample(7);
        let superset = read(&alert_superset_json(&stored));
        assert_eq!((&superset["event"]["message"], &superset["src_ip"]), (&"m".into(), &"198.18.0.1".into()));
        for broken in ["", "{", "{} x", "{\"a\":}"] {
            stored.alert.event = broken.into();
            assert_eq!(read(&alert_superset_json(&stored))["event"], Value::Null, "{broken}");
        }
    }

    #[test]
    fn the_canonical_line_has_sorted_keys_and_knows_no_clock() {
        let line = alert_canonical(&sample(7).alert, 0);
        // The map of this parser is sorted, so what it writes is what we wrote when ours was sorted throughout.
        assert_eq!(read(&line).to_string(), line);
        for name in ["created_at", "updated_at", "incarnation", "status"] {
            assert!(read(&line).get(name).is_none(), "{name}");
        }
        let other = Alert { status: AlertStatus::Closed, incarnation: 99, ..sample(7).alert };
        assert_eq!(alert_canonical(&other, 0), line);
    }

    #[test]
    fn ids_that_the_log_made_are_no_part_of_the_canonical_form() {
        let mut alert = sample(7).alert;
        alert.evidence = vec![model::id::EventId::of_place(9, 1), model::id::EventId::of_place(8, 1)];
        let shown = |tag| alert_canonical(&alert, tag).matches("0000000000000001").count();
        assert_eq!((shown(9), shown(7)), (1, 2));
    }

    proptest! {
        #[test]
        fn every_form_is_json_whatever_a_sender_wrote(text in ".{0,20}") {
            let mut stored = sample(7);
            stored.alert.user = Some(text.clone());
            stored.alert.matched = vec![(text.clone(), text.clone())];
            stored.alert.event.clone_from(&text);
            for form in [alert_json(&stored), alert_superset_json(&stored), alert_canonical(&stored.alert, 0)] {
                let back = read(&form);
                prop_assert_eq!(back["user"].as_str(), Some(text.as_str()));
            }
        }
    }
}
