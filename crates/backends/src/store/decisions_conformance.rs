//! What every store must do with decisions, as tests that each backend runs; see [`super::conformance`].

use std::time::Duration;

use model::alert::Alert;
use model::decision::{Basis, Brake, Decision, DecisionId, Ended, Measure, Origin, Proposal, Spared, Standing, Target};
use model::id::EventId;
use model::network::Network;
use model::place::{PartitionId, Position};
use model::time::Timestamp;

use super::conformance::alert;
use super::decisions::{Admission, AuditEntry, DecisionQuery, Judged, LEADER, Puller, Tell};
use super::outbox::{DeliveryQuery, OutboxRow, Subject};
use super::{Commit, Lease, Store, StoreError};

const NOW: Timestamp = Timestamp(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs every test of decisions against the store that `$open` opens in a folder.
macro_rules! suite {
    ($open:expr) => {
        mod decisions_conformance {
            use $crate::store::decisions_conformance as tests;
            $crate::each_test!($open,
                a_proposal_is_stored_with_its_new_alert_and_only_then
                what_is_admitted_has_numbers_that_rise_over_restarts
                a_former_leader_admits_nothing
                a_decision_is_read_back_as_it_was
                ended_decisions_are_changes_and_stay_ended
                a_held_decision_is_released_once
                every_filter_of_decisions_holds
                changes_are_read_in_their_order_and_in_pages
                hostile_texts_are_data_in_decisions_too
                who_is_spared_is_kept_until_taken_off
                switches_are_kept_and_written_down
                an_audit_shows_that_it_was_changed
                pullers_are_kept_with_what_they_reported
                old_decisions_are_pruned
            );
        }
    };
}
pub(crate) use suite;

/// What a rule proposes about an address: a ban of an hour.
pub(crate) fn proposal(address: &str) -> Proposal {
    Proposal {
        target: Target::read(if address.contains('/') { "range" } else { "ip" }, address).expect(address),
        measure: Measure::Ban,
        origin: Origin::Rule,
        reason: format!("Brute force attack: 5 failed logins of {address}"),
        basis: Basis {
            alert: Some(alert(1).id),
            rule_id: "bruteforce".into(),
            rule_version: "v1".into(),
            rules_digest: "00ff".into(),
            count: 5,
            seen: Some((Timestamp(-7), Timestamp(7))),
            events: vec![EventId(u128::MAX), EventId(1)],
            user_agent: "curl/8".into(),
        },
        lasts: HOUR,
        actor: "rule bruteforce".into(),
        is_spoofable: true,
        is_synthetic: false,
    }
}

fn entry(action: &str, subject: &str) -> AuditEntry {
    AuditEntry { at: NOW, actor: "anna".into(), action: action.into(), subject: subject.into(), reason: "why".into() }
}

fn judged(address: &str, standing: Standing) -> Judged {
    Judged { proposal: proposal(address), standing }
}

fn admit(store: &impl Store, judged: &[Judged]) -> Vec<Decision> {
    let lease = store.acquire(LEADER).unwrap();
    let audit = [entry("decision.add", "x")];
    store
        .admit(&Admission {
            lease,
            taken: &[],
            judged,
            alarms: &[],
            outbox: &[],
            tell: Tell::NOBODY,
            audit: &audit,
            now: NOW,
        })
        .unwrap()
}

fn ended() -> Ended {
    Ended { at: Timestamp(NOW.0 + 5), actor: "anna".into(), reason: "a mistake".into() }
}

fn commit(store: &impl Store, lease: &mut Lease, alerts: &[Alert], proposals: &[Proposal]) {
    let to = Position(lease.position.0 + 1);
    store.commit(&Commit { lease: *lease, to, alerts, outbox: &[], proposals, now: NOW }).unwrap();
    lease.position = to;
}

pub(crate) fn a_proposal_is_stored_with_its_new_alert_and_only_then<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut lease = store.acquire(PartitionId(0)).unwrap();
    let stranger = Proposal { basis: Basis { alert: Some(alert(9).id), ..Basis::default() }, ..proposal("192.0.2.9") };
    commit(&store, &mut lease, &[alert(1)], &[proposal("192.0.2.7"), stranger]);
    let waiting = store.proposals(10).unwrap();
    assert_eq!(waiting.iter().map(|it| &it.proposal).collect::<Vec<_>>(), [&proposal("192.0.2.7")]);
    let leader = store.acquire(LEADER).unwrap();
    let taken = [waiting[0].number];
    let judged = [judged("192.0.2.7", Standing::InForce)];
    let admission = Admission {
        lease: leader,
        taken: &taken,
        judged: &judged,
        alarms: &[alert(5)],
        outbox: &[],
        tell: Tell::NOBODY,
        audit: &[],
        now: NOW,
    };
    assert_eq!(store.admit(&admission).unwrap().len(), 1);
    assert_eq!(store.proposals(10).unwrap(), []);
    assert!(store.alert(alert(5).id).unwrap().is_some());
    // The same alert found again, after a crash between the two, proposes nothing again.
    commit(&store, &mut lease, &[alert(1)], &[proposal("192.0.2.7")]);
    assert_eq!(store.proposals(10).unwrap(), []);
}

