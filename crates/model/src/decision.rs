//! The decision: what is done with an address, a range or a user, why, and until when.

use std::fmt;
use std::time::Duration;

use crate::id::{AlertId, EventId};
use crate::network::Network;
use crate::time::Timestamp;

/// How long a decision may last: ten years, so that "for ever" has an end and a number of seconds fits everywhere.
pub const LASTS_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long a reason may be, in bytes.
pub const REASON_BYTES_MAX: usize = 1000;
/// How long the name of a user may be, in bytes.
pub const USER_BYTES_MAX: usize = 256;

/// The number of a decision: given at its admission, rising, never given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(pub u64);

impl fmt::Display for DecisionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Whom a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// An address, or a range of them.
    Network(Network),
    /// A user.
    User(String),
}

impl Target {
    /// The word of its scope: `ip`, `range` or `user`.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Network(it) if it.single().is_some() => "ip",
            Self::Network(_) => "range",
            Self::User(_) => "user",
        }
    }

    /// The network, if it is about one.
    #[must_use]
    pub const fn network(&self) -> Option<&Network> {
        match self {
            Self::Network(it) => Some(it),
            Self::User(_) => None,
        }
    }

    /// Reads what [`Self::scope`] and [`fmt::Display`] write.
    #[must_use]
    pub fn read(scope: &str, value: &str) -> Option<Self> {
        match scope {
            "ip" => Network::parse(value).filter(|it| it.single().is_some()).map(Self::Network),
            "range" => Network::parse(value).map(Self::Network),
            "user" => (!value.is_empty() && value.len() <= USER_BYTES_MAX).then(|| Self::User(value.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(it) => it.fmt(out),
            Self::User(it) => it.fmt(out),
        }
    }
}

/// What is done. Ordered by how much it hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Requests are slowed down.
    Throttle,
    /// A person has to show that they are one.
    Captcha,
    /// Nothing passes.
    Ban,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Throttle, Self::Captcha, Self::Ban];

    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Captcha => "captcha",
            Self::Ban => "ban",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// Who proposed a decision. Firewalls keep one set for each, so there are few and their words are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A rule.
    Rule,
    /// The risk score.
    Risk,
    /// A person.
    Manual,
    /// A list that was imported.
    Import,
    /// Another installation.
    Peer,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 5] = [Self::Rule, Self::Risk, Self::Manual, Self::Import, Self::Peer];

    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Risk => "risk",
            Self::Manual => "manual",
            Self::Import => "import",
            Self::Peer => "peer",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Whether nobody has looked: brakes hold these, and dry run applies to them.
    #[must_use]
    pub const fn is_automatic(self) -> bool {
        matches!(self, Self::Rule | Self::Risk | Self::Peer)
    }
}

/// What a decision rests on: enough to find it again when rules have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The alert.
    pub alert: Option<AlertId>,
    /// The rule, or for other origins the name of the list or the peer; empty for none.
    pub rule_id: String,
    /// The digest of what the rule detects.
    pub rule_version: String,
    /// The digest of the whole set of rules in force, by which it is found again.
    pub rules_digest: String,
    /// How many events the alert counted then.
    pub count: u64,
    /// The time of the first of them and of the last.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// Evidence: the ids of some of them.
    pub events: Vec<EventId>,
    /// The user agent of the first, for the report of what would be blocked; empty for none.
    pub user_agent: String,
}

/// What somebody or something wants to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Whom it is about.
    pub target: Target,
    /// What is to be done.
    pub measure: Measure,
    /// Who wants it.
    pub origin: Origin,
    /// Why, in a sentence.
    pub reason: String,
    /// What it rests on.
    pub basis: Basis,
    /// How long it is to last, from its admission on.
    pub lasts: Duration,
    /// The name of the key or of the part that proposes.
    pub actor: String,
    /// Whether what it rests on may have been forged by anybody.
    pub is_spoofable: bool,
    /// Whether it comes from demo or self-test data.
    pub is_synthetic: bool,
}

