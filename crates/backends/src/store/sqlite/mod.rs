//! The store in one SQLite file beside the log: write-ahead logging, and a commit is synced before it returns.
//!
//! One connection writes, a few read. Another process may have the same file open; who owns a partition is said by
//! its epoch, not by a lock.

mod alerts;
mod connections;
mod decisions;
mod error;
mod keys;
mod life;
mod outbox;
mod schema;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::id::AlertId;
use model::place::{PartitionId, Position};
use model::time::Timestamp;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use self::alerts::Writing;
use self::connections::Connections;
use super::outbox::{
    Delivery, DeliveryQuery, Expired, MessageId, Outbox, OutboxCounts, OutboxLimits, OutboxRow, Outcome, Replay, Take,
    Taken, Wake,
};
use super::unite::Written;
use super::{
    AlertQuery, Commit, Committed, Handled, Handling, Key, Lease, StatusChange, Store, StoreError, StoredAlert,
};
use crate::failpoint;

/// How many alerts [`Store::each_alert`] reads at a time: some hundred kilobytes, 25 MiB if each had the largest event.
/// Between them others may write and no snapshot is held, which would keep the write-ahead log from being emptied.
const EACH_ALERTS: usize = 100;

/// The store in one SQLite file.
pub struct SqliteStore {
    connections: Connections,
    generation: AtomicU64,
    wake: Mutex<Option<Wake>>,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, or begins one with mode 0600; an earlier version's is brought up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`] for a file of a later version, which is left as it is; [`StoreError::Unavailable`] and
    /// [`StoreError::Corrupt`] as the file allows.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connections: Connections::open(path)?, generation: AtomicU64::new(0), wake: Mutex::default() })
    }

    /// Does `write` in one transaction, and nothing of it when it fails.
    fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut writer = self.connections.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&transaction)?;
        transaction.commit()?;
        Ok(written)
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Says that there may be something to deliver.
    fn wake(&self) {
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(wake) = wake {
            wake();
        }
    }
}

/// Moves the position of a partition, if it is where its owner left it and the owner is still the owner.
fn advance(transaction: &Transaction<'_>, commit: &Commit<'_>) -> Result<(), StoreError> {
    let Lease { partition, epoch, position } = commit.lease;
    let changed = transaction.execute(
        "UPDATE partitions SET position = ?1 WHERE partition = ?2 AND epoch = ?3 AND position = ?4",
        params![commit.to.0.cast_signed(), partition.0, epoch.cast_signed(), position.0.cast_signed()],
    )?;
    if changed == 0 { Err(StoreError::Fenced { partition }) } else { Ok(()) }
}

impl Outbox for SqliteStore {
    fn post(&self, rows: &[OutboxRow], now: Timestamp) -> Result<usize, StoreError> {
        let posted = self.write(|it| outbox::post(it, rows, now))?;
        if 0 < posted {
            self.wake();
        }
        Ok(posted)
    }

    fn on_post(&self, wake: Wake) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    fn take(&self, take: &Take<'_>) -> Result<Vec<Taken>, StoreError> {
        self.write(|it| outbox::take(it, take))
    }

    fn settle(&self, owner: &str, settled: &[(MessageId, Outcome)], now: Timestamp) -> Result<usize, StoreError> {
        self.write(|it| outbox::settle(it, owner, settled, now))
    }

    fn end_leases(&self, owners: &str) -> Result<usize, StoreError> {
        self.write(|it| outbox::end_leases(it, owners))
    }

    fn next_due(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        outbox::next_due(&*self.connections.reader()?, destination)
    }

    fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
        outbox::list(&*self.connections.reader()?, query)
    }

    fn replay(&self, replay: &Replay, now: Timestamp) -> Result<usize, StoreError> {
        let replayed = self.write(|it| outbox::replay(it, replay, now))?;
        if 0 < replayed {
            self.wake();
        }
        Ok(replayed)
    }

    fn expire(&self, limits: &OutboxLimits, now: Timestamp, limit: usize) -> Result<Expired, StoreError> {
        self.write(|it| outbox::expire(it, limits, now, limit))
    }

    fn outbox_counts(&self) -> Result<Vec<OutboxCounts>, StoreError> {
        outbox::counts(&*self.connections.reader()?)
    }
}

