//! Read, detect, commit: one thread a partition. Alerts and the position they belong to are stored in one transaction.
//!
//! New alerts are stored at once; alerts that only grow wait a little, so that a flood costs a bounded number of rows a
//! second. The position moves when everything before it is stored. What is stored ahead of it is stored again after a
//! crash, with the same ids and the same words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use backends::failpoint;
use backends::log::{Block, Log, LogError, RecordKind};
use backends::store::outbox::OutboxRow;
use backends::store::{Commit, Lease, Store, StoreError};
use decision::clients::Clients;
use detection::engine::{AlertChange, Engine};
use detection::rules::Rules;
use detection::snapshot::{Decoder, Encoder};
use detection::window::table::Bounds;
use hashbrown::HashMap;
use model::alert::Alert;
use model::event::{EventView, TextField};
use model::id::AlertId;
use model::place::{PartitionId, Position};
use model::time::Timestamp;

use crate::actions::Actions;
use crate::ahead::{self, Ready, Shared};
use crate::hydrate::{EventSource, Hydrator, LogEvents};
use crate::ingest::{chain, now};
use crate::ledger::Ledger;
use crate::pending::Pending;
use crate::progress::Progress;
use crate::snapshot::{self, Snapshot};

/// How long to wait for events when nothing waits to be stored.
const IDLE: Duration = Duration::from_millis(500);
/// How long the log must be silent before what waits is stored, as far as the row budget allows.
const SILENCE_SHORT: Duration = Duration::from_millis(10);
/// How long it must be silent before more is stored than the budget allows.
const SILENCE_LONG: Duration = Duration::from_millis(250);
/// How many alerts that is at most; for more it must be silent for longer.
const ALERTS_AFTER_SILENCE: usize = 500;
/// How long it must be silent before everything is stored, however much.
const SILENCE_LONGEST: Duration = Duration::from_secs(2);
/// While events keep coming, new alerts are stored this often: each time costs a sync.
const FRESH_EVERY: Duration = Duration::from_millis(15);
/// While events keep coming, the position is stored this often.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// Alerts that only grow are stored after this long, whatever the budget: the position waits for them, and a restart
/// goes back to the position.
const GROWTH_DELAY_MAX: Duration = Duration::from_secs(60);
/// How many rows of growing alerts may be written a second, on average.
const ROWS_PER_SECOND: f64 = 60.0;
/// How many unspent rows are saved up.
const ROWS_SAVED_MAX: f64 = 400.0;
/// How often a snapshot is written when there is something new.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);
/// After how many events a snapshot is written, however soon.
const SNAPSHOT_EVENTS: u64 = 3_000_000;
/// How many records before the position are replayed when there is no snapshot.
const REPLAY_MAX: u64 = 3_000_000;
/// How often the store is asked at a start before detection begins without its partition: half a second.
const START_TRIES: usize = 5;
/// How long to wait before the store or the log is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Finds rules by their digest: what was in force at a place of the log.
pub type RulesByDigest = Arc<dyn Fn(&str) -> Option<Arc<Rules>> + Send + Sync>;
/// Is told of new alerts, once they are visible to every reader.
pub type OnRaised = Arc<dyn Fn(&[Alert]) + Send + Sync>;
/// Says which messages tell of a new alert; they are stored with it, in one transaction.
pub type Announce = Arc<dyn Fn(&Alert) -> Vec<OutboxRow> + Send + Sync>;