/// What holds a proposal back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brake {
    /// It would hit somebody who is never to be blocked.
    NeverBlock,
    /// Decisions are paused.
    Paused,
    /// What it rests on may be forged.
    Spoofable,
    /// It is about more addresses than a machine may decide on.
    Width,
    /// Too many decisions in a minute.
    Rate,
    /// Too large a part of those who come.
    Share,
}

impl Brake {
    /// Every brake, in the order in which they are asked.
    pub const ALL: [Self; 6] = [Self::NeverBlock, Self::Paused, Self::Spoofable, Self::Width, Self::Rate, Self::Share];

    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverBlock => "never-block",
            Self::Paused => "paused",
            Self::Spoofable => "spoofable",
            Self::Width => "width",
            Self::Rate => "rate",
            Self::Share => "share",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// What it means, for people.
    #[must_use]
    pub const fn explained(self) -> &'static str {
        match self {
            Self::NeverBlock => "it would hit an address that is never to be blocked",
            Self::Paused => "decisions are paused",
            Self::Spoofable => "it rests on events whose address anybody can forge",
            Self::Width => "it is about a range wider than a machine may decide on",
            Self::Rate => "there were too many decisions in this minute",
            Self::Share => "it would be too large a part of the clients of this hour",
        }
    }
}

/// Where a decision stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Enforcers are to follow it, until it expires.
    InForce,
    /// It only counts: nobody enforces it.
    DryRun,
    /// A brake holds it back; a person may release it.
    Held(Brake),
}

impl Standing {
    /// The word of the wire; that of a brake is beside it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::DryRun => "dry_run",
            Self::Held(_) => "held",
        }
    }
}

/// How a decision was ended before it expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its number.
    pub id: DecisionId,
    /// Whom it is about.
    pub target: Target,
    /// What is done.
    pub measure: Measure,
    /// Who proposed it.
    pub origin: Origin,
    /// Why, in a sentence.
    pub reason: String,
    /// What it rests on.
    pub basis: Basis,
    /// The name of the key or of the part that proposed it.
    pub actor: String,
    /// When it was admitted.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub standing: Standing,
    /// How it was ended, if somebody did.
    pub ended: Option<Ended>,
    /// Whether it comes from demo or self-test data.
    pub is_synthetic: bool,
    /// The number of its last change among all changes of decisions; rising.
    pub changed: u64,
}

impl Decision {
    /// Whether enforcers follow it at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.standing == Standing::InForce && self.ended.is_none() && now < self.expires_at
    }

    /// When it stops to be in force: its expiry, or when somebody ended it.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.ended.as_ref().map_or(self.expires_at, |it| it.at.min(self.expires_at))
    }

    /// The state at `now` in one word: `in_force`, `dry_run`, `held`, `expired` or `ended`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        if self.ended.is_some() {
            "ended"
        } else if self.expires_at <= now {
            "expired"
        } else {
            self.standing.as_str()
        }
    }
}

/// Somebody who is never to be blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spared {
    /// Whom it is about.
    pub network: Network,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        assert!(Measure::ALL.into_iter().all(|it| Measure::from_word(it.as_str()) == Some(it)));
        assert!(Origin::ALL.into_iter().all(|it| Origin::from_word(it.as_str()) == Some(it)));
        assert!(Brake::ALL.into_iter().all(|it| Brake::from_word(it.as_str()) == Some(it)));
        for (scope, value) in [("ip", "192.0.2.1"), ("range", "2001:db8::/32"), ("user", "anna")] {
            let target = Target::read(scope, value).unwrap();
            assert_eq!((target.scope(), target.to_string().as_str()), (scope, value));
        }
        for (scope, value) in [("ip", "192.0.2.0/24"), ("range", "192.0.2.1/24"), ("user", ""), ("country", "XX")] {
            assert_eq!(Target::read(scope, value), None, "{scope} {value}");
        }
    }
}
