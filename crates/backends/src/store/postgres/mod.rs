//! The store in a schema of a PostgreSQL database, for one process or several.
//!
//! A commit is one transaction in READ COMMITTED: the guarded update of the position takes the lock of its row, so that of
//! two owners one waits and then sees that it is none. Two transactions that are in one another's way are done again, a
//! bounded number of times. What became of a commit whose answer was lost is found out before the caller is told.

mod alerts;
mod audit;
mod connect;
mod connections;
mod decision_store;
mod decisions;
mod error;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
mod keys;
mod life;
mod listen;
mod outbox;
mod outbox_store;
#[cfg(test)]
mod own_server;
mod positions;
mod schema;
mod session;
pub mod settings;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod transaction;
mod upkeep;
mod wait;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::id::AlertId;
use model::place::{PartitionId, Position};
use model::time::Timestamp;
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;

use self::alerts::OwnedValues;
use self::connections::Connections;
use self::error::{Fault, timed_out};
use self::listen::{Generation, Listener};
use self::positions::Doubts;
use self::session::Session;
use self::settings::Settings;
use self::wait::wait;
use super::outbox::{OutboxRow, Wake};
use super::unite::Written;
use super::{
    AlertQuery, Commit, Committed, Handled, Handling, Key, Lease, StatusChange, Store, StoreError, StoredAlert,
    limit_of,
};
use crate::failpoint;

/// How many alerts [`Store::each_alert`] reads at a time: some hundred kilobytes. Between them nothing is held.
const EACH_ALERTS: usize = 100;
/// How many rows of a list that was broken off are read to its end, so that its connection can be used again; where there
/// are more, the connection is ended.
const REST_ROWS: usize = 16;

/// The store in a schema of a database.
pub struct PostgresStore {
    connections: Connections,
    generation: Arc<Generation>,
    /// Tells others that alerts have changed; the values are the channel and who we are.
    channel: String,
    own: String,
    doubts: Mutex<Doubts>,
    wake: Mutex<Option<Wake>>,
}

impl PostgresStore {
    /// Opens the store, and makes or updates its tables; several processes may do so at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`] for tables of a later version, which are left as they are; [`StoreError::Refused`] where the
    /// database does not let us in or cannot be used; [`StoreError::Unavailable`] when it cannot be reached.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        let connections = Connections::new(settings)?;
        schema::migrate(&connections)?;
        let mut own = [0; 8];
        getrandom::fill(&mut own).map_err(|it| StoreError::Unavailable(it.into()))?;
        let store = Self {
            connections,
            generation: Arc::default(),
            channel: format!("bartizan_{}", settings.schema),
            own: u64::from_le_bytes(own).to_string(),
            doubts: Mutex::default(),
            wake: Mutex::default(),
        };
        store.listen()?;
        Ok(store)
    }

    /// Begins to listen to other processes.
    fn listen(&self) -> Result<(), StoreError> {
        let listener = Listener {
            connector: self.connections.connector().clone(),
            generation: self.generation.clone(),
            channel: self.channel.clone(),
            own: self.own.clone(),
        };
        let (begun, has_begun) = oneshot::channel();
        self.connections.runtime().spawn(listener.run(begun));
        wait(has_begun, self.connections.connect_patience()).and_then(Result::ok).ok_or_else(timed_out)
    }

    /// Tells the other processes with this transaction that alerts have changed.
    async fn tell_change(&self, session: &Session) -> Result<(), Fault> {
        session.execute("SELECT pg_notify($1, $2)", &[&self.channel, &self.own]).await?;
        Ok(())
    }

    /// Says that there may be something to deliver.
    fn wake(&self) {
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    fn doubts(&self) -> std::sync::MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn store(&self, session: &Session, commit: &Commit<'_>) -> Result<Stored, Fault> {
        let doubtful = self.doubts().of(commit.lease);
        let is_repeated = positions::advance(session, commit, doubtful).await?;
        let mut stored = Stored { is_repeated, ..Stored::default() };
        let written = alerts::write(session, commit.alerts, commit.now).await?;
        for (alert, written) in commit.alerts.iter().zip(written) {
            stored.is_changed |= written != Written::Unchanged;
            if written == Written::Raised {
                stored.committed.raised.push(alert.id);
            }
        }
        let raised = &stored.committed.raised;
        decisions::propose(session, commit.proposals, raised, commit.now).await?;
        // A commit that had happened has posted all that it had to, and some of it may be delivered and gone.
        let news: Vec<_> = if is_repeated {
            Vec::new()
        } else {
            commit.outbox.iter().filter(|it| commit.is_news(it, raised)).collect()
        };
        stored.posted = outbox::post(session, &news, commit.now).await?;
        if stored.is_changed {
            self.tell_change(session).await?;
        }
        failpoint::visit("store.before_commit");
        Ok(stored)
    }
}

