//! The tables, and how a file of an earlier version gets them.

use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// What leads from each format to the next; the format of a file is how many of them it has had. What has been
/// released is never changed: a correction is a migration of its own.
const MIGRATIONS: [&str; 6] = [
    include_str!("0001_first.sql"),
    include_str!("0002_key_uses.sql"),
    include_str!("0003_life.sql"),
    include_str!("0004_outbox.sql"),
    include_str!("0005_decisions.sql"),
    include_str!("0006_views.sql"),
];

/// The newest format that this version knows.
pub(super) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// How often the change to write-ahead logging is tried: another opener of a new file may be at it, and SQLite does
/// not wait for it by itself.
const WAL_TRIES: u32 = 50;
const WAL_PAUSE: Duration = Duration::from_millis(10);

/// Brings the file to [`FORMAT`], each step in a transaction of its own.
///
/// # Errors
///
/// [`StoreError::Newer`] for a file of a later version, which is left as it is; [`StoreError::Unavailable`] and
/// [`StoreError::Corrupt`].
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    refuse_newer(format_of(connection)?)?;
    use_wal(connection)?;
    while format_of(connection)? < FORMAT {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another opener may have been faster while we waited for the lock.
        let format = format_of(&step)?;
        refuse_newer(format)?;
        if let Some(sql) = MIGRATIONS.get(format as usize) {
            step.execute_batch(sql)?;
            step.pragma_update(None, "user_version", format + 1)?;
        }
        step.commit()?;
    }
    Ok(())
}

fn format_of(connection: &Connection) -> Result<u32, StoreError> {
    let format: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(format.cast_unsigned())
}

const fn refuse_newer(found: u32) -> Result<(), StoreError> {
    if FORMAT < found { Err(StoreError::Newer { found, known: FORMAT }) } else { Ok(()) }
}

fn use_wal(connection: &Connection) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        let error = match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
        {
            Ok(_) => return Ok(()),
            Err(error) => StoreError::from(error),
        };
        tries += 1;
        if !error.is_transient() || WAL_TRIES <= tries {
            return Err(error);
        }
        thread::sleep(WAL_PAUSE);
    }
}
