//! How long a connection has had nothing to do: HTTP/2 has no head that must come, so a silent peer would stay for ever.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::outgoing::Outgoing;

/// What goes on at one connection.
#[derive(Clone)]
pub(crate) struct Idle(Arc<Mutex<State>>);

struct State {
    /// How many requests are being answered.
    busy: usize,
    /// Since when none was.
    since: Instant,
}

impl State {
    fn begin(&mut self) {
        self.busy += 1;
    }

    fn end(&mut self, now: Instant) {
        self.busy = self.busy.saturating_sub(1);
        self.since = now;
    }

    /// When the connection has been idle for `limit`; `None` while something goes on.
    fn ends(&self, limit: Duration) -> Option<Instant> {
        (self.busy == 0).then(|| self.since + limit)
    }
}

/// One request that is being answered, until its answer is sent.
pub(crate) struct Busy(Idle);

impl Idle {
    /// A connection that begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { busy: 0, since: Instant::now() })))
    }

    /// Says that a request came.
    pub(crate) fn begin(&self) -> Busy {
        self.locked().begin();
        Busy(self.clone())
    }

    /// Returns once nothing has gone on for `limit`.
    pub(crate) async fn lasts(&self, limit: Duration) {
        loop {
            let (ends, now) = (self.locked().ends(limit), Instant::now());
            if ends.is_some_and(|it| it <= now) {
                return;
            }
            tokio::time::sleep_until(ends.unwrap_or(now + limit)).await;
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

/// A body that keeps its connection busy for as long as it is being sent.
pub(crate) struct Kept {
    body: Outgoing,
    _busy: Busy,
}

impl Kept {
    pub(crate) const fn new(body: Outgoing, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for Kept {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_connection_is_idle_from_its_last_answer_on() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut state = State { busy: 0, since: start };
        assert_eq!(state.ends(LIMIT), Some(after(10)));
        state.begin();
        state.begin();
        assert_eq!(state.ends(LIMIT), None);
        state.end(after(3));
        assert_eq!(state.ends(LIMIT), None);
        state.end(after(50));
        assert_eq!(state.ends(LIMIT), Some(after(60)));
    }
}
