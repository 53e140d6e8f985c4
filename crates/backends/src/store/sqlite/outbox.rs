//! The outbox in SQLite.

use model::time::{Timestamp, nanos_of};
use rusqlite::{Connection, OptionalExtension, Row, Statement, Transaction, params};

use crate::store::outbox::{
    Delivery, DeliveryQuery, Expired, MessageId, OutboxCounts, OutboxLimits, OutboxRow, Outcome, Replay, Subject, Take,
    Taken, cut_reason,
};
use crate::store::{StoreError, limit_of};

/// Posts messages; returns how many are new.
pub(super) fn post<'a>(
    transaction: &Transaction<'_>,
    rows: impl IntoIterator<Item = &'a OutboxRow>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(0);
    }
    let mut posting = Posting::new(transaction, now)?;
    rows.try_fold(0, |posted, row| Ok(posted + usize::from(posting.post(row)?)))
}

/// The statements of posting.
struct Posting<'a> {
    alert: Statement<'a>,
    repeated: Statement<'a>,
    insert: Statement<'a>,
    note: Statement<'a>,
    now: Timestamp,
}

impl<'a> Posting<'a> {
    fn new(transaction: &'a Transaction<'_>, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            alert: transaction.prepare("SELECT 1 FROM stored_alerts WHERE id = ?1")?,
            repeated: transaction.prepare("SELECT at FROM outbox_repeats WHERE destination = ?1 AND name = ?2")?,
            insert: transaction.prepare(
                "INSERT OR IGNORE INTO outbox \
                 (id, subject_kind, subject, destination, kind, payload, created_at, next_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            )?,
            note: transaction.prepare(
                "INSERT INTO outbox_repeats (destination, name, at, until) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (destination, name) DO UPDATE SET at = ?3, until = ?4",
            )?,
            now,
        })
    }

    /// Posts a message; returns whether it is new.
    fn post(&mut self, row: &OutboxRow) -> Result<bool, StoreError> {
        self.check_subject(row.subject)?;
        if self.is_repetition(row)? {
            return Ok(false);
        }
        let inserted = self.insert.execute(params![
            key_of(row.id().0),
            row.subject.kind(),
            key_of(row.subject.number()),
            row.destination,
            row.kind,
            row.payload,
            self.now.0,
        ])?;
        if let (1, Some(repeat)) = (inserted, &row.repeat) {
            let until = self.now.plus(repeat.interval);
            self.note.execute(params![row.destination, key_of(repeat.group), self.now.0, until.0])?;
        }
        Ok(inserted == 1)
    }

    /// Refuses a message about an alert that is not there.
    fn check_subject(&mut self, subject: Subject) -> Result<(), StoreError> {
        let Subject::Alert(id) = subject else { return Ok(()) };
        let found: Option<i64> = self.alert.query_row([key_of(id.0)], |row| row.get(0)).optional()?;
        found.map(|_| ()).ok_or_else(|| StoreError::Refused(format!("there is no alert `{id}` to tell of")))
    }

    fn is_repetition(&mut self, row: &OutboxRow) -> Result<bool, StoreError> {
        let Some(repeat) = &row.repeat else { return Ok(false) };
        let key = params![row.destination, key_of(repeat.group)];
        let at: Option<i64> = self.repeated.query_row(key, |row| row.get(0)).optional()?;
        // A clock that was set back must not silence a destination.
        Ok(at.is_some_and(|at| at <= self.now.0 && self.now.0 < at.saturating_add(nanos_of(repeat.interval))))
    }
}

/// Takes what is due.
pub(super) fn take(transaction: &Transaction<'_>, take: &Take<'_>) -> Result<Vec<Taken>, StoreError> {
    let mut taken = due(transaction, take)?;
    let sql = "UPDATE outbox SET is_uncertain = is_uncertain OR owner IS NOT NULL, owner = ?2, next_at = ?3, \
         attempt = attempt + 1 WHERE id = ?1";
    let mut lease = transaction.prepare(sql)?;
    for message in &mut taken {
        lease.execute(params![key_of(message.id.0), take.owner, take.until.0])?;
        message.attempt = message.attempt.saturating_add(1);
    }
    Ok(taken)
}

/// What is due: nothing that stands behind a message about the same subject, and no reminder before one.
fn due(connection: &Connection, take: &Take<'_>) -> Result<Vec<Taken>, StoreError> {
    let sql = "SELECT id, subject_kind, subject, kind, payload, created_at, attempt, \
             owner IS NOT NULL OR is_uncertain, \
             delivered_at IS NOT NULL \
         FROM outbox AS it INDEXED BY outbox_due \
         WHERE destination = ?1 AND is_dead = 0 AND next_at <= ?2 \
         AND NOT EXISTS (SELECT 1 FROM outbox AS other INDEXED BY outbox_by_subject \
             WHERE other.destination = it.destination AND other.is_dead = 0 AND other.subject = it.subject \
             AND other.subject_kind = it.subject_kind AND CASE WHEN it.delivered_at IS NULL \
             THEN other.number < it.number AND other.delivered_at IS NULL ELSE it.number < other.number END) \
         ORDER BY next_at, number LIMIT ?3";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![take.destination, take.now.0, limit_of(take.limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Taken {
            id: MessageId(number_of(row, 0)?),
            subject: subject_of(row, 1)?,
            kind: row.get(3)?,
            payload: row.get(4)?,
            created_at: Timestamp(row.get(5)?),
            attempt: row.get(6)?,
            is_uncertain: row.get(7)?,
            is_reminder: row.get(8)?,
        });
    }
    Ok(found)
}

