//! Proposals, decisions, who is spared, and who changed what: the part of a store that blocking rests on.

use std::fmt;

use model::alert::Alert;
use model::decision::{Decision, DecisionId, Ended, Origin, Proposal, Spared, Standing, Target};
use model::id::digest128;
use model::network::Network;
use model::place::PartitionId;
use model::time::Timestamp;

use super::outbox::OutboxRow;
use super::{Lease, StoreError};

/// The partition whose lease is the right to admit: one leader in an installation.
pub const LEADER: PartitionId = PartitionId(u32::MAX);
/// The switch that says whether decisions of machines are enforced; `dry_run` or `live`.
pub const SWITCH_MODE: &str = "decisions.mode";
/// The switch by which decisions of machines are paused: empty, or who paused them and why.
pub const SWITCH_PAUSED: &str = "decisions.paused";
/// Whether it was said what dry run would have blocked.
pub const SWITCH_REPORTED: &str = "decisions.reported";

/// A proposal that waits to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingProposal {
    /// Its number; older ones have lower ones.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// What is proposed.
    pub proposal: Proposal,
}

/// A proposal as it was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was proposed.
    pub proposal: Proposal,
    /// What became of it.
    pub standing: Standing,
}

impl Judged {
    /// Makes the decision of it at `now`, with the number of its change; the store gives it its id.
    pub(super) fn decision(&self, now: Timestamp, changed: u64) -> Decision {
        let proposal = self.proposal.clone();
        let Proposal { target, measure, origin, reason, basis, lasts, actor, is_spoofable: _, is_synthetic } = proposal;
        Decision {
            id: DecisionId(0),
            target,
            measure,
            origin,
            reason,
            basis,
            actor,
            created_at: now,
            expires_at: now.plus(lasts),
            standing: self.standing,
            ended: None,
            is_synthetic,
            changed,
        }
    }
}

/// Makes the messages about a decision, once it has its number.
#[derive(Clone, Copy)]
pub struct Tell<'a>(pub &'a dyn Fn(&Decision) -> Vec<OutboxRow>);

impl Tell<'_> {
    /// Tells nobody.
    pub const NOBODY: Tell<'static> = Tell(&|_| Vec::new());
}

impl fmt::Debug for Tell<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tell")
    }
}

/// What the leader stores at once.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The right to do so.
    pub lease: Lease,
    /// The proposals that are dealt with, by number.
    pub taken: &'a [u64],
    /// The proposals that become decisions.
    pub judged: &'a [Judged],
    /// Alarms about what was held back.
    pub alarms: &'a [Alert],
    /// Messages about those of them that are new.
    pub outbox: &'a [OutboxRow],
    /// Messages about decisions.
    pub tell: Tell<'a>,
    /// What is written down about it.
    pub audit: &'a [AuditEntry],
    /// The time.
    pub now: Timestamp,
}

/// Which decisions to return; everything that is set must hold. Newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionQuery {
    /// About exactly this target.
    pub target: Option<Target>,
    /// By who proposed them.
    pub origin: Option<Origin>,
    /// By rule.
    pub rule_id: Option<String>,
    /// By standing: `in_force`, `dry_run` or `held`, ended and expired ones too.
    pub standing: Option<String>,
    /// Neither ended nor expired at this time.
    pub open_at: Option<Timestamp>,
    /// Made at this time or later.
    pub created_from: Option<Timestamp>,
    /// Behind this one in the list.
    pub before: Option<DecisionId>,
    /// How many at most.
    pub limit: usize,
}

/// A line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: the name of the key, or of the part.
    pub actor: String,
    /// What was done: `decision.add`, `decision.end`.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// Why; empty for none.
    pub reason: String,
}

impl AuditEntry {
    /// The digest of this line behind the one with the digest `before`; the first stands behind zeros.
    pub(crate) fn chained(&self, before: [u8; 16]) -> [u8; 16] {
        let Self { at, actor, action, subject, reason } = self;
        let texts = [actor, action, subject, reason].map(|it| it.as_bytes());
        let at = at.0.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![&before, &at];
        parts.extend(texts);
        digest128(&parts).to_be_bytes()
    }
}

/// Somebody who pulls decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puller {
    /// The name of the key.
    pub name: String,
    /// From where.
    pub address: String,
    /// How it calls itself.
    pub agent: String,
    /// Through which door: `crowdsec`, `list`, `stream`, `gateway`, `nftables`.
    pub kind: String,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// The number of the last change it has been told of.
    pub changed: u64,
    /// How often.
    pub pulls: u64,
    /// How long the newest decision that it was told of last had waited for it, in milliseconds.
    pub lag_millis: Option<u64>,
    /// What it reports of itself, as JSON text; empty for nothing.
    pub reported: String,
}

/// The part of a store that decisions need.
pub trait DecisionStore {
    /// Returns proposals that wait, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn proposals(&self, limit: usize) -> Result<Vec<WaitingProposal>, StoreError>;

    /// Stores what the leader has judged, all or nothing, and returns the decisions with their numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when another leads; [`StoreError::Unavailable`].
    fn admit(&self, admission: &Admission<'_>) -> Result<Vec<Decision>, StoreError>;

    /// Ends decisions that have not ended, with the messages about each, and returns them as they are now. `audit` is stored
    /// with it, if anything is ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn end_decisions(
        &self,
        ids: &[DecisionId],
        ended: &Ended,
        audit: &[AuditEntry],
        tell: Tell<'_>,
    ) -> Result<Vec<Decision>, StoreError>;

    /// Gives a decision that is held or in dry run into force until `expires_at`, with the messages about it; `None` when
    /// there is no such one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn release_decision(
        &self,
        id: DecisionId,
        expires_at: Timestamp,
        audit: &AuditEntry,
        tell: Tell<'_>,
    ) -> Result<Option<Decision>, StoreError>;

    /// Returns one decision.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError>;

    /// Returns decisions, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn decisions(&self, query: &DecisionQuery) -> Result<Vec<Decision>, StoreError>;

    /// Returns decisions whose last change is behind `changed`, in the order of their changes; only those that are or were
    /// in force and did not expire before `expires_from`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn decisions_changed(
        &self,
        changed: u64,
        expires_from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Decision>, StoreError>;

    /// Returns who is spared, in no order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn spared(&self) -> Result<Vec<Spared>, StoreError>;

    /// Spares a network, or changes why.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn spare(&self, spared: &Spared, audit: &AuditEntry) -> Result<(), StoreError>;

    /// Spares a network no longer; returns whether it was.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn unspare(&self, network: &Network, audit: &AuditEntry) -> Result<bool, StoreError>;

    /// Returns the value of a switch.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn switch(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Gives a switch a value.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn set_switch(&self, name: &str, value: &str, audit: &AuditEntry) -> Result<(), StoreError>;

    /// Returns lines of the audit with their numbers, newest first, before the line `before`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError>;

    /// Goes through the whole audit; returns the number of the first line that is not as it was written, if any.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn check_audit(&self) -> Result<Option<u64>, StoreError>;

    /// Notes who pulled; one that is known is replaced, but for `first_at`, and what it reported unless it reports anew.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn note_pullers(&self, pullers: &[Puller]) -> Result<(), StoreError>;

    /// Returns who pulls, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn pullers(&self) -> Result<Vec<Puller>, StoreError>;

    /// Forgets a puller; returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn forget_puller(&self, name: &str) -> Result<bool, StoreError>;
}
