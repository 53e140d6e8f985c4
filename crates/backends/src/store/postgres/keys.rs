//! Keys and tokens: digests of secrets, never the secrets.

use model::time::Timestamp;
use tokio_postgres::Row;

use super::error::Fault;
use super::session::{Session, cell, text_of};
use super::text::stored;
use crate::store::{Key, Scope, StoreError};

const ADD: &str = "INSERT INTO keys (name, scope, digest, rate_per_second, created_at, expires_at, last_used_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO ";
const NOTHING: &str = "NOTHING";
const REPLACE: &str = "UPDATE SET scope = excluded.scope, digest = excluded.digest, \
     rate_per_second = excluded.rate_per_second, created_at = excluded.created_at, expires_at = excluded.expires_at, \
     last_used_at = CASE WHEN keys.digest = excluded.digest THEN keys.last_used_at ELSE excluded.last_used_at END";

/// Adds a key, or replaces the one of its name when `replaces`; returns whether it is there now.
pub(super) async fn put(session: &Session, key: &Key, replaces: bool) -> Result<bool, Fault> {
    let sql = format!("{ADD}{}", if replaces { REPLACE } else { NOTHING });
    let changed = session
        .execute(
            &sql,
            &[
                &stored(&key.name),
                &key.scope.as_str(),
                &key.digest.as_slice(),
                &key.rate_per_second,
                &key.created_at.0,
                &key.expires_at.map(|it| it.0),
                &key.last_used_at.map(|it| it.0),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Notes when keys were last used.
pub(super) async fn note_uses(session: &Session, uses: &[(String, Timestamp)]) -> Result<(), Fault> {
    let sql = "UPDATE keys SET last_used_at = $2 WHERE name = $1 AND coalesce(last_used_at < $2, TRUE)";
    for (name, at) in uses {
        session.execute(sql, &[&stored(name), &at.0]).await?;
    }
    Ok(())
}

/// Removes a key; returns whether there was one.
pub(super) async fn remove(session: &Session, name: &str) -> Result<bool, Fault> {
    Ok(session.execute("DELETE FROM keys WHERE name = $1", &[&stored(name)]).await? == 1)
}

/// Reads all keys, by name.
pub(super) async fn all(session: &Session) -> Result<Vec<Key>, Fault> {
    let sql =
        "SELECT name, scope, digest, rate_per_second, created_at, expires_at, last_used_at FROM keys ORDER BY name";
    session.rows(sql, &[]).await?.iter().map(key_of).collect()
}

fn key_of(row: &Row) -> Result<Key, Fault> {
    let scope: String = cell(row, 1)?;
    let digest: Vec<u8> = cell(row, 2)?;
    Ok(Key {
        name: text_of(row, 0)?,
        scope: Scope::from_word(&scope).ok_or(StoreError::broken("scope of a key"))?,
        digest: digest.try_into().map_err(|_| StoreError::broken("digest of a key"))?,
        rate_per_second: cell(row, 3)?,
        created_at: Timestamp(cell(row, 4)?),
        expires_at: cell::<Option<i64>>(row, 5)?.map(Timestamp),
        last_used_at: cell::<Option<i64>>(row, 6)?.map(Timestamp),
    })
}

/// Keeps a token; one that is there gets the new time.
pub(super) async fn add_token(
    session: &Session,
    purpose: &str,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), Fault> {
    let sql = "INSERT INTO tokens (purpose, digest, expires_at) VALUES ($1, $2, $3) \
         ON CONFLICT (purpose, digest) DO UPDATE SET expires_at = excluded.expires_at";
    session.execute(sql, &[&stored(purpose), &digest.as_slice(), &expires_at.0]).await?;
    Ok(())
}

/// Whether a token is there and works before `now` is its end.
pub(super) async fn has_token(
    session: &Session,
    purpose: &str,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "SELECT TRUE FROM tokens WHERE purpose = $1 AND digest = $2 AND $3 < expires_at";
    Ok(session.row(sql, &[&stored(purpose), &digest.as_slice(), &now.0]).await?.is_some())
}

/// Removes a token; returns whether it was there and had not expired.
pub(super) async fn take_token(
    session: &Session,
    purpose: &str,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "DELETE FROM tokens WHERE purpose = $1 AND digest = $2 AND $3 < expires_at";
    Ok(session.execute(sql, &[&stored(purpose), &digest.as_slice(), &now.0]).await? == 1)
}
