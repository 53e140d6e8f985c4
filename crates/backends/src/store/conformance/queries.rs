//! What is found: by filters, by time, by id, page after page.

use std::ops::ControlFlow;

use model::alert::Alert;
use model::id::AlertId;
use model::severity::Severity;
use model::time::Timestamp;

use super::super::{AlertCursor, AlertQuery, Store, StoredAlert};
use super::{HOSTILE, NOW, acquire, alert, all, commit, key, listed, stored};

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
