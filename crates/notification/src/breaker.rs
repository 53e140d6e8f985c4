//! The circuit breaker: a destination that fails again and again is left alone for a while, then asked once.

use std::time::{Duration, Instant};

/// After how many failures in a row it opens.
const FAILURES_MAX: u32 = 5;
/// How long it stays open at first; each failed trial doubles it.
const FIRST: Duration = Duration::from_secs(10);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(300);

/// The breaker of one destination.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// How long nothing is to be sent; `None` when something may be.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        self.until.map(|it| it.saturating_duration_since(now)).filter(|it| !it.is_zero())
    }

    /// Whether it is open, or half open: then one message is a trial.
    pub(crate) const fn is_open(&self) -> bool {
        self.until.is_some()
    }

    /// Takes what became of a message; returns whether it opened or closed by that.
    pub(crate) fn take(&mut self, is_failure: bool, now: Instant) -> bool {
        let was_open = self.is_open();
        if is_failure {
            self.failures = self.failures.saturating_add(1);
            if FAILURES_MAX <= self.failures {
                let doubled = FIRST.saturating_mul(1 << (self.failures - FAILURES_MAX).min(10));
                self.until = Some(now + doubled.min(LONGEST));
            }
        } else {
            *self = Self::default();
        }
        was_open != self.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_with_a_success() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.take(true, now));
        }
        assert!(!breaker.take(false, now));
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.take(true, now));
        }
        assert_eq!(breaker.wait(now), None);
        assert!(breaker.take(true, now));
        assert_eq!(breaker.wait(now), Some(FIRST));
        assert!(breaker.is_open());
        assert_eq!(breaker.wait(now + FIRST), None);
        assert!(!breaker.take(true, now));
        assert_eq!(breaker.wait(now), Some(2 * FIRST));
        assert!(breaker.take(false, now));
        assert_eq!((breaker.wait(now), breaker.is_open()), (None, false));
    }

    #[test]
    fn stays_open_no_longer_than_the_longest() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        (0..100).for_each(|_| {
            breaker.take(true, now);
        });
        assert_eq!(breaker.wait(now), Some(LONGEST));
    }
}
