//! Senders as clients should be: they repeat what got no answer, and keep what was acknowledged.
//!
//! An answer that does not come is *not known*, never a failure. Some of what was acknowledged is sent again on
//! purpose, and the last of it always after a restart, so that the way of a repeated event is really gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use super::corpus::Stream;
use super::http::{Connection, Reply};
use super::random::Random;

/// Between two requests of a sender, so that a crash has idle moments to hit, too.
const PACE: Duration = Duration::from_millis(5);
/// Before a request that was not acknowledged is repeated.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// How many times a request is repeated: two minutes.
const RETRIES_MAX: usize = 24_000;
/// One in this many acknowledged requests is sent again.
const RESEND_ONE_IN: u64 = 10;
/// How many events a batch has at most, under faults and without.
const BATCH_MAX: (u64, usize) = (8, 500);

/// An event as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// What its source calls it.
    pub(crate) id: String,
    /// The address it is found by.
    pub(crate) entity: String,
    /// The object, as JSON.
    pub(crate) body: String,
}

/// The route that a sender takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Logs,
    Ingest,
    Events,
}

impl Door {
    const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/logs",
            Self::Ingest => "/ingest",
            Self::Events => "/v1/events",
        }
    }

    const fn is_for_one(self) -> bool {
        matches!(self, Self::Logs | Self::Ingest)
    }

    fn body(self, events: &[Sent]) -> String {
        match events {
            [one] if self.is_for_one() => one.body.clone(),
            many => many.iter().map(|it| format!("{}\n", it.body)).collect(),
        }
    }
}

/// Where the server is now, and whether the senders may end.
#[derive(Debug, Default)]
pub(crate) struct Target {
    port: AtomicU16,
    is_over: AtomicBool,
    is_abandoned: AtomicBool,
}

impl Target {
    /// A server serves at another port now.
    pub(crate) fn moved_to(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }
}

/// A way to the server that is found again after a restart.
struct Line<'a> {
    target: &'a Target,
    connection: Option<(u16, Connection)>,
}

impl<'a> Line<'a> {
    const fn to(target: &'a Target) -> Self {
        Self { target, connection: None }
    }

    /// Sends once. `None`: no answer came, and the effect is not known.
    fn try_once(&mut self, door: Door, body: &str) -> Option<Reply> {
        if self.connection.is_none() {
            let port = self.target.port.load(Ordering::SeqCst);
            self.connection = Some((port, Connection::open(port).ok()?));
        }
        let reply = self.connection.as_mut()?.1.call("POST", door.path(), body.as_bytes());
        if reply.as_ref().map_or(true, |it| it.header("connection") == Some("close")) {
            self.connection = None;
        }
        reply.ok()
    }

    /// Sends until it is acknowledged.
    fn deliver(&mut self, door: Door, events: &[Sent]) -> Reply {
        let body = door.body(events);
        for _ in 0..RETRIES_MAX {
            assert!(!self.target.is_abandoned.load(Ordering::SeqCst), "{door:?}: the proof has failed elsewhere");
            match self.try_once(door, &body) {
                Some(reply) if matches!(reply.status, 200 | 202) => return reply,
                Some(reply) => assert_eq!(reply.status, 503, "{door:?}: a good request is refused: {reply:?}"),
                None => {}
            }
            thread::sleep(RETRY_AFTER);
        }
        panic!("{door:?}: never acknowledged: {body}")
    }

    fn port(&self) -> Option<u16> {
        self.connection.as_ref().map(|it| it.0)
    }
}

/// A sender with a stream of its own, and what it knows.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) door: Door,
    stream: Stream,
    random: Random,
    /// Everything acknowledged.
    pub(crate) sent: Vec<Sent>,
    /// How many events were acknowledged twice.
    pub(crate) redelivered: usize,
    /// How many of them by a process that had not acknowledged them before.
    pub(crate) redelivered_across: usize,
}

impl Sender {
    /// The four senders of a proof: both single routes, and two with batches.
    pub(crate) fn four(seed: u64) -> Vec<Self> {
        let doors = [Door::Logs, Door::Ingest, Door::Events, Door::Events];
        let sender = |(lane, door)| Self {
            door,
            stream: Stream::new(seed, lane, door == Door::Ingest),
            random: Random(seed + lane as u64),
            sent: Vec::new(),
            redelivered: 0,
            redelivered_across: 0,
        };
        doors.into_iter().enumerate().map(sender).collect()
    }

    /// Sends until `count` events are sent in all; without a count, until it is told to end.
    pub(crate) fn run(&mut self, target: &Target, count: Option<usize>) {
        let mut line = Line::to(target);
        let mut last: Vec<Sent> = Vec::new();
        let mut served_by = None;
        loop {
            let left = match count {
                Some(count) => count.saturating_sub(self.sent.len()),
                None if target.is_over.load(Ordering::SeqCst) => 0,
                None => usize::MAX,
            };
            if left == 0 {
                return;
            }
            let size = if self.door.is_for_one() { 1 } else { self.random.between(1, BATCH_MAX.0) as usize };
            let size = size.min(left);
            let batch: Vec<Sent> = (0..size).map(|_| self.stream.next()).collect();
            line.deliver(self.door, &batch);
            let is_across = served_by.is_some() && line.port().is_some() && served_by != line.port();
            if is_across {
                self.redelivered_across += self.deliver_again(&mut line, &last);
            }
            served_by = line.port().or(served_by);
            if self.random.one_in(RESEND_ONE_IN) {
                self.deliver_again(&mut line, &batch);
            }
            self.sent.extend(batch.iter().cloned());
            last = batch;
            thread::sleep(PACE);
        }
    }

    /// Sends acknowledged events again: they must be told to be duplicates where the route tells. Returns their number.
    fn deliver_again(&mut self, line: &mut Line<'_>, events: &[Sent]) -> usize {
        let reply = line.deliver(self.door, events);
        if self.door == Door::Events {
            let told = &reply.json()["duplicate"];
            assert_eq!(*told, events.len(), "acknowledged events are taken again: {reply:?}");
        }
        self.redelivered += events.len();
        events.len()
    }
}

/// Runs senders at the same time until each has sent `count` events, or else until `meanwhile` returns, which has the
/// server in hand.
pub(crate) fn run_all<T>(
    senders: &mut [Sender],
    target: &Target,
    count: Option<usize>,
    meanwhile: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        for sender in senders {
            scope.spawn(|| sender.run(target, count));
        }
        let end = End(target);
        let result = meanwhile();
        end.0.is_over.store(true, Ordering::SeqCst);
        result
    })
}

/// Lets the senders end when the one who has the server in hand fails: nobody would answer them.
struct End<'a>(&'a Target);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.is_abandoned.store(true, Ordering::SeqCst);
        }
    }
}

/// Sends what `senders` sent once more, to a server without faults: every event once, each address in its order.
pub(crate) fn send_calmly(senders: &[Sender], target: &Target) {
    thread::scope(|scope| {
        for sender in senders {
            let mut by_entity: BTreeMap<&str, Vec<Sent>> = BTreeMap::new();
            for event in &sender.sent {
                by_entity.entry(&event.entity).or_default().push(event.clone());
            }
            let size = if sender.door.is_for_one() { 1 } else { BATCH_MAX.1 };
            for events in by_entity.into_values() {
                scope.spawn(move || {
                    let mut line = Line::to(target);
                    events.chunks(size).for_each(|it| {
                        line.deliver(sender.door, it);
                    });
                });
            }
        }
    });
}
