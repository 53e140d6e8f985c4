//! The alarm about a bouncer that comes no more: its firewall goes on with what it knew last, and nobody would notice.

use std::sync::{Mutex, PoisonError};

use backends::store::decisions::{Admission, Puller, Tell};
use backends::store::outbox::OutboxRow;
use backends::store::{AlertQuery, Handling, Lease, Store, StoreError};
use hashbrown::HashMap;
use model::alert::{Alert, AlertStatus};
use model::entity::{Entity, EntityKind};
use model::id::AlertId;
use model::place::PartitionId;
use model::severity::Severity;
use model::time::Timestamp;
use serde_json::json;

use crate::edge::{Enforcement, in_words};
use crate::pullers::{SILENCE_MIN, Silent};

/// The rule of these alerts.
pub const RULE: &str = "bartizan-bouncer-silent";
/// The partition whose lease is the right to raise them: one process in an installation.
const WATCH: PartitionId = PartitionId(u32::MAX - 1);
/// How many alarms may be open at once: more silent pullers than this have one cause.
const OPEN_MAX: usize = 100;
/// How many alarms of before the start are looked at, the newest.
const READ_MAX: usize = 1000;
/// Who closes them.
const ACTOR: &str = "bouncers";

/// Misses those who come no more.
#[derive(Default)]
pub struct Watch(Mutex<State>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    /// The alarms that are open, by who they are about; `None` until those of before the start are read.
    open: Option<HashMap<String, AlertId>>,
}

impl Watch {
    /// Raises an alarm about each who is silent since, and closes those about who pulls again; returns what was raised.
    /// `announce` makes the messages about one. Blocks.
    ///
    /// # Errors
    ///
    /// What the store says; then it is tried again with the next look.
    pub fn look(
        &self,
        edge: &Enforcement,
        announce: &dyn Fn(&Alert) -> Vec<OutboxRow>,
    ) -> Result<Vec<Alert>, StoreError> {
        let now = edge.now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = edge.pullers.silent(now);
        let State { lease, open } = &mut *state;
        let open = match open {
            Some(open) => open,
            None => open.insert(alarms_of(edge.store.as_ref())?),
        };
        let pulls_again = edge.pullers.all().into_iter().map(|it| it.0).filter(|it| {
            let is_silent = silent.iter().any(|silent| who(&silent.puller) == who(it));
            !is_silent && edge.pullers.silence(it.last_at, now) < SILENCE_MIN
        });
        for puller in pulls_again {
            let Some(id) = open.get(&who(&puller)).copied() else { continue };
            let note = format!("{} pulls again", puller.name);
            let closed = Handling { status: AlertStatus::Closed, actor: ACTOR.to_owned(), note, at: now };
            edge.store.handle(id, &closed)?;
            open.remove(&who(&puller));
        }
        let mut new: Vec<&Silent> = silent.iter().filter(|it| !open.contains_key(&who(&it.puller))).collect();
        new.truncate(OPEN_MAX.saturating_sub(open.len()));
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let lease = match *lease {
            Some(lease) => lease,
            None => *lease.insert(edge.store.acquire(WATCH)?),
        };
        let alerts: Vec<Alert> = new.iter().map(|it| alarm(it, lease.epoch, now)).collect();
        let outbox: Vec<OutboxRow> = alerts.iter().flat_map(announce).collect();
        let (alarms, outbox) = (alerts.as_slice(), outbox.as_slice());
        let tell = Tell::NOBODY;
        edge.store.admit(&Admission { lease, taken: &[], judged: &[], alarms, outbox, tell, audit: &[], now })?;
        for (silent, alert) in new.iter().zip(&alerts) {
            open.insert(who(&silent.puller), alert.id);
        }
        Ok(alerts)
    }
}

/// Whom an alarm is about.
fn who(puller: &Puller) -> String {
    format!("{} at {} ({})", puller.name, puller.address, puller.kind)
}

/// The alarms that were open before the start.
fn alarms_of(store: &dyn Store) -> Result<HashMap<String, AlertId>, StoreError> {
    let query = AlertQuery { rule_id: Some(RULE.to_owned()), limit: READ_MAX, ..AlertQuery::default() };
    let found = store.alerts(&query)?.into_iter().map(|it| it.alert);
    Ok(found.filter(|it| it.status != AlertStatus::Closed).map(|it| (it.entity.value, it.id)).collect())
}

/// One alert for each silence: its beginning is in the id, so a later one is another.
fn alarm(silent: &Silent, epoch: u64, now: Timestamp) -> Alert {
    let puller = &silent.puller;
    let who = who(puller);
    let details = format!(
        "{who} pulled every {} and has not for {}. What it blocks may be out of date. `bartizan bouncers` shows all; \
         `bartizan bouncers forget NAME` forgets one that is gone for good.",
        in_words(silent.interval),
        in_words(now.since(puller.last_at)),
    );
    Alert {
        id: AlertId::of_rule(RULE, "built-in", &who, puller.last_at),
        rule_id: RULE.to_owned(),
        rule_version: "built-in".to_owned(),
        title: "A bouncer stopped pulling decisions".to_owned(),
        kind: "bouncer-silent".to_owned(),
        severity: Severity::Medium,
        confidence: 100,
        status: AlertStatus::New,
        entity: Entity { kind: EntityKind::Group, value: who },
        client_ip: None,
        dst_ip: None,
        count: 1,
        first_seen: puller.last_at,
        last_seen: now,
        window_start: puller.last_at,
        timestamp: puller.last_at,
        details,
        reason: "it missed several of its pulls".to_owned(),
        description: "A bouncer that came in a rhythm comes no more, so what it blocks may be out of date.".to_owned(),
        detector: "Enforcement".to_owned(),
        source: "bartizan".to_owned(),
        country: None,
        user: None,
        matched: vec![("bouncer".to_owned(), puller.name.clone())],
        evidence: Vec::new(),
        event: json!({}).to_string(),
        synthetic: false,
        incarnation: epoch,
    }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
