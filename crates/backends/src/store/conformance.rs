//! What every store must do, as tests that each backend runs: `suite!(|folder| open(folder))`.
//!
//! `open` opens the same store again when it is called again with the same folder, as a restart or a second process
//! does.

use std::ops::ControlFlow;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use model::alert::{Alert, AlertStatus};
use model::entity::Entity;
use model::id::{AlertId, EventId};
use model::place::{PartitionId, Position};
use model::severity::Severity;
use model::time::Timestamp;

use super::outbox::{OutboxRow, Subject};
use super::{
    AlertCursor, AlertQuery, Commit, Committed, HISTORY_MAX, Handled, Handling, Key, Lease, Scope, StatusChange, Store,
    StoreError, StoredAlert,
};

const PARTITION: PartitionId = PartitionId(3);
const NOW: Timestamp = Timestamp(1_000_000);

/// Texts that are syntax somewhere; here they are data.
const HOSTILE: [&str; 10] =
    ["'; DROP TABLE alerts; --", "\" OR 1=1 --", "%", "_", "*", "a\0b", "\\", "?1", "", "\u{202e}\u{fffd}\u{1f600}"];

/// Runs every conformance test against the store that `$open` opens in a folder.
macro_rules! suite {
    ($open:expr) => {
        mod conformance {
            use $crate::store::conformance as tests;
            $crate::store::conformance::suite!(@each $open,
                a_commit_stores_alerts_and_position
                keeps_everything_over_a_restart
                the_same_incarnation_replaces
                a_later_incarnation_adds_and_an_earlier_one_changes_nothing
                a_replaced_incarnation_keeps_what_the_ones_before_counted
                united_evidence_keeps_both_ends
                a_repeated_alert_changes_nothing
                every_filter_returns_what_holds_and_nothing_else
                spans_of_time_include_their_start_and_not_their_end
                pages_give_every_alert_once
                hostile_texts_are_data
                an_owner_before_is_fenced_off
                a_wrong_position_is_fenced_off
                partitions_do_not_touch_one_another
                a_commit_is_all_or_nothing
                two_openers_see_one_another
                each_alert_comes_by_rising_id
                a_large_commit_is_one_commit
                the_generation_moves_with_the_alerts
                keys_are_added_replaced_and_removed
                a_key_tells_when_it_was_last_used
                a_token_works_until_it_expires
                a_token_is_taken_once
                a_life_is_kept_with_who_gave_it
                a_closed_alert_that_grows_stays_closed_and_counts
                a_long_history_loses_its_oldest
                closed_alerts_go_when_nothing_changed_for_long_enough
                ids_are_found_by_their_beginning
                prunes_expired_tokens_and_open_alerts_stay
                an_open_store_is_available
            );
        }
    };
    (@each $open:expr, $($name:ident)*) => { $(
        #[test]
        fn $name() {
            let folder = tempfile::tempdir().unwrap();
            tests::$name(|| { let open: fn(&tempfile::TempDir) -> _ = $open; open(&folder) });
        }
    )* };
}
pub(crate) use suite;

/// Makes an alert; those of higher numbers are seen later.
pub(crate) fn alert(number: u64) -> Alert {
    let address = [10, 0, (number >> 8) as u8, number as u8].into();
    let time = |offset: i64| Timestamp(number as i64 * 1000 + offset);
    Alert {
        id: AlertId::of_rule("sshd-bruteforce", "v1", &number.to_string(), Timestamp(0)),
        rule_id: "sshd-bruteforce".into(),
        rule_version: "v1".into(),
        title: format!("Failed logins from {address}"),
        kind: "bruteforce".into(),
        severity: Severity::Medium,
        confidence: 70,
        status: AlertStatus::New,
        entity: Entity::of_ip(address),
        client_ip: Some(address),
        dst_ip: None,
        count: 5,
        first_seen: time(-100),
        last_seen: time(0),
        window_start: Timestamp(0),
        timestamp: time(-50),
        details: "5 failed logins".into(),
        reason: "5 events within 1 minute".into(),
        description: "Somebody guesses passwords".into(),
        detector: "sigma".into(),
        source: "auth".into(),
        country: None,
        user: Some("root".into()),
        matched: vec![("message".into(), "Failed password for root".into())],
        evidence: vec![EventId(u128::from(number))],
        event: r#"{"message":"Failed password for root"}"#.into(),
        synthetic: false,
        incarnation: 100,
    }
}

