//! The outbox: messages to destinations, posted in the transaction of what they tell of, delivered from the store.
//!
//! A message is taken under a lease, sent, and settled. Whoever dies between sending and settling sends it again: at
//! least once, with the same id.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::id::{AlertId, digest128};
use model::time::Timestamp;

use super::StoreError;

/// How long a reason may be that is kept with a message, in bytes: two lines on a screen.
pub const REASON_BYTES_MAX: usize = 300;

/// Cuts a reason to [`REASON_BYTES_MAX`], at a character.
pub(crate) fn cut_reason(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

/// What a message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An alert, which must be stored.
    Alert(AlertId),
    /// A decision, by its number.
    Decision(u64),
    /// Nothing that is stored: somebody tries a destination out.
    Test(u64),
}

impl Subject {
    /// The word for what it is.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Alert(_) => "alert",
            Self::Decision(_) => "decision",
            Self::Test(_) => "test",
        }
    }

    /// Its id among its kind, as a number.
    #[must_use]
    pub const fn number(self) -> u128 {
        match self {
            Self::Alert(id) => id.0,
            Self::Decision(number) | Self::Test(number) => number as u128,
        }
    }

    /// The inverse of [`Self::kind`] and [`Self::number`].
    #[must_use]
    pub fn of(kind: &str, number: u128) -> Option<Self> {
        match kind {
            "alert" => Some(Self::Alert(AlertId(number))),
            "decision" => u64::try_from(number).ok().map(Self::Decision),
            "test" => u64::try_from(number).ok().map(Self::Test),
            _ => None,
        }
    }
}

/// The id of a message: the same over every attempt and restart, so that a receiver may leave out what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

impl MessageId {
    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        AlertId::from_text(text).map(|it| Self(it.0))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A message to a destination, delivered from the store until it has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// What it tells of.
    pub subject: Subject,
    /// The destination's name.
    pub destination: String,
    /// What kind of message: `raised`, `closed`.
    pub kind: String,
    /// Tells messages of one kind about one subject apart; 0 where there is only one.
    pub occurrence: u64,
    /// What it must not repeat; `None` when it is always sent.
    pub repeat: Option<Repeat>,
    /// What it is made of when it is sent; see [`alert_text`](super::alert_text).
    pub payload: String,
}

/// A message is left out when one of the same group was posted to the destination less than an interval ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// What is the same: a rule and an entity, say.
    pub group: u128,
    /// How long one is enough.
    pub interval: Duration,
}

impl OutboxRow {
    /// Derives the id of the message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        MessageId(digest128(&[
            b"message",
            self.subject.kind().as_bytes(),
            &self.subject.number().to_le_bytes(),
            self.destination.as_bytes(),
            self.kind.as_bytes(),
            &self.occurrence.to_le_bytes(),
        ]))
    }
}

/// Which messages to take.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    /// For which destination.
    pub destination: &'a str,
    /// Who takes them; no other may settle them until the lease ends.
    pub owner: &'a str,
    /// The time.
    pub now: Timestamp,
    /// When the lease ends: they may be taken again from then on.
    pub until: Timestamp,
    /// How many at most.
    pub limit: usize,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: MessageId,
    /// What it tells of.
    pub subject: Subject,
    /// What kind of message.
    pub kind: String,
    /// What it is made of.
    pub payload: String,
    /// When it was posted.
    pub created_at: Timestamp,
    /// How often it was taken, this time included.
    pub attempt: u32,
    /// Whether whoever took it before never said what became of it: it may have arrived.
    pub is_uncertain: bool,
    /// Whether it has arrived before and is sent again as a reminder.
    pub is_reminder: bool,
}

/// What became of a message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has arrived and is removed; reminders of the same subject with it.
    Delivered,
    /// It has arrived, and is sent again at this time unless a later message about its subject is there.
    Reminded(Timestamp),
    /// It is tried again.
    Postponed {
        /// When.
        next_at: Timestamp,
        /// Why it did not arrive.
        reason: String,
    },
    /// It is not tried again by itself.
    Dead {
        /// Why.
        reason: String,
    },
    /// It was not tried and may be taken by anybody at once.
    Returned,
}

