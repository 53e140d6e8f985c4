//! The store: alerts, positions, keys and what else must be asked for by more than its place in the log.
//!
//! Effects and the position that they belong to are committed together, guarded by the epoch of the owner: a position
//! that is not where the owner left it means that another process owns the partition, and nothing is changed.

mod alert_body;
pub mod alert_text;
#[cfg(test)]
pub(crate) mod conformance;
mod decision_body;
pub mod decisions;
#[cfg(test)]
pub(crate) mod decisions_conformance;
pub mod outbox;
#[cfg(test)]
pub(crate) mod outbox_conformance;
pub mod postgres;
pub mod sqlite;
mod unite;

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use model::alert::{Alert, AlertStatus};
use model::decision::Proposal;
use model::id::AlertId;
use model::place::{PartitionId, Position};
use model::severity::Severity;
use model::time::Timestamp;

use self::decisions::DecisionStore;
use self::outbox::{Outbox, OutboxRow, Subject};

/// How many changes of one alert are remembered; beyond it the oldest go. More than people make by hand, and no script
/// that runs wild fills the disk.
pub const HISTORY_MAX: usize = 1000;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is busy, full or away; the same call may succeed later.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process owns the partition; nothing was changed and this one must leave it.
    #[error("partition {} is owned by another process", partition.0)]
    Fenced {
        /// The partition that was lost.
        partition: PartitionId,
    },
    /// There is such a thing already, or there is none: what was asked cannot be done.
    #[error("{0}")]
    Refused(String),
    /// What is stored was written by a later version.
    #[error("the store is in format {found}, and this version reads up to {known}")]
    Newer {
        /// The format it says it has.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// What is stored makes no sense.
    #[error("the store holds a broken {what}")]
    Corrupt {
        /// Which thing.
        what: &'static str,
        /// What the driver said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Says that a stored thing makes no sense.
    const fn broken(what: &'static str) -> Self {
        Self::Corrupt { what, source: None }
    }
}

/// A limit as databases take it.
fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The right to commit for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The partition.
    pub partition: PartitionId,
    /// The number of this ownership; a later owner has a higher one.
    pub epoch: u64,
    /// Where the owner before left off.
    pub position: Position,
}

/// What a partition's owner stores at once.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The owner's right; its `position` is where the last commit ended.
    pub lease: Lease,
    /// Where this commit ends; equal to the lease's position when alerts are stored ahead of it.
    pub to: Position,
    /// The alerts that are new or changed, each whole.
    pub alerts: &'a [Alert],
    /// What is to be delivered. A message about an alert that was there before is left out: it was told when it was raised.
    pub outbox: &'a [OutboxRow],
    /// What is proposed about alerts that are new; what is proposed about others is passed over.
    pub proposals: &'a [Proposal],
    /// The time of the commit.
    pub now: Timestamp,
}

impl Commit<'_> {
    /// Whether a message tells of something that this commit made, which is `raised`: an alert that was stored before was
    /// told of then.
    fn is_news(&self, row: &OutboxRow, raised: &[AlertId]) -> bool {
        match row.subject {
            Subject::Alert(id) => raised.contains(&id) || !self.alerts.iter().any(|it| it.id == id),
            Subject::Decision(_) | Subject::Test(_) => true,
        }
    }
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The alerts that had not been there before, in the order of the commit.
    pub raised: Vec<AlertId>,
}

/// An alert as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAlert {
    /// The alert; `count` and evidence over all its incarnations.
    pub alert: Alert,
    /// When we made it.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What somebody does with an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    /// The status that the alert is to have.
    pub status: AlertStatus,
    /// Who does it.
    pub actor: String,
    /// Why, in the words of who does it; empty for none.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// What became of a [`Handling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It is stored, and in the history.
    Changed,
    /// The alert had that status already, and there was no note to keep.
    Unchanged,
    /// There is no such alert.
    Unknown,
}

/// A line of an alert's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// The status before.
    pub before: AlertStatus,
    /// The status after; the same where only a note was added.
    pub after: AlertStatus,
    /// Why; empty for none.
    pub note: String,
}

/// Which alerts to return; everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertQuery {
    /// The kind (`type` of the wire).
    pub kind: Option<String>,
    /// The severity.
    pub severity: Option<Severity>,
    /// The country.
    pub country: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The address of the client.
    pub client_ip: Option<IpAddr>,
    /// The source.
    pub source: Option<String>,
    /// The rule.
    pub rule_id: Option<String>,
    /// Made at this time or later.
    pub created_from: Option<Timestamp>,
    /// `last_seen` at this time or later.
    pub from: Option<Timestamp>,
    /// `first_seen` before this time.
    pub to: Option<Timestamp>,
    /// Behind this one, in the order of the list.
    pub after: Option<AlertCursor>,
    /// How many at most.
    pub limit: usize,
}