fn row(of: &Alert) -> OutboxRow {
    OutboxRow {
        subject: Subject::Alert(of.id),
        destination: "slack".into(),
        kind: "raised".into(),
        occurrence: 0,
        repeat: None,
        payload: "{}".into(),
    }
}

fn commit(store: &impl Store, lease: &mut Lease, alerts: &[Alert]) -> Committed {
    let to = Position(lease.position.0 + 1);
    let done = store.commit(&Commit { lease: *lease, to, alerts, outbox: &[], now: NOW });
    lease.position = to;
    done.expect("the owner may commit")
}

fn acquire(store: &impl Store) -> Lease {
    store.acquire(PARTITION).expect("the store of a test answers")
}

fn all() -> AlertQuery {
    AlertQuery { limit: 1000, ..AlertQuery::default() }
}

fn listed(store: &impl Store, query: &AlertQuery) -> Vec<Alert> {
    let found = store.alerts(query).expect("the store of a test answers");
    found.into_iter().map(|it| it.alert).collect()
}

fn stored(store: &impl Store, id: AlertId) -> StoredAlert {
    store.alert(id).expect("the store of a test answers").expect("the alert is there")
}

pub(crate) fn a_commit_stores_alerts_and_position<S: Store>(open: impl Fn() -> S) {
    let store = open();
    assert_eq!(store.position(PARTITION).expect("answers"), Position::START);
    let lease = acquire(&store);
    assert_eq!((lease.partition, lease.position), (PARTITION, Position::START));
    let alerts = [alert(1), alert(2)];
    let outbox = [row(&alerts[0])];
    let done = store.commit(&Commit { lease, to: Position(7), alerts: &alerts, outbox: &outbox, now: NOW });
    assert_eq!(done.expect("the owner may commit").raised, [alerts[0].id, alerts[1].id]);
    assert_eq!(store.position(PARTITION).expect("answers"), Position(7));
    let expected = StoredAlert { alert: alerts[1].clone(), created_at: NOW, updated_at: NOW };
    assert_eq!(stored(&store, alerts[1].id), expected);
    assert_eq!(store.alert(AlertId(1)).expect("answers"), None);
    assert_eq!(listed(&store, &all()), [alerts[1].clone(), alerts[0].clone()]);
}

pub(crate) fn keeps_everything_over_a_restart<S: Store>(open: impl Fn() -> S) {
    let alerts: Vec<_> = (0..30).map(alert).collect();
    let first = {
        let store = open();
        let mut lease = acquire(&store);
        commit(&store, &mut lease, &alerts);
        store.add_key(&key("a")).expect("there is none");
        store.add_token("login", &[1; 32], Timestamp(50)).expect("answers");
        lease
    };
    let store = open();
    assert_eq!(store.position(PARTITION).expect("answers"), first.position);
    assert_eq!(acquire(&store), Lease { epoch: first.epoch + 1, ..first });
    assert_eq!(listed(&store, &all()), alerts.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(store.keys().expect("answers"), [key("a")]);
    assert!(store.has_token("login", &[1; 32], Timestamp(49)).expect("answers"));
}

pub(crate) fn the_same_incarnation_replaces<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)]);
    let changed = Alert { count: 9, title: "x".into(), user: None, status: AlertStatus::Closed, ..alert(1) };
    let commit = Commit {
        lease,
        to: Position(9),
        alerts: std::slice::from_ref(&changed),
        outbox: &[],
        now: Timestamp(NOW.0 + 5),
    };
    assert_eq!(store.commit(&commit).expect("the owner may commit"), Committed::default());
    let expected = StoredAlert {
        alert: Alert { status: AlertStatus::New, ..changed },
        created_at: NOW,
        updated_at: Timestamp(NOW.0 + 5),
    };
    assert_eq!(stored(&store, alert(1).id), expected);
    assert_eq!(listed(&store, &AlertQuery { user: Some("root".into()), ..all() }), []);
}

