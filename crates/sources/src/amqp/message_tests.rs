use std::sync::Arc;

use model::event::EventView;
use model::id::EventId;
use outbound::amqp::broker::Broker;
use outbound::amqp::subscription::Wanted;
use outbound::dial::Dialer;
use outbound::guard::Guard;
use outbound::resolve::System;

use super::*;

/// 2026-11-20T12:00:00Z.
const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);
const LOG: &str =
    r#"{"timestamp":"2026-11-20T10:00:00Z","client_ip":"192.0.2.1","endpoint":"/a","method":"GET","status_code":401}"#;
const CLOUD: &str = r#"{"RequestID":"r","EventID":"e-1","RoleID":"x","EventType":"t","EventTimestamp":"2026-11-20T20:14:38Z","AffectedAssets":["a,b","NULL"]}"#;

fn input(reader: Reader) -> AmqpInput {
    let dialer = Dialer::new(Guard::new(Vec::new()), Arc::new(System), None);
    let wanted = Wanted { queue: "q".into(), declares_queue: false, is_durable: true, exchange: None, prefetch: 1 };
    let broker = Broker::parse("amqp://a:b@h", None, &dialer).unwrap();
    AmqpInput { name: Arc::from("door"), broker, wanted, reader, replies: true }
}

fn delivery(body: &str) -> Delivery {
    Delivery { tag: 7, body: body.as_bytes().to_vec(), ..Delivery::default() }
}

fn parts(input: &AmqpInput, delivery: Delivery) -> Vec<Batch> {
    let mut parts = Vec::new();
    let mut pass = |part| {
        parts.push(part);
        true
    };
    read_all(input, &[delivery], NOON, &mut pass);
    parts
}

