//! How long a connection has had nothing to do: HTTP/2 has no head that must come, so a silent peer would stay for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection may have nothing to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Before its first request.
    pub(crate) first: Duration,
    /// After an answer.
    pub(crate) next: Duration,
}

/// What goes on at one connection.
#[derive(Clone, Debug)]
pub(crate) struct Idle(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// How many requests are being answered.
    busy: usize,
    /// Since when none was.
    since: Instant,
    /// Whether none has come yet.
    is_new: bool,
}

impl State {
    const fn new(now: Instant) -> Self {
        Self { busy: 0, since: now, is_new: true }
    }

    const fn begin(&mut self) {
        self.busy += 1;
        self.is_new = false;
    }

    const fn end(&mut self, now: Instant) {
        self.busy = self.busy.saturating_sub(1);
        self.since = now;
    }

    /// When the connection has been idle for too long; `None` while something goes on.
    fn ends(&self, limits: Limits) -> Option<Instant> {
        let limit = if self.is_new { limits.first } else { limits.next };
        (self.busy == 0).then(|| self.since + limit)
    }
}

/// One request that is being answered, until its answer is sent.
#[derive(Debug)]
pub(crate) struct Busy(Idle);

impl Idle {
    /// A connection that begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::new(Instant::now()))))
    }

    /// Says that a request came.
    pub(crate) fn begin(&self) -> Busy {
        self.locked().begin();
        Busy(self.clone())
    }

    /// Returns once nothing has gone on for too long.
    pub(crate) async fn lasts(&self, limits: Limits) {
        loop {
            let (ends, now) = (self.locked().ends(limits), Instant::now());
            if ends.is_some_and(|it| it <= now) {
                return;
            }
            tokio::time::sleep_until(ends.unwrap_or(now + limits.next)).await;
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.locked().end(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { first: Duration::from_secs(2), next: Duration::from_secs(10) };

    #[test]
    fn a_connection_is_idle_from_its_last_answer_on() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut state = State::new(start);
        assert_eq!(state.ends(LIMITS), Some(after(2)));
        state.begin();
        state.begin();
        assert_eq!(state.ends(LIMITS), None);
        state.end(after(3));
        assert_eq!(state.ends(LIMITS), None);
        state.end(after(50));
        assert_eq!(state.ends(LIMITS), Some(after(60)));
    }
}