pub(crate) fn a_later_incarnation_adds_and_an_earlier_one_changes_nothing<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)]);
    let later = Alert {
        incarnation: 200,
        count: 3,
        first_seen: Timestamp(950),
        last_seen: Timestamp(2000),
        timestamp: Timestamp(960),
        severity: Severity::Low,
        evidence: vec![EventId(77)],
        event: "later".into(),
        details: "newer".into(),
        ..alert(1)
    };
    commit(&store, &mut lease, std::slice::from_ref(&later));
    let expected = Alert {
        count: 8,
        first_seen: Timestamp(900),
        timestamp: Timestamp(950),
        severity: Severity::Medium,
        evidence: vec![EventId(1), EventId(77)],
        event: alert(1).event,
        ..later
    };
    assert_eq!(listed(&store, &all()), std::slice::from_ref(&expected));
    commit(&store, &mut lease, &[Alert { incarnation: 150, count: 1000, ..alert(1) }]);
    assert_eq!(listed(&store, &all()), std::slice::from_ref(&expected));
    assert_eq!(listed(&open(), &AlertQuery { from: Some(Timestamp(2000)), ..all() }), [expected]);
}

pub(crate) fn a_replaced_incarnation_keeps_what_the_ones_before_counted<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    for (incarnation, count, expected) in [(1, 5, 5), (1, 6, 6), (7, 1, 7), (7, 4, 10), (7, 4, 10), (9, 2, 12)] {
        commit(&store, &mut lease, &[Alert { incarnation, count, ..alert(1) }]);
        assert_eq!(stored(&store, alert(1).id).alert.count, expected, "{incarnation}: {count}");
    }
    commit(&store, &mut lease, &[Alert { incarnation: 10, count: u64::MAX, ..alert(1) }]);
    assert_eq!(stored(&store, alert(1).id).alert.count, u64::MAX);
}

pub(crate) fn united_evidence_keeps_both_ends<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    let ids = |numbers: std::ops::Range<u128>| numbers.map(EventId).collect::<Vec<_>>();
    let earlier = Alert { evidence: ids(0..20), first_seen: Timestamp(10), ..alert(1) };
    let later = Alert { incarnation: 200, evidence: ids(100..103), first_seen: Timestamp(20), ..alert(1) };
    commit(&store, &mut lease, &[earlier]);
    commit(&store, &mut lease, std::slice::from_ref(&later));
    let expected: Vec<_> = [ids(0..10), ids(13..20), ids(100..103)].concat();
    assert_eq!(stored(&store, alert(1).id).alert.evidence, expected);
    let before = Alert { first_seen: Timestamp(5), incarnation: 300, evidence: ids(50..62), ..later };
    commit(&store, &mut lease, &[before]);
    let expected: Vec<_> = [ids(50..60), ids(13..20), ids(100..103)].concat();
    assert_eq!(stored(&store, alert(1).id).alert.evidence, expected);
}

pub(crate) fn a_repeated_alert_changes_nothing<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    let done = commit(&store, &mut lease, &[alert(1), alert(1)]);
    assert_eq!(done.raised, [alert(1).id]);
    let (before, generation) = (stored(&store, alert(1).id), store.generation());
    let to = Position(lease.position.0);
    let again = Commit { lease, to, alerts: &[alert(1)], outbox: &[], now: Timestamp(NOW.0 + 1) };
    assert_eq!(store.commit(&again).expect("the owner may commit"), Committed::default());
    assert_eq!((stored(&store, alert(1).id), store.generation()), (before, generation));
}

