//! The recorder: takes what is told of requests without ever making one wait, and hands it to the sink.
//!
//! What the sink does not take is spilled to disk and tried again; what finds no room there either is counted.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::intake::{Events, Submission};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::spill::Spill;
use super::{Action, INPUT, Record};
use crate::sink::Sink;

/// How many bytes of events wait in memory; about 40,000 requests.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// From how many bytes on they are spilled when the sink is slow.
const HIGH_BYTES: usize = QUEUE_BYTES_MAX / 2;
/// How long events wait for others before they are handed over together.
const GATHER: Duration = Duration::from_millis(5);
/// How long the sink may take.
const SUBMIT: Duration = Duration::from_secs(5);
/// After which time a sink that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// For how long the path of events counts as down after an event was lost.
const DOWN: Duration = Duration::from_secs(5);

/// What became of events.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) recorded: AtomicU64,
    pub(crate) spilled: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// Requests, by the number of their action.
    actions: [AtomicU64; Action::ALL.len()],
}

impl Counts {
    /// How many requests that was done with.
    pub(crate) fn of_action(&self, action: Action) -> u64 {
        self.actions[action as usize].load(Ordering::Relaxed)
    }
}

/// Takes what is told of requests.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Mutex<Events>,
    news: Notify,
    high: Notify,
    pub(crate) counts: Counts,
    lost_at: Mutex<Option<Instant>>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            news: Notify::new(),
            high: Notify::new(),
            counts: Counts::default(),
            lost_at: Mutex::default(),
        })
    }

    /// Takes what is told of a request. Never waits; when there is no room the event is lost, and counted.
    pub(crate) fn push(&self, record: &Record) {
        self.counts.actions[record.action as usize].fetch_add(1, Ordering::Relaxed);
        let mut events = Events::default();
        record.write(&mut events);
        let mut queue = self.queue();
        if QUEUE_BYTES_MAX < queue.bytes.len() + events.bytes.len() {
            drop(queue);
            self.lose(events.len());
            return;
        }
        let was_empty = queue.is_empty();
        append(&mut queue, &events);
        let is_high = HIGH_BYTES <= queue.bytes.len();
        drop(queue);
        self.counts.recorded.fetch_add(events.len() as u64, Ordering::Relaxed);
        if was_empty {
            self.news.notify_one();
        }
        if is_high {
            self.high.notify_one();
        }
    }

    /// How many events wait in memory.
    pub(crate) fn queued(&self) -> usize {
        self.queue().len()
    }

    /// Whether events are being lost.
    pub(crate) fn is_down(&self) -> bool {
        let lost_at = *self.lost_at.lock().unwrap_or_else(PoisonError::into_inner);
        lost_at.is_some_and(|it| it.elapsed() < DOWN)
    }

    /// Hands over what comes until `stop`, then what is left.
    pub(crate) async fn run(self: Arc<Self>, sink: Arc<dyn Sink>, spill: Spill, mut stop: watch::Receiver<bool>) {
        let mut courier = Courier { recorder: self, sink, spill: Arc::new(Mutex::new(spill)), retry_at: None };
        loop {
            let is_spilled = !courier.spill().is_empty();
            let retry_at = courier.retry_at.unwrap_or_else(Instant::now);
            tokio::select! {
                () = courier.recorder.news.notified() => sleep(GATHER).await,
                () = courier.recorder.high.notified() => {}
                () = sleep_until(retry_at), if is_spilled || courier.retry_at.is_some() => courier.retry_at = None,
                () = stopped(&mut stop) => break,
            }
            courier.work().await;
        }
        courier.retry_at = None;
        courier.hand_over_queue().await;
    }

    fn take(&self) -> Events {
        std::mem::take(&mut *self.queue())
    }

    fn lose(&self, events: usize) {
        let before = self.counts.lost.fetch_add(events as u64, Ordering::Relaxed);
        let now = Instant::now();
        let mut lost_at = self.lost_at.lock().unwrap_or_else(PoisonError::into_inner);
        if lost_at.is_none_or(|it| DOWN <= now.duration_since(it)) {
            tracing::error!(
                lost_total = before + events as u64,
                "Events of requests are lost: neither log nor spill takes them"
            );
        }
        *lost_at = Some(now);
    }

    fn queue(&self) -> MutexGuard<'_, Events> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries events from the queue to the sink or to the spill.
struct Courier {
    recorder: Arc<Recorder>,
    sink: Arc<dyn Sink>,
    spill: Arc<Mutex<Spill>>,
    /// When a sink that failed is tried again.
    retry_at: Option<Instant>,
}

impl Courier {
    async fn work(&mut self) {
        if self.retry_at.is_some() {
            // The sink is down: the queue goes to the disk once it is long.
            if HIGH_BYTES <= self.recorder.queue().bytes.len() {
                self.spill_queue().await;
            }
            return;
        }
        self.hand_over_queue().await;
        if self.retry_at.is_none() && !self.spill().is_empty() {
            self.hand_over_spilled().await;
        }
    }

    async fn hand_over_queue(&mut self) {
        let events = self.recorder.take();
        if !events.is_empty() && !self.submit(&events).await {
            self.write_spill(events).await;
        }
    }

    async fn hand_over_spilled(&mut self) {
        let Some(read) = self.with_spill(Spill::read).await else { return };
        match read {
            Ok(events) if events.is_empty() || self.submit(&events).await => {
                if let Some(Err(error)) = self.with_spill(Spill::remove).await {
                    tracing::warn!(reason = %error, "A file of the spill cannot be removed; its events may come again");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(reason = %error, "A file of the spill cannot be read; its events are lost");
                let _ = self.with_spill(Spill::remove).await;
            }
        }
    }

    /// Whether the sink took them.
    async fn submit(&mut self, events: &Events) -> bool {
        let submission = Submission { input: Arc::from(INPUT), events: events.clone(), ..Submission::default() };
        let mut submitted = self.sink.submit(submission);
        let end = Instant::now() + SUBMIT;
        let result = loop {
            tokio::select! {
                result = timeout_at(end, &mut submitted) => break result,
                () = self.recorder.high.notified() => self.spill_queue().await,
            }
        };
        let reason = match result {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        tracing::warn!(reason, "Events of requests are not taken; they are kept on disk until they are");
        self.retry_at = Some(Instant::now() + TRY_AGAIN);
        false
    }

    async fn spill_queue(&self) {
        let events = self.recorder.take();
        if !events.is_empty() {
            self.write_spill(events).await;
        }
    }

    async fn write_spill(&self, events: Events) {
        let count = events.len();
        match self.with_spill(move |spill| spill.write(&events)).await {
            Some(Ok(())) => {
                self.recorder.counts.spilled.fetch_add(count as u64, Ordering::Relaxed);
            }
            _ => self.recorder.lose(count),
        }
    }

    /// Works on the spill where waiting disturbs nobody; `None` when the process is ending.
    async fn with_spill<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spill) -> io::Result<T> + Send + 'static,
    ) -> Option<io::Result<T>> {
        let spill = self.spill.clone();
        let work = move || work(&mut spill.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.ok()
    }

    fn spill(&self) -> MutexGuard<'_, Spill> {
        self.spill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|it| *it).await;
}

fn append(to: &mut Events, events: &Events) {
    for event in events.iter() {
        to.bytes.extend_from_slice(event);
        to.close();
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
