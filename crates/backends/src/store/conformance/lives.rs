//! The life that people give an alert, its history, and its end.

use std::time::Duration;

use model::alert::{Alert, AlertStatus};
use model::id::AlertId;
use model::time::Timestamp;

use super::super::{HISTORY_MAX, Handled, Handling, StatusChange, Store};
use super::{HOSTILE, NOW, acquire, alert, all, commit, listed, stored};

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