pub(crate) fn every_filter_returns_what_holds_and_nothing_else<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let other = Alert {
        kind: "hightraffic".into(),
        severity: Severity::High,
        country: Some("DE".into()),
        user: None,
        client_ip: "2001:db8::1".parse().ok(),
        source: "nginx".into(),
        rule_id: "nginx-flood".into(),
        ..alert(2)
    };
    commit(&store, &mut acquire(&store), &[alert(1), other.clone(), Alert { client_ip: None, ..alert(3) }]);
    let text = |it: &str| Some(it.to_owned());
    for query in [
        AlertQuery { kind: text("hightraffic"), ..all() },
        AlertQuery { severity: Some(Severity::High), ..all() },
        AlertQuery { country: text("DE"), ..all() },
        AlertQuery { client_ip: other.client_ip, ..all() },
        AlertQuery { source: text("nginx"), ..all() },
        AlertQuery { rule_id: text("nginx-flood"), ..all() },
        AlertQuery { rule_id: text("nginx-flood"), kind: text("hightraffic"), client_ip: other.client_ip, ..all() },
    ] {
        assert_eq!(listed(&store, &query), std::slice::from_ref(&other), "{query:?}");
    }
    let users = listed(&store, &AlertQuery { user: text("root"), ..all() });
    assert_eq!(users.iter().map(|it| it.id).collect::<Vec<_>>(), [alert(3).id, alert(1).id]);
    assert_eq!(listed(&store, &AlertQuery { client_ip: alert(1).client_ip, ..all() }), [alert(1)]);
    for query in [
        AlertQuery { kind: text("HighTraffic"), ..all() },
        AlertQuery { kind: text("high"), ..all() },
        AlertQuery { rule_id: text("nginx-flood"), user: text("root"), ..all() },
        AlertQuery { limit: 0, ..AlertQuery::default() },
    ] {
        assert_eq!(listed(&store, &query), [], "{query:?}");
    }
}

pub(crate) fn spans_of_time_include_their_start_and_not_their_end<S: Store>(open: impl Fn() -> S) {
    let store = open();
    commit(&store, &mut acquire(&store), &[alert(1), alert(2), alert(3)]);
    let check = |query: AlertQuery, expected: &[u64]| {
        let found: Vec<_> = listed(&store, &query).iter().map(|it| it.last_seen.0 as u64 / 1000).collect();
        assert_eq!(found, expected, "{query:?}");
    };
    let time = |it: i64| Some(Timestamp(it));
    check(AlertQuery { from: time(2000), ..all() }, &[3, 2]);
    check(AlertQuery { from: time(2001), ..all() }, &[3]);
    check(AlertQuery { to: time(1900), ..all() }, &[1]);
    check(AlertQuery { to: time(1901), ..all() }, &[2, 1]);
    check(AlertQuery { from: time(2000), to: time(2900), ..all() }, &[2]);
    check(AlertQuery { created_from: Some(NOW), ..all() }, &[3, 2, 1]);
    check(AlertQuery { created_from: time(NOW.0 + 1), ..all() }, &[]);
    check(AlertQuery { from: time(i64::MIN), to: time(i64::MAX), limit: usize::MAX, ..all() }, &[3, 2, 1]);
}

pub(crate) fn pages_give_every_alert_once<S: Store>(open: impl Fn() -> S) {
    let store = open();
    // Several of each time: the id decides among them.
    let alerts: Vec<_> = (0..100).map(|it| Alert { last_seen: Timestamp(it as i64 / 7), ..alert(it) }).collect();
    commit(&store, &mut acquire(&store), &alerts);
    let mut expected: Vec<_> = alerts.iter().map(|it| (it.last_seen, it.id)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    for limit in [1, 7, 33, 100] {
        let (mut query, mut found) = (AlertQuery { kind: Some("bruteforce".into()), limit, ..all() }, Vec::new());
        loop {
            let page = listed(&store, &query);
            let Some(last) = page.last() else { break };
            query.after = Some(AlertCursor { last_seen: last.last_seen, id: last.id });
            assert!(page.len() <= limit);
            found.extend(page.iter().map(|it| (it.last_seen, it.id)));
        }
        assert_eq!(found, expected, "{limit}");
    }
}

pub(crate) fn hostile_texts_are_data<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    let hostile = |number: usize| {
        let text = HOSTILE[number].to_owned();
        Alert {
            rule_id: text.clone(),
            kind: text.clone(),
            country: Some(text.clone()),
            user: Some(text.clone()),
            source: text.clone(),
            matched: vec![(text.clone(), text.clone())],
            event: text,
            ..alert(number as u64)
        }
    };
    let alerts: Vec<_> = (0..HOSTILE.len()).map(hostile).collect();
    commit(&store, &mut lease, &alerts);
    for (number, text) in HOSTILE.iter().enumerate() {
        let text = Some((*text).to_owned());
        for query in [
            AlertQuery { kind: text.clone(), ..all() },
            AlertQuery { country: text.clone(), ..all() },
            AlertQuery { user: text.clone(), ..all() },
            AlertQuery { source: text.clone(), ..all() },
            AlertQuery { rule_id: text.clone(), ..all() },
        ] {
            assert_eq!(listed(&store, &query), [hostile(number)], "{query:?}");
        }
    }
    for text in HOSTILE {
        store.put_key(&key(text)).expect("answers");
        store.add_token(text, &[9; 32], Timestamp(9)).expect("answers");
    }
    assert_eq!(store.keys().expect("answers").len(), HOSTILE.len());
    for text in HOSTILE {
        assert!(store.remove_key(text).expect("answers"), "{text}");
        assert!(store.take_token(text, &[9; 32], Timestamp(8)).expect("answers"), "{text}");
    }
}

