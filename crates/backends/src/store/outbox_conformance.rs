//! What every outbox must do, as tests that each backend runs: `suite!(|folder| open(folder))`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::alert::{Alert, AlertStatus};
use model::id::AlertId;
use model::place::{PartitionId, Position};
use model::time::Timestamp;

use super::conformance::alert;
use super::outbox::{
    DeliveryQuery, Expired, MessageId, OutboxCounts, OutboxLimits, OutboxRow, Outcome, REASON_BYTES_MAX, Repeat,
    Replay, Subject, Take, Taken,
};
use super::{Commit, Handled, Handling, Lease, Store, StoreError, alert_text};

const SECOND: Duration = Duration::from_secs(1);

/// Runs every conformance test against the store that `$open` opens in a folder.
macro_rules! suite {
    ($open:expr) => {
        mod outbox_conformance {
            use $crate::store::outbox_conformance as tests;
            $crate::each_test!($open,
                a_message_is_posted_with_its_alert_and_once
                an_alert_that_was_there_is_not_told_again
                a_message_outlives_its_alert
                a_message_about_no_alert_is_refused
                an_id_is_derived_and_stays
                what_is_taken_is_held_until_the_lease_ends
                only_the_holder_settles
                a_failed_message_comes_again_when_it_is_due
                what_is_returned_was_not_tried
                a_crash_leaves_a_message_that_may_have_arrived
                a_later_message_about_a_subject_waits_for_the_earlier
                reminders_come_until_a_later_message_arrives
                a_repetition_within_the_interval_is_left_out
                dead_letters_are_listed_and_replayed
                what_is_closed_since_is_not_raised_again
                the_oldest_beyond_a_limit_become_dead_letters
                dead_letters_go_when_they_are_old_or_many
                destinations_do_not_touch_one_another
                posting_wakes
                closing_an_alert_tells_in_the_same_transaction
                a_payload_is_read_back
            );
        }
    };
}
pub(crate) use suite;

fn at(seconds: u64) -> Timestamp {
    Timestamp(1_000_000_000).plus(SECOND * u32::try_from(seconds).expect("tests are short"))
}

fn row(number: u64, destination: &str) -> OutboxRow {
    OutboxRow {
        subject: Subject::Decision(number),
        destination: destination.into(),
        kind: "raised".into(),
        occurrence: 0,
        repeat: None,
        payload: format!("{number}"),
    }
}

fn about(of: &Alert, kind: &str) -> OutboxRow {
    OutboxRow { subject: Subject::Alert(of.id), kind: kind.into(), payload: alert_text::encode(of), ..row(0, "d") }
}

fn commit(store: &impl Store, lease: &mut Lease, alerts: &[Alert], outbox: &[OutboxRow], now: Timestamp) {
    let to = Position(lease.position.0 + 1);
    store.commit(&Commit { lease: *lease, to, alerts, outbox, proposals: &[], now }).expect("the owner may commit");
    lease.position = to;
}

fn acquire(store: &impl Store) -> Lease {
    store.acquire(PartitionId(0)).expect("the store of a test answers")
}

fn take_by(store: &impl Store, owner: &str, destination: &str, second: u64) -> Vec<Taken> {
    let take = Take { destination, owner, now: at(second), until: at(second + 10), limit: 100 };
    store.take(&take).expect("the store of a test answers")
}

fn take(store: &impl Store, second: u64) -> Vec<Taken> {
    take_by(store, "me", "d", second)
}

fn payloads(taken: &[Taken]) -> Vec<&str> {
    taken.iter().map(|it| it.payload.as_str()).collect()
}

fn settle(store: &impl Store, id: MessageId, outcome: Outcome, second: u64) -> usize {
    store.settle("me", &[(id, outcome)], at(second)).expect("the store of a test answers")
}

fn post(store: &impl Store, rows: &[OutboxRow], second: u64) -> usize {
    store.post(rows, at(second)).expect("the store of a test answers")
}

fn later(second: u64) -> Outcome {
    Outcome::Postponed { next_at: at(second), reason: "it answered 500".into() }
}

fn dead() -> Outcome {
    Outcome::Dead { reason: "it answered 404".into() }
}

