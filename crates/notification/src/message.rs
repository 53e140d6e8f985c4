//! A message as a channel gets it.

use backends::store::alert_text;
use backends::store::outbox::{MessageId, Taken};
use model::alert::{Alert, AlertStatus};
use model::entity::Entity;
use model::id::{AlertId, EventId};
use model::severity::Severity;
use model::time::Timestamp;

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is a new alert.
    Raised,
    /// Somebody closed it.
    Closed,
    /// Somebody tries the destination out.
    Test,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Raised, Self::Closed, Self::Test];

    /// The word of the outbox.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Closed => "closed",
            Self::Test => "test",
        }
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
