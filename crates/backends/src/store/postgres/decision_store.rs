//! The decisions of the store: each call a transaction or a question.

use model::decision::{Decision, DecisionId, Ended, Spared};
use model::network::Network;
use model::time::Timestamp;

use super::{PostgresStore, audit, decisions};
use crate::failpoint;
use crate::store::StoreError;
use crate::store::decisions::{Admission, AuditEntry, DecisionQuery, DecisionStore, Puller, Tell, WaitingProposal};

impl DecisionStore for PostgresStore {
    fn proposals(&self, limit: usize) -> Result<Vec<WaitingProposal>, StoreError> {
        self.read(async |it| decisions::proposals(it, limit).await)
    }

    fn admit(&self, admission: &Admission<'_>) -> Result<Vec<Decision>, StoreError> {
        let admitted = self.write(async |session| {
            let admitted = decisions::admit(session, admission).await?;
            if !admission.alarms.is_empty() {
                self.tell_change(session).await?;
            }
            failpoint::visit("store.before_admit");
            Ok(admitted)
        })?;
        failpoint::visit("store.after_admit");
        if !admission.alarms.is_empty() {
            self.generation.changed();
        }
        if 0 < admitted.posted {
            self.wake();
        }
        Ok(admitted.decisions)
    }

    fn end_decisions(
        &self,
        ids: &[DecisionId],
        ended: &Ended,
        audit: &[AuditEntry],
        tell: Tell<'_>,
    ) -> Result<Vec<Decision>, StoreError> {
        let (changed, posted) = self.write(async |it| decisions::end(it, ids, ended, audit, tell).await)?;
        if 0 < posted {
            self.wake();
        }
        Ok(changed)
    }

    fn release_decision(
        &self,
        id: DecisionId,
        expires_at: Timestamp,
        audit: &AuditEntry,
        tell: Tell<'_>,
    ) -> Result<Option<Decision>, StoreError> {
        let released = self.write(async |it| decisions::release(it, id, expires_at, audit, tell).await)?;
        let Some((decision, posted)) = released else { return Ok(None) };
        if 0 < posted {
            self.wake();
        }
        Ok(Some(decision))
    }

    fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError> {
        self.read(async |it| decisions::one(it, id).await)
    }

    fn decisions(&self, query: &DecisionQuery) -> Result<Vec<Decision>, StoreError> {
        self.read(async |it| decisions::list(it, query).await)
    }

    fn decisions_changed(
        &self,
        changed: u64,
        expires_from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Decision>, StoreError> {
        self.read(async |it| decisions::changed(it, changed, expires_from, limit).await)
    }

    fn spared(&self) -> Result<Vec<Spared>, StoreError> {
        self.read(async |it| decisions::spared(it).await)
    }

    fn spare(&self, spared: &Spared, audit: &AuditEntry) -> Result<(), StoreError> {
        self.write(async |it| decisions::spare(it, spared, audit).await)
    }

    fn unspare(&self, network: &Network, audit: &AuditEntry) -> Result<bool, StoreError> {
        self.write(async |it| decisions::unspare(it, network, audit).await)
    }

    fn switch(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read(async |it| decisions::switch(it, name).await)
    }

    fn set_switch(&self, name: &str, value: &str, audit: &AuditEntry) -> Result<(), StoreError> {
        self.write(async |it| decisions::set_switch(it, name, value, audit).await)
    }

    fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        self.read(async |it| audit::list(it, before, limit).await)
    }

    fn check_audit(&self) -> Result<Option<u64>, StoreError> {
        self.read(async |it| audit::check(it).await)
    }

    fn note_pullers(&self, pullers: &[Puller]) -> Result<(), StoreError> {
        self.write(async |it| decisions::note_pullers(it, pullers).await)
    }

    fn pullers(&self) -> Result<Vec<Puller>, StoreError> {
        self.read(async |it| decisions::pullers(it).await)
    }

    fn forget_puller(&self, name: &str) -> Result<bool, StoreError> {
        self.write(async |it| decisions::forget_puller(it, name).await)
    }
}
