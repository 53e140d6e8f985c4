//! The outbox beside its messages: what there is, what is tried again, what is beyond the limits.

use model::time::Timestamp;
use tokio_postgres::Row;

use super::error::Fault;
use super::outbox::{attempt_of, subject_of};
use super::session::{Session, cell, id_of, key_of, text_of, unsigned};
use super::text::stored;
use crate::store::limit_of;
use crate::store::outbox::{Delivery, DeliveryQuery, Expired, MessageId, OutboxCounts, OutboxLimits, Replay};

/// Ends the leases of the owners whose names begin so; that the messages were held stays known.
pub(super) async fn end_leases(session: &Session, owners: &str) -> Result<usize, Fault> {
    let sql = "UPDATE outbox SET next_at = created_at WHERE starts_with(owner, $1) AND NOT is_dead";
    Ok(session.execute(sql, &[&stored(owners)]).await? as usize)
}

/// When something of a destination is next due.
pub(super) async fn next_due(session: &Session, destination: &str) -> Result<Option<Timestamp>, Fault> {
    let sql = "SELECT min(next_at) FROM outbox WHERE destination = $1 AND NOT is_dead";
    Ok(session.value::<Option<i64>>(sql, &[&stored(destination)]).await?.map(Timestamp))
}

/// Lists messages, newest first; reminders are left out.
pub(super) async fn list(session: &Session, query: &DeliveryQuery) -> Result<Vec<Delivery>, Fault> {
    let sql = "SELECT id, subject_kind, subject, destination, kind, created_at, next_at, attempt, reason, is_dead \
         FROM outbox WHERE delivered_at IS NULL AND ($1::text IS NULL OR destination = $1) \
         AND ($2::boolean IS NULL OR is_dead = $2) ORDER BY number DESC LIMIT $3";
    let destination = query.destination.as_deref().map(stored);
    session.rows(sql, &[&destination, &query.is_dead, &limit_of(query.limit)]).await?.iter().map(delivery_of).collect()
}

fn delivery_of(row: &Row) -> Result<Delivery, Fault> {
    Ok(Delivery {
        id: MessageId(id_of(row, 0)?),
        subject: subject_of(row, 1)?,
        destination: text_of(row, 3)?,
        kind: text_of(row, 4)?,
        created_at: Timestamp(cell(row, 5)?),
        next_at: Timestamp(cell(row, 6)?),
        attempt: attempt_of(row, 7)?,
        reason: text_of(row, 8)?,
        is_dead: cell(row, 9)?,
    })
}

/// Lets dead letters wait again; returns how many.
pub(super) async fn replay(session: &Session, replay: &Replay, now: Timestamp) -> Result<usize, Fault> {
    // That there is an alert which somebody has closed since is no news, and would open an incident that nobody ends.
    let set = "UPDATE outbox SET is_dead = false, attempt = 0, created_at = $1, next_at = $1, reason = '' WHERE is_dead \
         AND NOT (kind = 'raised' AND subject_kind = 'alert' AND EXISTS \
             (SELECT 1 FROM stored_alerts AS it WHERE it.id = outbox.subject AND it.status = 'closed'))";
    let changed = match replay {
        Replay::All => session.execute(set, &[&now.0]).await?,
        Replay::Destination(name) => {
            session.execute(&format!("{set} AND destination = $2"), &[&now.0, &stored(name)]).await?
        }
        Replay::Ids(ids) => {
            let keys: Vec<_> = ids.iter().map(|it| key_of(it.0)).collect();
            session.execute(&format!("{set} AND id = ANY($2)"), &[&now.0, &keys]).await?
        }
    };
    Ok(changed as usize)
}

/// Buries and removes what is beyond the limits.
pub(super) async fn expire(
    session: &Session,
    limits: &OutboxLimits,
    now: Timestamp,
    limit: usize,
) -> Result<Expired, Fault> {
    let (mut expired, far, all) = (Expired::default(), Timestamp(i64::MAX), limit_of(limit));
    for count in counts(session).await? {
        let destination = stored(&count.destination);
        let old = now.minus(limits.age_max);
        end_reminders(session, &destination, old, all).await?;
        let too_old = bury(session, &destination, "too old", old, now, all).await?;
        let beyond = count.waiting.saturating_sub(limits.waiting_max as u64).saturating_sub(too_old as u64);
        let beyond = all.min(beyond.cast_signed());
        expired.buried += too_old + bury(session, &destination, "too many", far, now, beyond).await?;
        let beyond = all.min(count.dead.saturating_sub(limits.dead_max as u64).cast_signed());
        expired.removed += remove_dead(session, &destination, far, beyond).await?;
        expired.removed += remove_dead(session, &destination, now.minus(limits.dead_age_max), all).await?;
    }
    let sql = "DELETE FROM outbox_repeats WHERE (destination, name) IN \
         (SELECT destination, name FROM outbox_repeats WHERE until <= $1 LIMIT $2)";
    session.execute(sql, &[&now.0, &all]).await?;
    Ok(expired)
}

/// Removes reminders that began before `old`: they have arrived, so nothing is lost.
async fn end_reminders(session: &Session, destination: &str, old: Timestamp, limit: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox \
         WHERE destination = $1 AND NOT is_dead AND delivered_at < $2 LIMIT $3)";
    session.execute(sql, &[&destination, &old.0, &limit]).await?;
    Ok(())
}

/// Makes dead letters of the oldest messages posted before `before`; those on their way are left alone.
async fn bury(
    session: &Session,
    destination: &str,
    reason: &str,
    before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Fault> {
    let sql = "UPDATE outbox SET is_dead = true, owner = NULL, next_at = $4, \
             reason = $2 || CASE reason WHEN '' THEN '' ELSE ': ' || reason END \
         WHERE number IN (SELECT number FROM outbox \
             WHERE destination = $1 AND NOT is_dead AND delivered_at IS NULL AND created_at < $3 \
             AND (owner IS NULL OR next_at <= $4) ORDER BY created_at, number LIMIT $5 FOR UPDATE SKIP LOCKED)";
    Ok(session.execute(sql, &[&destination, &reason, &before.0, &now.0, &limit]).await? as usize)
}

/// Removes the dead letters that died before `before`, those posted first first.
async fn remove_dead(session: &Session, destination: &str, before: Timestamp, limit: i64) -> Result<usize, Fault> {
    let sql = "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox \
         WHERE destination = $1 AND is_dead AND delivered_at IS NULL AND next_at < $2 \
         ORDER BY created_at, number LIMIT $3 FOR UPDATE SKIP LOCKED)";
    Ok(session.execute(sql, &[&destination, &before.0, &limit]).await? as usize)
}

/// Counts what there is, by destination.
pub(super) async fn counts(session: &Session) -> Result<Vec<OutboxCounts>, Fault> {
    let sql = "SELECT destination, count(*) FILTER (WHERE NOT is_dead AND delivered_at IS NULL), \
         min(created_at) FILTER (WHERE NOT is_dead AND delivered_at IS NULL), count(*) FILTER (WHERE is_dead) \
         FROM outbox GROUP BY destination ORDER BY destination";
    let counts_of = |row: &Row| {
        Ok(OutboxCounts {
            destination: text_of(row, 0)?,
            waiting: unsigned(row, 1)?,
            oldest: cell::<Option<i64>>(row, 2)?.map(Timestamp),
            dead: unsigned(row, 3)?,
        })
    };
    session.rows(sql, &[]).await?.iter().map(counts_of).collect()
}
