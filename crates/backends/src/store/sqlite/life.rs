//! The life that people give an alert: its status, and who changed it when.

use model::alert::AlertStatus;
use model::id::AlertId;
use model::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::alerts::key_of;
use crate::store::{HISTORY_MAX, Handled, Handling, StatusChange, StoreError};

/// Gives an alert a status and writes down who did; see [`Store::handle`](crate::store::Store::handle).
pub(super) fn handle(transaction: &Transaction<'_>, id: AlertId, handling: &Handling) -> Result<Handled, StoreError> {
    let sql = "SELECT status FROM stored_alerts WHERE id = ?1";
    let stored: Option<String> = transaction.query_row(sql, [key_of(id)], |row| row.get(0)).optional()?;
    let Some(stored) = stored else { return Ok(Handled::Unknown) };
    let before = status_of(&stored)?;
    if before == handling.status && handling.note.is_empty() {
        return Ok(Handled::Unchanged);
    }
    // A note alone is no reason to keep a closed alert for longer.
    if before != handling.status {
        transaction.execute(
            "UPDATE stored_alerts SET status = ?2, updated_at = max(updated_at, ?3) WHERE id = ?1",
            params![key_of(id), handling.status.as_str(), handling.at.0],
        )?;
    }
    transaction.execute(
        "INSERT INTO alert_history (alert, at, actor, before, after, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![key_of(id), handling.at.0, handling.actor, before.as_str(), handling.status.as_str(), handling.note],
    )?;
    transaction.execute(
        "DELETE FROM alert_history WHERE alert = ?1 AND number <= \
         (SELECT number FROM alert_history WHERE alert = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        params![key_of(id), HISTORY_MAX as i64],
    )?;
    Ok(Handled::Changed)
}

/// Reads the changes of an alert, oldest first.
pub(super) fn history(connection: &Connection, id: AlertId) -> Result<Vec<StatusChange>, StoreError> {
    let sql = "SELECT at, actor, before, after, note FROM alert_history WHERE alert = ?1 ORDER BY number";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([key_of(id)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<StatusChange, StoreError> {
    let (before, after): (String, String) = (row.get(2)?, row.get(3)?);
    Ok(StatusChange {
        at: Timestamp(row.get(0)?),
        actor: row.get(1)?,
        before: status_of(&before)?,
        after: status_of(&after)?,
        note: row.get(4)?,
    })
}

fn status_of(word: &str) -> Result<AlertStatus, StoreError> {
    AlertStatus::from_word(word).ok_or(StoreError::broken("status of an alert"))
}
