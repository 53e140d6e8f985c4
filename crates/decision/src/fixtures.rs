//! Decisions for tests.

use std::time::Duration;

use model::decision::{Basis, Decision, DecisionId, Measure, Origin, Proposal, Standing, Target};
use model::network::Network;
use model::time::Timestamp;

/// A noon.
pub(crate) const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

/// Some seconds after noon.
pub(crate) fn after(seconds: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(seconds))
}

/// The target of an address or a range.
pub(crate) fn target(text: &str) -> Target {
    Target::Network(Network::parse(text).expect(text))
}

/// A ban in force that begins at noon and lasts `seconds`; its number is also that of its change.
pub(crate) fn ban(id: u64, text: &str, seconds: u64) -> Decision {
    Decision {
        id: DecisionId(id),
        target: target(text),
        measure: Measure::Ban,
        origin: Origin::Rule,
        reason: "Brute force attack".to_owned(),
        basis: Basis { rule_id: "bruteforce".to_owned(), ..Basis::default() },
        actor: "rule bruteforce".to_owned(),
        created_at: NOON,
        expires_at: after(seconds),
        standing: Standing::InForce,
        ended: None,
        is_synthetic: false,
        changed: id,
    }
}

/// What a rule proposes: a ban of an hour.
pub(crate) fn proposal(text: &str) -> Proposal {
    Proposal {
        target: target(text),
        measure: Measure::Ban,
        origin: Origin::Rule,
        reason: "Brute force attack".to_owned(),
        basis: Basis { rule_id: "bruteforce".to_owned(), ..Basis::default() },
        lasts: Duration::from_secs(3600),
        actor: "rule bruteforce".to_owned(),
        is_spoofable: false,
        is_synthetic: false,
    }
}
