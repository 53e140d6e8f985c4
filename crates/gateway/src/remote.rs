//! Decisions of another installation that the gateway enforces, too: a copy, and when it was last known to be right.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use decision::board::Board;
use model::time::Timestamp;

/// The copy. Whoever follows the other installation writes it, any number of requests read it.
#[derive(Debug, Default)]
pub struct Remote {
    board: Board,
    /// In nanoseconds; 0 for never.
    heard_at: AtomicI64,
    stop_after: Option<Duration>,
}

impl Remote {
    /// Begins with nothing. `stop_after` is how long the copy is enforced without news of the other installation; `None`
    /// enforces each decision until it ends.
    #[must_use]
    pub fn new(stop_after: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { stop_after, ..Self::default() })
    }

    /// Where the decisions lie.
    #[must_use]
    pub const fn board(&self) -> &Board {
        &self.board
    }

    /// Notes that the copy was right at `at`.
    pub fn heard(&self, at: Timestamp) {
        self.heard_at.store(at.0, Ordering::Release);
    }

    /// When the other installation was last heard; `None` for never.
    #[must_use]
    pub fn heard_at(&self) -> Option<Timestamp> {
        Some(self.heard_at.load(Ordering::Acquire)).filter(|it| *it != 0).map(Timestamp)
    }

    /// Whether the copy counts at `now`.
    #[must_use]
    pub fn is_enforced(&self, now: Timestamp) -> bool {
        let Some(heard_at) = self.heard_at() else { return false };
        self.stop_after.is_none_or(|it| now.since(heard_at) < it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    #[track_caller]
    fn check(stop_after: Option<u64>, seconds: u64, expected: bool) {
        let remote = Remote::new(stop_after.map(Duration::from_secs));
        assert!(!remote.is_enforced(NOON) && remote.heard_at().is_none());
        remote.heard(NOON);
        assert_eq!(remote.is_enforced(NOON.plus(Duration::from_secs(seconds))), expected, "{stop_after:?} {seconds}");
    }

    #[test]
    fn a_copy_counts_until_it_is_too_old() {
        check(None, 1_000_000, true);
        check(Some(60), 59, true);
        check(Some(60), 60, false);
    }
}
