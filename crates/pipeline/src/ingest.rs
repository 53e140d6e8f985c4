//! Dedupe, append, acknowledge: one thread takes what the doors submit, appends it in one write and one sync, and only
//! then answers. While it syncs, the next group gathers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backends::failpoint;
use backends::log::{Block, Log, LogError, RecordKind};
use model::event::{EventFlags, EventView};
use model::id::EventId;
use model::intake::{IngestError, RECEIPT_IDS_MAX, Receipt, Submission};
use model::place::PartitionId;
use model::time::Timestamp;
use tokio::sync::oneshot;

use crate::answers::{Answers, Asked};
use crate::ledger::{Book, Counts, Ledger, MARK_REFUSED};
use crate::pending::Pending;
use crate::seen::{IDS_MAX, Seen};

/// How much may wait for the next write. Beyond it the doors answer 503: the disk cannot keep up.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// How long a sender waits for his answer at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a write may take before nothing more is accepted until it is done.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// How much is written at once, so that nobody waits for a large neighbour.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How many events may wait for detection. Beyond it the doors answer 503.
const LAG_EVENTS_MAX: u64 = 4_000_000;
/// How long counts that no event carried wait for one.
const COUNTS_DELAY: Duration = Duration::from_secs(1);

/// How much memory a submission takes, about.
fn bytes_of(submission: &Submission) -> usize {
    submission.events.bytes.len() + submission.quarantined.iter().map(|it| it.record.len()).sum::<usize>()
}

/// What of one input waits to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// How many submissions.
    pub submissions: u64,
    /// How long the oldest has waited.
    pub oldest: Duration,
}

struct Waiting {
    since: Instant,
    submission: Submission,
    answer: oneshot::Sender<Result<Receipt, IngestError>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    bytes: usize,
    is_closed: bool,
}

/// The way into the log, shared by all doors.
pub struct Ingest {
    queue: Mutex<Queue>,
    filled: Condvar,
    log: Arc<dyn Log>,
    ledger: Arc<Ledger>,
    health: Mutex<Option<String>>,
    /// Since when the present group is being written.
    writing_since: Mutex<Option<Instant>>,
}