pub(crate) fn what_is_admitted_has_numbers_that_rise_over_restarts<S: Store>(open: impl Fn() -> S) {
    let mut last = (0, 0);
    for round in 0..3 {
        let store = open();
        for decision in admit(&store, &[judged("192.0.2.7", Standing::InForce), judged("192.0.2.8", Standing::DryRun)])
        {
            let numbers = (decision.id.0, decision.changed);
            assert!(last.0 < numbers.0 && last.1 < numbers.1, "{round}: {last:?} {numbers:?}");
            last = numbers;
        }
        store.prune(Timestamp(i64::MAX), Duration::ZERO, 100).unwrap();
    }
}

pub(crate) fn a_former_leader_admits_nothing<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let old = store.acquire(LEADER).unwrap();
    let _new = open().acquire(LEADER).unwrap();
    let judged = [judged("192.0.2.7", Standing::InForce)];
    let refused = store.admit(&Admission {
        lease: old,
        taken: &[],
        judged: &judged,
        alarms: &[],
        outbox: &[],
        tell: Tell::NOBODY,
        audit: &[],
        now: NOW,
    });
    assert!(matches!(refused, Err(StoreError::Fenced { partition: LEADER })), "{refused:?}");
    assert_eq!(store.decisions(&DecisionQuery { limit: 10, ..DecisionQuery::default() }).unwrap(), []);
}

pub(crate) fn a_decision_is_read_back_as_it_was<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let user = Proposal { target: Target::User("anna ' ü".into()), is_synthetic: true, ..proposal("192.0.2.1") };
    let mut all = vec![Judged { proposal: user, standing: Standing::DryRun }];
    all.extend(Brake::ALL.map(|it| judged("2001:db8::/64", Standing::Held(it))));
    let admitted = admit(&store, &all);
    drop(store);
    let store = open();
    for decision in &admitted {
        assert_eq!(store.decision(decision.id).unwrap().as_ref(), Some(decision));
    }
    assert_eq!(admitted[0].expires_at, NOW.plus(HOUR));
    assert_eq!(store.decision(DecisionId(99)).unwrap(), None);
}

pub(crate) fn ended_decisions_are_changes_and_stay_ended<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let admitted = admit(&store, &[judged("192.0.2.7", Standing::InForce), judged("192.0.2.8", Standing::InForce)]);
    let ids = [admitted[0].id, DecisionId(77)];
    let message = |it: &Decision| OutboxRow {
        subject: Subject::Decision(it.id.0),
        destination: "d".into(),
        kind: "ended".into(),
        occurrence: 0,
        repeat: None,
        payload: it.ended.as_ref().map(|it| it.reason.clone()).unwrap_or_default(),
    };
    let told = |it: &Decision| vec![message(it)];
    let tell = Tell(&told);
    let changed = store.end_decisions(&ids, &ended(), &[entry("decision.end", "192.0.2.7")], tell).unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].ended, Some(ended()));
    assert!(admitted[1].changed < changed[0].changed);
    assert_eq!(store.decision(admitted[0].id).unwrap().as_ref(), changed.first());
    assert_eq!(store.end_decisions(&ids, &ended(), &[entry("decision.end", "again")], tell).unwrap(), []);
    let actions: Vec<_> = store.audit(None, 10).unwrap().into_iter().map(|it| it.1.subject).collect();
    assert_eq!(actions, ["192.0.2.7", "x"]);
    // A message for each that was ended, and none for what had ended before.
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    assert_eq!(store.deliveries(&query).unwrap().len(), changed.len());
}

