//! What must hold at the end of every proof, whatever happened on the way.

use std::collections::BTreeMap;

use serde_json::Value;

use super::sender::Sent;
use super::server::Server;

/// How many events a page has.
const PAGE: usize = 1000;

/// Every event of `sent` is stored once, under its entity, as it was sent; and nothing else is.
#[track_caller]
pub(crate) fn check_stored_once(server: &Server, sent: &[Sent]) {
    let mut expected: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for event in sent {
        let body = serde_json::from_str(&event.body).expect("we wrote it");
        let former = expected.entry(&event.entity).or_default().insert(&event.id, body);
        assert_eq!(former, None, "the proof itself used an id twice");
    }
    for (entity, mut missing) in expected {
        for found in events_of(server, entity) {
            let id = found["id"].as_str().unwrap_or_default();
            let Some(as_sent) = missing.remove(id) else { panic!("{entity}: `{id}` is there twice, or was not sent") };
            assert_eq!(found, as_sent, "{entity}: what is stored is not what was sent");
        }
        let lost: Vec<_> = missing.keys().take(5).collect();
        assert!(missing.is_empty(), "{entity}: {} acknowledged events are lost, {lost:?} among them", missing.len());
    }
}

/// The events of an entity as they were sent.
fn events_of(server: &Server, entity: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/events?entity={entity}&limit={PAGE}{cursor}"));
        let items = page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}"));
        found.extend(items.iter().map(|it| match &it["original"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
            other => other.clone(),
        }));
        match &page["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return found,
        }
    }
}

/// The ledger balances, of the whole and of every input, and holds `stored` events.
#[track_caller]
pub(crate) fn check_ledger(ledger: &Value, stored: usize) {
    let inputs = ledger["inputs"].as_object().unwrap_or_else(|| panic!("no inputs: {ledger}"));
    for row in inputs.values().chain([&ledger["total"]]) {
        let count = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("no `{name}`: {ledger}"));
        let parts = ["stored", "duplicate", "rejected", "quarantined"].map(count);
        assert_eq!(count("received"), parts.iter().sum::<u64>(), "the ledger does not balance: {ledger}");
    }
    assert_eq!(ledger["total"]["stored"], stored, "not every event is stored exactly once: {ledger}");
}

/// Two exports are equal, byte for byte; the first line that is not is shown.
#[track_caller]
pub(crate) fn check_same_alerts(actual: &str, expected: &str, what: &str) {
    assert!(!expected.is_empty(), "{what}: nothing to compare");
    let (mut left, mut right) = (actual.lines(), expected.lines());
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            (left, right) => assert_eq!(left, right, "{what}: the alerts differ (left: this run; right: undisturbed)"),
        }
    }
    assert_eq!(actual, expected, "{what}");
}