/// Says what became of messages; returns how many `owner` still held.
pub(super) fn settle(
    transaction: &Transaction<'_>,
    owner: &str,
    settled: &[(MessageId, Outcome)],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut changed = 0;
    for (id, outcome) in settled {
        let key = key_of(id.0);
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<usize, StoreError> {
            Ok(transaction.prepare(sql)?.execute(values)?)
        };
        changed += match outcome {
            Outcome::Delivered => {
                remove_reminders(transaction, *id, owner)?;
                run("DELETE FROM outbox WHERE id = ?1 AND owner = ?2", &[&key, &owner])?
            }
            Outcome::Reminded(next_at) => run(
                "UPDATE outbox SET owner = NULL, next_at = ?3, delivered_at = coalesce(delivered_at, ?4), \
                 attempt = 0, is_uncertain = 0, reason = '' WHERE id = ?1 AND owner = ?2",
                &[&key, &owner, &next_at.0, &now.0],
            )?,
            Outcome::Postponed { next_at, reason } => run(
                "UPDATE outbox SET owner = NULL, is_uncertain = 0, next_at = ?3, reason = ?4 \
                 WHERE id = ?1 AND owner = ?2",
                &[&key, &owner, &next_at.0, &cut_reason(reason)],
            )?,
            Outcome::Dead { reason } => run(
                "UPDATE outbox SET owner = NULL, next_at = ?3, reason = ?4, is_dead = 1, delivered_at = NULL, is_uncertain = 0 \
                 WHERE id = ?1 AND owner = ?2",
                &[&key, &owner, &now.0, &cut_reason(reason)],
            )?,
            Outcome::Returned => run(
                "UPDATE outbox SET owner = NULL, next_at = ?3, attempt = max(attempt - 1, 0) \
                 WHERE id = ?1 AND owner = ?2",
                &[&key, &owner, &now.0],
            )?,
        };
    }
    Ok(changed)
}

/// What reminded of the same subject is answered by a message that has arrived after it.
fn remove_reminders(transaction: &Transaction<'_>, id: MessageId, owner: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM outbox WHERE delivered_at IS NOT NULL AND is_dead = 0 \
         AND (destination, subject, subject_kind) = \
         (SELECT destination, subject, subject_kind FROM outbox WHERE id = ?1 AND owner = ?2) AND id <> ?1";
    transaction.prepare(sql)?.execute(params![key_of(id.0), owner])?;
    Ok(())
}

/// Ends the leases of the owners whose names begin so; that the messages were held stays known.
pub(super) fn end_leases(transaction: &Transaction<'_>, owners: &str) -> Result<usize, StoreError> {
    let sql = "UPDATE outbox SET next_at = created_at WHERE substr(owner, 1, length(?1)) = ?1 AND is_dead = 0";
    Ok(transaction.execute(sql, [owners])?)
}

/// When something of a destination is next due.
pub(super) fn next_due(connection: &Connection, destination: &str) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(next_at) FROM outbox WHERE destination = ?1 AND is_dead = 0";
    let found: Option<i64> = connection.prepare(sql)?.query_row([destination], |row| row.get(0))?;
    Ok(found.map(Timestamp))
}

/// Lists messages, newest first; reminders are left out.
pub(super) fn list(connection: &Connection, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
    let sql = "SELECT id, subject_kind, subject, destination, kind, created_at, next_at, attempt, reason, is_dead \
         FROM outbox WHERE delivered_at IS NULL AND (?1 IS NULL OR destination = ?1) \
         AND (?2 IS NULL OR is_dead = ?2) ORDER BY number DESC LIMIT ?3";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![query.destination, query.is_dead, limit_of(query.limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Delivery {
            id: MessageId(number_of(row, 0)?),
            subject: subject_of(row, 1)?,
            destination: row.get(3)?,
            kind: row.get(4)?,
            created_at: Timestamp(row.get(5)?),
            next_at: Timestamp(row.get(6)?),
            attempt: row.get(7)?,
            reason: row.get(8)?,
            is_dead: row.get(9)?,
        });
    }
    Ok(found)
}

/// Lets dead letters wait again; returns how many.
pub(super) fn replay(transaction: &Transaction<'_>, replay: &Replay, now: Timestamp) -> Result<usize, StoreError> {
    // That there is an alert which somebody has closed since is no news, and would open an incident that nobody ends.
    let set = "UPDATE outbox SET is_dead = 0, attempt = 0, created_at = ?1, next_at = ?1, reason = '' WHERE is_dead = 1 \
         AND NOT (kind = 'raised' AND subject_kind = 'alert' AND EXISTS \
             (SELECT 1 FROM stored_alerts WHERE stored_alerts.id = outbox.subject AND stored_alerts.status = 'closed'))";
    Ok(match replay {
        Replay::All => transaction.execute(set, [now.0])?,
        Replay::Destination(name) => {
            transaction.execute(&format!("{set} AND destination = ?2"), params![now.0, name])?
        }
        Replay::Ids(ids) => {
            let mut statement = transaction.prepare(&format!("{set} AND id = ?2"))?;
            let mut changed = 0;
            for id in ids {
                changed += statement.execute(params![now.0, key_of(id.0)])?;
            }
            changed
        }
    })
}