/// Asserts that `commit` is refused as another owner's, and that nothing of it is there.
#[track_caller]
fn check_fenced(store: &impl Store, lease: Lease) {
    let position = store.position(PARTITION).expect("answers");
    let (before, generation) = (listed(store, &all()), store.generation());
    let alerts = [alert(50), Alert { count: 999, ..alert(1) }];
    let outbox = [row(&alerts[0])];
    let commit = Commit { lease, to: Position(900), alerts: &alerts, outbox: &outbox, now: NOW };
    let error = store.commit(&commit).expect_err("another owns it");
    assert!(matches!(error, StoreError::Fenced { partition } if partition == lease.partition), "{error}");
    assert!(!error.is_transient());
    assert_eq!(store.position(PARTITION).expect("answers"), position);
    assert_eq!((listed(store, &all()), store.generation()), (before, generation));
}

pub(crate) fn an_owner_before_is_fenced_off<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut old = acquire(&store);
    commit(&store, &mut old, &[alert(1)]);
    let mut new = acquire(&store);
    assert!(old.epoch < new.epoch);
    assert_eq!(new.position, old.position);
    check_fenced(&store, old);
    check_fenced(&store, Lease { epoch: new.epoch + 1, ..new });
    check_fenced(&store, Lease { partition: PartitionId(77), ..new });
    commit(&store, &mut new, &[alert(2)]);
    assert_eq!(listed(&store, &all()), [alert(2), alert(1)]);
}

pub(crate) fn a_wrong_position_is_fenced_off<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)]);
    check_fenced(&store, Lease { position: Position::START, ..lease });
    check_fenced(&store, Lease { position: Position(u64::MAX), ..lease });
    commit(&store, &mut lease, &[]);
}

pub(crate) fn partitions_do_not_touch_one_another<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut one = acquire(&store);
    let mut other = store.acquire(PartitionId(u32::MAX)).expect("answers");
    assert_eq!(one.epoch, other.epoch);
    commit(&store, &mut one, &[alert(1)]);
    assert_eq!(store.position(PartitionId(u32::MAX)).expect("answers"), Position::START);
    commit(&store, &mut other, &[alert(2)]);
    let far = Commit { lease: other, to: Position(u64::MAX), alerts: &[], outbox: &[], now: NOW };
    store.commit(&far).expect("the owner may commit");
    assert_eq!(store.position(PartitionId(u32::MAX)).expect("answers"), Position(u64::MAX));
    assert_eq!(store.position(PARTITION).expect("answers"), one.position);
}

pub(crate) fn a_commit_is_all_or_nothing<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)]);
    // The last row tells of an alert that is not there.
    let (alerts, outbox) = ([alert(2), Alert { count: 99, ..alert(1) }], [row(&alert(2)), row(&alert(3))]);
    let to = Position(lease.position.0 + 1);
    let refused = Commit { lease, to, alerts: &alerts, outbox: &outbox, now: NOW };
    let generation = store.generation();
    assert!(matches!(store.commit(&refused), Err(StoreError::Refused(_))));
    assert_eq!(store.position(PARTITION).expect("answers"), lease.position);
    assert_eq!((listed(&store, &all()), store.generation()), (vec![alert(1)], generation));
    // The store works on, and a repeated message is no error.
    for _ in 0..2 {
        let to = Position(lease.position.0 + 1);
        store.commit(&Commit { lease, to, outbox: &outbox[..1], ..refused }).expect("the owner may commit");
        lease.position = to;
    }
    assert_eq!(listed(&open(), &all()).len(), 2);
}