/// The numbers of waiting and of dead messages of `d`.
fn counted(store: &impl Store) -> (u64, u64) {
    let counts = store.outbox_counts().expect("the store of a test answers");
    counts.iter().find(|it| it.destination == "d").map_or((0, 0), |it| (it.waiting, it.dead))
}

pub(crate) fn a_message_is_posted_with_its_alert_and_once<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    let rows = [about(&alert(1), "raised"), about(&alert(1), "raised")];
    commit(&store, &mut lease, &[alert(1)], &rows, at(0));
    assert_eq!(counted(&store), (1, 0));
    let taken = take(&open(), 0);
    assert_eq!(payloads(&taken), [alert_text::encode(&alert(1))]);
    assert_eq!((taken[0].id, taken[0].attempt, taken[0].is_uncertain), (rows[0].id(), 1, false));
    let elsewhere = Commit {
        lease: Lease { epoch: 99, ..lease },
        to: Position(9),
        alerts: &[alert(2)],
        outbox: &[about(&alert(2), "raised")],
        proposals: &[],
        now: at(0),
    };
    assert!(matches!(store.commit(&elsewhere), Err(StoreError::Fenced { .. })));
    assert_eq!(counted(&store), (1, 0));
}

pub(crate) fn an_alert_that_was_there_is_not_told_again<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)], &[about(&alert(1), "raised")], at(0));
    assert_eq!(settle(&store, take(&store, 0)[0].id, Outcome::Delivered, 0), 1);
    let grown = Alert { count: 99, ..alert(1) };
    for told in [alert(1), grown] {
        commit(&store, &mut lease, &[told.clone(), alert(2)], &[about(&told, "raised")], at(1));
        assert_eq!(counted(&store), (0, 0));
    }
}

pub(crate) fn a_message_outlives_its_alert<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)], &[about(&alert(1), "raised")], at(0));
    let handling = Handling { status: AlertStatus::Closed, actor: String::new(), note: String::new(), at: at(0) };
    assert_eq!(store.handle(alert(1).id, &handling).expect("answers"), Handled::Changed);
    assert_eq!(store.prune(at(9), SECOND, 9).expect("answers"), 1);
    assert_eq!(store.alert(alert(1).id).expect("answers"), None);
    assert_eq!(alert_text::decode(&take(&store, 9)[0].payload), Some(alert(1)));
}

pub(crate) fn a_message_about_no_alert_is_refused<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let error = store.post(&[row(1, "d"), about(&alert(1), "raised")], at(0)).expect_err("there is no such alert");
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert_eq!(counted(&store), (0, 0));
}

pub(crate) fn an_id_is_derived_and_stays<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let of = row(1, "d");
    let others = [
        OutboxRow { destination: "e".into(), ..of.clone() },
        OutboxRow { kind: "closed".into(), ..of.clone() },
        OutboxRow { occurrence: 1, ..of.clone() },
        OutboxRow { subject: Subject::Alert(AlertId(1)), ..of.clone() },
        row(2, "d"),
    ];
    assert!(others.iter().all(|it| it.id() != of.id()));
    assert_eq!(of.id(), OutboxRow { payload: "another".into(), ..of.clone() }.id());
    assert_eq!(MessageId::from_text(&of.id().to_string()), Some(of.id()));
    assert_eq!(post(&store, &[of.clone(), of.clone()], 0), 1);
    for second in [0, 20, 40] {
        assert_eq!(take(&open(), second)[0].id, of.id());
    }
    assert_eq!(post(&store, &[of], 50), 0);
}

pub(crate) fn what_is_taken_is_held_until_the_lease_ends<S: Store>(open: impl Fn() -> S) {
    let (store, other) = (open(), open());
    post(&store, &[row(1, "d"), row(2, "d"), row(3, "d")], 0);
    let two = Take { destination: "d", owner: "me", now: at(0), until: at(10), limit: 2 };
    assert_eq!(payloads(&store.take(&two).expect("answers")), ["1", "2"]);
    assert_eq!(payloads(&take_by(&other, "you", "d", 5)), ["3"]);
    assert!(take(&store, 9).is_empty());
    assert_eq!(store.next_due("d").expect("answers"), Some(at(10)));
    assert_eq!(payloads(&take_by(&other, "you", "d", 10)), ["1", "2"]);
}

