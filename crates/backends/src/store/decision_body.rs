//! What is not asked for of proposals and decisions, as JSON text.
//!
//! A member that is not known is passed over, and one that is missing says nothing, so that versions may read one
//! another's rows.

use std::time::Duration;

use model::decision::{Basis, Brake, Decision, Ended, Measure, Origin, Proposal, Standing, Target};
use model::id::{AlertId, EventId};
use model::time::Timestamp;
use serde_json::{Value, json};

/// What a row of `decisions` keeps in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) reason: String,
    pub(crate) actor: String,
    pub(crate) basis: Basis,
    pub(crate) ended: Option<(String, String)>,
    pub(crate) is_synthetic: bool,
}

impl Body {
    pub(crate) fn of(decision: &Decision) -> Self {
        Self {
            reason: decision.reason.clone(),
            actor: decision.actor.clone(),
            basis: decision.basis.clone(),
            ended: decision.ended.as_ref().map(|it| (it.actor.clone(), it.reason.clone())),
            is_synthetic: decision.is_synthetic,
        }
    }

    pub(crate) fn encode(&self) -> String {
        json!({
            "reason": self.reason,
            "actor": self.actor,
            "basis": basis_value(&self.basis),
            "ended": self.ended.as_ref().map(|(actor, reason)| json!([actor, reason])),
            "synthetic": self.is_synthetic,
        })
        .to_string()
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let word = |it: &Value| it.as_str().map(str::to_owned);
        Some(Self {
            reason: word(&value["reason"])?,
            actor: word(&value["actor"]).unwrap_or_default(),
            basis: basis_of(&value["basis"])?,
            ended: value["ended"].as_array().and_then(|it| Some((word(it.first()?)?, word(it.get(1)?)?))),
            is_synthetic: value["synthetic"].as_bool().unwrap_or_default(),
        })
    }

    /// How it was ended at a time, if it was.
    pub(crate) fn ended_at(&self, at: Option<i64>) -> Option<Ended> {
        let (actor, reason) = self.ended.clone().unwrap_or_default();
        at.map(|at| Ended { at: Timestamp(at), actor, reason })
    }
}

/// The brake that holds a decision, for the column beside its standing.
pub(crate) fn brake_of(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Held(brake) => Some(brake.as_str()),
        _ => None,
    }
}

/// Reads the columns of a standing.
pub(crate) fn standing_of(word: &str, brake: Option<&str>) -> Option<Standing> {
    match word {
        "in_force" => Some(Standing::InForce),
        "dry_run" => Some(Standing::DryRun),
        _ => brake.and_then(Brake::from_word).map(Standing::Held),
    }
}

pub(crate) fn encode_proposal(proposal: &Proposal) -> String {
    json!({
        "scope": proposal.target.scope(),
        "value": proposal.target.to_string(),
        "measure": proposal.measure.as_str(),
        "origin": proposal.origin.as_str(),
        "reason": proposal.reason,
        "basis": basis_value(&proposal.basis),
        "lasts_ms": proposal.lasts.as_millis() as u64,
        "actor": proposal.actor,
        "spoofable": proposal.is_spoofable,
        "synthetic": proposal.is_synthetic,
    })
    .to_string()
}

pub(crate) fn decode_proposal(text: &str) -> Option<Proposal> {
    let value: Value = serde_json::from_str(text).ok()?;
    let word = |key: &str| value[key].as_str();
    Some(Proposal {
        target: Target::read(word("scope")?, word("value")?)?,
        measure: Measure::from_word(word("measure")?)?,
        origin: Origin::from_word(word("origin")?)?,
        reason: word("reason")?.to_owned(),
        basis: basis_of(&value["basis"])?,
        lasts: Duration::from_millis(value["lasts_ms"].as_u64()?),
        actor: word("actor").unwrap_or_default().to_owned(),
        is_spoofable: value["spoofable"].as_bool().unwrap_or_default(),
        is_synthetic: value["synthetic"].as_bool().unwrap_or_default(),
    })
}

fn basis_value(basis: &Basis) -> Value {
    json!({
        "alert": basis.alert.map(|it| it.to_string()),
        "rule_id": basis.rule_id,
        "rule_version": basis.rule_version,
        "rules_digest": basis.rules_digest,
        "count": basis.count,
        "seen": basis.seen.map(|(first, last)| json!([first.0, last.0])),
        "events": basis.events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "user_agent": basis.user_agent,
    })
}

fn basis_of(value: &Value) -> Option<Basis> {
    let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let alert = match value["alert"].as_str() {
        Some(text) => Some(AlertId::from_text(text)?),
        None => None,
    };
    let seen = |it: &Value| Some((Timestamp(it[0].as_i64()?), Timestamp(it[1].as_i64()?)));
    let events = value["events"].as_array().into_iter().flatten();
    Some(Basis {
        alert,
        rule_id: word("rule_id"),
        rule_version: word("rule_version"),
        rules_digest: word("rules_digest"),
        count: value["count"].as_u64().unwrap_or_default(),
        seen: seen(&value["seen"]),
        events: events.map(|it| EventId::from_text(it.as_str()?)).collect::<Option<_>>()?,
        user_agent: word("user_agent"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::decisions_conformance::proposal;

    #[test]
    fn reads_back_what_it_wrote_and_takes_nonsense_for_nothing() {
        let proposal = proposal("2001:db8::7");
        assert_eq!(decode_proposal(&encode_proposal(&proposal)), Some(proposal.clone()));
        let body = Body {
            reason: "'; \u{0} \"".into(),
            actor: String::new(),
            basis: proposal.basis,
            ended: Some(("anna".into(), "a mistake".into())),
            is_synthetic: true,
        };
        assert_eq!(Body::decode(&body.encode()), Some(body));
        for text in ["", "{", "[]", "7", r#"{"reason":7}"#, r#"{"reason":"x","basis":{"alert":"?"}}"#] {
            assert_eq!((Body::decode(text), decode_proposal(text)), (None, None), "{text}");
        }
    }
}
