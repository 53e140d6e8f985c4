//! The tables, and how a database gets them: by migrations, one process at a time.

use std::time::Duration;

use super::connections::Connections;
use super::error::{Fault, timed_out};
use super::session::Session;
use super::wait::wait;
use crate::store::StoreError;

/// What leads from each format to the next; the format of a schema is how many of them it has had. What has been
/// released is never changed: a correction is a migration of its own.
const MIGRATIONS: [&str; 2] = [include_str!("0001_first.sql"), include_str!("0002_views.sql")];

/// The newest format that this version knows.
pub(super) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// The oldest server that is used, as it numbers itself: the first with the status of a transaction by its whole number.
const SERVER_MIN: i32 = 130_000;
/// How long a migration may take, and wait for another process that migrates.
const PATIENCE: Duration = Duration::from_mins(10);
/// The lock that whoever migrates holds: the first half is ours alone, the second is made of the schema.
const LOCK: i32 = 0x6261_7274;

/// Brings the schema to [`FORMAT`], each step in a transaction of its own.
///
/// # Errors
///
/// [`StoreError::Newer`] for a schema of a later version, which is left as it is; [`StoreError::Refused`] where the
/// database is none that can be used; [`StoreError::Unavailable`].
pub(super) fn migrate(connections: &Connections) -> Result<(), StoreError> {
    let session = connections.connect_first()?;
    let schema = &connections.settings().schema;
    wait(bring(&session, schema), PATIENCE).ok_or_else(timed_out)?.map_err(Fault::told)
}

async fn bring(session: &Session, schema: &str) -> Result<(), Fault> {
    check_server(session).await?;
    let limit_ms = PATIENCE.as_millis();
    session.run(&format!("SET statement_timeout TO {limit_ms}; SET lock_timeout TO {limit_ms}")).await?;
    loop {
        session.run("BEGIN").await?;
        session.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", &[&LOCK, &schema]).await?;
        let format = format_of(session, schema).await?;
        if FORMAT < format {
            return Err(StoreError::Newer { found: format, known: FORMAT }.into());
        }
        let Some(step) = MIGRATIONS.get(format as usize) else { return session.run("ROLLBACK").await };
        if format == 0 {
            make_schema(session, schema).await?;
        }
        session.run(step).await?;
        session.run(&format!("UPDATE store_format SET format = {}; COMMIT", format + 1)).await?;
    }
}

async fn check_server(session: &Session) -> Result<(), Fault> {
    let version: i32 = session.value("SELECT current_setting('server_version_num')::int", &[]).await?;
    if version < SERVER_MIN {
        let text = format!(
            "the server is PostgreSQL {}, and {} is the oldest that does",
            version / 10_000,
            SERVER_MIN / 10_000
        );
        return Err(StoreError::Refused(text).into());
    }
    let encoding: String = session.value("SELECT current_setting('server_encoding')", &[]).await?;
    if encoding != "UTF8" {
        return Err(
            StoreError::Refused(format!("the database is in the encoding {encoding}, and must be in UTF8")).into()
        );
    }
    Ok(())
}

/// The format of the schema; 0 where there is nothing of ours.
async fn format_of(session: &Session, schema: &str) -> Result<u32, Fault> {
    let is_there: bool =
        session.value("SELECT to_regclass(quote_ident($1) || '.store_format') IS NOT NULL", &[&schema]).await?;
    if !is_there {
        return Ok(0);
    }
    let format: i32 = session.value("SELECT format FROM store_format", &[]).await?;
    u32::try_from(format).map_err(|_| StoreError::broken("format").into())
}

/// Makes the schema if it is missing. Whoever may not make one may be given one that is empty.
async fn make_schema(session: &Session, schema: &str) -> Result<(), Fault> {
    let is_there: bool = session.value("SELECT to_regnamespace(quote_ident($1)) IS NOT NULL", &[&schema]).await?;
    if !is_there {
        session.run(&format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    session.run("CREATE TABLE store_format (format integer NOT NULL); INSERT INTO store_format VALUES (0)").await
}
