//! The worker of one destination: takes messages from the outbox, sends them, says what became of them.
//!
//! A message is marked after it was sent: whoever dies in between sends it again, with the same id. Nothing here waits
//! for another destination.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use backends::failpoint;
use backends::store::outbox::{MessageId, Outcome, Take, Taken};
use backends::store::{Store, StoreError};
use model::time::{Timestamp, nanos_of};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backoff;
use crate::breaker::Breaker;
use crate::channels::{Channel, Failure, Manner, Sent};
use crate::message::Message;

/// How often the outbox is looked at without being told: what another process posted is found within this time.
const POLL: Duration = Duration::from_secs(2);
/// How much longer than a batch may take its lease is.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How long to wait when the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long a message that was sent waits to be marked together with others.
const SETTLE_AFTER: Duration = Duration::from_millis(50);
/// How often it is tried to write what was sent; after it the lease ends, and it is sent again.
const SETTLE_TRIES: u32 = 30;

/// What a worker has done since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many messages have arrived.
    pub delivered: u64,
    /// How many attempts failed that are tried again.
    pub failed: u64,
    /// How many messages became dead letters because they were refused.
    pub dead: u64,
    /// How many were sent although they may have arrived before: at most one for each message a crash met.
    pub repeated: u64,
    /// Whether nothing is sent because too much failed.
    pub is_open: bool,
    /// Why the last attempt failed; empty after a success.
    pub reason: String,
}

/// What a worker works with.
#[derive(Clone)]
pub struct Worker {
    /// The destination's name.
    pub destination: Arc<str>,
    /// Its channel.
    pub channel: Arc<dyn Channel>,
    /// The store with the outbox.
    pub store: Arc<dyn Store>,
    /// Who it is among those that deliver from the store.
    pub owner: Arc<str>,
    /// Tells that something was posted.
    pub wake: Arc<Notify>,
    /// What it has done.
    pub stats: Arc<Mutex<Stats>>,
}

/// The wall clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(nanos_of(since))
}

/// Between two rounds.
struct State {
    breaker: Breaker,
    /// When the next message may be sent: the pace of the destination, or a wait that it asked for.
    free_at: Instant,
}

