//! The task that reads one partition and publishes what is picked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backends::log::RecordKind;
use model::event::EventView;
use model::place::{PartitionId, Position, Sequence};
use outbound::amqp::backoff;
use outbound::amqp::publisher::{Publication, PublishError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Forward, Means, Pick, Picked};

/// How long the log is waited for at once; the end is noticed within this time.
const WAIT: Duration = Duration::from_millis(500);
/// How many messages are on their way before the first is confirmed. After a crash so many blocks' worth comes again.
const ON_THEIR_WAY_MAX: usize = 256;
/// How long the broker may take for those.
const CONFIRM: Duration = Duration::from_secs(30);
/// How often a position is remembered at most.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);

/// What is to be published of one block.
struct Found {
    messages: Vec<Message>,
    /// How many records before it are kept no longer.
    lost: u64,
    next: Position,
}

struct Message {
    id: String,
    timestamp_s: u64,
    picked: Picked,
}

/// Reads one partition.
pub(super) struct Reader {
    forward: Arc<Forward>,
    means: Means,
    pick: Pick,
    partition: PartitionId,
    /// The key of the mark.
    key: String,
    position: Position,
    /// The position that was remembered last, and when.
    remembered: (Position, Instant),
    /// Whether something was published since then: only then is it worth a write.
    has_published: bool,
}

impl Reader {
    /// Goes on where it was; one that is new begins at the end of the log.
    pub(super) fn new(forward: Arc<Forward>, means: Means, pick: Pick, partition: PartitionId) -> Self {
        let key = format!("forward/{}/{}", forward.name(), partition.0);
        let saved = means.log.mark(&key).and_then(|it| it.try_into().ok()).map(|it| Position(u64::from_le_bytes(it)));
        let position = saved.unwrap_or_else(|| means.log.end(partition));
        forward.is_at(partition, position);
        let remembered = (saved.unwrap_or_default(), Instant::now());
        // The first position of one that is new is remembered at once: what comes then must not be left out after a crash.
        let has_published = saved.is_none();
        Self { forward, means, pick, partition, key, position, remembered, has_published }
    }