pub(crate) fn a_held_decision_is_released_once<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let held = admit(&store, &[judged("192.0.2.7", Standing::Held(Brake::Rate))]).remove(0);
    let until = NOW.plus(2 * HOUR);
    let audit = entry("decision.release", "192.0.2.7");
    let released = store.release_decision(held.id, until, &audit, Tell::NOBODY).unwrap().unwrap();
    assert_eq!((released.standing, released.expires_at), (Standing::InForce, until));
    assert!(held.changed < released.changed);
    assert_eq!(store.decision(held.id).unwrap(), Some(released));
    assert_eq!(store.release_decision(held.id, until, &audit, Tell::NOBODY).unwrap(), None);
}

pub(crate) fn every_filter_of_decisions_holds<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let by_hand = Proposal { origin: Origin::Manual, lasts: 2 * HOUR, ..proposal("192.0.2.7") };
    let by_hand = Judged { proposal: by_hand, standing: Standing::InForce };
    let all = [judged("192.0.2.7", Standing::DryRun), by_hand, judged("192.0.2.8", Standing::Held(Brake::Share))];
    let ids: Vec<DecisionId> = admit(&store, &all).iter().map(|it| it.id).collect();
    store.end_decisions(&ids[2..], &ended(), &[], Tell::NOBODY).unwrap();
    let check = |query: DecisionQuery, expected: &[usize]| {
        let found: Vec<_> = store.decisions(&query).unwrap().iter().map(|it| it.id).collect();
        assert_eq!(found, expected.iter().map(|it| ids[*it]).collect::<Vec<_>>(), "{query:?}");
    };
    let plain = || DecisionQuery { limit: 10, ..DecisionQuery::default() };
    check(plain(), &[2, 1, 0]);
    check(DecisionQuery { limit: 2, ..plain() }, &[2, 1]);
    check(DecisionQuery { before: Some(ids[1]), ..plain() }, &[0]);
    check(DecisionQuery { target: Target::read("ip", "192.0.2.7"), ..plain() }, &[1, 0]);
    check(DecisionQuery { origin: Some(Origin::Manual), ..plain() }, &[1]);
    check(DecisionQuery { rule_id: Some("bruteforce".into()), ..plain() }, &[2, 1, 0]);
    check(DecisionQuery { rule_id: Some("other".into()), ..plain() }, &[]);
    check(DecisionQuery { standing: Some("held".into()), ..plain() }, &[2]);
    check(DecisionQuery { open_at: Some(NOW), ..plain() }, &[1, 0]);
    check(DecisionQuery { open_at: Some(NOW.plus(HOUR)), ..plain() }, &[1]);
    check(DecisionQuery { created_from: Some(NOW), ..plain() }, &[2, 1, 0]);
    check(DecisionQuery { created_from: Some(Timestamp(NOW.0 + 1)), ..plain() }, &[]);
}

pub(crate) fn changes_are_read_in_their_order_and_in_pages<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let all: Vec<_> = (0..7).map(|it| judged(&format!("192.0.2.{it}"), Standing::InForce)).collect();
    let admitted = admit(&store, &all);
    admit(&store, &[judged("192.0.2.99", Standing::DryRun)]);
    let first = store.end_decisions(&[admitted[0].id], &ended(), &[], Tell::NOBODY).unwrap().remove(0);
    let mut expected: Vec<Decision> = admitted[1..].to_vec();
    expected.push(first);
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = store.decisions_changed(after, NOW, 2).unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = last.changed;
        read.extend(page);
    }
    assert_eq!(read, expected);
    assert_eq!(store.decisions_changed(0, NOW.plus(2 * HOUR), 9).unwrap(), []);
}

pub(crate) fn hostile_texts_are_data_in_decisions_too<S: Store>(open: impl Fn() -> S) {
    let store = open();
    for text in ["'; DROP TABLE decisions; --", "%", "a\0b", "\u{202e}\u{1f600}"] {
        let proposal = Proposal { target: Target::User(text.into()), reason: text.into(), ..proposal("192.0.2.1") };
        let decision = admit(&store, &[Judged { proposal, standing: Standing::InForce }]).remove(0);
        let query = DecisionQuery { target: Some(Target::User(text.into())), limit: 10, ..DecisionQuery::default() };
        assert_eq!(store.decisions(&query).unwrap(), [decision], "{text}");
    }
}