impl Ingest {
    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// What the log says when the ids seen cannot be read.
    pub fn start(log: Arc<dyn Log>, ledger: Arc<Ledger>) -> Result<(Arc<Self>, thread::JoinHandle<()>), LogError> {
        let mut writer = Writer::open(log.clone(), ledger.clone())?;
        let ingest = Arc::new(Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            log,
            ledger,
            health: Mutex::new(None),
            writing_since: Mutex::new(None),
        });
        let shared = ingest.clone();
        let thread = thread::Builder::new().name("append".into()).spawn(move || shared.run(&mut writer));
        let thread =
            thread.map_err(|source| LogError::Io { action: "start the writer of", file: "events".into(), source })?;
        Ok((ingest, thread))
    }

    /// Hands a submission over; the answer comes when it is durable.
    ///
    /// # Errors
    ///
    /// [`IngestError`]; nothing of it was taken then, unless the log took longer than anybody waits: then it may be stored
    /// all the same, and is known when it comes again with its ids or its key.
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, IngestError> {
        let answer = self.enqueue(submission)?;
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer.unwrap_or(Err(IngestError::Stopping)),
            Err(_) => Err(IngestError::Unwritable),
        }
    }

    /// The same for a thread that may wait.
    ///
    /// # Errors
    ///
    /// [`IngestError`].
    pub fn submit_blocking(&self, submission: Submission) -> Result<Receipt, IngestError> {
        let answer = self.enqueue(submission)?;
        answer.blocking_recv().unwrap_or(Err(IngestError::Stopping))
    }

    /// Counts a request that was refused before records could be told apart.
    pub fn count_refused_request(&self) {
        self.ledger.book().refused_requests += 1;
    }

    /// How many submissions wait, and their bytes.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        (queue.waiting.len(), queue.bytes)
    }

    /// What waits, by input. The group that is being written is no part of it.
    #[must_use]
    pub fn queued(&self) -> BTreeMap<String, Queued> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inputs: BTreeMap<String, Queued> = BTreeMap::new();
        for waiting in &queue.waiting {
            let input = inputs.entry(waiting.submission.input.to_string()).or_default();
            input.submissions += 1;
            input.oldest = input.oldest.max(waiting.since.elapsed());
        }
        inputs
    }

    /// Why the log cannot be written now, if it cannot.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.is_stuck() {
            return Some("the log does not say whether it has what was written last".to_owned());
        }
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes nothing more; the thread writes what waits and ends.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.filled.notify_all();
    }

    fn enqueue(&self, submission: Submission) -> Result<oneshot::Receiver<Result<Receipt, IngestError>>, IngestError> {
        if self.is_stuck() {
            return Err(IngestError::Unwritable);
        }
        if !submission.events.is_empty() && LAG_EVENTS_MAX < self.ledger.book().lag_events() {
            return Err(IngestError::Overloaded("detected on"));
        }
        let (answer, receiver) = oneshot::channel();
        let bytes = bytes_of(&submission);
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_closed {
            return Err(IngestError::Stopping);
        }
        if QUEUE_BYTES_MAX < queue.bytes + bytes {
            return Err(IngestError::Overloaded("written"));
        }
        queue.bytes += bytes;
        queue.waiting.push(Waiting { since: Instant::now(), submission, answer });
        drop(queue);
        self.filled.notify_one();
        Ok(receiver)
    }

    /// Whether the log has been busy with one write for so long that nobody should wait for the next.
    fn is_stuck(&self) -> bool {
        let since = self.writing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|it| STUCK_AFTER <= it.elapsed())
    }

    /// Takes what waits, up to the bound; `None` when the queue is closed and empty.
    fn next_group(&self, was_stuck: bool) -> Option<Vec<Waiting>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |it: &mut Queue| it.waiting.is_empty() && !it.is_closed;
        let waited = self.filled.wait_timeout_while(queue, COUNTS_DELAY, idle);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if queue.waiting.is_empty() && queue.is_closed {
            return None;
        }
        if was_stuck {
            // Who waited for too long was told that it is not taken.
            queue.waiting.retain(|it| !it.answer.is_closed());
        }
        let mut bytes = 0;
        let mut fits = |it: &Waiting| {
            bytes += bytes_of(&it.submission);
            bytes <= GROUP_BYTES_MAX
        };
        let taken = queue.waiting.iter().take_while(|it| fits(it)).count().max(1).min(queue.waiting.len());
        let rest = queue.waiting.split_off(taken);
        let group = std::mem::replace(&mut queue.waiting, rest);
        queue.bytes = queue.waiting.iter().map(|it| bytes_of(&it.submission)).sum();
        Some(group)
    }

    fn run(&self, writer: &mut Writer) {
        let since = |it| *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner) = it;
        let mut was_stuck = false;
        while let Some(group) = self.next_group(was_stuck) {
            let began = Instant::now();
            since(Some(began));
            writer.write(group, &|it| self.note(it));
            since(None);
            was_stuck = STUCK_AFTER <= began.elapsed();
        }
        writer.write_counts(&|it| self.note(it));
        drop(self.log.clone());
    }

    /// Notes whether the log could be written.
    fn note(&self, written: Result<(), &LogError>) {
        let trouble = written.err().map(|it| chain(it));
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*health, &trouble) {
            (None, Some(reason)) => {
                tracing::error!(%reason, "The log cannot be written; nothing is acknowledged until it can");
            }
            (Some(_), None) => tracing::info!("The log can be written again"),
            _ => {}
        }
        *health = trouble;
    }
}

/// Is told whether the log could be written, before anybody is answered.
type Note<'a> = &'a dyn Fn(Result<(), &LogError>);

struct Writer {
    log: Arc<dyn Log>,
    ledger: Arc<Ledger>,
    seen: Seen,
    answers: Answers,
    block: Block,
    unwritten: BTreeSet<String>,
    refused_written: u64,
    counts_written: Instant,
}

/// What one submission of a group will be answered, if the write succeeds.
struct Planned {
    /// Where its events begin in the block, and which of them are stored: `None` where the log makes the id.
    stored: Vec<(u32, Option<EventId>)>,
    counts: Counts,
    resolved: u64,
    outcome: Outcome,
}

enum Outcome {
    Store,
    /// The same request stands before it in the group: its answer is that one's.
    RepeatOfGroup,
    Repeat(Receipt),
    Refuse(IngestError),
}

impl Writer {
    fn open(log: Arc<dyn Log>, ledger: Arc<Ledger>) -> Result<Self, LogError> {
        let mut seen = Seen::default();
        log.repeatable_ids(IDS_MAX, &mut |it| seen.insert(it))?;
        let answers = Answers::read(log.as_ref())?;
        let refused_written = ledger.book().refused_requests;
        Ok(Self {
            log,
            ledger,
            seen,
            answers,
            block: Block::default(),
            unwritten: BTreeSet::new(),
            refused_written,
            counts_written: Instant::now(),
        })
    }

