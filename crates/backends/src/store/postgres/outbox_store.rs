//! The outbox of the store: each call a transaction or a question.

use std::sync::PoisonError;

use model::time::Timestamp;

use super::{PostgresStore, outbox, upkeep};
use crate::store::StoreError;
use crate::store::outbox::{
    Delivery, DeliveryQuery, Expired, MessageId, Outbox, OutboxCounts, OutboxLimits, OutboxRow, Outcome, Replay, Take,
    Taken, Wake,
};

impl Outbox for PostgresStore {
    fn post(&self, rows: &[OutboxRow], now: Timestamp) -> Result<usize, StoreError> {
        let rows: Vec<_> = rows.iter().collect();
        let posted = self.write(async |it| outbox::post(it, &rows, now).await)?;
        if 0 < posted {
            self.wake();
        }
        Ok(posted)
    }

    fn on_post(&self, wake: Wake) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    fn take(&self, take: &Take<'_>) -> Result<Vec<Taken>, StoreError> {
        self.write(async |it| outbox::take(it, take).await)
    }

    fn settle(&self, owner: &str, settled: &[(MessageId, Outcome)], now: Timestamp) -> Result<usize, StoreError> {
        self.write(async |it| outbox::settle(it, owner, settled, now).await)
    }

    fn end_leases(&self, owners: &str) -> Result<usize, StoreError> {
        self.write(async |it| upkeep::end_leases(it, owners).await)
    }

    fn next_due(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        self.read(async |it| upkeep::next_due(it, destination).await)
    }

    fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
        self.read(async |it| upkeep::list(it, query).await)
    }

    fn replay(&self, replay: &Replay, now: Timestamp) -> Result<usize, StoreError> {
        let replayed = self.write(async |it| upkeep::replay(it, replay, now).await)?;
        if 0 < replayed {
            self.wake();
        }
        Ok(replayed)
    }

    fn expire(&self, limits: &OutboxLimits, now: Timestamp, limit: usize) -> Result<Expired, StoreError> {
        self.write(async |it| upkeep::expire(it, limits, now, limit).await)
    }

    fn outbox_counts(&self) -> Result<Vec<OutboxCounts>, StoreError> {
        self.read(async |it| upkeep::counts(it).await)
    }
}
