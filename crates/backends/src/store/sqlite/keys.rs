//! Keys and tokens: digests of secrets, never the secrets.

use model::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{Key, Scope, StoreError};

const ADD: &str = "INSERT OR IGNORE INTO keys (name, scope, digest, rate_per_second, created_at, expires_at, last_used_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const REPLACE: &str = "INSERT INTO keys (name, scope, digest, rate_per_second, created_at, expires_at, last_used_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET scope = excluded.scope, \
                       digest = excluded.digest, rate_per_second = excluded.rate_per_second, \
                       created_at = excluded.created_at, expires_at = excluded.expires_at, \
                       last_used_at = CASE WHEN digest = excluded.digest THEN last_used_at ELSE excluded.last_used_at END";

/// Adds a key, or replaces the one of its name when `replaces`; returns whether it is there now.
pub(super) fn put(connection: &Connection, key: &Key, replaces: bool) -> Result<bool, StoreError> {
    let changed = connection.execute(
        if replaces { REPLACE } else { ADD },
        params![
            key.name,
            key.scope.as_str(),
            key.digest,
            key.rate_per_second,
            key.created_at.0,
            key.expires_at.map(|it| it.0),
            key.last_used_at.map(|it| it.0)
        ],
    )?;
    Ok(changed == 1)
}

/// Notes when keys were last used.
pub(super) fn note_uses(connection: &Connection, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
    let sql = "UPDATE keys SET last_used_at = ?2 WHERE name = ?1 AND coalesce(last_used_at < ?2, TRUE)";
    let mut statement = connection.prepare(sql)?;
    for (name, at) in uses {
        statement.execute(params![name, at.0])?;
    }
    Ok(())
}

/// Removes a key; returns whether there was one.
pub(super) fn remove(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM keys WHERE name = ?1", [name])? == 1)
}

/// Reads all keys, by name.
pub(super) fn all(connection: &Connection) -> Result<Vec<Key>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT name, scope, digest, rate_per_second, created_at, expires_at, last_used_at FROM keys ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(key_of(row)?);
    }
    Ok(found)
}

fn key_of(row: &Row<'_>) -> Result<Key, StoreError> {
    let scope: String = row.get(1)?;
    let digest: Vec<u8> = row.get(2)?;
    Ok(Key {
        name: row.get(0)?,
        scope: Scope::from_word(&scope).ok_or(StoreError::broken("scope of a key"))?,
        digest: digest.try_into().map_err(|_| StoreError::broken("digest of a key"))?,
        rate_per_second: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        expires_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        last_used_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
    })
}

/// Keeps a token; one that is there gets the new time.
pub(super) fn add_token(
    connection: &Connection,
    purpose: &str,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO tokens (purpose, digest, expires_at) VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![purpose, digest, expires_at.0])?;
    Ok(())
}

/// Whether a token is there and works before `now` is its end.
pub(super) fn has_token(
    connection: &Connection,
    purpose: &str,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT TRUE FROM tokens WHERE purpose = ?1 AND digest = ?2 AND ?3 < expires_at";
    let found: Option<bool> =
        connection.query_row(sql, params![purpose, digest, now.0], |row| row.get(0)).optional()?;
    Ok(found.is_some())
}

/// Removes a token; returns whether it was there and had not expired.
pub(super) fn take_token(
    connection: &Connection,
    purpose: &str,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM tokens WHERE purpose = ?1 AND digest = ?2 AND ?3 < expires_at";
    Ok(connection.execute(sql, params![purpose, digest, now.0])? == 1)
}