pub(crate) fn two_openers_see_one_another<S: Store>(open: impl Fn() -> S) {
    let (one, other) = (open(), open());
    let mut lease = acquire(&one);
    commit(&one, &mut lease, &[alert(1)]);
    assert_eq!(listed(&other, &all()), [alert(1)]);
    assert_eq!(other.position(PARTITION).expect("answers"), lease.position);
    let mut taken = acquire(&other);
    check_fenced(&one, lease);
    commit(&other, &mut taken, &[Alert { incarnation: 101, ..alert(1) }]);
    assert_eq!(stored(&one, alert(1).id).alert.count, 10);
}

pub(crate) fn each_alert_comes_by_rising_id<S: Store>(open: impl Fn() -> S) {
    let store = open();
    store.each_alert(&mut |it| panic!("there is none: {it:?}")).expect("answers");
    let mut alerts: Vec<_> = (0..1203).map(alert).collect();
    alerts.push(Alert { id: AlertId(0), ..alert(9000) });
    alerts.push(Alert { id: AlertId(u128::MAX), ..alert(9001) });
    commit(&store, &mut acquire(&store), &alerts);
    let mut found = Vec::new();
    // Whoever is called may ask the store.
    let mut see = |it: &StoredAlert| {
        found.push(stored(&store, it.alert.id).alert);
        ControlFlow::Continue(())
    };
    store.each_alert(&mut see).expect("answers");
    alerts.sort_by_key(|it| it.id);
    assert_eq!(found, alerts);
}

pub(crate) fn a_large_commit_is_one_commit<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    let alerts: Vec<_> = (0..2000).map(alert).collect();
    let generation = store.generation();
    assert_eq!(commit(&store, &mut lease, &alerts).raised.len(), 2000);
    assert_eq!(store.generation(), generation + 1);
    assert_eq!(listed(&store, &AlertQuery { limit: usize::MAX, ..all() }).len(), 2000);
}

pub(crate) fn the_generation_moves_with_the_alerts<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    let start = store.generation();
    commit(&store, &mut lease, &[]);
    assert_eq!(store.generation(), start);
    commit(&store, &mut lease, &[alert(1)]);
    let raised = store.generation();
    commit(&store, &mut lease, &[Alert { count: 6, ..alert(1) }]);
    assert!(start != raised && raised != store.generation() && start != store.generation());
}

fn key(name: &str) -> Key {
    Key {
        name: name.to_owned(),
        scope: Scope::Ingest,
        digest: [7; 32],
        rate_per_second: Some(2.5),
        created_at: Timestamp(1),
        expires_at: None,
        last_used_at: None,
    }
}

pub(crate) fn keys_are_added_replaced_and_removed<S: Store>(open: impl Fn() -> S) {
    let store = open();
    for scope in Scope::ALL {
        store.add_key(&Key { scope, ..key(scope.as_str()) }).expect("there is none");
    }
    let found = store.keys().expect("answers");
    let names: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.scope)).collect();
    let expected = [Scope::Admin, Scope::Bouncer, Scope::Ingest, Scope::Metrics, Scope::Read];
    assert_eq!(names, expected.map(|it| (it.as_str(), it)));
    let error = store.add_key(&Key { digest: [8; 32], ..key("ingest") }).expect_err("there is one");
    assert_eq!(error.to_string(), "there is a key `ingest` already");
    assert_eq!(store.keys().expect("answers"), found);
    let other = Key { digest: [255; 32], rate_per_second: None, expires_at: Some(Timestamp(-1)), ..key("ingest") };
    store.put_key(&other).expect("answers");
    assert_eq!(store.keys().expect("answers")[2], other);
    assert!(store.remove_key("ingest").expect("answers"));
    assert!(!store.remove_key("ingest").expect("answers"));
    assert_eq!(store.keys().expect("answers").len(), 4);
    store.put_key(&other).expect("answers");
    assert_eq!(store.keys().expect("answers").len(), 5);
}