pub(crate) fn only_the_holder_settles<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d")], 0);
    let id = take(&store, 0)[0].id;
    take_by(&store, "you", "d", 10);
    for outcome in [Outcome::Delivered, later(0), dead(), Outcome::Returned, Outcome::Reminded(at(0))] {
        assert_eq!(settle(&store, id, outcome, 10), 0);
    }
    assert_eq!(store.settle("you", &[(id, Outcome::Delivered)], at(11)).expect("answers"), 1);
    assert_eq!(counted(&store), (0, 0));
}

pub(crate) fn a_failed_message_comes_again_when_it_is_due<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d"), row(2, "d")], 0);
    let id = take(&store, 0)[0].id;
    settle(&store, id, later(60), 1);
    assert_eq!(payloads(&take(&store, 59)), ["2"]);
    let again = take(&store, 60);
    assert_eq!((again[0].id, again[0].attempt, again[0].is_uncertain), (id, 2, false));
    let long = "é".repeat(REASON_BYTES_MAX);
    settle(&store, id, Outcome::Postponed { next_at: at(90), reason: long.clone() }, 61);
    let listed = store.deliveries(&DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).expect("answers");
    assert_eq!((listed[1].reason.as_str(), listed[1].next_at), (&long[..REASON_BYTES_MAX], at(90)));
    assert_eq!((listed[1].attempt, listed[1].is_dead, listed[0].reason.as_str()), (2, false, ""));
}

pub(crate) fn what_is_returned_was_not_tried<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d")], 0);
    for second in [0, 1] {
        let taken = take(&store, second);
        assert_eq!((taken[0].attempt, taken[0].is_uncertain), (1, false));
        settle(&store, taken[0].id, Outcome::Returned, second);
    }
}

pub(crate) fn a_crash_leaves_a_message_that_may_have_arrived<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d")], 0);
    take(&store, 0);
    drop(store);
    let store = open();
    assert!(take(&store, 1).is_empty());
    // Others who share the store may be at it.
    assert_eq!(store.end_leases("another.").expect("answers"), 0);
    assert!(take(&store, 1).is_empty());
    assert_eq!(store.end_leases("m").expect("answers"), 1);
    let again = take(&store, 1);
    assert_eq!((again[0].attempt, again[0].is_uncertain), (2, true));
    // Whoever gives it back without a try knows no more.
    settle(&store, again[0].id, Outcome::Returned, 1);
    let again = take(&store, 2);
    assert_eq!((again[0].attempt, again[0].is_uncertain), (2, true));
    settle(&store, again[0].id, later(3), 2);
    assert!(!take(&store, 3)[0].is_uncertain);
}

pub(crate) fn a_later_message_about_a_subject_waits_for_the_earlier<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let closed = OutboxRow { kind: "closed".into(), payload: "closed".into(), ..row(1, "d") };
    post(&store, &[row(1, "d"), closed, row(2, "d")], 0);
    let taken = take(&store, 0);
    assert_eq!(payloads(&taken), ["1", "2"]);
    settle(&store, taken[0].id, later(60), 1);
    assert!(take(&store, 30).iter().all(|it| it.payload != "closed"));
    assert!(payloads(&take(&store, 60)).contains(&"1"));
    settle(&store, taken[0].id, Outcome::Delivered, 60);
    assert!(payloads(&take(&store, 61)).contains(&"closed"));
}

pub(crate) fn reminders_come_until_a_later_message_arrives<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d")], 0);
    for second in [0, 60, 120] {
        let taken = take(&store, second);
        assert_eq!((taken.len(), taken[0].is_reminder), (1, second != 0));
        settle(&store, taken[0].id, Outcome::Reminded(at(second + 60)), second);
        assert_eq!(counted(&store), (0, 0));
    }
    assert!(store.deliveries(&DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).expect("answers").is_empty());
    let closed = OutboxRow { kind: "closed".into(), payload: "closed".into(), ..row(1, "d") };
    post(&store, &[closed], 170);
    let taken = take(&store, 200);
    assert_eq!(payloads(&taken), ["closed"]);
    settle(&store, taken[0].id, Outcome::Delivered, 200);
    assert!(take(&store, 1000).is_empty());
    assert_eq!(store.next_due("d").expect("answers"), None);
}

