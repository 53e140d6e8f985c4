//! The life that people give an alert: its status, and who changed it when.

use model::alert::AlertStatus;
use model::id::AlertId;
use model::time::Timestamp;
use tokio_postgres::Row;

use super::error::Fault;
use super::session::{Session, cell, key_of, text_of};
use super::text::stored;
use crate::store::{HISTORY_MAX, Handled, Handling, StatusChange, StoreError};

/// Gives an alert a status and writes down who did; see [`Store::handle`](crate::store::Store::handle). Returns the status
/// before with it, if there is such an alert.
pub(super) async fn handle(
    session: &Session,
    id: AlertId,
    handling: &Handling,
) -> Result<(Handled, Option<AlertStatus>), Fault> {
    let sql = "SELECT status FROM stored_alerts WHERE id = $1 FOR UPDATE";
    let Some(row) = session.row(sql, &[&key_of(id.0)]).await? else { return Ok((Handled::Unknown, None)) };
    let before = status_of(&row, 0)?;
    if before == handling.status && handling.note.is_empty() {
        return Ok((Handled::Unchanged, Some(before)));
    }
    // A note alone is no reason to keep a closed alert for longer.
    if before != handling.status {
        let sql = "UPDATE stored_alerts SET status = $2, updated_at = greatest(updated_at, $3) WHERE id = $1";
        session.execute(sql, &[&key_of(id.0), &handling.status.as_str(), &handling.at.0]).await?;
    }
    write_down(session, id, before, handling).await?;
    Ok((Handled::Changed, Some(before)))
}

async fn write_down(session: &Session, id: AlertId, before: AlertStatus, handling: &Handling) -> Result<(), Fault> {
    let (actor, note) = (stored(&handling.actor), stored(&handling.note));
    session
        .execute(
            "INSERT INTO alert_history (alert, at, actor, before, after, note) VALUES ($1, $2, $3, $4, $5, $6)",
            &[&key_of(id.0), &handling.at.0, &actor, &before.as_str(), &handling.status.as_str(), &note],
        )
        .await?;
    let sql = "DELETE FROM alert_history WHERE alert = $1 AND number <= \
         (SELECT number FROM alert_history WHERE alert = $1 ORDER BY number DESC LIMIT 1 OFFSET $2)";
    session.execute(sql, &[&key_of(id.0), &(HISTORY_MAX as i64)]).await?;
    Ok(())
}

/// Reads the changes of an alert, oldest first.
pub(super) async fn history(session: &Session, id: AlertId) -> Result<Vec<StatusChange>, Fault> {
    let sql = "SELECT at, actor, before, after, note FROM alert_history WHERE alert = $1 ORDER BY number";
    session.rows(sql, &[&key_of(id.0)]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<StatusChange, Fault> {
    Ok(StatusChange {
        at: Timestamp(cell(row, 0)?),
        actor: text_of(row, 1)?,
        before: status_of(row, 2)?,
        after: status_of(row, 3)?,
        note: text_of(row, 4)?,
    })
}

fn status_of(row: &Row, column: usize) -> Result<AlertStatus, Fault> {
    let word: String = cell(row, column)?;
    Ok(AlertStatus::from_word(&word).ok_or(StoreError::broken("status of an alert"))?)
}