/// A message that waits or is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: MessageId,
    /// What it tells of.
    pub subject: Subject,
    /// The destination.
    pub destination: String,
    /// What kind of message.
    pub kind: String,
    /// When it was posted.
    pub created_at: Timestamp,
    /// When it is tried next; for a dead one when it died.
    pub next_at: Timestamp,
    /// How often it was tried.
    pub attempt: u32,
    /// Why the last attempt failed, or why it is dead; empty for neither.
    pub reason: String,
    /// Whether it is a dead letter.
    pub is_dead: bool,
}

/// Which messages to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Only of this destination.
    pub destination: Option<String>,
    /// Only dead ones, or only waiting ones.
    pub is_dead: Option<bool>,
    /// How many at most, newest first.
    pub limit: usize,
}

/// Which dead letters to send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// All.
    All,
    /// Those of a destination.
    Destination(String),
    /// These.
    Ids(Vec<MessageId>),
}

/// How much the outbox keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// How long a message may wait before it is a dead letter.
    pub age_max: Duration,
    /// How many may wait for one destination; beyond it the oldest become dead letters.
    pub waiting_max: usize,
    /// How long dead letters are kept.
    pub dead_age_max: Duration,
    /// How many dead letters are kept for one destination; beyond it the oldest go.
    pub dead_max: usize,
}

/// What became of what was beyond the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many messages became dead letters.
    pub buried: usize,
    /// How many dead letters were removed.
    pub removed: usize,
}

/// What there is for a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// The destination.
    pub destination: String,
    /// How many messages wait; reminders do not count.
    pub waiting: u64,
    /// When the oldest of them was posted.
    pub oldest: Option<Timestamp>,
    /// How many dead letters there are.
    pub dead: u64,
}

/// Is told that there may be something to deliver; must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The messages of a store.
pub trait Outbox {
    /// Posts messages by themselves; those with an id that waits or is dead already, and those that repeat one, are
    /// left out. Returns how many are new.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] for an alert that is not stored; [`StoreError::Unavailable`].
    fn post(&self, rows: &[OutboxRow], now: Timestamp) -> Result<usize, StoreError>;

    /// Has `wake` called after every change through this store that may have made something due.
    fn on_post(&self, wake: Wake);

    /// Takes messages that are due, those posted first first. One that stands behind another about the same subject
    /// that has not arrived is not due.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn take(&self, take: &Take<'_>) -> Result<Vec<Taken>, StoreError>;

    /// Says what became of messages, all or none. One that `owner` does not hold any more is passed over; returns how
    /// many were not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn settle(&self, owner: &str, settled: &[(MessageId, Outcome)], now: Timestamp) -> Result<usize, StoreError>;

    /// Ends every lease of the owners whose names begin with `owners`: for whoever knows that they are gone, as after a
    /// crash. What was held may have arrived. Others may share the store, so their leases stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn end_leases(&self, owners: &str) -> Result<usize, StoreError>;

    /// Returns when the next message of a destination is due or its lease ends; `None` when none waits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn next_due(&self, destination: &str) -> Result<Option<Timestamp>, StoreError>;

    /// Returns messages, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError>;

    /// Lets dead letters wait again, as if posted now; returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn replay(&self, replay: &Replay, now: Timestamp) -> Result<usize, StoreError>;

    /// Buries what waits for too long or is too much, and removes what is dead for too long or too much; at most
    /// `limit` of each. What is held is left alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn expire(&self, limits: &OutboxLimits, now: Timestamp, limit: usize) -> Result<Expired, StoreError>;

    /// Returns what there is, by destination; one for which there is nothing is left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn outbox_counts(&self) -> Result<Vec<OutboxCounts>, StoreError>;
}
