//! Who owns a partition, and where its last commit ended.

use std::collections::HashMap;

use model::id::AlertId;
use model::place::{PartitionId, Position};

use super::error::Fault;
use super::session::{Session, cell, unsigned};
use crate::store::{Commit, Committed, Lease, StoreError};

/// Takes the ownership for a new epoch.
pub(super) async fn acquire(session: &Session, partition: PartitionId) -> Result<Lease, Fault> {
    let sql = "INSERT INTO partitions AS it (partition, epoch, position) VALUES ($1, 1, $2) \
         ON CONFLICT (partition) DO UPDATE SET epoch = it.epoch + 1 RETURNING epoch, position";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
        [&i64::from(partition.0), &Position::START.0.cast_signed()];
    let row = session.row(sql, &values).await?.ok_or(StoreError::broken("epoch"))?;
    Ok(Lease { partition, epoch: unsigned(&row, 0)?, position: Position(unsigned(&row, 1)?) })
}

/// Where the last commit ended.
pub(super) async fn position(session: &Session, partition: PartitionId) -> Result<Position, Fault> {
    let sql = "SELECT position FROM partitions WHERE partition = $1";
    let row = session.row(sql, &[&i64::from(partition.0)]).await?;
    let position: Option<i64> = row.map(|it| cell(&it, 0)).transpose()?;
    Ok(position.map_or(Position::START, |it| Position(it.cast_unsigned())))
}

/// Moves the position of a partition, if it is where its owner left it and the owner is still the owner. The row stays
/// locked until the transaction ends.
///
/// `doubtful` is where a commit of this owner would have ended whose answer was lost. Nobody else moves the position in this
/// epoch, so a position that is there says that the commit was done; returns whether it is.
pub(super) async fn advance(session: &Session, commit: &Commit<'_>, doubtful: Option<Position>) -> Result<bool, Fault> {
    let Lease { partition, epoch, position } = commit.lease;
    let sql = "UPDATE partitions SET position = $1 WHERE partition = $2 AND epoch = $3 AND position = $4";
    let (to, number, epoch) = (commit.to.0.cast_signed(), i64::from(partition.0), epoch.cast_signed());
    if session.execute(sql, &[&to, &number, &epoch, &position.0.cast_signed()]).await? != 0 {
        return Ok(false);
    }
    let Some(doubtful) = doubtful else { return Err(StoreError::Fenced { partition }.into()) };
    match session.execute(sql, &[&to, &number, &epoch, &doubtful.0.cast_signed()]).await? {
        0 => Err(StoreError::Fenced { partition }.into()),
        _ => Ok(true),
    }
}

/// Commits of which it is not known whether they were done, until the owner tries again.
#[derive(Default)]
pub(super) struct Doubts(HashMap<PartitionId, Doubt>);

struct Doubt {
    lease: Lease,
    to: Position,
    committed: Committed,
}

impl Doubts {
    /// Where the doubtful commit under a lease would have ended.
    pub(super) fn of(&self, lease: Lease) -> Option<Position> {
        self.0.get(&lease.partition).filter(|it| it.lease == lease).map(|it| it.to)
    }

    /// Remembers a commit whose answer was lost. One that is tried for the second time raises what either tells of.
    pub(super) fn note(&mut self, commit: &Commit<'_>, committed: Committed) {
        let committed = self.settle(commit, committed, true);
        self.0.insert(commit.lease.partition, Doubt { lease: commit.lease, to: commit.to, committed });
    }

    /// What a commit did that was done now: with what a doubtful one under the same lease had raised before it, if that one
    /// was done too. Where the position tells, `is_repeated` says so; where it does not move, what is there tells.
    pub(super) fn settle(&mut self, commit: &Commit<'_>, committed: Committed, is_repeated: bool) -> Committed {
        let may_be_done = is_repeated || commit.to == commit.lease.position;
        let doubt = self.0.remove(&commit.lease.partition).filter(|it| may_be_done && it.lease == commit.lease);
        let Some(doubt) = doubt else { return committed };
        let is_raised = |id: &AlertId| committed.raised.contains(id) || doubt.committed.raised.contains(id);
        let mut raised = Vec::new();
        for id in commit.alerts.iter().map(|it| it.id).filter(is_raised) {
            if !raised.contains(&id) {
                raised.push(id);
            }
        }
        Committed { raised }
    }
}
