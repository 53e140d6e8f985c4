//! The task of one source: connects, reads, hands over, acknowledges, and begins again when it is cut off.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::intake::{IngestError, Submission};
use outbound::amqp::backoff;
use outbound::amqp::broker::AmqpError;
use outbound::amqp::subscription::{Delivery, Subscription};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::board::Source;
use super::message::{self, Batch, Reply};
use crate::sink::Sink;

/// How many messages are handed over at once.
const BATCH_MESSAGES_MAX: usize = 2000;
/// Messages are handed over once they have this many bytes.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Larger batches are read beside the threads that serve everybody, in bytes: about a millisecond of work.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// A connection that lasted this long was a good one: the next try comes soon.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// The first wait when the sink takes nothing; it doubles each time.
const ROOM_WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// Reads until `stop` is true.
pub(super) async fn run(source: Arc<Source>, sink: Arc<dyn Sink>, mut stop: watch::Receiver<bool>) {
    let mut attempt = 0;
    loop {
        let (name, wanted) = (&source.input.name, &source.input.wanted);
        let subscribed = tokio::select! {
            it = source.input.broker.subscribe(name, wanted) => it,
            _ = stop.wait_for(|it| *it) => return,
        };
        let error = match subscribed {
            Ok(subscription) => {
                connected(&source, sink.as_ref());
                let began = Instant::now();
                let mut reader = Reader { source: &source, sink: &sink, subscription, stop: stop.clone() };
                let ended = reader.read().await;
                reader.subscription.close().await;
                if GOOD_AFTER < began.elapsed() {
                    attempt = 0;
                }
                match ended {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        attempt += 1;
        cut_off(&source, sink.as_ref(), &error);
        tokio::select! {
            () = sleep(backoff::wait(attempt, backoff::chance())) => {}
            _ = stop.wait_for(|it| *it) => return,
        }
    }
}

fn connected(source: &Source, sink: &dyn Sink) {
    let mut state = source.state();
    (state.is_connected, state.since) = (true, Some(sink.now()));
    state.connects += 1;
    let (name, queue) = (&source.input.name, &source.input.wanted.queue);
    tracing::info!(input = %name, %queue, broker = %source.input.broker, "Reading `{queue}` for `{name}`");
}

fn cut_off(source: &Source, sink: &dyn Sink, error: &AmqpError) {
    let (now, reason) = (sink.now(), error.to_string());
    let mut state = source.state();
    let is_new = state.is_connected || state.last_error.as_ref().is_none_or(|it| it.0 != reason);
    if state.is_connected || state.since.is_none() {
        state.since = Some(now);
    }
    (state.is_connected, state.is_waiting) = (false, false);
    state.last_error = Some((reason.clone(), now));
    drop(state);
    if is_new {
        let name = &source.input.name;
        tracing::warn!(input = %name, %reason, broker = %source.input.broker, "`{name}` cannot be read; trying again");
    }
}

/// One connection, as long as it lasts.
struct Reader<'a> {
    source: &'a Arc<Source>,
    sink: &'a Arc<dyn Sink>,
    subscription: Subscription,
    stop: watch::Receiver<bool>,
}

impl Reader<'_> {
    /// Reads until it is to stop, or is cut off.
    async fn read(&mut self) -> Result<(), AmqpError> {
        loop {
            let first = tokio::select! {
                biased;
                _ = self.stop.wait_for(|it| *it) => return Ok(()),
                it = self.subscription.next() => it?,
            };
            let deliveries = self.gather(first)?;
            let Some(through) = deliveries.last().map(|it| it.tag) else { continue };
            let messages = deliveries.len();
            let ControlFlow::Continue(replies) = self.store(deliveries).await? else { return Ok(()) };
            // The broker takes the answers before the acknowledgement: whoever is not answered is not acknowledged.
            for reply in &replies {
                self.subscription.reply(&reply.to, reply.correlation_id.as_deref(), &reply.body).await?;
            }
            self.subscription.acknowledge(through).await?;
            let mut state = self.source.state();
            state.acknowledged += messages as u64;
            state.replies += replies.len() as u64;
        }
    }

    /// Takes what has come, without waiting for more.
    fn gather(&mut self, first: Delivery) -> Result<Vec<Delivery>, AmqpError> {
        let mut bytes = first.body.len();
        let mut deliveries = vec![first];
        while bytes < BATCH_BYTES_MAX && deliveries.len() < BATCH_MESSAGES_MAX {
            let Some(next) = self.subscription.next_at_hand()? else { break };
            bytes += next.body.len();
            deliveries.push(next);
        }
        let mut state = self.source.state();
        state.received += deliveries.len() as u64;
        state.redelivered += deliveries.iter().filter(|it| it.is_redelivered).count() as u64;
        Ok(deliveries)
    }

    /// Reads messages where it disturbs nobody and hands over what is in them, part by part; returns what is said to those
    /// who wait. Breaks when the sink is stopping.
    async fn store(&mut self, deliveries: Vec<Delivery>) -> Result<ControlFlow<(), Vec<Reply>>, AmqpError> {
        let (source, now) = (self.source.clone(), self.sink.now());
        let bytes: usize = deliveries.iter().map(|it| it.body.len()).sum();
        let mut replies = Vec::new();
        if bytes <= INLINE_BYTES_MAX {
            let mut parts = Vec::new();
            let mut pass = |part| {
                parts.push(part);
                true
            };
            message::read_all(&source.input, &deliveries, now, &mut pass);
            for part in parts {
                if self.hand_over(&part).await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                replies.extend(part.replies);
            }
            return Ok(ControlFlow::Continue(replies));
        }
        // One part waits while another is stored, so that no more of a large message is in memory than its bytes.
        let (sender, mut parts) = mpsc::channel(1);
        let mut pass = move |part| sender.blocking_send(part).is_ok();
        let reading =
            tokio::task::spawn_blocking(move || message::read_all(&source.input, &deliveries, now, &mut pass));
        while let Some(part) = parts.recv().await {
            if self.hand_over(&part).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            replies.extend(part.replies);
        }
        match reading.await {
            Ok(()) => Ok(ControlFlow::Continue(replies)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is ending: not all was read, and nothing will be taken.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Hands a part to the sink and waits as long as it has no room; breaks when it is stopping.
    async fn hand_over(&self, batch: &Batch) -> Result<ControlFlow<()>, AmqpError> {
        let name = &self.source.input.name;
        let mut delay = ROOM_WAIT_MIN;
        let mut stop = self.stop.clone();
        loop {
            let submission = Submission {
                input: name.clone(),
                events: batch.events.clone(),
                quarantined: batch.quarantined.clone(),
                ..Submission::default()
            };
            let error = match self.sink.submit(submission).await {
                Ok(_) => break,
                Err(IngestError::Stopping) => return Ok(ControlFlow::Break(())),
                Err(error) => error,
            };
            if !std::mem::replace(&mut self.source.state().is_waiting, true) {
                tracing::warn!(input = %name, reason = %error, "Reading `{name}` waits until there is room");
            }
            tokio::select! {
                () = sleep(delay) => {}
                _ = stop.wait_for(|it| *it) => return Ok(ControlFlow::Break(())),
            }
            // What the broker will send again must not be stored now, too.
            if !self.subscription.is_alive() {
                return Err(AmqpError::Lost);
            }
            delay = (delay * 2).min(ROOM_WAIT_MAX);
        }
        if std::mem::replace(&mut self.source.state().is_waiting, false) {
            tracing::info!(input = %name, "Reading `{name}` goes on");
        }
        Ok(ControlFlow::Continue(()))
    }
}
