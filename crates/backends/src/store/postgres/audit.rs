//! The audit: lines that are chained by their digests, so that a change shows.

use model::time::Timestamp;
use tokio_postgres::Row;

use super::error::Fault;
use super::session::{Session, cell, text_of, unsigned};
use super::text::stored;
use crate::store::decisions::AuditEntry;
use crate::store::{StoreError, limit_of};

/// Appends lines. Whoever does holds the counter until its transaction ends: lines are chained in the order of their
/// numbers, and there are no gaps.
pub(super) async fn write(session: &Session, entries: &[AuditEntry]) -> Result<(), Fault> {
    if entries.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'audit' RETURNING value - $1";
    let before: i64 = session.value(sql, &[&(entries.len() as i64)]).await?;
    let last = session.row("SELECT digest FROM audit WHERE number = $1", &[&before]).await?;
    let mut digest: [u8; 16] = match last {
        Some(row) => {
            let digest: Vec<u8> = cell(&row, 0)?;
            digest.try_into().map_err(|_| StoreError::broken("digest of the audit"))?
        }
        None => [0; 16],
    };
    let sql =
        "INSERT INTO audit (number, at, actor, action, subject, reason, digest) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    for (number, entry) in (before + 1..).zip(entries) {
        digest = entry.chained(digest);
        let [actor, action, subject, reason] =
            [&entry.actor, &entry.action, &entry.subject, &entry.reason].map(|it| stored(it));
        session.execute(sql, &[&number, &entry.at.0, &actor, &action, &subject, &reason, &digest.as_slice()]).await?;
    }
    Ok(())
}

/// Reads lines with their numbers, newest first, before the line `before`.
pub(super) async fn list(
    session: &Session,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, AuditEntry)>, Fault> {
    let before = before.map_or(i64::MAX, u64::cast_signed);
    let sql =
        "SELECT number, at, actor, action, subject, reason FROM audit WHERE number < $1 ORDER BY number DESC LIMIT $2";
    let rows = session.rows(sql, &[&before, &limit_of(limit)]).await?;
    rows.iter().map(|it| Ok((unsigned(it, 0)?, entry_of(it)?))).collect()
}

/// Goes through all lines; returns the number of the first that is not as it was written, if any.
pub(super) async fn check(session: &Session) -> Result<Option<u64>, Fault> {
    let sql = "SELECT number, at, actor, action, subject, reason, digest FROM audit ORDER BY number";
    let mut rows = session.stream(sql, &[]).await?;
    let (mut before, mut expected) = ([0_u8; 16], 1);
    while let Some(row) = rows.next().await? {
        let (number, digest): (i64, Vec<u8>) = (cell(&row, 0)?, cell(&row, 6)?);
        before = entry_of(&row)?.chained(before);
        if digest != before || number != expected {
            return Ok(Some(number.min(expected).cast_unsigned()));
        }
        expected += 1;
    }
    Ok(None)
}

fn entry_of(row: &Row) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        at: Timestamp(cell(row, 1)?),
        actor: text_of(row, 2)?,
        action: text_of(row, 3)?,
        subject: text_of(row, 4)?,
        reason: text_of(row, 5)?,
    })
}
