//! What is found, and what somebody is told who asks again and again.

use model::decision::Ended;

use super::*;
use crate::fixtures::{NOON, after, ban, target};

fn set(decisions: &[Decision]) -> DecisionSet {
    let mut set = DecisionSet::default();
    decisions.iter().for_each(|it| set.apply(it, NOON));
    set
}

fn ended(decision: &Decision, seconds: u64, changed: u64) -> Decision {
    let ended = Ended { at: after(seconds), actor: "anna".into(), reason: "a mistake".into() };
    Decision { ended: Some(ended), changed, ..decision.clone() }
}

fn ids(entries: &[Arc<Entry>]) -> Vec<u64> {
    entries.iter().map(|it| it.id.0).collect()
}

#[track_caller]
fn check(set: &DecisionSet, address: &str, seconds: u64, expected: Option<u64>) {
    let found = set.find(address.parse().unwrap(), after(seconds)).map(|it| it.id.0);
    assert_eq!(found, expected, "{address} after {seconds} s");
}

#[test]
fn a_decision_is_found_until_its_end_and_no_longer() {
    let mut set = set(&[ban(1, "203.0.113.7", 60), ban(2, "2001:db8:1::/48", 60)]);
    check(&set, "203.0.113.7", 59, Some(1));
    check(&set, "::ffff:203.0.113.7", 0, Some(1));
    check(&set, "203.0.113.8", 0, None);
    check(&set, "2001:db8:1:ffff::1", 0, Some(2));
    check(&set, "2001:db8:2::1", 0, None);
    check(&set, "203.0.113.7", 60, None);
    set.expire(after(60));
    assert!(set.is_empty());
    set.apply(&ban(1, "203.0.113.7", 60), after(61));
    check(&set, "203.0.113.7", 61, None);
}

#[test]
fn the_hardest_measure_is_found_and_then_the_one_that_ends_last() {
    let throttle = Decision { measure: Measure::Throttle, ..ban(1, "203.0.113.7", 600) };
    let set = set(&[throttle, ban(2, "203.0.113.0/24", 60), ban(3, "203.0.113.7", 90)]);
    check(&set, "203.0.113.7", 0, Some(3));
    check(&set, "203.0.113.7", 90, Some(1));
    check(&set, "203.0.113.8", 0, Some(2));
}

#[test]
fn an_ended_decision_is_found_no_longer_and_an_older_state_does_not_bring_it_back() {
    let first = ban(1, "203.0.113.7", 600);
    let mut set = set(std::slice::from_ref(&first));
    set.apply(&ended(&first, 10, 2), after(10));
    check(&set, "203.0.113.7", 10, None);
    assert_eq!(ids(&set.since(Some(Cursor { changed: 1, at: after(5) }), after(10)).removed), [1]);
}

#[test]
fn dry_run_and_what_is_held_are_not_found() {
    let dry = Decision { standing: Standing::DryRun, ..ban(1, "203.0.113.7", 600) };
    let held = Decision { standing: Standing::Held(model::decision::Brake::Rate), ..ban(2, "203.0.113.8", 600) };
    let set = set(&[dry, held]);
    assert!(set.is_empty());
    assert_eq!(set.changed(), 2);
    assert_eq!(set.since(None, NOON).added, []);
}

#[test]
fn each_change_is_told_once_and_what_ended_for_two_seconds_more() {
    let mut set = set(&[ban(1, "203.0.113.7", 60)]);
    let first = set.since(None, NOON);
    assert_eq!((ids(&first.added), ids(&first.removed)), (vec![1], vec![]));
    let second = set.since(Some(first.next), after(10));
    assert_eq!((second.added, second.removed), (vec![], vec![]));
    set.apply(&ban(2, "203.0.113.9", 600), after(11));
    let third = set.since(Some(second.next), after(20));
    assert_eq!(ids(&third.added), [2]);
    for is_expired in [false, true] {
        if is_expired {
            set.expire(after(61));
        }
        let fourth = set.since(Some(third.next), after(61));
        assert_eq!((ids(&fourth.added), ids(&fourth.removed)), (vec![], vec![1]), "{is_expired}");
        assert_eq!(ids(&set.since(Some(fourth.next), after(62)).removed), [1]);
        let late = set.since(Some(fourth.next), after(62)).next;
        assert_eq!(ids(&set.since(Some(late), after(63)).removed), [0_u64; 0]);
    }
}