impl Worker {
    /// Runs until `stop` is true; what is on its way then is waited for by whoever has the patience.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut state = State { breaker: Breaker::default(), free_at: Instant::now() };
        loop {
            let wait = self.round(&mut state, &stop).await;
            if *stop.borrow() {
                return;
            }
            if wait.is_zero() {
                continue;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.wake.notified(), if !state.is_waiting() => {}
                _ = stop.wait_for(|it| *it) => return,
            }
        }
    }

    /// Sends what is due; returns how long to wait.
    async fn round(&self, state: &mut State, stop: &watch::Receiver<bool>) -> Duration {
        let wait = state.wait();
        if !wait.is_zero() {
            return wait;
        }
        let manner = self.channel.manner();
        let limit = if state.breaker.is_open() { 1 } else { manner.batch };
        match self.take(&manner, limit).await {
            Ok(Ok(taken)) => {
                self.send_all(taken, &manner, state, stop).await;
                state.wait()
            }
            Ok(Err(wait)) => wait,
            Err(error) => {
                tracing::warn!(destination = %self.destination, reason = %error, "The outbox cannot be used; it is tried again");
                STORE_PAUSE
            }
        }
    }

    /// Takes what is due, or says how long it will take until something is.
    async fn take(&self, manner: &Manner, limit: usize) -> Result<Result<Vec<Taken>, Duration>, StoreError> {
        let rounds = u32::try_from(limit.div_ceil(manner.parallel.max(1))).unwrap_or(u32::MAX);
        let lease = (manner.timeout + manner.pause).saturating_mul(rounds) + LEASE_MARGIN;
        self.with_store(move |store, worker| {
            let now = now();
            // Looking is cheap and keeps nobody from writing; taking is a write.
            match store.next_due(&worker.destination)? {
                Some(due) if due <= now => {}
                Some(due) => return Ok(Err(due.since(now).min(POLL))),
                None => return Ok(Err(POLL)),
            }
            let (destination, owner) = (&worker.destination, &worker.owner);
            let taken = store.take(&Take { destination, owner, now, until: now.plus(lease), limit })?;
            Ok(if taken.is_empty() { Err(POLL) } else { Ok(taken) })
        })
        .await
    }

    /// Sends messages, so many at once as the channel wants, and says what became of each.
    async fn send_all(&self, taken: Vec<Taken>, manner: &Manner, state: &mut State, stop: &watch::Receiver<bool>) {
        let (mut settled, mut on_their_way) = (Vec::new(), JoinSet::new());
        let mut left = taken.into_iter();
        loop {
            let is_over = *stop.borrow() || state.is_waiting() || state.breaker.wait(Instant::now()).is_some();
            if !is_over
                && on_their_way.len() < manner.parallel
                && let Some(taken) = left.next()
            {
                if !manner.pause.is_zero() {
                    state.free_at = Instant::now() + manner.pause;
                }
                on_their_way.spawn(send(self.channel.clone(), taken, *manner));
                continue;
            }
            let Ok(sent) = timeout(SETTLE_AFTER, on_their_way.join_next()).await else {
                // One that hangs must not keep the others from being marked.
                self.settle(std::mem::take(&mut settled)).await;
                continue;
            };
            let Some(sent) = sent else { break };
            // One that panicked is settled by the end of its lease.
            let Ok((taken, sent)) = sent else { continue };
            settled.push((taken.id, self.judge(&taken, sent, manner, state)));
            // What has arrived and is not marked is sent again after a crash: never more of it than the channel says.
            if manner.unmarked.max(manner.parallel) <= settled.len() {
                self.settle(std::mem::take(&mut settled)).await;
            }
        }
        settled.extend(left.map(|it| (it.id, Outcome::Returned)));
        self.settle(settled).await;
    }

    /// Decides what becomes of a message, and takes note of it.
    fn judge(&self, taken: &Taken, sent: Result<Sent, Failure>, manner: &Manner, state: &mut State) -> Outcome {
        let is_failure = sent.as_ref().is_err_and(Failure::is_of_destination);
        let has_turned = state.breaker.take(is_failure, Instant::now());
        let reason = sent.as_ref().err().map(|it| it.reason.clone()).unwrap_or_default();
        if has_turned && state.breaker.is_open() {
            tracing::warn!(destination = %self.destination, %reason, "The destination takes nothing; it is left alone for a while");
        } else if has_turned {
            tracing::info!(destination = %self.destination, "The destination takes messages again");
        }
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.repeated += u64::from(taken.is_uncertain);
        stats.is_open = state.breaker.is_open();
        stats.reason.clone_from(&reason);
        let retry_after = sent.as_ref().err().and_then(|it| it.retry_after);
        let outcome = match sent {
            Ok(_) => {
                stats.delivered += u64::from(!taken.is_reminder);
                delivered(taken, manner)
            }
            Err(failure) if failure.is_permanent => {
                stats.dead += 1;
                tracing::warn!(destination = %self.destination, message.id = %taken.id, %reason, "A message was refused for good; it is a dead letter now");
                Outcome::Dead { reason }
            }
            Err(_) => {
                stats.failed += 1;
                let wait = backoff::wait(taken.attempt, backoff::chance()).max(retry_after.unwrap_or_default());
                Outcome::Postponed { next_at: now().plus(wait), reason }
            }
        };
        if let Some(wait) = retry_after {
            state.free_at = state.free_at.max(Instant::now() + wait);
        }
        outcome
    }

    /// Writes what became of messages; tried until the store takes it, for what has arrived must not be sent again.
    async fn settle(&self, settled: Vec<(MessageId, Outcome)>) {
        if settled.is_empty() {
            return;
        }
        failpoint::visit("notify.after_send");
        let settled = Arc::new(settled);
        for _ in 0..SETTLE_TRIES {
            let settled = settled.clone();
            let written = self.with_store(move |store, worker| store.settle(&worker.owner, &settled, now())).await;
            match written {
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(destination = %self.destination, reason = %error, "What was sent cannot be marked; it is tried again");
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Asks the store on a thread that may block.
    async fn with_store<T, F>(&self, ask: F) -> Result<T, StoreError>
    where
        F: FnOnce(&dyn Store, &Self) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let worker = self.clone();
        let asked = tokio::task::spawn_blocking(move || ask(worker.store.as_ref(), &worker)).await;
        asked.unwrap_or_else(|error| Err(StoreError::Unavailable(error.into())))
    }
}

impl State {
    fn wait(&self) -> Duration {
        let now = Instant::now();
        self.breaker.wait(now).unwrap_or_default().max(self.free_at.saturating_duration_since(now))
    }

    fn is_waiting(&self) -> bool {
        !self.free_at.saturating_duration_since(Instant::now()).is_zero() || self.breaker.wait(Instant::now()).is_some()
    }
}

/// What has arrived is done, unless the channel reminds of alerts.
fn delivered(taken: &Taken, manner: &Manner) -> Outcome {
    match manner.reminder {
        Some(every) if taken.kind == crate::message::Kind::Raised.as_str() => Outcome::Reminded(now().plus(every)),
        _ => Outcome::Delivered,
    }
}

/// Sends one message within the time of the channel.
async fn send(channel: Arc<dyn Channel>, taken: Taken, manner: Manner) -> (Taken, Result<Sent, Failure>) {
    let Some(message) = Message::of(&taken, now()) else {
        return (taken, Err(Failure::permanent("what the outbox holds cannot be read by this version")));
    };
    let sent = timeout(manner.timeout, channel.send(&message)).await;
    let late = || Err(Failure::passing(format!("it took longer than {} s", manner.timeout.as_secs())));
    (taken, sent.unwrap_or_else(|_| late()))
}
