//! Keys and tokens: what opens something, and for how long.

use std::sync::Barrier;
use std::thread;

use model::time::Timestamp;

use super::super::{Key, Scope, Store};
use super::key;

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

pub(crate) fn an_open_store_is_available_and_has_a_size<S: Store>(open: impl Fn() -> S) {
    let store = open();
    assert!(store.is_available());
    assert!(0 < store.size_bytes().expect("the store of a test can be read"));
}