pub(crate) fn a_repetition_within_the_interval_is_left_out<S: Store>(open: impl Fn() -> S) {
    let with = |number: u64, destination: &str, group: u128| OutboxRow {
        repeat: Some(Repeat { group, interval: 60 * SECOND }),
        ..row(number, destination)
    };
    assert_eq!(post(&open(), &[with(1, "d", 7), with(2, "d", 7), with(3, "d", 8), with(4, "e", 7)], 0), 3);
    assert_eq!(post(&open(), &[with(5, "d", 7)], 59), 0);
    // One that was left out does not prolong the silence, and one that is sent begins a new one.
    assert_eq!(post(&open(), &[with(6, "d", 7)], 60), 1);
    assert_eq!(post(&open(), &[with(7, "d", 7)], 119), 0);
    let limits = OutboxLimits { age_max: 9999 * SECOND, waiting_max: 99, dead_age_max: SECOND, dead_max: 9 };
    open().expire(&limits, at(119), 100).expect("answers");
    assert_eq!(post(&open(), &[with(7, "d", 7)], 119), 0);
    // A clock that was set back silences nobody.
    assert_eq!(post(&open(), &[with(8, "d", 7)], 30), 1);
}

pub(crate) fn dead_letters_are_listed_and_replayed<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d"), row(2, "d"), row(3, "e")], 0);
    let ids: Vec<_> = [take(&store, 0), take_by(&store, "me", "e", 0)].concat().iter().map(|it| it.id).collect();
    let all_dead = || ids.iter().for_each(|it| assert_eq!(settle(&store, *it, dead(), 5), 1));
    all_dead();
    assert_eq!(counted(&store), (0, 2));
    let query = DeliveryQuery { destination: Some("d".into()), is_dead: Some(true), limit: 9 };
    let listed = store.deliveries(&query).expect("answers");
    assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), [ids[1], ids[0]]);
    assert_eq!((listed[0].reason.as_str(), listed[0].next_at, listed[0].is_dead), ("it answered 404", at(5), true));
    assert!(
        store
            .deliveries(&DeliveryQuery { is_dead: Some(false), limit: 9, ..query.clone() })
            .expect("answers")
            .is_empty()
    );
    assert!(take(&store, 1000).is_empty());
    let cases = [
        (Replay::Ids(vec![ids[0], MessageId(9)]), 1),
        (Replay::Destination("d".into()), 1),
        (Replay::Destination("f".into()), 0),
        (Replay::All, 1),
        (Replay::All, 0),
    ];
    for (replay, expected) in cases {
        assert_eq!(store.replay(&replay, at(500)).expect("answers"), expected, "{replay:?}");
    }
    let again = take(&store, 500);
    assert_eq!((again.len(), again[0].id, again[0].attempt, again[0].created_at), (2, ids[0], 1, at(500)));
}

pub(crate) fn what_is_closed_since_is_not_raised_again<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)], &[about(&alert(1), "raised")], at(0));
    let id = take(&store, 0)[0].id;
    assert_eq!(settle(&store, id, dead(), 5), 1);
    let handling = Handling { status: AlertStatus::Closed, actor: String::new(), note: String::new(), at: at(6) };
    store.handle(alert(1).id, &handling).expect("answers");
    assert_eq!(store.replay(&Replay::All, at(7)).expect("answers"), 0);
    assert_eq!(counted(&store), (0, 1));
}

pub(crate) fn the_oldest_beyond_a_limit_become_dead_letters<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let limits = OutboxLimits { age_max: 100 * SECOND, waiting_max: 3, dead_age_max: 9999 * SECOND, dead_max: 99 };
    for number in 0..5 {
        post(&store, &[row(number, "d")], number);
    }
    let expire = |second: u64| store.expire(&limits, at(second), 100).expect("answers");
    // What is held is left alone.
    let held = Take { destination: "d", owner: "me", now: at(5), until: at(20), limit: 1 };
    store.take(&held).expect("answers");
    assert_eq!(expire(6), Expired { buried: 2, removed: 0 });
    assert_eq!(counted(&store), (3, 2));
    assert_eq!(expire(6), Expired::default());
    let reasons = |store: &S| -> Vec<String> {
        let dead = DeliveryQuery { is_dead: Some(true), limit: 99, ..DeliveryQuery::default() };
        store.deliveries(&dead).expect("answers").into_iter().map(|it| it.reason).collect()
    };
    assert_eq!(reasons(&store), ["too many", "too many"]);
    assert_eq!(expire(100), Expired::default());
    // Posted at 0 and 3; the one of 4 is exactly as old as it may be.
    assert_eq!(expire(104), Expired { buried: 2, removed: 0 });
    assert_eq!(counted(&store), (1, 4));
    let oldest: Vec<OutboxCounts> = store.outbox_counts().expect("answers");
    assert_eq!(oldest[0].oldest, Some(at(4)));
    settle(&store, take(&store, 104)[0].id, later(104), 104);
    assert_eq!(expire(105).buried, 1);
    assert_eq!(reasons(&store)[0], "too old: it answered 500");
}