pub(crate) fn a_key_tells_when_it_was_last_used<S: Store>(open: impl Fn() -> S) {
    let store = open();
    store.add_key(&key("a")).expect("there is none");
    let used = |name: &str, at: i64| store.note_key_uses(&[(name.to_owned(), Timestamp(at))]).expect("answers");
    let last = || store.keys().expect("answers")[0].last_used_at.map(|it| it.0);
    assert_eq!(last(), None);
    used("a", 7);
    used("gone", 9);
    used("a", 5);
    assert_eq!((last(), store.keys().expect("answers").len()), (Some(7), 1));
    store.put_key(&key("a")).expect("answers");
    assert_eq!(last(), Some(7), "the same key again");
    store.put_key(&Key { digest: [8; 32], ..key("a") }).expect("answers");
    assert_eq!(last(), None, "another key of that name");
}

pub(crate) fn a_token_works_until_it_expires<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let has = |purpose: &str, digest: u8, now: i64| {
        store.has_token(purpose, &[digest; 32], Timestamp(now)).expect("the store of a test answers")
    };
    store.add_token("login", &[1; 32], Timestamp(50)).expect("answers");
    assert!(has("login", 1, 49));
    assert!(!has("login", 1, 50));
    assert!(!has("login", 2, 49));
    assert!(!has("session", 1, 49));
    assert!(!store.take_token("login", &[1; 32], Timestamp(50)).expect("answers"));
    assert!(!store.take_token("session", &[1; 32], Timestamp(0)).expect("answers"));
    store.add_token("login", &[1; 32], Timestamp(60)).expect("answers");
    assert!(has("login", 1, 59));
}

pub(crate) fn a_token_is_taken_once<S: Store>(open: impl Fn() -> S) {
    let store = open();
    for round in 0..5 {
        store.add_token("login", &[round; 32], Timestamp(50)).expect("answers");
        let start = Barrier::new(8);
        let take = || {
            start.wait();
            store.take_token("login", &[round; 32], Timestamp(1)).expect("the store of a test answers")
        };
        let taken = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads.into_iter().filter_map(|it| it.join().ok()).filter(|it| *it).count()
        });
        assert_eq!(taken, 1);
        assert!(!store.has_token("login", &[round; 32], Timestamp(1)).expect("answers"));
    }
}

pub(crate) fn prunes_expired_tokens_and_open_alerts_stay<S: Store>(open: impl Fn() -> S) {
    let store = open();
    commit(&store, &mut acquire(&store), &[alert(1)]);
    for digest in 0..5 {
        store.add_token("login", &[digest; 32], Timestamp(i64::from(digest))).expect("answers");
    }
    assert_eq!(store.prune(Timestamp(3), Duration::ZERO, 3).expect("answers"), 3);
    assert_eq!(store.prune(Timestamp(3), Duration::MAX, 3).expect("answers"), 1);
    assert_eq!(store.prune(Timestamp(3), Duration::ZERO, 3).expect("answers"), 0);
    assert!(store.has_token("login", &[4; 32], Timestamp(3)).expect("answers"));
    assert_eq!(store.prune(Timestamp(i64::MAX), Duration::ZERO, 0).expect("answers"), 0);
    assert_eq!(listed(&store, &all()), [alert(1)]);
}

fn handling(status: AlertStatus, note: &str, at: i64) -> Handling {
    Handling { status, actor: "key:alice".into(), note: note.into(), at: Timestamp(at) }
}

