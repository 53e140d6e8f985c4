//! Ends streams of HTTP/2 whose client does not take the answer: a window of zero would hold them, and their upstreams, for ever.
//!
//! HTTP/1 does not pass here: there a write that makes no progress ends the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

/// How much of an answer is handed over at once, in bytes: so much must be taken in the time for no progress.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

tokio::task_local! {
    /// The answer of the stream that the task drives.
    static FLOW: Flow;
}

/// Where the answer of one stream is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether the next move is the client's.
    is_clients: AtomicBool,
    /// How many pieces were handed over.
    pieces: AtomicUsize,
}

impl Flow {
    /// That of the stream that this task drives; `None` in HTTP/1.
    pub(crate) fn current() -> Option<Self> {
        FLOW.try_with(Clone::clone).ok()
    }

    /// Says that something was handed over.
    pub(crate) fn hand_over(&self) {
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
        self.0.is_clients.store(true, Ordering::Relaxed);
    }

    /// Says that the upstream has nothing at hand.
    pub(crate) fn wait(&self) {
        self.0.is_clients.store(false, Ordering::Relaxed);
    }

    /// How many pieces were handed over, where the next move is the client's.
    fn pieces(&self) -> Option<usize> {
        self.0.is_clients.load(Ordering::Relaxed).then(|| self.0.pieces.load(Ordering::Relaxed))
    }
}

/// Starts the task of each stream, and ends it once its client has taken nothing for `time`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) time: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let flow = Flow::default();
        let watched =
            Watched { stream: Box::pin(stream), flow: flow.clone(), time: self.time, timer: None, waits_since: None };
        tokio::spawn(FLOW.scope(flow, watched));
    }
}

/// A stream and its timer.
struct Watched<F> {
    stream: Pin<Box<F>>,
    flow: Flow,
    time: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The piece that the client is waited for to take.
    waits_since: Option<usize>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let pieces = this.flow.pieces();
        let is_new = pieces != this.waits_since;
        this.waits_since = pieces;
        if pieces.is_none() {
            return Poll::Pending;
        }
        let time = this.time;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        if is_new {
            timer.as_mut().reset(Instant::now() + time);
        }
        // Who drops the stream resets it.
        timer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a stream ends in fifteen times the time for no progress.
    async fn ends(stream: impl Future<Output = ()> + Send + 'static) -> bool {
        let (told, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        Streams { time: Duration::from_millis(100) }.execute(async move {
            let _held = told;
            stream.await;
        });
        tokio::time::timeout(Duration::from_millis(1_500), ended.recv()).await.is_ok()
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_client_takes_nothing() {
        let taken = async {
            Flow::current().unwrap().hand_over();
            std::future::pending::<()>().await;
        };
        assert!(ends(taken).await);
    }

    #[tokio::test]
    async fn a_stream_lasts_while_the_upstream_is_waited_for_and_while_the_client_takes() {
        let waiting = async {
            let flow = Flow::current().unwrap();
            flow.hand_over();
            flow.wait();
            std::future::pending::<()>().await;
        };
        assert!(!ends(waiting).await);
        let taking = async {
            for _ in 0.. {
                Flow::current().unwrap().hand_over();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(!ends(taking).await);
        assert!(Flow::current().is_none());
    }
}