    /// Writes a group and answers each of it; `note` is told first whether what there was to write could be written.
    fn write(&mut self, group: Vec<Waiting>, note: Note<'_>) {
        self.block.clear();
        let mut in_group = HashSet::new();
        let mut keys_in_group = HashMap::new();
        let mut planned = Vec::with_capacity(group.len());
        for waiting in &group {
            planned.push(self.plan(&waiting.submission, &mut in_group, &mut keys_in_group));
        }
        let has_records = !self.block.is_empty();
        if !has_records {
            self.count(&group, &planned);
            self.defer(&group, &planned);
            if COUNTS_DELAY <= self.counts_written.elapsed() {
                self.write_counts(note);
            }
            self.answer(group, planned, 0);
            return;
        }
        self.plan_counts(&group, &planned);
        // Before the append: detection may be through with them before we come back to count.
        let appended_at = now();
        self.change_pending(&group, &planned, |pending, events| pending.add(events, appended_at));
        match self.log.append(PartitionId(0), &mut self.block, appended_at) {
            Ok(first) => {
                failpoint::visit("ingest.before_answer");
                self.unwritten.clear();
                self.counts_written = Instant::now();
                in_group.into_iter().for_each(|it| self.seen.insert(it));
                self.count(&group, &planned);
                note(Ok(()));
                self.answer(group, planned, first.0);
            }
            Err(error) => {
                self.refused_written = u64::MAX;
                self.change_pending(&group, &planned, Pending::take_back);
                note(Err(&error));
                for waiting in group {
                    // A sender that is gone needs no answer.
                    let _ = waiting.answer.send(Err(IngestError::Unwritable));
                }
            }
        }
    }

    fn plan(
        &mut self,
        submission: &Submission,
        in_group: &mut HashSet<EventId>,
        keys_in_group: &mut HashMap<(Arc<str>, String), u128>,
    ) -> Planned {
        let mut plan = Planned { stored: Vec::new(), counts: Counts::default(), resolved: 0, outcome: Outcome::Store };
        if let Some(once) = &submission.once {
            let named = (submission.input.clone(), once.key.clone());
            let asked = match (self.answers.get(&submission.input, once), keys_in_group.get(&named)) {
                (Asked::New, Some(body)) if *body != once.body => Asked::Reused,
                (asked, _) => asked,
            };
            plan.counts.rejected = submission.rejected;
            match asked {
                Asked::Answered(receipt) => {
                    plan.counts.duplicate = receipt.stored + receipt.duplicate;
                    plan.outcome = Outcome::Repeat(receipt);
                    return plan;
                }
                Asked::Reused => {
                    plan.counts.rejected = 0;
                    plan.outcome = Outcome::Refuse(IngestError::KeyReused);
                    return plan;
                }
                Asked::New => {
                    if keys_in_group.insert(named, once.body).is_some() {
                        plan.counts.duplicate = submission.events.len() as u64;
                        plan.outcome = Outcome::RepeatOfGroup;
                        return plan;
                    }
                }
            }
        }
        for event in submission.events.iter() {
            let is_repeatable = event.get(1).is_some_and(|it| EventFlags(*it).has(EventFlags::REPEATABLE));
            let id = is_repeatable.then(|| EventView::of(event).map(|it| it.id)).flatten();
            if let Some(id) = id
                && (self.seen.has(id) || !in_group.insert(id))
            {
                plan.counts.duplicate += 1;
                continue;
            }
            plan.stored.push((self.block.count(), id));
            plan.counts.stored += 1;
            self.block.push(RecordKind::Event, event);
        }
        for record in &submission.quarantined {
            self.block.push(RecordKind::Quarantined, &crate::quarantine::encode(record));
            plan.counts.quarantined += 1;
        }
        for sequence in &submission.resolved {
            self.block.push(RecordKind::Resolved, &sequence.to_le_bytes());
            plan.resolved += 1;
        }
        for (key, value) in &submission.marks {
            self.block.push_mark(key, value);
        }
        plan.counts.rejected = submission.rejected;
        if let Some(once) = &submission.once {
            let ids = plan.stored.iter().map(|it| it.1.unwrap_or_default()).take(RECEIPT_IDS_MAX + 1);
            let receipt = Receipt::of(ids.collect(), plan.counts.stored, plan.counts.duplicate);
            self.block.push(RecordKind::Idempotency, &Answers::encode(&submission.input, once, &receipt));
        }
        plan
    }