/// A place in the list of alerts, which is ordered by `last_seen` and then id, both falling.
///
/// An alert that changes while somebody pages moves to the front; it may be seen again and is never missed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertCursor {
    /// The last alert's `last_seen`.
    pub last_seen: Timestamp,
    /// Its id.
    pub id: AlertId,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Read everything but secrets.
    Read,
    /// Read decisions through the bouncer API.
    Bouncer,
    /// Read `/metrics`.
    Metrics,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Read, Self::Bouncer, Self::Metrics, Self::Admin];

    /// The word of the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Bouncer => "bouncer",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    /// Reads the word of the command line.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// A key as it is stored: only its digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its name, unique; the name of the input that it opens.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// SHA-256 of the key: it is random and long, so nothing slower is needed.
    pub digest: [u8; 32],
    /// How many requests a second it may send; `None` for no limit.
    pub rate_per_second: Option<f64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to work.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute or so; `None` for never.
    pub last_used_at: Option<Timestamp>,
}

/// A store.
///
/// Every call blocks until it is done.
pub trait Store: DecisionStore + Outbox + Send + Sync + 'static {
    /// Takes the ownership of a partition for a new epoch; an owner before is fenced off.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn acquire(&self, partition: PartitionId) -> Result<Lease, StoreError>;

    /// Returns where the last commit of a partition ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn position(&self, partition: PartitionId) -> Result<Position, StoreError>;

    /// Stores alerts, outbox and position at once or not at all.
    ///
    /// An alert that is there is replaced when its `incarnation` is the stored one's; a later incarnation's `count` is
    /// added, and times and evidence are united; an earlier one changes nothing. `status` is never overwritten.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the stored epoch or position is not the lease's; [`StoreError::Refused`] when the
    /// outbox tells of an alert that is neither stored nor in the commit; [`StoreError::Unavailable`].
    fn commit(&self, commit: &Commit<'_>) -> Result<Committed, StoreError>;

    /// Calls `see` for the alerts that are asked for, newest `last_seen` first, until it breaks.
    ///
    /// All are as they were at one moment. One is in memory at a time; `see` must not take long.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn list(&self, query: &AlertQuery, see: &mut dyn FnMut(StoredAlert) -> ControlFlow<()>) -> Result<(), StoreError>;

    /// Returns alerts, newest `last_seen` first: what [`Self::list`] shows, all at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn alerts(&self, query: &AlertQuery) -> Result<Vec<StoredAlert>, StoreError> {
        let mut alerts = Vec::new();
        self.list(query, &mut |it| {
            alerts.push(it);
            ControlFlow::Continue(())
        })?;
        Ok(alerts)
    }

    /// Returns one alert.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn alert(&self, id: AlertId) -> Result<Option<StoredAlert>, StoreError>;

    /// Returns the ids from `first` to `last`, both included, rising, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn alert_ids(&self, first: AlertId, last: AlertId, limit: usize) -> Result<Vec<AlertId>, StoreError>;

    /// Calls `see` for every alert, by rising id, until it breaks.
    ///
    /// A bounded number of alerts is in memory at a time, and nothing is held while `see` runs: it may take its time.
    /// An alert that is there from the beginning to the end comes once, as it is when its turn comes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn each_alert(&self, see: &mut dyn FnMut(&StoredAlert) -> ControlFlow<()>) -> Result<(), StoreError>;

    /// Gives an alert a status and remembers who did, both or neither.
    ///
    /// Events that come later count, and leave the status as it is: a closed alert that grows stays closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn handle(&self, id: AlertId, handling: &Handling) -> Result<Handled, StoreError> {
        self.handle_and_post(id, handling, &[])
    }

    /// The same, and posts messages about it in the same transaction if the status has changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when a message tells of an alert that is not stored; [`StoreError::Unavailable`].
    fn handle_and_post(&self, id: AlertId, handling: &Handling, outbox: &[OutboxRow]) -> Result<Handled, StoreError>;

    /// Returns what was done with an alert, oldest first, at most [`HISTORY_MAX`]; nothing for an unknown one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn history(&self, id: AlertId) -> Result<Vec<StatusChange>, StoreError>;

    /// Returns a number that is another after every commit that changed an alert: what was read before is stale.
    fn generation(&self) -> u64;

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when there is one of that name; [`StoreError::Unavailable`].
    fn add_key(&self, key: &Key) -> Result<(), StoreError>;

    /// Replaces the key of that name, or adds it. One with the same digest keeps when it was last used.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn put_key(&self, key: &Key) -> Result<(), StoreError>;

    /// Notes when keys were last used, by name; a key that is gone is passed over, an earlier time changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError>;

    /// Removes a key; returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn remove_key(&self, name: &str) -> Result<bool, StoreError>;

    /// Returns all keys, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn keys(&self) -> Result<Vec<Key>, StoreError>;

    /// Keeps the digest of a secret that opens something until `expires_at`; `purpose` says what.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn add_token(&self, purpose: &str, digest: &[u8; 32], expires_at: Timestamp) -> Result<(), StoreError>;

    /// Whether a token of that purpose is there and has not expired.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn has_token(&self, purpose: &str, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError>;

    /// Removes a token; returns whether it was there and had not expired. Of two callers at once, one gets `true`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn take_token(&self, purpose: &str, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError>;

    /// Removes closed alerts that did not change for `keep` with their history, decisions that expired as long ago, and
    /// expired tokens, at most `limit` rows; returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn prune(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<usize, StoreError>;

    /// How many bytes the store takes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// Whether the store answers. It says so however many questions wait.
    fn is_available(&self) -> bool;
}
