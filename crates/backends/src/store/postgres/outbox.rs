//! The outbox in PostgreSQL: how messages are posted, taken and settled. What is counted and cleared is in `upkeep`.

use std::collections::{BTreeSet, HashSet};

use model::id::AlertId;
use model::time::{Timestamp, nanos_of};
use tokio_postgres::Row;

use super::error::Fault;
use super::session::{Session, cell, id_of, key_of, text_of};
use super::text::stored;
use crate::store::outbox::{MessageId, OutboxRow, Outcome, Repeat, Subject, Take, Taken, cut_reason};
use crate::store::{StoreError, limit_of};

const INSERT: &str = "INSERT INTO outbox (id, subject_kind, subject, destination, kind, payload, created_at, next_at) \
     SELECT new.*, $7, $7 FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[]) AS new \
     ON CONFLICT (id) DO NOTHING RETURNING id";

/// Notes that a message of a group is posted, unless one was less than an interval ago. A clock that was set back must not
/// silence a destination.
const NOTE: &str = "INSERT INTO outbox_repeats AS it (destination, name, at, until) \
     SELECT new.destination, new.name, $4, new.until FROM unnest($1::text[], $2::bytea[], $3::bigint[]) \
     AS new (destination, name, until) ORDER BY 1, 2 \
     ON CONFLICT (destination, name) DO UPDATE SET at = excluded.at, until = excluded.until \
     WHERE NOT (it.at <= excluded.at AND excluded.at < \
     CASE WHEN it.at > 9223372036854775807 - (excluded.until - excluded.at) THEN 9223372036854775807 \
     ELSE it.at + (excluded.until - excluded.at) END) RETURNING destination, name";

/// Posts messages; returns how many are new.
pub(super) async fn post(session: &Session, rows: &[&OutboxRow], now: Timestamp) -> Result<usize, Fault> {
    if rows.is_empty() {
        return Ok(0);
    }
    check_subjects(session, rows).await?;
    let inserted = insert(session, rows, now).await?;
    let mut seen = HashSet::new();
    let new: Vec<_> = rows.iter().copied().filter(|it| inserted.contains(&it.id()) && seen.insert(it.id())).collect();
    let repeated = repetitions(session, &new, now).await?;
    if !repeated.is_empty() {
        session.execute("DELETE FROM outbox WHERE id = ANY($1)", &[&repeated]).await?;
    }
    Ok(new.len() - repeated.len())
}

/// Refuses messages about alerts that are not there.
async fn check_subjects(session: &Session, rows: &[&OutboxRow]) -> Result<(), Fault> {
    let alert_of = |it: &&OutboxRow| match it.subject {
        Subject::Alert(id) => Some(id),
        Subject::Decision(_) | Subject::Test(_) => None,
    };
    let mut missing: BTreeSet<AlertId> = rows.iter().filter_map(alert_of).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = missing.iter().map(|it| key_of(it.0)).collect();
    // Held until the end, so that none is removed between this look and the commit.
    let sql = "SELECT id FROM stored_alerts WHERE id = ANY($1) ORDER BY id FOR KEY SHARE";
    for row in session.rows(sql, &[&keys]).await? {
        missing.remove(&AlertId(id_of(&row, 0)?));
    }
    match missing.first() {
        None => Ok(()),
        Some(id) => Err(StoreError::Refused(format!("there is no alert `{id}` to tell of")).into()),
    }
}

async fn insert(session: &Session, rows: &[&OutboxRow], now: Timestamp) -> Result<HashSet<MessageId>, Fault> {
    let ids: Vec<_> = rows.iter().map(|it| key_of(it.id().0)).collect();
    let kinds: Vec<_> = rows.iter().map(|it| it.subject.kind()).collect();
    let subjects: Vec<_> = rows.iter().map(|it| key_of(it.subject.number())).collect();
    let texts = |of: fn(&OutboxRow) -> &str| rows.iter().map(|it| stored(of(it))).collect::<Vec<_>>();
    let (destinations, words, payloads) = (texts(|it| &it.destination), texts(|it| &it.kind), texts(|it| &it.payload));
    let found = session.rows(INSERT, &[&ids, &kinds, &subjects, &destinations, &words, &payloads, &now.0]).await?;
    found.iter().map(|it| Ok(MessageId(id_of(it, 0)?))).collect()
}

/// Which of new messages repeat others; the rest are noted.
async fn repetitions(session: &Session, rows: &[&OutboxRow], now: Timestamp) -> Result<Vec<Vec<u8>>, Fault> {
    let mut waiting: Vec<(&OutboxRow, &Repeat)> =
        rows.iter().filter_map(|it| Some((*it, it.repeat.as_ref()?))).collect();
    let mut repeated = Vec::new();
    // A statement notes a group once; further messages of a group are for the next round.
    while !waiting.is_empty() {
        let mut groups = HashSet::new();
        let (round, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(row, repeat)| groups.insert((row.destination.as_str(), repeat.group)));
        let destinations: Vec<_> = round.iter().map(|it| stored(&it.0.destination)).collect();
        let names: Vec<_> = round.iter().map(|it| key_of(it.1.group)).collect();
        let until: Vec<_> = round.iter().map(|it| now.0.saturating_add(nanos_of(it.1.interval))).collect();
        let mut noted = HashSet::new();
        for row in session.rows(NOTE, &[&destinations, &names, &until, &now.0]).await? {
            noted.insert((text_of(&row, 0)?, id_of(&row, 1)?));
        }
        let is_noted = |row: &OutboxRow, repeat: &Repeat| noted.contains(&(row.destination.clone(), repeat.group));
        repeated.extend(round.iter().filter(|it| !is_noted(it.0, it.1)).map(|it| key_of(it.0.id().0)));
        waiting = rest;
    }
    Ok(repeated)
}

