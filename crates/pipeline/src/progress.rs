//! What the detect loop has done so far, for whoever shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::time::Timestamp;

/// A histogram of durations over fixed buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// How many fell into each bucket, not summed up; the last is everything above the last bound.
    counts: [u64; Self::BOUNDS_MS.len() + 1],
    /// The sum of all.
    sum: Duration,
}

impl Latency {
    /// The upper bounds of the buckets in milliseconds, each included in its bucket.
    pub const BOUNDS_MS: [u64; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

    /// Counts `events` that all took `duration`: the events of a batch end together.
    pub fn observe(&mut self, duration: Duration, events: u64) {
        let bucket = Self::BOUNDS_MS.iter().position(|it| duration <= Duration::from_millis(*it));
        self.counts[bucket.unwrap_or(Self::BOUNDS_MS.len())] += events;
        let factor = u32::try_from(events).unwrap_or(u32::MAX);
        self.sum = self.sum.saturating_add(duration.saturating_mul(factor));
    }

    /// Returns each bound in seconds with the number of durations up to it, as Prometheus counts.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut so_far = 0;
        Self::BOUNDS_MS.iter().zip(self.counts).map(move |(bound_ms, count)| {
            so_far += count;
            (*bound_ms as f64 / 1000.0, so_far)
        })
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

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
    /// Alerts raised, by rule, detector and severity.
    pub raised: BTreeMap<(String, String, &'static str), u64>,
    /// Events matched, by rule.
    pub matches: Vec<(String, u64)>,
    /// The newest time of an event that is not ahead.
    pub newest_event: Option<Timestamp>,
    /// From the receipt of the completing event to the alert stored and visible.
    pub latency: Latency,
    /// Why the store cannot be written now, if it cannot.
    pub trouble: Option<String>,
    /// About how many different clients came in the last hour.
    pub clients: u64,
    /// The position of the last snapshot.
    pub snapshot_at: u64,
    /// Rules that cost more than they may: the digest of their set, and the id of each.
    pub dear: BTreeSet<(String, String)>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut latency = Latency::default();
        latency.observe(Duration::from_millis(1), 3);
        latency.observe(Duration::from_micros(1001), 1);
        latency.observe(Duration::from_secs(10), 1);
        latency.observe(Duration::from_secs(11), 1);
        let buckets: Vec<_> = latency.buckets().collect();
        assert_eq!((buckets[0], buckets[1], buckets[11]), ((0.001, 3), (0.005, 4), (10.0, 5)));
        assert_eq!((latency.count(), latency.sum()), (6, Duration::from_micros(21_004_001)));
    }
}