/// What the detect loop works with.
#[derive(Clone)]
pub struct DetectParts {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// What has been done so far.
    pub progress: Arc<Progress>,
    /// The rules to begin with.
    pub rules: Arc<Rules>,
    /// Rules by digest.
    pub rules_by_digest: RulesByDigest,
    /// How many keys a rule keeps.
    pub bounds: Bounds,
    /// The folder of the snapshots.
    pub snapshots: PathBuf,
    /// What is done about new alerts.
    pub actions: Arc<Actions>,
    /// Is told of new alerts.
    pub on_raised: OnRaised,
    /// Who is told of a new alert.
    pub announce: Announce,
}

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// Another process owns the partition.
    #[error("detection left its partition")]
    Fenced(#[source] StoreError),
    /// The store could not be written, and there was no more time.
    #[error("the store could not be written until the end")]
    Away(#[source] StoreError),
    /// The store holds something that cannot be worked with.
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    /// The log cannot be read.
    #[error("the log cannot be used")]
    Log(#[source] LogError),
}

/// The detect loop of one partition.
pub struct Detector {
    parts: DetectParts,
    /// Where the partition stands; its epoch is ours once `is_owner`.
    lease: Lease,
    /// Whether the partition was taken. A store that is full at the start lets it be taken later, with what is stored first.
    is_owner: bool,
    engine: Engine,
    hydrator: Hydrator<LogEvents>,
    position: Position,
    waiting: HashMap<AlertId, AlertChange>,
    fresh: usize,
    /// Events detected since the position was stored, by input.
    detected: HashMap<String, u64>,
    rows_saved: f64,
    rows_saved_at: Instant,
    committed_at: Instant,
    stored_at: Instant,
    grown_since: Option<Instant>,
    snapshot_at: Instant,
    events_since_snapshot: u64,
    newest_event: Option<Timestamp>,
    clients: Clients,
    snapshot_writer: Option<thread::JoinHandle<()>>,
    ending: Ending,
}

/// When the loop is to end.
#[derive(Default)]
struct Ending {
    stop: Arc<AtomicBool>,
    /// How long it may take after that.
    patience: Duration,
    since: Option<Instant>,
}

impl Ending {
    /// Whether it has been told to end.
    fn is_begun(&mut self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            self.since.get_or_insert_with(Instant::now);
        }
        self.since.is_some()
    }

    /// Whether there is no more time.
    fn is_overdue(&mut self) -> bool {
        self.is_begun() && self.since.is_some_and(|it| self.patience < it.elapsed())
    }
}

const PARTITION: PartitionId = PartitionId(0);

impl Detector {
    /// Takes the partition, loads the state, and counts what is stored and not yet detected on. Nobody else may append
    /// meanwhile.
    ///
    /// It begins with the rules that were in force at its place in the log, as far as they are kept. A store that cannot
    /// be written now is no failure: it is read, and the partition is taken when something is to be stored.
    ///
    /// # Errors
    ///
    /// [`DetectError`].
    pub fn open(parts: DetectParts) -> Result<Self, DetectError> {
        let (lease, is_owner) = take_partition(parts.store.as_ref()).map_err(DetectError::Store)?;
        let log = parts.log.as_ref();
        let pending = count_pending(log, lease.position).map_err(DetectError::Log)?;
        parts.ledger.book().pending = pending;
        let read = snapshot::read(&parts.snapshots.join("p0.snap")).filter(|it| it.position <= lease.position);
        let without = log.back(PARTITION, lease.position, REPLAY_MAX).map_err(DetectError::Log)?;
        let without = without.max(log.start(PARTITION));
        let digest = match &read {
            Some(read) => Some(read.rules.clone()),
            None => announced_before(log, without).map_err(DetectError::Log)?,
        };
        let rules = digest.and_then(|it| (parts.rules_by_digest)(&it)).unwrap_or_else(|| parts.rules.clone());
        let mut engine = Engine::new(rules, parts.bounds);
        let mut clients = Clients::default();
        let position = match read {
            Some(read) if restore(&read.state, &mut engine, &mut clients) => read.position,
            _ => without,
        };
        let now = Instant::now();
        let events = LogEvents::new(parts.log.clone(), PARTITION);
        Ok(Self {
            hydrator: Hydrator::new(events),
            parts,
            lease,
            is_owner,
            engine,
            position,
            waiting: HashMap::new(),
            fresh: 0,
            detected: HashMap::new(),
            rows_saved: ROWS_SAVED_MAX,
            rows_saved_at: now,
            committed_at: now,
            stored_at: now,
            grown_since: None,
            snapshot_at: now,
            events_since_snapshot: 0,
            newest_event: None,
            clients,
            snapshot_writer: None,
            ending: Ending::default(),
        })
    }

    /// Runs until `stop` is set and everything in the log is detected on, or `patience` has passed since. What is not
    /// stored by then is detected again at the next start.
    ///
    /// # Errors
    ///
    /// [`DetectError`].
    pub fn run(mut self, stop: Arc<AtomicBool>, patience: Duration) -> Result<(), DetectError> {
        self.ending = Ending { stop, patience, since: None };
        self.replay()?;
        let shared = Shared::new(self.engine.rules().clone());
        let (sender, ready) = sync_channel(ahead::BLOCKS_MAX);
        let (log, from, progress) = (self.parts.log.clone(), self.position, self.parts.progress.clone());
        thread::scope(|scope| {
            let shared = &shared;
            scope.spawn(move || ahead::run(log.as_ref(), PARTITION, from, shared, &progress, &sender));
            let ended = self.take_blocks(&ready, shared);
            // The reader may wait for somebody to take its block.
            drop(ready);
            shared.end();
            match ended {
                Err(DetectError::Away(error)) => {
                    tracing::warn!(reason = %chain(&error), "The store could not be written until the end; what it lacks is detected again at the next start");
                    Ok(())
                }
                ended => ended,
            }
        })
    }

    fn take_blocks(&mut self, ready: &Receiver<Ready>, shared: &Shared) -> Result<(), DetectError> {
        let mut last_event = Instant::now();
        loop {
            let (is_stopping, is_overdue) = (self.ending.is_begun(), self.ending.is_overdue());
            let wait = if self.is_settled() { IDLE } else { SILENCE_SHORT };
            match ready.recv_timeout(wait) {
                Ok(block) if !is_overdue => {
                    last_event = Instant::now();
                    self.detect(&block, shared);
                    self.commit_under_load()?;
                }
                _ => {
                    self.settle(last_event.elapsed(), is_stopping)?;
                    let is_done = self.is_settled() && self.parts.log.end(PARTITION) <= self.position;
                    if is_stopping && (is_overdue || is_done) {
                        self.write_snapshot(true);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Goes from the snapshot to the stored position again; what comes out is stored already.
    fn replay(&mut self) -> Result<(), DetectError> {
        let mut discarded = Vec::new();
        let started = Instant::now();
        let from = self.position;
        while self.position < self.lease.position {
            let block = self.parts.log.read(PARTITION, self.position).map_err(DetectError::Log)?;
            if block.is_empty() {
                break;
            }
            let end = block.next().0.min(self.lease.position.0);
            for record in block.records(self.position).take_while(|it| it.sequence.0 < end) {
                match record.kind {
                    RecordKind::Event => {
                        if let Some(event) = EventView::of(record.bytes) {
                            self.engine.process(&event, record.sequence.0);
                            self.count_client(&event);
                        }
                    }
                    kind => self.take_control(kind, record.bytes),
                }
            }
            self.position = Position(end);
            self.engine.take(&mut discarded);
            discarded.clear();
        }
        self.position = self.position.max(self.lease.position);
        self.detected.clear();
        self.events_since_snapshot = 0;
        let records = self.position.0 - from.0.min(self.position.0);
        tracing::info!(
            records,
            duration_ms = started.elapsed().as_millis() as u64,
            "Replayed the log to the stored position"
        );
        self.publish();
        Ok(())
    }

    fn detect(&mut self, ready: &Ready, shared: &Shared) {
        let mut at = 0;
        for record in ready.block.records(self.position) {
            if record.kind != RecordKind::Event {
                self.take_control(record.kind, record.bytes);
                shared.set_rules(self.engine.rules().clone());
                continue;
            }
            let number = at;
            at += 1;
            let Some(event) = EventView::of(record.bytes) else { continue };
            if Arc::ptr_eq(&ready.rules, self.engine.rules()) {
                self.engine.take_in(&ready.matches, number, &event, record.sequence.0);
            } else {
                self.engine.process(&event, record.sequence.0);
            }
            self.count_event(&event);
        }
        self.position = ready.block.next();
        if self.engine.has_changes() {
            self.gather();
        }
    }

    fn count_event(&mut self, event: &EventView<'_>) {
        self.events_since_snapshot += 1;
        if event.received.is_none_or(|it| event.time <= it) {
            self.newest_event = self.newest_event.max(Some(event.time));
        }
        self.count_client(event);
        let input = event.text(TextField::Input).unwrap_or_default();
        match self.detected.get_mut(input) {
            Some(count) => *count += 1,
            None => {
                self.detected.insert(input.to_owned(), 1);
            }
        }
    }

    fn count_client(&mut self, event: &EventView<'_>) {
        let input = event.text(TextField::Input).unwrap_or_default();
        if let (Some(client), Some(received)) = (event.client_ip, event.received)
            && !self.parts.actions.is_spoofable(input)
        {
            self.clients.add(client, minute_of(received));
        }
    }

    /// Takes a record that is no event.
    fn take_control(&mut self, kind: RecordKind, bytes: &[u8]) {
        if kind != RecordKind::Engine {
            return;
        }
        let digest = String::from_utf8_lossy(bytes);
        if digest == self.engine.rules().digest {
            return;
        }
        let Some(rules) = (self.parts.rules_by_digest)(&digest) else {
            tracing::warn!(%digest, "The rules of this place in the log are not kept; it goes on with the present ones");
            return;
        };
        self.gather();
        tracing::info!(%digest, rules = rules.active(), "Took rules into force");
        self.engine.replace_rules(rules);
    }

    /// Takes what the engine has to say.
    fn gather(&mut self) {
        let mut changes = Vec::new();
        self.engine.take(&mut changes);
        for mut change in changes {
            self.fresh += usize::from(change.is_new);
            // One that waits has not been stored yet, so it is still new.
            change.is_new |= self.waiting.get(&change.id).is_some_and(|it| it.is_new);
            self.waiting.insert(change.id, change);
            self.grown_since.get_or_insert_with(Instant::now);
        }
    }

    fn is_settled(&self) -> bool {
        self.position == self.lease.position && self.waiting.is_empty() && !self.engine.has_changes()
    }

    /// Stores what waits once the log is silent.
    fn settle(&mut self, silence: Duration, is_stopping: bool) -> Result<(), DetectError> {
        if self.is_settled() {
            self.write_snapshot(false);
            return Ok(());
        }
        let is_affordable = self.waiting.len() as f64 <= self.rows_saved() + self.fresh as f64;
        let is_silent =
            SILENCE_LONGEST <= silence || (SILENCE_LONG <= silence && self.waiting.len() <= ALERTS_AFTER_SILENCE);
        if is_stopping || is_silent || (SILENCE_SHORT <= silence && is_affordable) {
            self.commit_all()
        } else if 0 < self.fresh {
            if is_affordable { self.commit_all() } else { self.commit_fresh() }
        } else {
            Ok(())
        }
    }

    /// Stores what must not wait while events keep coming.
    fn commit_under_load(&mut self) -> Result<(), DetectError> {
        let is_affordable = self.waiting.len() as f64 <= self.rows_saved() + self.fresh as f64;
        let is_overdue = self.grown_since.is_some_and(|it| GROWTH_DELAY_MAX < it.elapsed());
        if self.stored_at.elapsed() < FRESH_EVERY {
            return Ok(());
        }
        if is_overdue || (is_affordable && (0 < self.fresh || COMMIT_EVERY < self.committed_at.elapsed())) {
            self.commit_all()
        } else if 0 < self.fresh {
            self.commit_fresh()
        } else {
            Ok(())
        }
    }

    fn rows_saved(&mut self) -> f64 {
        let earned = self.rows_saved_at.elapsed().as_secs_f64() * ROWS_PER_SECOND;
        self.rows_saved_at = Instant::now();
        self.rows_saved = (self.rows_saved + earned).min(ROWS_SAVED_MAX);
        self.rows_saved
    }

    /// Stores all alerts that wait, and the position.
    fn commit_all(&mut self) -> Result<(), DetectError> {
        if self.engine.has_changes() {
            self.gather();
        }
        let changes: Vec<AlertChange> = std::mem::take(&mut self.waiting).into_values().collect();
        self.rows_saved -= (changes.len() - self.fresh.min(changes.len())) as f64;
        self.fresh = 0;
        self.grown_since = None;
        self.store(changes, self.position)?;
        self.committed_at = Instant::now();
        let detected = std::mem::take(&mut self.detected);
        let mut book = self.parts.ledger.book();
        for (input, count) in detected {
            if let Some(pending) = book.pending.get_mut(&input) {
                pending.finish(count);
            }
        }
        drop(book);
        self.parts.log.release(PARTITION, self.position);
        self.publish();
        self.write_snapshot(false);
        Ok(())
    }

    /// Stores the new alerts ahead of the position.
    fn commit_fresh(&mut self) -> Result<(), DetectError> {
        let ids: Vec<AlertId> = self.waiting.iter().filter(|it| it.1.is_new).map(|it| *it.0).collect();
        let changes = ids.iter().filter_map(|it| self.waiting.remove(it)).collect();
        self.fresh = 0;
        self.store(changes, self.lease.position)
    }

    fn store(&mut self, mut changes: Vec<AlertChange>, to: Position) -> Result<(), DetectError> {
        changes.sort_by_key(|it| (it.counted.completed, it.id));
        let rules = self.engine.rules().clone();
        let alerts: Vec<Alert> = changes.iter().map(|it| self.hydrator.alert(it, &rules)).collect();
        let proposals =
            self.parts.actions.proposals(&alerts, &changes, &rules.digest, now(), &mut self.hydrator.events);
        // The store leaves out what tells of an alert that was there before.
        let new = changes.iter().zip(&alerts).filter(|it| it.0.is_new).map(|it| it.1);
        let outbox: Vec<OutboxRow> = new.flat_map(|it| (self.parts.announce)(it)).collect();
        let commit_now = now();
        if !proposals.is_empty() {
            self.parts.progress.done().clients = self.clients.estimate(minute_of(commit_now));
        }
        failpoint::visit("detect.before_commit");
        let mut pause = RETRY.0;
        let committed = loop {
            let stored = self.own().and_then(|lease| {
                let (alerts, outbox, proposals) = (&*alerts, &*outbox, &*proposals);
                self.parts.store.commit(&Commit { lease, to, alerts, outbox, proposals, now: commit_now })
            });
            match stored {
                Ok(committed) => break committed,
                Err(error) if error.is_transient() => {
                    if self.ending.is_overdue() {
                        return Err(DetectError::Away(error));
                    }
                    let text = chain(&error);
                    tracing::warn!(reason = %text, "The store cannot be written; it is tried again");
                    self.parts.progress.done().trouble = Some(text);
                    thread::sleep(pause);
                    pause = (pause * 2).min(RETRY.1);
                }
                Err(error @ StoreError::Fenced { .. }) => return Err(DetectError::Fenced(error)),
                Err(error) => return Err(DetectError::Store(error)),
            }
        };
        failpoint::visit("detect.after_commit");
        self.stored_at = Instant::now();
        self.lease.position = to;
        let raised: Vec<Alert> = alerts.iter().filter(|it| committed.raised.contains(&it.id)).cloned().collect();
        self.count_stored(&alerts, &raised, &changes);
        if !raised.is_empty() {
            (self.parts.on_raised)(&raised);
        }
        Ok(())
    }

    /// Takes the partition if it could not be taken at the start.
    fn own(&mut self) -> Result<Lease, StoreError> {
        if !self.is_owner {
            let lease = self.parts.store.acquire(PARTITION)?;
            if lease.position != self.lease.position {
                // Somebody else worked on it meanwhile.
                return Err(StoreError::Fenced { partition: PARTITION });
            }
            (self.lease, self.is_owner) = (lease, true);
        }
        Ok(self.lease)
    }

    fn count_stored(&mut self, alerts: &[Alert], raised: &[Alert], changes: &[AlertChange]) {
        let latency = changes
            .iter()
            .filter(|it| it.is_new)
            .filter_map(|it| it.counted.evidence.last())
            .max_by_key(|it| it.sequence);
        let mut received: Option<Timestamp> = None;
        if let Some(last) = latency {
            self.hydrator
                .events
                .with_event(model::place::Sequence(last.sequence), &mut |view| received = view.received);
        }
        let mut done = self.parts.progress.done();
        done.rows += alerts.len() as u64;
        done.trouble = None;
        for alert in raised {
            *done
                .raised
                .entry((alert.rule_id.clone(), alert.detector.clone(), alert.severity.as_str()))
                .or_default() += 1;
        }
        if let Some(received) = received {
            done.latency.observe(now().since(received), 1);
        }
    }

    fn publish(&self) {
        let counters = self.engine.counters();
        let rules = self.engine.rules();
        let matches = rules.rules.iter().zip(self.engine.matches()).map(|(info, count)| (info.id.clone(), *count));
        let mut done = self.parts.progress.done();
        done.events = counters.events;
        done.late = counters.late;
        done.ahead = counters.ahead;
        done.evicted_keys = counters.evicted_keys;
        done.keys = counters.keys;
        done.newest_event = self.newest_event;
        done.matches = matches.collect();
    }

    /// Writes a snapshot when it is time, in a thread of its own; `is_last` waits for it.
    fn write_snapshot(&mut self, is_last: bool) {
        let is_due = SNAPSHOT_EVENTS <= self.events_since_snapshot
            || (SNAPSHOT_EVERY <= self.snapshot_at.elapsed() && 0 < self.events_since_snapshot)
            || (is_last && 0 < self.events_since_snapshot);
        if !is_due || !self.is_settled() {
            if is_last {
                self.join_writer();
            }
            return;
        }
        self.join_writer();
        let mut encoder = Encoder::default();
        self.engine.encode(&mut encoder);
        self.clients.encode(&mut |it| encoder.bytes(it));
        let snapshot = Snapshot {
            position: self.position,
            rules: self.engine.rules().digest.clone(),
            state: encoder.into_bytes(),
        };
        (self.snapshot_at, self.events_since_snapshot) = (Instant::now(), 0);
        self.parts.progress.done().snapshot_at = snapshot.position.0;
        let path = self.parts.snapshots.join("p0.snap");
        let write = move || {
            if let Err(error) = snapshot::write(&path, &snapshot) {
                tracing::warn!(reason = %error, "The snapshot cannot be written; the next start replays more");
            }
        };
        // Without a thread it is written here.
        match thread::Builder::new().name("snapshot".into()).spawn(write) {
            Ok(thread) => self.snapshot_writer = Some(thread),
            Err(error) => tracing::warn!(reason = %error, "No thread for the snapshot"),
        }
        if is_last {
            self.join_writer();
        }
    }

    fn join_writer(&mut self) {
        if let Some(thread) = self.snapshot_writer.take()
            && thread.join().is_err()
        {
            tracing::error!("The thread that wrote the snapshot panicked");
        }
    }
}

/// Takes the state of a snapshot; one of an earlier version has no clients in it.
fn restore(state: &[u8], engine: &mut Engine, clients: &mut Clients) -> bool {
    let mut decoder = Decoder::new(state);
    if engine.decode(&mut decoder).is_none() {
        return false;
    }
    if let Some(kept) = decoder.bytes().and_then(Clients::decode) {
        *clients = kept;
    }
    true
}

/// The number of a minute since 1970.
const fn minute_of(time: Timestamp) -> i64 {
    time.0.div_euclid(60_000_000_000)
}

/// Writes the digest of the rules into the log, when it is not the last one written: they are in force from here on.
///
/// # Errors
///
/// What the log says.
pub fn announce_rules(log: &dyn Log, rules: &Rules) -> Result<(), LogError> {
    let last = announced_before(log, Position(u64::MAX))?;
    if last.as_deref() == Some(&rules.digest) {
        return Ok(());
    }
    let mut block = Block::default();
    block.push(RecordKind::Engine, rules.digest.as_bytes());
    log.append(PARTITION, &mut block, now()).map(|_| ())
}

/// The digest of the rules that were last announced before a position; `None` when none were, or it is no longer kept.
fn announced_before(log: &dyn Log, position: Position) -> Result<Option<String>, LogError> {
    let mut last = None;
    log.specials(&mut |record| {
        if record.kind == RecordKind::Engine && record.sequence.0 < position.0 {
            last = Some(String::from_utf8_lossy(record.bytes).into_owned());
        }
        last.is_none()
    })?;
    Ok(last)
}

/// Takes the partition; where the store can only be read now, says where it stands, and that it was not taken.
fn take_partition(store: &dyn Store) -> Result<(Lease, bool), StoreError> {
    match retried(|| store.acquire(PARTITION)) {
        Ok(lease) => Ok((lease, true)),
        Err(error) if error.is_transient() => {
            tracing::warn!(reason = %chain(&error), "The store cannot be written; detection stores nothing until it can");
            let position = store.position(PARTITION)?;
            Ok((Lease { partition: PARTITION, epoch: 0, position }, false))
        }
        Err(error) => Err(error),
    }
}

/// Gathers the events behind a position by input; one that does not say when it was received waits from now on.
fn count_pending(log: &dyn Log, from: Position) -> Result<BTreeMap<String, Pending>, LogError> {
    let (mut position, mut pending, now) = (from, BTreeMap::<String, Pending>::new(), now());
    loop {
        let block = log.read(PARTITION, position)?;
        if block.is_empty() {
            return Ok(pending);
        }
        for record in block.records(position).filter(|it| it.kind == RecordKind::Event) {
            let Some(event) = EventView::of(record.bytes) else { continue };
            let input = event.text(TextField::Input).unwrap_or_default().to_owned();
            pending.entry(input).or_default().add(1, event.received.unwrap_or(now));
        }
        position = block.next();
    }
}

fn retried<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut pause = RETRY.0;
    for _ in 0..START_TRIES {
        match call() {
            Err(error) if error.is_transient() => {
                tracing::warn!(reason = %chain(&error), "The store is not available; it is tried again");
                thread::sleep(pause);
                pause = (pause * 2).min(RETRY.1);
            }
            other => return other,
        }
    }
    call()
}