/// What a transaction of a commit did.
#[derive(Default)]
struct Stored {
    committed: Committed,
    is_changed: bool,
    /// Whether the same commit had been done before, and its answer was lost.
    is_repeated: bool,
    posted: usize,
}

fn borrowed(values: &OwnedValues) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|it| -> &(dyn ToSql + Sync) { it.as_ref() }).collect()
}

impl Store for PostgresStore {
    fn acquire(&self, partition: PartitionId) -> Result<Lease, StoreError> {
        self.write(async |it| positions::acquire(it, partition).await)
    }

    fn position(&self, partition: PartitionId) -> Result<Position, StoreError> {
        self.read(async |it| positions::position(it, partition).await)
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<Committed, StoreError> {
        let mut stored = match self.write_or_doubt(async |it| self.store(it, commit).await) {
            Ok(stored) => stored,
            Err(undone) => {
                if let Some(stored) = undone.doubtful {
                    self.doubts().note(commit, stored.committed);
                    // It may have happened.
                    self.generation.changed();
                    self.wake();
                }
                return Err(undone.error);
            }
        };
        failpoint::visit("store.after_commit");
        stored.committed = self.doubts().settle(commit, stored.committed, stored.is_repeated);
        if stored.is_changed {
            self.generation.changed();
        }
        if 0 < stored.posted {
            self.wake();
        }
        Ok(stored.committed)
    }

    fn list(&self, query: &AlertQuery, see: &mut dyn FnMut(StoredAlert) -> ControlFlow<()>) -> Result<(), StoreError> {
        let (sql, values) = alerts::select(query);
        let patience = self.connections.patience();
        let lent = self.lend_and_ask()?;
        let begun = wait(lent.session().stream(&sql, &borrowed(&values)), patience).ok_or_else(timed_out);
        let mut rows = match begun.and_then(|it| it.map_err(Fault::told)) {
            Ok(rows) => rows,
            Err(error) => {
                lent.give_up();
                return Err(error);
            }
        };
        let mut rest = None;
        loop {
            let row = match wait(rows.next(), patience).ok_or_else(timed_out).and_then(|it| it.map_err(Fault::told)) {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(()),
                Err(error) => {
                    lent.give_up();
                    return Err(error);
                }
            };
            match &mut rest {
                None => {
                    let alert = alerts::read(&row).map_err(Fault::told)?;
                    rest = see(alert).is_break().then_some(REST_ROWS);
                }
                Some(0) => {
                    lent.give_up();
                    return Ok(());
                }
                Some(left) => *left -= 1,
            }
        }
    }

    fn alert(&self, id: AlertId) -> Result<Option<StoredAlert>, StoreError> {
        self.read(async |it| alerts::one(it, id).await)
    }

    fn alert_ids(&self, first: AlertId, last: AlertId, limit: usize) -> Result<Vec<AlertId>, StoreError> {
        self.read(async |it| alerts::ids(it, first, last, limit).await)
    }

    fn each_alert(&self, see: &mut dyn FnMut(&StoredAlert) -> ControlFlow<()>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.read(async |it| alerts::by_id(it, after, EACH_ALERTS).await)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.alert.id);
            if page.iter().try_for_each(&mut *see).is_break() {
                return Ok(());
            }
        }
    }

    fn handle_and_post(&self, id: AlertId, handling: &Handling, rows: &[OutboxRow]) -> Result<Handled, StoreError> {
        let rows: Vec<_> = rows.iter().collect();
        let (handled, posted) = self.write(async |session| {
            let (handled, before) = life::handle(session, id, handling).await?;
            let is_other = handled == Handled::Changed && before != Some(handling.status);
            let posted = if is_other { outbox::post(session, &rows, handling.at).await? } else { 0 };
            if handled == Handled::Changed {
                self.tell_change(session).await?;
            }
            Ok((handled, posted))
        })?;
        if handled == Handled::Changed {
            self.generation.changed();
        }
        if 0 < posted {
            self.wake();
        }
        Ok(handled)
    }

    fn history(&self, id: AlertId) -> Result<Vec<StatusChange>, StoreError> {
        self.read(async |it| life::history(it, id).await)
    }

    fn generation(&self) -> u64 {
        self.generation.number()
    }

    fn add_key(&self, key: &Key) -> Result<(), StoreError> {
        let is_added = self.write(async |it| keys::put(it, key, false).await)?;
        if is_added { Ok(()) } else { Err(StoreError::Refused(format!("there is a key `{}` already", key.name))) }
    }

    fn put_key(&self, key: &Key) -> Result<(), StoreError> {
        self.write(async |it| keys::put(it, key, true).await).map(|_| ())
    }

    fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.write(async |it| keys::note_uses(it, uses).await)
    }

    fn remove_key(&self, name: &str) -> Result<bool, StoreError> {
        self.write(async |it| keys::remove(it, name).await)
    }

    fn keys(&self) -> Result<Vec<Key>, StoreError> {
        self.read(async |it| keys::all(it).await)
    }

    fn add_token(&self, purpose: &str, digest: &[u8; 32], expires_at: Timestamp) -> Result<(), StoreError> {
        self.write(async |it| keys::add_token(it, purpose, digest, expires_at).await)
    }

    fn has_token(&self, purpose: &str, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        self.read(async |it| keys::has_token(it, purpose, digest, now).await)
    }

    fn take_token(&self, purpose: &str, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        self.write(async |it| keys::take_token(it, purpose, digest, now).await)
    }

    fn prune(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<usize, StoreError> {
        let before = now.minus(keep).0;
        let (alerts, others) = self.write(async |it| self.prune_before(it, now, before, limit_of(limit)).await)?;
        if 0 < alerts {
            self.generation.changed();
        }
        Ok(alerts + others)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(it.oid)), 0)::bigint FROM pg_class AS it \
             JOIN pg_namespace AS space ON space.oid = it.relnamespace \
             WHERE space.nspname = current_schema() AND it.relkind = 'r'";
        self.read(async |it| it.value::<i64>(sql, &[]).await).map(i64::cast_unsigned)
    }

    fn is_available(&self) -> bool {
        self.connections.is_answering()
    }
}

impl PostgresStore {
    /// Removes what is old; returns how many alerts, and how much else.
    async fn prune_before(
        &self,
        session: &Session,
        now: Timestamp,
        before: i64,
        limit: i64,
    ) -> Result<(usize, usize), Fault> {
        let sql = "DELETE FROM stored_alerts WHERE id IN (SELECT id FROM stored_alerts \
             WHERE status = 'closed' AND updated_at < $1 ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        let alerts = session.execute(sql, &[&before, &limit]).await?;
        let rest = limit.saturating_sub_unsigned(alerts);
        let sql = "DELETE FROM tokens WHERE (purpose, digest) IN (SELECT purpose, digest FROM tokens \
             WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
        let tokens = session.execute(sql, &[&now.0, &rest]).await?;
        let decisions = decisions::prune(session, before, rest.saturating_sub_unsigned(tokens)).await?;
        if 0 < alerts {
            self.tell_change(session).await?;
        }
        Ok((alerts as usize, tokens as usize + decisions))
    }
}