    /// Adds the marks of the ledger as it will be after this write.
    fn plan_counts(&mut self, group: &[Waiting], planned: &[Planned]) {
        // What waits is not written, and may be much.
        let mut book = {
            let book = self.ledger.book();
            Book { inputs: book.inputs.clone(), refused_requests: book.refused_requests, ..Book::default() }
        };
        apply(&mut book.inputs, group, planned);
        let is_counted = |plan: &Planned| 0 < plan.counts.received() || 0 < plan.resolved;
        let changed = group.iter().zip(planned).filter(|(_, plan)| is_counted(plan));
        let changed = changed.map(|(it, _)| it.submission.input.to_string());
        let inputs: BTreeSet<String> = changed.chain(self.unwritten.iter().cloned()).collect();
        for input in inputs {
            let (key, value) = book.mark_of(&input);
            self.block.push_mark(&key, &value);
        }
        if book.refused_requests != self.refused_written {
            self.block.push_mark(MARK_REFUSED, &book.refused_mark());
            self.refused_written = book.refused_requests;
        }
    }

    /// Changes the ledger that everybody sees.
    fn count(&self, group: &[Waiting], planned: &[Planned]) {
        apply(&mut self.ledger.book().inputs, group, planned);
    }

    /// Remembers the inputs whose counts go with the next write.
    fn defer(&mut self, group: &[Waiting], planned: &[Planned]) {
        let changed = group.iter().zip(planned).filter(|(_, plan)| 0 < plan.counts.received());
        self.unwritten.extend(changed.map(|(waiting, _)| waiting.submission.input.to_string()));
    }

    /// Changes what waits for detection, by input.
    fn change_pending(&self, group: &[Waiting], planned: &[Planned], change: impl Fn(&mut Pending, u64)) {
        let mut book = self.ledger.book();
        for (waiting, plan) in group.iter().zip(planned).filter(|it| 0 < it.1.counts.stored) {
            let input = &*waiting.submission.input;
            match book.pending.get_mut(input) {
                Some(pending) => change(pending, plan.counts.stored),
                None => change(book.pending.entry(input.to_owned()).or_default(), plan.counts.stored),
            }
        }
    }

    /// Writes the counts that no event carried; they go with the next write when that fails. After a write that failed there
    /// always is one to write: so it is found out, without events, that the log can be written again.
    fn write_counts(&mut self, note: Note<'_>) {
        let mut block = Block::default();
        {
            let book = self.ledger.book();
            if book.refused_requests != self.refused_written {
                block.push_mark(MARK_REFUSED, &book.refused_mark());
                self.refused_written = book.refused_requests;
            }
            for input in &self.unwritten {
                let (key, value) = book.mark_of(input);
                block.push_mark(&key, &value);
            }
        }
        self.counts_written = Instant::now();
        if block.is_empty() {
            return;
        }
        match self.log.append(PartitionId(0), &mut block, now()) {
            Ok(_) => {
                self.unwritten.clear();
                note(Ok(()));
            }
            Err(error) => {
                self.refused_written = u64::MAX;
                note(Err(&error));
            }
        }
    }

    fn answer(&mut self, group: Vec<Waiting>, planned: Vec<Planned>, first: u64) {
        let tag = self.log.tag();
        for (waiting, plan) in group.into_iter().zip(planned) {
            let answer = match plan.outcome {
                Outcome::Store => {
                    let id = |(at, id): &(u32, Option<EventId>)| {
                        id.unwrap_or_else(|| EventId::of_place(tag, first + u64::from(*at)))
                    };
                    let ids = plan.stored.iter().take(RECEIPT_IDS_MAX + 1).map(id).collect();
                    let receipt = Receipt::of(ids, plan.counts.stored, plan.counts.duplicate);
                    if let Some(once) = &waiting.submission.once {
                        self.answers.put(&waiting.submission.input, once, &receipt);
                    }
                    Ok(receipt)
                }
                Outcome::RepeatOfGroup => {
                    let first =
                        waiting.submission.once.as_ref().map(|it| self.answers.get(&waiting.submission.input, it));
                    Ok(if let Some(Asked::Answered(receipt)) = first { receipt } else { Receipt::default() })
                }
                Outcome::Repeat(receipt) => Ok(receipt),
                Outcome::Refuse(error) => Err(error),
            };
            // A sender that is gone needs no answer.
            let _ = waiting.answer.send(answer);
        }
    }
}

fn apply(inputs: &mut std::collections::BTreeMap<String, Counts>, group: &[Waiting], planned: &[Planned]) {
    for (waiting, plan) in group.iter().zip(planned) {
        let input = &*waiting.submission.input;
        if plan.counts.received() == 0 && plan.resolved == 0 {
            continue;
        }
        let counts = match inputs.get_mut(input) {
            Some(counts) => counts,
            None => inputs.entry(input.to_owned()).or_default(),
        };
        counts.add(&plan.counts);
        // A replayed record leaves quarantine for what it now is.
        counts.quarantined = counts.quarantined.saturating_sub(plan.resolved);
    }
}

/// The wall clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(model::time::nanos_of(since))
}

/// An error with its sources in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