pub(crate) fn a_life_is_kept_with_who_gave_it<S: Store>(open: impl Fn() -> S) {
    let store = open();
    commit(&store, &mut acquire(&store), &[alert(1), alert(2)]);
    let id = alert(1).id;
    let generation = store.generation();
    let at = NOW.0 + 7;
    let handle = |it: &Handling| store.handle(id, it).expect("answers");
    assert_eq!(handle(&handling(AlertStatus::Closed, HOSTILE[0], at)), Handled::Changed);
    assert_ne!(store.generation(), generation);
    assert_eq!(handle(&handling(AlertStatus::Closed, "", at)), Handled::Unchanged);
    assert_eq!(handle(&handling(AlertStatus::Closed, "again", at + 1)), Handled::Changed);
    assert_eq!(handle(&handling(AlertStatus::New, "", at + 2)), Handled::Changed);
    let change =
        |it: Handling, before| StatusChange { at: it.at, actor: it.actor, before, after: it.status, note: it.note };
    let expected = [
        change(handling(AlertStatus::Closed, HOSTILE[0], at), AlertStatus::New),
        change(handling(AlertStatus::Closed, "again", at + 1), AlertStatus::Closed),
        change(handling(AlertStatus::New, "", at + 2), AlertStatus::Closed),
    ];
    let again = open();
    assert_eq!(again.history(id).expect("answers"), expected);
    assert_eq!((stored(&again, id).alert.status, stored(&again, id).updated_at), (AlertStatus::New, Timestamp(at + 2)));
    assert_eq!(again.history(alert(2).id).expect("answers"), []);
    let unknown = AlertId(1);
    assert_eq!(store.handle(unknown, &handling(AlertStatus::Closed, "", at)).expect("answers"), Handled::Unknown);
    assert_eq!(store.history(unknown).expect("answers"), []);
}

pub(crate) fn a_closed_alert_that_grows_stays_closed_and_counts<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)]);
    store.handle(alert(1).id, &handling(AlertStatus::Closed, "", NOW.0)).expect("answers");
    commit(&store, &mut lease, &[Alert { count: 9, ..alert(1) }]);
    commit(&store, &mut lease, &[Alert { count: 3, incarnation: 200, ..alert(1) }]);
    let grown = stored(&store, alert(1).id).alert;
    assert_eq!((grown.status, grown.count), (AlertStatus::Closed, 12));
}

pub(crate) fn a_long_history_loses_its_oldest<S: Store>(open: impl Fn() -> S) {
    let store = open();
    commit(&store, &mut acquire(&store), &[alert(1)]);
    for number in 0..HISTORY_MAX + 2 {
        store.handle(alert(1).id, &handling(AlertStatus::New, &number.to_string(), NOW.0)).expect("answers");
    }
    let history = store.history(alert(1).id).expect("answers");
    assert_eq!((history.len(), history[0].note.as_str()), (HISTORY_MAX, "2"));
}

pub(crate) fn closed_alerts_go_when_nothing_changed_for_long_enough<S: Store>(open: impl Fn() -> S) {
    let store = open();
    commit(&store, &mut acquire(&store), &[alert(1), alert(2), alert(3)]);
    let close = |number: u64, at: i64| {
        store.handle(alert(number).id, &handling(AlertStatus::Closed, "", at)).expect("answers");
    };
    close(1, NOW.0 + 10);
    close(2, NOW.0 + 20);
    let keep = Duration::from_nanos(100);
    assert_eq!(store.prune(Timestamp(NOW.0 + 110), keep, 10).expect("answers"), 0);
    assert_eq!(store.prune(Timestamp(NOW.0 + 111), keep, 10).expect("answers"), 1);
    assert_eq!(store.history(alert(1).id).expect("answers"), []);
    assert_eq!(store.prune(Timestamp(NOW.0 + 1000), keep, 10).expect("answers"), 1);
    assert_eq!(listed(&store, &all()), [alert(3)]);
}

pub(crate) fn ids_are_found_by_their_beginning<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let ids = [0x0aff_u128 << 112, 0x0b00 << 112, (0x0b00 << 112) + 1, u128::MAX].map(AlertId);
    let alerts = ids.map(|id| Alert { id, ..alert(1) });
    commit(&store, &mut acquire(&store), &alerts);
    let found =
        |first: u128, last: u128, limit| store.alert_ids(AlertId(first), AlertId(last), limit).expect("answers");
    assert_eq!(found(0x0b00 << 112, (0x0b01 << 112) - 1, 9), ids[1..3]);
    assert_eq!(found(0, u128::MAX, 9), ids);
    assert_eq!(found(0, u128::MAX, 2), ids[..2]);
    assert_eq!(found(1, 2, 9), []);
}

pub(crate) fn an_open_store_is_available<S: Store>(open: impl Fn() -> S) {
    assert!(open().is_available());
}