/// Reads a message that fits one part.
fn read(reader: Reader, delivery: Delivery) -> Batch {
    let mut parts = parts(&input(reader), delivery);
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

#[track_caller]
fn check(reader: Reader, body: &str, events: usize, places: &[&str]) {
    let batch = read(reader, delivery(body));
    let found: Vec<_> = batch.quarantined.iter().map(|it| it.place.as_str()).collect();
    assert_eq!((batch.events.len(), found.as_slice()), (events, places), "{body}: {:?}", batch.quarantined);
}

#[test]
fn a_message_has_an_event_or_many() {
    check(Reader::Logs, LOG, 1, &[]);
    check(Reader::Ingest, CLOUD, 1, &[]);
    check(Reader::Any, CLOUD, 1, &[]);
    check(Reader::Any, &format!("{LOG}\n{CLOUD}\n"), 2, &[]);
    check(Reader::Any, &format!("[{LOG},{CLOUD}]"), 2, &[]);
    check(Reader::Format(formats::by_name("event").unwrap()), LOG, 1, &[]);
}

#[test]
fn what_cannot_be_read_is_kept_with_its_place() {
    check(Reader::Logs, "{", 0, &["queue q:delivery 7"]);
    check(Reader::Logs, CLOUD, 0, &["queue q:delivery 7"]);
    check(Reader::Ingest, "", 0, &["queue q:delivery 7"]);
    check(Reader::Any, "", 0, &["queue q:delivery 7"]);
    check(Reader::Any, "\n\n", 0, &["queue q:delivery 7"]);
    check(Reader::Any, &format!("{LOG}\nnonsense\n"), 1, &[&format!("queue q:delivery 7:offset {}", LOG.len() + 1)]);
    let named = Delivery { message_id: Some("m-1".into()), ..delivery("nonsense") };
    assert_eq!(read(Reader::Any, named).quarantined[0].place, "queue q:message m-1");
}

#[test]
fn of_one_that_is_too_large_the_beginning_is_kept() {
    for reader in [Reader::Logs, Reader::Any] {
        let batch = read(reader, delivery(&"x".repeat(EVENT_BYTES_MAX + 1)));
        let kept = &batch.quarantined[0];
        assert!(!kept.is_whole() && kept.record.len() <= BEGINNING_BYTES_MAX, "{}", kept.record.len());
        assert_eq!(kept.bytes, Some(EVENT_BYTES_MAX as u64 + 1));
    }
}

#[test]
fn an_id_of_its_own_goes_before_that_of_the_message() {
    let id = |body: &str, message_id: Option<&str>| {
        let delivery = Delivery { message_id: message_id.map(str::to_owned), ..delivery(body) };
        let batch = read(Reader::Any, delivery);
        let event = batch.events.iter().next().unwrap().to_vec();
        EventView::of(&event).unwrap().id
    };
    assert_eq!(id(CLOUD, Some("m")), EventId::of_source("door", "door", "e-1"));
    let name = Once { key: "m".to_owned(), body: digest128(&[LOG.as_bytes()]) }.name();
    assert_eq!(id(LOG, Some("m")), EventId::of_request("door", &name, 0));
    assert_eq!(id(LOG, None), EventId::default());
}

#[test]
fn who_waits_is_answered() {
    let ask =
        |body: &str| Delivery { reply_to: Some("theirs".into()), correlation_id: Some("c-1".into()), ..delivery(body) };
    let reply = |body: &str| read(Reader::Ingest, ask(body)).replies.pop().unwrap();
    let taken = reply(CLOUD);
    assert_eq!((taken.to.as_str(), taken.correlation_id.as_deref()), ("theirs", Some("c-1")));
    assert_eq!(taken.body, QUEUED);
    let refused: Value = serde_json::from_slice(&reply(r#"{"EventID":"e"}"#).body).unwrap();
    assert_eq!((&refused["status_code"], &refused["error"]), (&400.into(), &"Invalid data".into()));
    assert_eq!(refused["errors"].as_array().map(Vec::len), Some(5));
    assert!(read(Reader::Ingest, delivery(CLOUD)).replies.is_empty());
    let silent = AmqpInput { replies: false, ..input(Reader::Ingest) };
    assert!(parts(&silent, ask(CLOUD)).iter().all(|it| it.replies.is_empty()));
}

#[test]
fn messages_that_differ_are_told_apart_though_they_are_called_the_same() {
    let ids = |body: &str| {
        let named = Delivery { message_id: Some("m".into()), ..delivery(body) };
        let batch = read(Reader::Any, named);
        batch.events.iter().map(|it| EventView::of(it).unwrap().id).collect::<Vec<_>>()
    };
    let other = LOG.replace("401", "403");
    assert_eq!(ids(LOG), ids(LOG));
    assert_ne!(ids(LOG), ids(&other));
    let two = ids(&format!("{LOG}\n{LOG}\n"));
    assert_ne!(two[0], two[1]);
}

#[test]
fn a_large_message_is_passed_on_in_parts_and_answered_with_the_last() {
    let records = 20_000;
    let lines = format!("{LOG}\nnonsense\n").repeat(records);
    let ask = Delivery { message_id: Some("m".into()), reply_to: Some("theirs".into()), ..delivery(&lines) };
    let parts = parts(&input(Reader::Any), ask);
    let (last, before) = parts.split_last().unwrap();
    assert!(!before.is_empty(), "there is one part");
    assert!(before.iter().all(|it| it.replies.is_empty()) && last.replies.len() == 1);
    for part in &parts {
        let kept: usize = part.quarantined.iter().map(|it| it.record.len() + QUARANTINED_BYTES).sum();
        assert!(part.events.bytes.len() + kept < PART_BYTES_MAX + EVENT_BYTES_MAX);
    }
    let ids: std::collections::BTreeSet<_> =
        parts.iter().flat_map(|it| it.events.iter()).map(|it| EventView::of(it).unwrap().id).collect();
    assert_eq!((ids.len(), parts.iter().map(|it| it.quarantined.len()).sum::<usize>()), (records, records));
}

#[test]
fn of_a_message_that_nobody_wants_any_more_the_rest_is_not_read() {
    let lines = format!("{LOG}\n").repeat(60_000);
    let mut passed = 0;
    let mut pass = |_| {
        passed += 1;
        false
    };
    read_all(&input(Reader::Any), &[delivery(&lines), delivery(LOG)], NOON, &mut pass);
    assert_eq!(passed, 1);
}

#[test]
fn a_message_over_the_limit_is_not_read_and_its_beginning_is_kept() {
    for (bytes, is_over) in [(MESSAGE_BYTES_MAX, false), (MESSAGE_BYTES_MAX + 1, true)] {
        let batch = read(Reader::Logs, Delivery { body: vec![b'x'; bytes], ..Delivery::default() });
        let kept = &batch.quarantined[0];
        assert_eq!(kept.reason == "the message is over 128 MiB", is_over, "{}", kept.reason);
        assert!(!kept.is_whole() && kept.bytes == Some(bytes as u64) && batch.events.is_empty());
    }
}