#[test]
fn a_longer_decision_is_told_again_when_the_shorter_ends_and_nothing_is_in_both() {
    let set = set(&[ban(1, "203.0.113.7", 60), ban(2, "203.0.113.7", 600), ban(3, "203.0.113.7", 90)]);
    let first = set.since(None, NOON);
    assert_eq!(ids(&first.added), [2]);
    let at_the_end = set.since(Some(first.next), after(61));
    assert_eq!((ids(&at_the_end.added), at_the_end.removed), (vec![2], vec![]));
    let later = set.since(Some(Cursor { at: after(500), ..at_the_end.next }), after(601));
    assert_eq!((later.added, ids(&later.removed)), (vec![], vec![2]));
}

#[test]
fn who_asks_after_a_long_time_gets_everything() {
    let mut set = set(&[ban(1, "203.0.113.7", 60), ban(2, "203.0.113.8", 30 * 86_400)]);
    let day = 86_400;
    set.expire(after(8 * day));
    let old = Cursor { changed: 2, at: after(10) };
    assert_eq!(ids(&set.since(Some(old), after(8 * day)).added), [2]);
    let fresh = Cursor { changed: 2, at: after(8 * day) };
    assert_eq!(set.since(Some(fresh), after(8 * day)).added, []);
}

#[test]
fn who_asks_after_the_clock_was_set_back_misses_no_end() {
    let all = [ban(1, "203.0.113.7", 8000), ban(2, "203.0.113.8", 8000), ban(3, "203.0.113.9", 70)];
    let exact = View { is_exact: true, takes: &|_| true };
    for (at, expected) in [(5000, vec![1, 3]), (62, vec![1, 3]), (61, vec![1, 3])] {
        let mut set = set(&all);
        let told = Cursor { changed: 3, at: after(at) };
        // The clock says 60 again. One is ended, one expires.
        set.apply(&ended(&all[0], 60, 4), after(60));
        for seconds in [71, 75, 100] {
            let now = after(seconds);
            let changes = set.since_for(Some(told), now, exact);
            assert_eq!(ids(&changes.removed), expected, "told at {at}, asked at {seconds}");
            assert_eq!(changes.next, Cursor { changed: 4, at: now });
            set.expire(now);
        }
    }
    // Everything is told to whom the time says nothing, and only then.
    let set = set(&all[..2]);
    for (at, expected) in [(5000, vec![1, 2]), (63, vec![1, 2]), (62, vec![]), (60, vec![])] {
        let told = Cursor { changed: 2, at: after(at) };
        assert_eq!(ids(&set.since_for(Some(told), after(60), exact).added), expected, "{at}");
    }
}

#[test]
fn what_enforcers_hold_after_any_changes_is_what_is_in_force() {
    // A bouncer that follows `since` from the beginning, through admissions, ends and expiries in a fixed disorder.
    let mut set = DecisionSet::default();
    let (mut held, mut cursor) = (std::collections::BTreeMap::new(), None);
    let (mut seed, mut changed, mut known) = (7_u64, 0, Vec::<Decision>::new());
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for second in 0..2_000 {
        let now = after(second);
        changed += 1;
        if random(4) == 0 && !known.is_empty() {
            let at = random(known.len() as u64) as usize;
            let over = ended(&known[at], second, changed);
            if known[at].is_in_force(now) {
                set.apply(&over, now);
                known[at] = over;
            }
        } else {
            let mut decision = ban(changed, &format!("203.0.113.{}", random(20)), second + 1 + random(60));
            decision.created_at = now;
            set.apply(&decision, now);
            known.push(decision);
        }
        if random(3) == 0 {
            set.expire(now);
        }
        let changes = set.since(cursor, now);
        cursor = Some(changes.next);
        for gone in &changes.removed {
            held.remove(&gone.target);
        }
        for new in &changes.added {
            held.insert(new.target.clone(), new.until);
        }
        let in_force: std::collections::BTreeSet<Target> =
            known.iter().filter(|it| it.is_in_force(now)).map(|it| it.target.clone()).collect();
        // What a bouncer holds also ends by itself.
        held.retain(|_, until| now < *until);
        assert_eq!(held.keys().cloned().collect::<std::collections::BTreeSet<_>>(), in_force, "second {second}");
    }
    assert!(set.of_target(&target("203.0.113.1"), after(0)).count() < 100);
}
