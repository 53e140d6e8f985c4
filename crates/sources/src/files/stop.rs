//! The wish that a thread may end, and a sleep that it cuts short.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by whoever starts a thread and the thread; once said, it stays.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Says that the thread may end.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it has been said.
    #[must_use]
    pub fn is_said(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `duration`, less when it is said meanwhile; returns whether it has been said.
    #[must_use]
    pub fn is_said_within(&self, duration: Duration) -> bool {
        let said = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(said, duration, |it| !*it);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_when_it_is_said() {
        let stop = Stop::default();
        assert!(!stop.is_said() && !stop.is_said_within(Duration::ZERO));
        let other = stop.clone();
        let thread = std::thread::spawn(move || other.is_said_within(Duration::from_secs(60)));
        stop.stop();
        assert!(thread.join().unwrap() && stop.is_said());
    }
}