impl Store for SqliteStore {
    fn acquire(&self, partition: PartitionId) -> Result<Lease, StoreError> {
        self.write(|transaction| {
            let (epoch, position): (i64, i64) = transaction.query_row(
                "INSERT INTO partitions (partition, epoch, position) VALUES (?1, 1, ?2) \
                 ON CONFLICT (partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch, position",
                params![partition.0, Position::START.0.cast_signed()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok(Lease { partition, epoch: epoch.cast_unsigned(), position: Position(position.cast_unsigned()) })
        })
    }

    fn position(&self, partition: PartitionId) -> Result<Position, StoreError> {
        let reader = self.connections.reader()?;
        let sql = "SELECT position FROM partitions WHERE partition = ?1";
        let found: Option<i64> = reader.query_row(sql, [partition.0], |row| row.get(0)).optional()?;
        Ok(found.map_or(Position::START, |it| Position(it.cast_unsigned())))
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed, StoreError> {
        let (mut committed, mut is_changed, mut posted) = (Committed::default(), false, 0);
        self.write(|transaction| {
            advance(transaction, commit)?;
            if !commit.alerts.is_empty() {
                let mut writing = Writing::new(transaction, commit.now)?;
                for alert in commit.alerts {
                    let written = writing.write(alert)?;
                    is_changed |= written != Written::Unchanged;
                    if written == Written::Raised {
                        committed.raised.push(alert.id);
                    }
                }
            }
            decisions::propose(transaction, commit.proposals, &committed.raised, commit.now)?;
            posted = outbox::post(
                transaction,
                commit.outbox.iter().filter(|it| commit.is_news(it, &committed.raised)),
                commit.now,
            )?;
            failpoint::visit("store.before_commit");
            Ok(())
        })?;
        failpoint::visit("store.after_commit");
        if is_changed {
            self.changed();
        }
        if 0 < posted {
            self.wake();
        }
        Ok(committed)
    }

    fn list(&self, query: &AlertQuery, see: &mut dyn FnMut(StoredAlert) -> ControlFlow<()>) -> Result<(), StoreError> {
        alerts::list(&*self.connections.reader()?, query, see)
    }

    fn alert(&self, id: AlertId) -> Result<Option<StoredAlert>, StoreError> {
        alerts::one(&*self.connections.reader()?, id)
    }

    fn alert_ids(&self, first: AlertId, last: AlertId, limit: usize) -> Result<Vec<AlertId>, StoreError> {
        alerts::ids(&*self.connections.reader()?, first, last, limit)
    }

    fn each_alert(&self, see: &mut dyn FnMut(&StoredAlert) -> ControlFlow<()>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = alerts::by_id(&*self.connections.reader()?, after, EACH_ALERTS)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.alert.id);
            if page.iter().try_for_each(&mut *see).is_break() {
                return Ok(());
            }
        }
    }

    fn handle_and_post(&self, id: AlertId, handling: &Handling, rows: &[OutboxRow]) -> Result<Handled, StoreError> {
        let (handled, posted) = self.write(|transaction| {
            let before = alerts::one(transaction, id)?.map(|it| it.alert.status);
            let handled = life::handle(transaction, id, handling)?;
            let is_other = handled == Handled::Changed && before != Some(handling.status);
            let posted = if is_other { outbox::post(transaction, rows, handling.at)? } else { 0 };
            Ok((handled, posted))
        })?;
        if handled == Handled::Changed {
            self.changed();
        }
        if 0 < posted {
            self.wake();
        }
        Ok(handled)
    }

    fn history(&self, id: AlertId) -> Result<Vec<StatusChange>, StoreError> {
        life::history(&*self.connections.reader()?, id)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn add_key(&self, key: &Key) -> Result<(), StoreError> {
        let is_added = self.write(|it| keys::put(it, key, false))?;
        if is_added { Ok(()) } else { Err(StoreError::Refused(format!("there is a key `{}` already", key.name))) }
    }

    fn put_key(&self, key: &Key) -> Result<(), StoreError> {
        self.write(|it| keys::put(it, key, true)).map(|_| ())
    }

    fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.write(|it| keys::note_uses(it, uses))
    }

    fn remove_key(&self, name: &str) -> Result<bool, StoreError> {
        self.write(|it| keys::remove(it, name))
    }

    fn keys(&self) -> Result<Vec<Key>, StoreError> {
        keys::all(&*self.connections.reader()?)
    }

    fn add_token(&self, purpose: &str, digest: &[u8; 32], expires_at: Timestamp) -> Result<(), StoreError> {
        self.write(|it| keys::add_token(it, purpose, digest, expires_at))
    }

    fn has_token(&self, purpose: &str, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        keys::has_token(&*self.connections.reader()?, purpose, digest, now)
    }

    fn take_token(&self, purpose: &str, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        self.write(|it| keys::take_token(it, purpose, digest, now))
    }

    fn prune(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<usize, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let keep_nanos = i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX);
        let (alerts, others) = self.write(|transaction| {
            let alerts = transaction.execute(
                "DELETE FROM stored_alerts WHERE rowid IN (SELECT rowid FROM stored_alerts \
                 WHERE status = 'closed' AND updated_at < ?1 ORDER BY updated_at LIMIT ?2)",
                params![now.0.saturating_sub(keep_nanos), limit],
            )?;
            let tokens = transaction.execute(
                "DELETE FROM tokens WHERE (purpose, digest) IN (SELECT purpose, digest FROM tokens \
                 WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
                params![now.0, limit.saturating_sub(alerts as i64)],
            )?;
            let rest = limit.saturating_sub((alerts + tokens) as i64);
            let decisions = decisions::prune(transaction, now.0.saturating_sub(keep_nanos), rest)?;
            Ok((alerts, tokens + decisions))
        })?;
        if 0 < alerts {
            self.changed();
        }
        Ok(alerts + others)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = self.connections.reader()?.query_row(sql, [], |row| row.get(0))?;
        Ok(bytes.cast_unsigned())
    }

    fn is_available(&self) -> bool {
        self.connections.is_answering()
    }
}