    /// Runs until `stop` is true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.remember().await;
        let mut attempt = 0;
        while !*stop.borrow() {
            let Some(found) = self.find().await else { continue };
            let mut done = 0;
            while done < found.messages.len() {
                match self.publish(&found.messages[done..]).await {
                    Ok(count) => {
                        done += count;
                        attempt = 0;
                        self.forward.locked().trouble = None;
                    }
                    Err(error) => {
                        attempt += 1;
                        self.complain(error.to_string());
                        tokio::select! {
                            () = sleep(backoff::wait(attempt, backoff::chance())) => {}
                            _ = stop.wait_for(|it| *it) => return,
                        }
                    }
                }
            }
            self.goes_on_at(found.next);
            self.has_published |= 0 < done;
            if REMEMBER_EVERY < self.remembered.1.elapsed() {
                self.remember().await;
            }
        }
        self.remember().await;
        self.forward.settings.publisher.close().await;
    }

    fn goes_on_at(&mut self, position: Position) {
        self.position = position;
        self.forward.is_at(self.partition, position);
    }

    /// The same at another position.
    #[cfg(test)]
    pub(super) fn at(mut self, position: Position) -> Self {
        self.goes_on_at(position);
        self
    }

    /// Reads once and passes over what is found.
    #[cfg(test)]
    pub(super) async fn step(&mut self) {
        if let Some(found) = self.find().await {
            self.goes_on_at(found.next);
        }
    }

    /// Waits for records, and picks of them; `None` when nothing came, or the log cannot be read now.
    async fn find(&mut self) -> Option<Found> {
        let (log, pick, partition, position) =
            (self.means.log.clone(), self.pick.clone(), self.partition, self.position);
        let reading = tokio::task::spawn_blocking(move || {
            if !log.wait(partition, position, WAIT) {
                return Ok(None);
            }
            let block = log.read(partition, position)?;
            // A copy of a broker's log has gaps that are no loss, and what was removed may be in memory still.
            let first = if block.is_empty() { 0 } else { block.first().0.min(log.start(partition).0) };
            let lost = first.saturating_sub(position.0);
            let records = block.records(position).filter(|it| it.kind == RecordKind::Event);
            let messages = records.filter_map(|it| message_of(it.bytes, &pick)).collect();
            let next = if block.is_empty() { position } else { block.next().max(position) };
            Ok::<_, backends::log::LogError>(Some(Found { messages, lost, next }))
        });
        match reading.await {
            Ok(Ok(Some(found))) => {
                if 0 < found.lost {
                    self.forward.has_lost(found.lost);
                }
                Some(found)
            }
            Ok(Ok(None)) => {
                if REMEMBER_EVERY < self.remembered.1.elapsed() {
                    self.remember().await;
                }
                None
            }
            Ok(Err(error)) => {
                self.complain(error.to_string());
                sleep(WAIT).await;
                None
            }
            Err(_) => {
                sleep(WAIT).await;
                None
            }
        }
    }

    /// Publishes the first of `messages`, so many as may be on their way; returns how many.
    async fn publish(&self, messages: &[Message]) -> Result<usize, PublishError> {
        let messages = &messages[..messages.len().min(ON_THEIR_WAY_MAX)];
        let publishing = async {
            let mut pending = Vec::with_capacity(messages.len());
            for message in messages {
                pending.push(self.forward.settings.publisher.send(&self.publication(message)).await?);
            }
            for it in pending {
                let settled = it.settled().await;
                let mut state = self.forward.locked();
                match settled {
                    Ok(()) => {}
                    Err(PublishError::Returned(_)) => state.unrouted += 1,
                    Err(error) => return Err(error),
                }
                state.published += 1;
            }
            Ok(messages.len())
        };
        match timeout(CONFIRM, publishing).await {
            Ok(published) => published,
            Err(_) => {
                // One that says nothing may hang for ever.
                self.forward.settings.publisher.close().await;
                Err(outbound::amqp::broker::AmqpError::Timeout(CONFIRM).into())
            }
        }
    }

    fn publication<'a>(&'a self, message: &'a Message) -> Publication<'a> {
        let picked = &message.picked;
        let key = if picked.key.is_empty() { &self.forward.settings.key } else { &picked.key };
        let kind = match self.forward.settings.what {
            super::What::Logs => "log",
            super::What::Anormal => "AnormalEvent",
        };
        let (id, timestamp_s) = (&message.id, message.timestamp_s);
        Publication { key, message_id: id, kind, timestamp_s, body: picked.body.as_bytes() }
    }

    /// Remembers the position, if something was published since it was remembered: else a mark would follow a mark.
    async fn remember(&mut self) {
        if !self.has_published || (self.remembered.0 == self.position && self.position != Position::START) {
            return;
        }
        let value = Sequence(self.position.0).0.to_le_bytes().to_vec();
        if (self.means.remember)(self.key.clone(), value).await {
            self.remembered = (self.position, Instant::now());
            self.has_published = false;
        }
    }

    fn complain(&self, reason: String) {
        let mut state = self.forward.locked();
        if state.trouble.as_ref().is_none_or(|it| it.0 != reason) {
            let name = self.forward.name();
            tracing::warn!(forward = %name, %reason, "`{name}` cannot pass events on; trying again");
            state.trouble = Some((reason, (self.means.now)()));
        }
    }
}

fn message_of(event: &[u8], pick: &Pick) -> Option<Message> {
    let view = EventView::of(event)?;
    let picked = pick(&view)?;
    let seconds = view.time.nanos().div_euclid(1_000_000_000);
    Some(Message { id: view.id.to_string(), timestamp_s: u64::try_from(seconds).unwrap_or_default(), picked })
}