pub(crate) fn who_is_spared_is_kept_until_taken_off<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let spared = |text: &str, reason: &str| Spared {
        network: Network::parse(text).unwrap(),
        reason: reason.into(),
        actor: "anna".into(),
        created_at: NOW,
    };
    let audit = entry("spare", "192.0.2.0/24");
    store.spare(&spared("192.0.2.0/24", "old"), &audit).unwrap();
    store.spare(&spared("192.0.2.0/24", "the monitor"), &audit).unwrap();
    store.spare(&spared("2001:db8::1", "me"), &audit).unwrap();
    let store = open();
    let found: Vec<_> = store.spared().unwrap().into_iter().map(|it| (it.network.to_string(), it.reason)).collect();
    assert_eq!(found, [("192.0.2.0/24".into(), "the monitor".into()), ("2001:db8::1".into(), "me".into())]);
    let gone = Network::parse("2001:db8::1").unwrap();
    assert!(store.unspare(&gone, &entry("unspare", "x")).unwrap());
    assert!(!store.unspare(&gone, &entry("unspare", "y")).unwrap());
    assert_eq!((store.spared().unwrap().len(), store.audit(None, 100).unwrap().len()), (1, 4));
}

pub(crate) fn switches_are_kept_and_written_down<S: Store>(open: impl Fn() -> S) {
    let store = open();
    assert_eq!(store.switch("decisions.mode").unwrap(), None);
    store.set_switch("decisions.mode", "dry_run", &entry("mode", "dry_run")).unwrap();
    store.set_switch("decisions.mode", "live", &entry("mode", "live")).unwrap();
    let store = open();
    assert_eq!(store.switch("decisions.mode").unwrap().as_deref(), Some("live"));
    let audit = store.audit(None, 10).unwrap();
    assert_eq!(
        audit.iter().map(|it| it.1.clone()).collect::<Vec<_>>(),
        [entry("mode", "live"), entry("mode", "dry_run")]
    );
    assert_eq!(store.audit(Some(audit[0].0), 10).unwrap(), audit[1..]);
}

pub(crate) fn an_audit_shows_that_it_was_changed<S: Store>(open: impl Fn() -> S) {
    let store = open();
    assert_eq!(store.check_audit().unwrap(), None);
    for number in 0..20 {
        store.set_switch("x", &number.to_string(), &entry("switch", &number.to_string())).unwrap();
    }
    assert_eq!(store.check_audit().unwrap(), None);
}

pub(crate) fn pullers_are_kept_with_what_they_reported<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let puller = |name: &str, last: i64, pulls: u64, reported: &str| Puller {
        name: name.into(),
        address: "192.0.2.50".into(),
        agent: "crowdsec-firewall-bouncer/-".into(),
        kind: "crowdsec".into(),
        first_at: Timestamp(last),
        last_at: Timestamp(last),
        changed: pulls,
        pulls,
        lag_millis: (pulls == 1).then_some(40),
        reported: reported.into(),
    };
    store.note_pullers(&[puller("fw", 10, 1, r#"{"dropped":7}"#), puller("web", 11, 1, "")]).unwrap();
    store.note_pullers(&[puller("fw", 20, 2, "")]).unwrap();
    let expected = Puller {
        first_at: Timestamp(10),
        last_at: Timestamp(20),
        lag_millis: Some(40),
        ..puller("fw", 20, 2, r#"{"dropped":7}"#)
    };
    assert_eq!(open().pullers().unwrap(), [expected, puller("web", 11, 1, "")]);
    assert!(store.forget_puller("fw").unwrap());
    assert_eq!(store.pullers().unwrap().len(), 1);
}

pub(crate) fn old_decisions_are_pruned<S: Store>(open: impl Fn() -> S) {
    let store = open();
    admit(&store, &[judged("192.0.2.7", Standing::InForce)]);
    let end = NOW.plus(HOUR);
    assert_eq!(store.prune(end.plus(HOUR), HOUR, 10).unwrap(), 0);
    assert_eq!(store.prune(end.plus(HOUR).plus(Duration::from_nanos(1)), HOUR, 10).unwrap(), 1);
    assert_eq!(store.decisions(&DecisionQuery { limit: 10, ..DecisionQuery::default() }).unwrap(), []);
}
