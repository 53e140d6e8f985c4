//! A message as a channel gets it.

use backends::store::alert_text;
use backends::store::outbox::{MessageId, Taken};
use model::alert::{Alert, AlertStatus};
use model::decision::{Decision, Measure, Target};
use model::entity::{Entity, EntityKind};
use model::id::{AlertId, EventId, digest128};
use model::network::Network;
use model::severity::Severity;
use model::time::Timestamp;
use serde_json::json;

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is a new alert.
    Raised,
    /// Somebody closed it.
    Closed,
    /// A decision was ended before it expired.
    Ended,
    /// Somebody tries the destination out.
    Test,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Raised, Self::Closed, Self::Ended, Self::Test];

    /// The word of the outbox.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Closed => "closed",
            Self::Ended => "ended",
            Self::Test => "test",
        }
    }

    /// Whether it tells that what was told of before is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Ended)
    }

    /// Reads the word of the outbox.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id, the same over every attempt.
    pub id: MessageId,
    /// What kind.
    pub kind: Kind,
    /// The alert, as it was when the message was posted.
    pub alert: Alert,
    /// When it was posted.
    pub created_at: Timestamp,
    /// The time of this attempt.
    pub now: Timestamp,
}

/// The rule of a notice of a decision.
pub(crate) const NOTICE_RULE: &str = "bartizan-decision";

/// A decision in the form of an alert, so that every channel can tell of it. Its event holds the decision for those who
/// act on it: `{"decision":{"id","scope","value","type","origin","expires_at"}}`.
#[must_use]
pub fn notice_of(decision: &Decision) -> Alert {
    let entity = match &decision.target {
        Target::Network(network) => {
            let kind = if network.single().is_some() { EntityKind::Ip } else { EntityKind::Group };
            Entity { kind, value: network.to_string() }
        }
        Target::User(user) => Entity { kind: EntityKind::User, value: user.clone() },
    };
    let done = match decision.measure {
        Measure::Ban => "banned",
        Measure::Captcha => "must show that it is a person",
        Measure::Throttle => "throttled",
    };
    let (first, last) = decision.basis.seen.unwrap_or((decision.created_at, decision.created_at));
    let details = match &decision.ended {
        None => format!("Until {}, by {}: {}", decision.expires_at, decision.actor, decision.reason),
        Some(it) => format!("Ended by {}: {}", it.actor, it.reason),
    };
    let (title, description) = match decision.ended {
        None => (format!("{} {done}", decision.target), "A decision is in force."),
        Some(_) => (format!("{} {done} no longer", decision.target), "A decision was ended."),
    };
    let event = json!({"decision": {
        "id": decision.id.0,
        "scope": decision.target.scope(),
        "value": decision.target.to_string(),
        "type": decision.measure.as_str(),
        "origin": decision.origin.as_str(),
        "expires_at": decision.expires_at.to_string(),
    }});
    Alert {
        id: AlertId(digest128(&[b"decision", &decision.id.0.to_le_bytes()])),
        rule_id: NOTICE_RULE.to_owned(),
        rule_version: "built-in".to_owned(),
        title,
        kind: "decision".to_owned(),
        severity: Severity::Informational,
        confidence: 100,
        status: AlertStatus::New,
        client_ip: decision.target.network().and_then(Network::single),
        entity,
        dst_ip: None,
        count: decision.basis.count,
        first_seen: first,
        last_seen: last,
        window_start: decision.created_at,
        timestamp: decision.created_at,
        details,
        reason: decision.reason.clone(),
        description: description.to_owned(),
        detector: "Admitter".to_owned(),
        source: "bartizan".to_owned(),
        country: None,
        user: None,
        matched: vec![
            ("decision".to_owned(), decision.id.to_string()),
            ("rule".to_owned(), decision.basis.rule_id.clone()),
        ],
        evidence: decision.basis.events.clone(),
        event: event.to_string(),
        synthetic: decision.is_synthetic,
        incarnation: 0,
    }
}

impl Message {
    /// Reads what was taken from the outbox; `None` for what this version cannot read.
    #[must_use]
    pub fn of(taken: &Taken, now: Timestamp) -> Option<Self> {
        let alert = alert_text::decode(&taken.payload)?;
        Some(Self { id: taken.id, kind: Kind::from_word(&taken.kind)?, alert, created_at: taken.created_at, now })
    }

    /// Makes a message that tries a destination out: about nobody, and marked as such.
    #[must_use]
    pub fn test(id: MessageId, now: Timestamp) -> Self {
        let address = std::net::IpAddr::from([192, 0, 2, 1]);
        let text = "This is a test of notifications. Nothing happened.";
        let alert = Alert {
            id: AlertId(id.0),
            rule_id: "bartizan-notify-test".to_owned(),
            rule_version: String::new(),
            title: "Test of notifications".to_owned(),
            kind: "test".to_owned(),
            severity: Severity::Informational,
            confidence: 100,
            status: AlertStatus::New,
            entity: Entity::of_ip(address),
            client_ip: Some(address),
            dst_ip: None,
            count: 1,
            first_seen: now,
            last_seen: now,
            window_start: now,
            timestamp: now,
            details: text.to_owned(),
            reason: text.to_owned(),
            description: text.to_owned(),
            detector: "test".to_owned(),
            source: "bartizan".to_owned(),
            country: None,
            user: None,
            matched: Vec::new(),
            evidence: vec![EventId(0)],
            event: "{}".to_owned(),
            synthetic: true,
            incarnation: 0,
        };
        Self { id, kind: Kind::Test, alert, created_at: now, now }
    }

    /// What was logged first, else what was found.
    #[must_use]
    pub fn text(&self) -> String {
        let logged = model::json::member(&self.alert.event, "message");
        match logged {
            Some(model::json::Value::Text(text)) => text.decode().into_owned(),
            _ => self.alert.details.clone(),
        }
    }

    /// The address, or whatever else it is about.
    #[must_use]
    pub fn about(&self) -> String {
        self.alert.client_ip.map_or_else(|| self.alert.entity.value.clone(), |it| it.to_string())
    }
}