/// Takes what is due: nothing that stands behind a message about the same subject, and no reminder before one. What another
/// takes in the same moment is passed over.
pub(super) async fn take(session: &Session, take: &Take<'_>) -> Result<Vec<Taken>, Fault> {
    let sql = "SELECT id, subject_kind, subject, kind, payload, created_at, attempt, \
             owner IS NOT NULL OR is_uncertain, delivered_at IS NOT NULL \
         FROM outbox AS it WHERE destination = $1 AND NOT is_dead AND next_at <= $2 \
         AND NOT EXISTS (SELECT 1 FROM outbox AS other \
             WHERE other.destination = it.destination AND NOT other.is_dead AND other.subject = it.subject \
             AND other.subject_kind = it.subject_kind AND CASE WHEN it.delivered_at IS NULL \
             THEN other.number < it.number AND other.delivered_at IS NULL ELSE it.number < other.number END) \
         ORDER BY next_at, number LIMIT $3 FOR UPDATE SKIP LOCKED";
    let rows = session.rows(sql, &[&stored(take.destination), &take.now.0, &limit_of(take.limit)]).await?;
    let taken = rows.iter().map(taken_of).collect::<Result<Vec<_>, Fault>>()?;
    let ids: Vec<_> = taken.iter().map(|it| key_of(it.id.0)).collect();
    if !ids.is_empty() {
        let sql = "UPDATE outbox SET is_uncertain = is_uncertain OR owner IS NOT NULL, owner = $2, next_at = $3, \
             attempt = attempt + 1 WHERE id = ANY($1)";
        session.execute(sql, &[&ids, &stored(take.owner), &take.until.0]).await?;
    }
    Ok(taken)
}

fn taken_of(row: &Row) -> Result<Taken, Fault> {
    Ok(Taken {
        id: MessageId(id_of(row, 0)?),
        subject: subject_of(row, 1)?,
        kind: text_of(row, 3)?,
        payload: text_of(row, 4)?,
        created_at: Timestamp(cell(row, 5)?),
        attempt: attempt_of(row, 6)?.saturating_add(1),
        is_uncertain: cell(row, 7)?,
        is_reminder: cell(row, 8)?,
    })
}

/// Says what became of messages; returns how many `owner` still held.
pub(super) async fn settle(
    session: &Session,
    owner: &str,
    settled: &[(MessageId, Outcome)],
    now: Timestamp,
) -> Result<usize, Fault> {
    let mut changed = 0;
    for (id, outcome) in settled {
        changed += settle_one(session, &stored(owner), *id, outcome, now).await? as usize;
    }
    Ok(changed)
}

async fn settle_one(
    session: &Session,
    owner: &str,
    id: MessageId,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<u64, Fault> {
    let key = key_of(id.0);
    match outcome {
        Outcome::Delivered => {
            remove_reminders(session, &key, owner).await?;
            session.execute("DELETE FROM outbox WHERE id = $1 AND owner = $2", &[&key, &owner]).await
        }
        Outcome::Reminded(next_at) => {
            let sql = "UPDATE outbox SET owner = NULL, next_at = $3, delivered_at = coalesce(delivered_at, $4), \
                 attempt = 0, is_uncertain = false, reason = '' WHERE id = $1 AND owner = $2";
            session.execute(sql, &[&key, &owner, &next_at.0, &now.0]).await
        }
        Outcome::Postponed { next_at, reason } => {
            let sql = "UPDATE outbox SET owner = NULL, is_uncertain = false, next_at = $3, reason = $4 \
                 WHERE id = $1 AND owner = $2";
            session.execute(sql, &[&key, &owner, &next_at.0, &stored(cut_reason(reason))]).await
        }
        Outcome::Dead { reason } => {
            let sql = "UPDATE outbox SET owner = NULL, next_at = $3, reason = $4, is_dead = true, delivered_at = NULL, \
                 is_uncertain = false WHERE id = $1 AND owner = $2";
            session.execute(sql, &[&key, &owner, &now.0, &stored(cut_reason(reason))]).await
        }
        Outcome::Returned => {
            let sql = "UPDATE outbox SET owner = NULL, next_at = $3, attempt = greatest(attempt - 1, 0) \
                 WHERE id = $1 AND owner = $2";
            session.execute(sql, &[&key, &owner, &now.0]).await
        }
    }
}

/// What reminded of the same subject is answered by a message that has arrived after it.
async fn remove_reminders(session: &Session, key: &[u8], owner: &str) -> Result<(), Fault> {
    let sql = "DELETE FROM outbox WHERE delivered_at IS NOT NULL AND NOT is_dead \
         AND (destination, subject, subject_kind) IN \
         (SELECT destination, subject, subject_kind FROM outbox WHERE id = $1 AND owner = $2) AND id <> $1";
    session.execute(sql, &[&key, &owner]).await?;
    Ok(())
}

pub(super) fn subject_of(row: &Row, column: usize) -> Result<Subject, Fault> {
    let kind: String = cell(row, column)?;
    Ok(Subject::of(&kind, id_of(row, column + 1)?).ok_or(StoreError::broken("subject of a message"))?)
}

pub(super) fn attempt_of(row: &Row, column: usize) -> Result<u32, Fault> {
    Ok(u32::try_from(cell::<i64>(row, column)?).unwrap_or(u32::MAX))
}
