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

fn read(reader: Reader, delivery: Delivery) -> Batch {
    read_all(&input(reader), &[delivery], NOON)
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
    assert_eq!(id(LOG, Some("m")), EventId::of_request("door", "m", 0));
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
    assert!(read_all(&silent, &[ask(CLOUD)], NOON).replies.is_empty());
}