/// Buries and removes what is beyond the limits.
pub(super) fn expire(
    transaction: &Transaction<'_>,
    limits: &OutboxLimits,
    now: Timestamp,
    limit: usize,
) -> Result<Expired, StoreError> {
    let mut expired = Expired::default();
    for count in counts(transaction)? {
        let destination = count.destination.as_str();
        end_reminders(transaction, destination, now.minus(limits.age_max), limit)?;
        let (old, far) = (now.minus(limits.age_max), Timestamp(i64::MAX));
        let too_old = bury(transaction, destination, "too old", old, now, limit_of(limit))?;
        let beyond = count.waiting.saturating_sub(limits.waiting_max as u64).saturating_sub(too_old as u64);
        let beyond = limit_of(limit).min(beyond.cast_signed());
        expired.buried += too_old + bury(transaction, destination, "too many", far, now, beyond)?;
        let beyond = limit_of(limit).min(count.dead.saturating_sub(limits.dead_max as u64).cast_signed());
        expired.removed += remove_dead(transaction, destination, far, beyond)?;
        expired.removed += remove_dead(transaction, destination, now.minus(limits.dead_age_max), limit_of(limit))?;
    }
    let sql = "DELETE FROM outbox_repeats WHERE (destination, name) IN \
         (SELECT destination, name FROM outbox_repeats WHERE until <= ?1 LIMIT ?2)";
    transaction.execute(sql, params![now.0, limit_of(limit)])?;
    Ok(expired)
}

/// Removes reminders that began before `old`: they have arrived, so nothing is lost.
fn end_reminders(
    transaction: &Transaction<'_>,
    destination: &str,
    old: Timestamp,
    limit: usize,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox INDEXED BY outbox_by_state \
         WHERE destination = ?1 AND is_dead = 0 AND delivered_at < ?2 LIMIT ?3)";
    transaction.execute(sql, params![destination, old.0, limit_of(limit)])?;
    Ok(())
}

/// Makes dead letters of the oldest messages posted before `before`; those on their way are left alone.
fn bury(
    transaction: &Transaction<'_>,
    destination: &str,
    reason: &str,
    before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<usize, StoreError> {
    let sql = "UPDATE outbox SET is_dead = 1, owner = NULL, next_at = ?4, \
             reason = ?2 || CASE reason WHEN '' THEN '' ELSE ': ' || reason END \
         WHERE number IN (SELECT number FROM outbox INDEXED BY outbox_by_state \
             WHERE destination = ?1 AND is_dead = 0 AND delivered_at IS NULL AND created_at < ?3 \
             AND (owner IS NULL OR next_at <= ?4) ORDER BY created_at, number LIMIT ?5)";
    Ok(transaction.execute(sql, params![destination, reason, before.0, now.0, limit])?)
}

/// Removes the dead letters that died before `before`, those posted first first.
fn remove_dead(
    transaction: &Transaction<'_>,
    destination: &str,
    before: Timestamp,
    limit: i64,
) -> Result<usize, StoreError> {
    let sql = "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox INDEXED BY outbox_by_state \
         WHERE destination = ?1 AND is_dead = 1 AND delivered_at IS NULL AND next_at < ?2 \
         ORDER BY created_at, number LIMIT ?3)";
    Ok(transaction.execute(sql, params![destination, before.0, limit])?)
}

/// Counts what there is, by destination.
pub(super) fn counts(connection: &Connection) -> Result<Vec<OutboxCounts>, StoreError> {
    let sql = "SELECT destination, count(*) FILTER (WHERE is_dead = 0 AND delivered_at IS NULL), \
         min(created_at) FILTER (WHERE is_dead = 0 AND delivered_at IS NULL), count(*) FILTER (WHERE is_dead = 1) \
         FROM outbox GROUP BY destination ORDER BY destination";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (waiting, dead): (i64, i64) = (row.get(1)?, row.get(3)?);
        let oldest: Option<i64> = row.get(2)?;
        found.push(OutboxCounts {
            destination: row.get(0)?,
            waiting: waiting.cast_unsigned(),
            oldest: oldest.map(Timestamp),
            dead: dead.cast_unsigned(),
        });
    }
    Ok(found)
}

fn subject_of(row: &Row<'_>, column: usize) -> Result<Subject, StoreError> {
    let kind: String = row.get(column)?;
    Subject::of(&kind, number_of(row, column + 1)?).ok_or(StoreError::broken("subject of a message"))
}

fn number_of(row: &Row<'_>, column: usize) -> Result<u128, StoreError> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(u128::from_be_bytes(bytes))
}

const fn key_of(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}
