//! What is done about alerts: what `rules.toml` says, turned into proposals.

use std::collections::BTreeMap;
use std::time::Duration;

use model::alert::Alert;
use model::decision::{Basis, Measure, Origin, Proposal, REASON_BYTES_MAX, Target};
use model::entity::EntityKind;
use model::network::Network;
use model::severity::Severity;

/// What an alert leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// What is done.
    pub measure: Measure,
    /// For how long.
    pub lasts: Duration,
}

/// What is done about alerts, by rule and by severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is done about alerts of rules that are not named, on addresses, from a severity on; `None` for nothing.
    pub default: Option<(Severity, Action)>,
    /// What is done about the alerts of a rule; `None` for nothing.
    pub rules: BTreeMap<String, Option<Action>>,
}

impl Default for Policy {
    /// Bans addresses for four hours from severity `medium` on. A new installation is in dry run, so it only counts.
    fn default() -> Self {
        let action = Action { measure: Measure::Ban, lasts: Duration::from_secs(4 * 3600) };
        Self { default: Some((Severity::Medium, action)), rules: BTreeMap::new() }
    }
}

/// What is known of an alert beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// The digest of the rules in force.
    pub rules_digest: &'a str,
    /// The user agent of its first event; empty for none.
    pub user_agent: &'a str,
    /// Whether the address of one of its events may have been forged by anybody.
    pub is_spoofable: bool,
}

impl Policy {
    /// What is to be done about an alert.
    #[must_use]
    pub fn action(&self, alert: &Alert) -> Option<Action> {
        match self.rules.get(&alert.rule_id) {
            Some(action) => *action,
            None => {
                self.default.filter(|it| it.0 <= alert.severity && alert.entity.kind == EntityKind::Ip).map(|it| it.1)
            }
        }
    }

    /// Makes the proposal that follows from an alert.
    #[must_use]
    pub fn propose(&self, alert: &Alert, circumstances: Circumstances<'_>) -> Option<Proposal> {
        let Action { measure, lasts } = self.action(alert)?;
        let target = target_of(alert)?;
        let basis = Basis {
            alert: Some(alert.id),
            rule_id: alert.rule_id.clone(),
            rule_version: alert.rule_version.clone(),
            rules_digest: circumstances.rules_digest.to_owned(),
            count: alert.count,
            seen: Some((alert.first_seen, alert.last_seen)),
            events: alert.evidence.clone(),
            user_agent: cut(circumstances.user_agent, 200).to_owned(),
        };
        Some(Proposal {
            target,
            measure,
            origin: Origin::Rule,
            reason: cut(&format!("{}: {}", alert.title, alert.details), REASON_BYTES_MAX).to_owned(),
            basis,
            lasts,
            actor: format!("rule {}", alert.rule_id),
            is_spoofable: circumstances.is_spoofable,
            is_synthetic: alert.synthetic,
        })
    }
}

/// Whom an alert is about, if that is somebody who can be kept out.
fn target_of(alert: &Alert) -> Option<Target> {
    match alert.entity.kind {
        EntityKind::Ip => Network::parse(&alert.entity.value).map(Target::Network),
        EntityKind::User => Target::read("user", &alert.entity.value),
        _ => alert
            .client_ip
            .filter(|_| alert.entity.kind == EntityKind::Group)
            .map(|it| Target::Network(Network::of(it))),
    }
}

/// The beginning of a text, at most so many bytes, cut between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use model::alert::AlertStatus;
    use model::entity::Entity;
    use model::id::{AlertId, EventId};
    use model::time::Timestamp;

    use super::*;

    fn alert(rule: &str, severity: Severity, kind: EntityKind, value: &str) -> Alert {
        Alert {
            id: AlertId(1),
            rule_id: rule.to_owned(),
            rule_version: "v".to_owned(),
            title: "Brute force attack".to_owned(),
            kind: "bruteforce".to_owned(),
            severity,
            confidence: 80,
            status: AlertStatus::New,
            entity: Entity { kind, value: value.to_owned() },
            client_ip: None,
            dst_ip: None,
            count: 5,
            first_seen: Timestamp(1),
            last_seen: Timestamp(2),
            window_start: Timestamp(0),
            timestamp: Timestamp(2),
            details: "5 answers 401".repeat(200),
            reason: String::new(),
            description: String::new(),
            detector: String::new(),
            source: String::new(),
            country: None,
            user: None,
            matched: Vec::new(),
            evidence: vec![EventId(7)],
            event: String::new(),
            synthetic: false,
            incarnation: 0,
        }
    }

    fn policy() -> Policy {
        let throttle = Action { measure: Measure::Throttle, lasts: Duration::from_secs(60) };
        let rules = [("quiet".to_owned(), None), ("slow".to_owned(), Some(throttle))];
        Policy { rules: rules.into(), ..Policy::default() }
    }

    #[track_caller]
    fn check(alert: &Alert, expected: Option<(&str, Measure)>) {
        let proposal = policy().propose(alert, Circumstances::default());
        let proposal = proposal.map(|it| (it.target.to_string(), it.measure));
        assert_eq!(proposal, expected.map(|it| (it.0.to_owned(), it.1)), "{alert:?}");
    }

    #[test]
    fn a_rule_does_what_it_is_told_and_others_what_their_severity_says() {
        let (medium, low) = (Severity::Medium, Severity::Low);
        check(&alert("other", medium, EntityKind::Ip, "203.0.113.7"), Some(("203.0.113.7", Measure::Ban)));
        check(&alert("other", low, EntityKind::Ip, "203.0.113.7"), None);
        check(&alert("quiet", Severity::Critical, EntityKind::Ip, "203.0.113.7"), None);
        check(&alert("slow", low, EntityKind::Ip, "203.0.113.7"), Some(("203.0.113.7", Measure::Throttle)));
        check(&alert("slow", low, EntityKind::User, "anna"), Some(("anna", Measure::Throttle)));
        check(&alert("other", medium, EntityKind::User, "anna"), None);
        check(&alert("slow", medium, EntityKind::Many, "many entities"), None);
        check(&alert("slow", medium, EntityKind::Host, "db1"), None);
    }

    #[test]
    fn a_proposal_says_what_it_rests_on_within_limits() {
        let known = Circumstances { rules_digest: "d", user_agent: &"ä".repeat(300), is_spoofable: true };
        let proposal = policy().propose(&alert("r", Severity::High, EntityKind::Ip, "203.0.113.7"), known).unwrap();
        assert!(proposal.is_spoofable && proposal.reason.len() <= REASON_BYTES_MAX);
        assert_eq!((proposal.basis.user_agent.len(), proposal.basis.events.as_slice()), (200, &[EventId(7)][..]));
        assert_eq!((proposal.basis.alert, proposal.basis.rules_digest.as_str()), (Some(AlertId(1)), "d"));
    }
}
