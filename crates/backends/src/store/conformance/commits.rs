//! What a commit does: all of it or nothing, by the owner only, and what comes of an alert that is stored again.

use model::alert::{Alert, AlertStatus};
use model::id::{AlertId, EventId};
use model::place::{PartitionId, Position};
use model::severity::Severity;
use model::time::Timestamp;

use super::super::{AlertQuery, Commit, Committed, Lease, Store, StoreError, StoredAlert};
use super::{NOW, PARTITION, acquire, alert, all, commit, key, listed, row, stored};

pub(crate) fn a_commit_stores_alerts_and_position<S: Store>(open: impl Fn() -> S) {
    let store = open();
    assert_eq!(store.position(PARTITION).expect("answers"), Position::START);
    let lease = acquire(&store);
    assert_eq!((lease.partition, lease.position), (PARTITION, Position::START));
    let alerts = [alert(1), alert(2)];
    let outbox = [row(&alerts[0])];
    let done =
        store.commit(&Commit { lease, to: Position(7), alerts: &alerts, outbox: &outbox, proposals: &[], now: NOW });
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
        proposals: &[],
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
    let again = Commit { lease, to, alerts: &[alert(1)], outbox: &[], proposals: &[], now: Timestamp(NOW.0 + 1) };
    assert_eq!(store.commit(&again).expect("the owner may commit"), Committed::default());
    assert_eq!((stored(&store, alert(1).id), store.generation()), (before, generation));
}

/// Asserts that `commit` is refused as another owner's, and that nothing of it is there.
#[track_caller]
fn check_fenced(store: &impl Store, lease: Lease) {
    let position = store.position(PARTITION).expect("answers");
    let (before, generation) = (listed(store, &all()), store.generation());
    let alerts = [alert(50), Alert { count: 999, ..alert(1) }];
    let outbox = [row(&alerts[0])];
    let commit = Commit { lease, to: Position(900), alerts: &alerts, outbox: &outbox, proposals: &[], now: NOW };
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
    let far = Commit { lease: other, to: Position(u64::MAX), alerts: &[], outbox: &[], proposals: &[], now: NOW };
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
    let refused = Commit { lease, to, alerts: &alerts, outbox: &outbox, proposals: &[], now: NOW };
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
