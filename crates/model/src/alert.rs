//! The alert: what one rule found on one entity in one bucket of time.

use std::net::IpAddr;

use crate::entity::Entity;
use crate::id::{AlertId, EventId, digest128};
use crate::severity::Severity;
use crate::time::Timestamp;

/// Where an alert stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AlertStatus {
    /// Nobody has looked.
    #[default]
    New,
    /// Somebody has seen it.
    Acknowledged,
    /// Somebody works on it.
    InProgress,
    /// It is over.
    Closed,
}

impl AlertStatus {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 4] = [Self::New, Self::Acknowledged, Self::InProgress, Self::Closed];

    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Acknowledged => "acknowledged",
            Self::InProgress => "in_progress",
            Self::Closed => "closed",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// One event that an alert rests on, as windows keep it: small, because there may be millions.
///
/// Ordered by time, then id, as `docs/windows.md` orders evidence: `id_upper` is the upper half of a derived id;
/// ids by construction share theirs and are ordered by `sequence`, which is their lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceRef {
    /// The time of the event.
    pub time: Timestamp,
    /// The upper half of its id.
    pub id_upper: u64,
    /// Its number in the log, by which the whole event is found again.
    pub sequence: u64,
}

/// What one rule found on one entity in one bucket of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Derived from rule, version, key and bucket.
    pub id: AlertId,
    /// The rule's name, as in its file and in `rules.toml`; for findings `<source>/<their rule>`.
    pub rule_id: String,
    /// A digest of the compiled detection: a changed description changes nothing.
    pub rule_version: String,
    /// What a person reads first.
    pub title: String,
    /// The systems' name of the kind where they have one: `bruteforce`, `hightraffic`.
    pub kind: String,
    /// How bad it is if true.
    pub severity: Severity,
    /// How sure we are, `0..=100`.
    pub confidence: u8,
    /// Where it stands in its life.
    pub status: AlertStatus,
    /// Whom it is about.
    pub entity: Entity,
    /// The address of the client, where there is one.
    pub client_ip: Option<IpAddr>,
    /// The other end, where a finding names it.
    pub dst_ip: Option<IpAddr>,
    /// How many events it counts.
    pub count: u64,
    /// The earliest time of the counted events.
    pub first_seen: Timestamp,
    /// The latest time of the counted events.
    pub last_seen: Timestamp,
    /// The start of its bucket.
    pub window_start: Timestamp,
    /// The time of its earliest completing event.
    pub timestamp: Timestamp,
    /// What was found, in a sentence.
    pub details: String,
    /// Why it was raised, in a sentence.
    pub reason: String,
    /// The rule's description.
    pub description: String,
    /// Which detector raised it, in the form that readers of `GET /alerts` know.
    pub detector: String,
    /// The source of the first evidence.
    pub source: String,
    /// The country of the client, where it is known.
    pub country: Option<String>,
    /// The user of the first evidence.
    pub user: Option<String>,
    /// The fields of the first evidence that the rule looked at, with their values.
    pub matched: Vec<(String, String)>,
    /// The first and the last of the counted events, by (time, id); all of them when there are few.
    pub evidence: Vec<EventId>,
    /// The first evidence in the form of `GET /alerts`, as JSON text.
    pub event: String,
    /// Whether it comes from demo or self-test data.
    pub synthetic: bool,
    /// The log position at which this alert began to be counted in memory.
    ///
    /// The same alert counted again from a later position adds to what is stored; from the same position it replaces it.
    pub incarnation: u64,
}

impl Alert {
    /// Whether it tells of the installation at a time of its own clock, and not of events: what no replay finds again.
    #[must_use]
    pub fn is_of_installation(&self) -> bool {
        self.evidence.is_empty() && self.rule_id.starts_with("bartizan-")
    }
}

impl AlertId {
    /// Derives the id of what `rule` in `version` found on `key` in the bucket that starts at `window_start`.
    #[must_use]
    pub fn of_rule(rule: &str, version: &str, key: &str, window_start: Timestamp) -> Self {
        Self(digest128(&[b"alert", rule.as_bytes(), version.as_bytes(), key.as_bytes(), &window_start.0.to_le_bytes()]))
    }

    /// Derives the id of another tool's alert that has an id of its own.
    #[must_use]
    pub fn of_finding(input: &str, source: &str, own_id: &str) -> Self {
        Self(digest128(&[b"finding", input.as_bytes(), source.as_bytes(), own_id.as_bytes()]))
    }
}