pub(crate) fn dead_letters_go_when_they_are_old_or_many<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let rows: Vec<_> = (0..5).map(|it| row(it, "d")).collect();
    post(&store, &rows, 0);
    take(&store, 0).iter().for_each(|it| assert_eq!(settle(&store, it.id, dead(), 1), 1));
    let limits = OutboxLimits { age_max: SECOND, waiting_max: 9, dead_age_max: 100 * SECOND, dead_max: 4 };
    assert_eq!(store.expire(&limits, at(5), 100).expect("answers"), Expired { buried: 0, removed: 1 });
    assert_eq!(store.expire(&limits, at(101), 100).expect("answers"), Expired::default());
    assert_eq!(store.expire(&limits, at(102), 3).expect("answers"), Expired { buried: 0, removed: 3 });
    assert_eq!(counted(&store), (0, 1));
}

pub(crate) fn destinations_do_not_touch_one_another<S: Store>(open: impl Fn() -> S) {
    let store = open();
    post(&store, &[row(1, "d"), row(1, "e")], 0);
    assert_eq!(take(&store, 0).len(), 1);
    assert_eq!(take_by(&store, "me", "e", 0).len(), 1);
    assert_eq!(store.next_due("f").expect("answers"), None);
}

pub(crate) fn posting_wakes<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    store.on_post(Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)], &[], at(0));
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    commit(&store, &mut lease, &[alert(2)], &[about(&alert(2), "raised")], at(0));
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    post(&store, &[row(1, "d"), row(1, "d")], 0);
    post(&store, &[row(1, "d")], 0);
    assert_eq!(woken.load(Ordering::Relaxed), 2);
}

pub(crate) fn closing_an_alert_tells_in_the_same_transaction<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = acquire(&store);
    commit(&store, &mut lease, &[alert(1)], &[], at(0));
    let handling = |status, note: &str| Handling { status, actor: String::new(), note: note.into(), at: at(0) };
    let close = |id, note: &str, of: &Alert| {
        store.handle_and_post(id, &handling(AlertStatus::Closed, note), &[about(of, "closed")])
    };
    assert!(matches!(close(alert(1).id, "", &alert(2)), Err(StoreError::Refused(_))));
    assert_eq!(store.alert(alert(1).id).expect("answers").map(|it| it.alert.status), Some(AlertStatus::New));
    assert_eq!(close(alert(2).id, "", &alert(2)).expect("answers"), Handled::Unknown);
    assert_eq!(close(alert(1).id, "", &alert(1)).expect("answers"), Handled::Changed);
    assert_eq!(counted(&store), (1, 0));
    settle(&store, take(&store, 0)[0].id, Outcome::Delivered, 0);
    // A note alone is no news.
    assert_eq!(close(alert(1).id, "why", &alert(1)).expect("answers"), Handled::Changed);
    assert_eq!(counted(&store), (0, 0));
}

pub(crate) fn a_payload_is_read_back<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let hostile = Alert { title: "\"';--\0\u{202e}\n".into(), ..alert(1) };
    let mut lease = acquire(&store);
    commit(&store, &mut lease, std::slice::from_ref(&hostile), &[about(&hostile, "raised")], at(0));
    assert_eq!(alert_text::decode(&take(&store, 0)[0].payload), Some(hostile));
    for text in ["", "[]", "{}", "7"] {
        assert_eq!(alert_text::decode(text), None);
    }
}
