//! What the detect loop has done so far, for whoever shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::time::Timestamp;

/// The upper ends of the latency buckets, in milliseconds.
pub const LATENCY_BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 60_000];

/// What has been done so far.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Events through detection.
    pub events: u64,
    /// Events too old for a window.
    pub late: u64,
    /// Events whose clock runs ahead.
    pub ahead: u64,
    /// Keys that lost their events to make room.
    pub evicted_keys: u64,
    /// Keys with a window.
    pub keys: u64,
    /// Rows of alerts written to the store.
    pub rows: u64,
    /// Alerts raised, by rule and severity.
    pub raised: BTreeMap<(String, &'static str), u64>,
    /// Events matched, by rule.
    pub matches: Vec<(String, u64)>,
    /// The newest time of an event that is not ahead.
    pub newest_event: Option<Timestamp>,
    /// From the receipt of the completing event to the alert stored: how many in each bucket, and beyond.
    pub latencies: [u64; LATENCY_BUCKETS_MS.len() + 1],
    /// The sum of the latencies.
    pub latency_total: Duration,
    /// Why the store cannot be written now, if it cannot.
    pub trouble: Option<String>,
    /// The position of the last snapshot.
    pub snapshot_at: u64,
}

/// [`Done`], shared.
#[derive(Debug, Default)]
pub struct Progress {
    done: Mutex<Done>,
}

impl Progress {
    /// Looks at it, or writes.
    pub fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Done {
    /// Counts a latency.
    pub fn count_latency(&mut self, latency: Duration) {
        let millis = latency.as_millis() as u64;
        let at = LATENCY_BUCKETS_MS.iter().position(|it| millis <= *it).unwrap_or(LATENCY_BUCKETS_MS.len());
        self.latencies[at] += 1;
        self.latency_total += latency;
    }
}
