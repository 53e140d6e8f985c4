//! A message to events: the same for one that is read as a file and for one that is the body of a request.
//!
//! What was read is passed on in parts, so that a large message takes no more room at once than a small one.

use model::id::digest128;
use model::intake::{Events, Once, Quarantined};
use model::limits::EVENT_BYTES_MAX;
use model::time::Timestamp;
use normalize::formats::{self, Sniffer};
use normalize::forms::{ingest, logs};
use normalize::framing::{BEGINNING_BYTES_MAX, Framer, Framing};
use normalize::reading::{Ids, Reading};
use normalize::refusal::{Code, Refusal};
use outbound::amqp::subscription::Delivery;
use serde_json::{Value, json};

use super::settings::{AmqpInput, Reader};

/// How much of a message tells how its records are told apart, in bytes.
const HEAD_BYTES: usize = 1024;
/// Larger messages are not read, in bytes: it is what RabbitMQ lets through unless it is told otherwise. Their beginning goes
/// to quarantine.
pub(super) const MESSAGE_BYTES_MAX: usize = 128 << 20;
/// A part is passed on once it has this many bytes: far less than may wait to be written, so that there is room for it
/// sooner or later.
const PART_BYTES_MAX: usize = 4 << 20;
/// What a record in quarantine takes beside itself, in bytes, about.
const QUARANTINED_BYTES: usize = 512;
/// The format that reads what one of the two routes refused, once its sender or we have been mended.
const REPLAYED_AS: &str = "event";
/// What the sender of a message is told whose event is durable and has no score yet.
const QUEUED: &[u8] = br#"{"status_code":202,"response_msg":"queued"}"#;

/// What was read of messages: all of it, or a part.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The events.
    pub(super) events: Events,
    /// The records that could not be read.
    pub(super) quarantined: Vec<Quarantined>,
    /// What is said to those who wait for it, once this and all before it is durable.
    pub(super) replies: Vec<Reply>,
}

/// An answer to the sender of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The queue where it waits.
    pub(super) to: String,
    /// How it tells answers apart.
    pub(super) correlation_id: Option<String>,
    /// What it is told.
    pub(super) body: Vec<u8>,
}

/// Reads messages, in order, and gives what is in them to `pass`, part by part. When that answers `false`, nobody wants the
/// rest, and it is not read.
pub(super) fn read_all(
    input: &AmqpInput,
    deliveries: &[Delivery],
    now: Timestamp,
    pass: &mut dyn FnMut(Batch) -> bool,
) {
    let mut parts = Parts { batch: Batch::default(), quarantined_bytes: 0, pass, is_wanted: true };
    for delivery in deliveries {
        let mut reading = OneMessage { input, delivery, now, parts: &mut parts, refusals: Vec::new(), records: 0 };
        reading.read();
        let refusals = reading.refusals;
        if !parts.is_wanted {
            return;
        }
        if let Some(to) = delivery.reply_to.clone().filter(|_| input.replies) {
            let body = if refusals.is_empty() { QUEUED.to_vec() } else { refused(&refusals) };
            parts.batch.replies.push(Reply { to, correlation_id: delivery.correlation_id.clone(), body });
        }
    }
    parts.pass();
}

/// The part that is being filled, and where it goes.
struct Parts<'a> {
    batch: Batch,
    quarantined_bytes: usize,
    pass: &'a mut dyn FnMut(Batch) -> bool,
    is_wanted: bool,
}

impl Parts<'_> {
    fn close_event(&mut self) {
        self.batch.events.close();
        self.pass_when_full();
    }

    fn keep(&mut self, record: Quarantined) {
        self.quarantined_bytes += record.record.len() + QUARANTINED_BYTES;
        self.batch.quarantined.push(record);
        self.pass_when_full();
    }

    fn pass_when_full(&mut self) {
        if PART_BYTES_MAX <= self.batch.events.bytes.len() + self.quarantined_bytes {
            self.pass();
        }
    }

    fn pass(&mut self) {
        self.quarantined_bytes = 0;
        self.is_wanted = (self.pass)(std::mem::take(&mut self.batch));
    }
}

/// What the sender of a message is told that cannot be read.
fn refused(refusals: &[Refusal]) -> Vec<u8> {
    let error = |it: &Refusal| json!({"field": it.field, "code": it.code.as_str(), "message": it.message});
    let errors: Value = refusals.iter().map(error).collect();
    let body = json!({"status_code": 400, "response_msg": "Invalid data", "error": "Invalid data", "errors": errors});
    body.to_string().into_bytes()
}

struct OneMessage<'a, 'p> {
    input: &'a AmqpInput,
    delivery: &'a Delivery,
    now: Timestamp,
    parts: &'a mut Parts<'p>,
    refusals: Vec<Refusal>,
    records: u64,
}

impl OneMessage<'_, '_> {
    fn read(&mut self) {
        let body = &self.delivery.body;
        if MESSAGE_BYTES_MAX < body.len() {
            let message = format!("the message is over {} MiB", MESSAGE_BYTES_MAX >> 20);
            let refusal = Refusal { code: Code::TooLarge, field: None, message, value: None };
            return self.refuse(0, refusal, body, Some(body.len() as u64));
        }
        match self.input.reader {
            Reader::Logs => self.read_form(|reading, out| logs::read(body, 0, reading, out)),
            Reader::Ingest => {
                self.read_form(|reading, out| ingest::read(body, 0, reading, out).map(|_| ()).map_err(|it| it.refusals))
            }
            Reader::Format(format) => self.read_records(format.framing, Sniffer::pinned(format)),
            Reader::Any => {
                let head = &body[..body.len().min(HEAD_BYTES)];
                self.read_records(Framing::of_head(head), Sniffer::new());
            }
        }
        if self.records == 0 {
            let message = "there is no record in the message".to_owned();
            let refusal = Refusal { code: Code::Empty, field: None, message, value: None };
            self.refuse(0, refusal, body, Some(body.len() as u64));
        }
    }

    fn read_form(&mut self, read: impl FnOnce(&Reading<'_>, &mut Vec<u8>) -> Result<(), Vec<Refusal>>) {
        self.records = 1;
        let name = name_of(self.delivery);
        let reading = reading(self.input, name.as_deref(), self.now);
        let Err(refusals) = read(&reading, &mut self.parts.batch.events.bytes) else {
            self.parts.close_event();
            return;
        };
        let message = refusals.iter().map(|it| it.message.as_str()).collect::<Vec<_>>().join("; ");
        self.keep(0, message, &self.delivery.body, Some(self.delivery.body.len() as u64));
        self.refusals = refusals;
    }

    fn read_records(&mut self, framing: Framing, mut sniffer: Sniffer) {
        let delivery = self.delivery;
        let name = name_of(delivery);
        let reading = reading(self.input, name.as_deref(), self.now);
        let mut framer = Framer::new(framing, 0);
        let mut take = |offset: u64, record: Result<&[u8], normalize::framing::Unframed<'_>>| {
            if !self.parts.is_wanted {
                return;
            }
            let (kept, bytes, read) = match record {
                Ok(record) => {
                    let read = sniffer.read(record, offset, &reading, &mut self.parts.batch.events.bytes);
                    (record, Some(record.len() as u64), read)
                }
                Err(it) => (it.beginning, it.bytes, Err(it.refusal)),
            };
            match read {
                Ok(formats::Read::Event) => {
                    self.parts.close_event();
                    self.records += 1;
                }
                Ok(formats::Read::Nothing) => {}
                Err(refusal) => self.refuse(offset, refusal, kept, bytes),
            }
        };
        framer.push(&delivery.body, &mut take);
        framer.finish(&mut take);
    }

    fn refuse(&mut self, offset: u64, refusal: Refusal, record: &[u8], bytes: Option<u64>) {
        self.records += 1;
        self.keep(offset, refusal.message.clone(), record, bytes);
        // Who waits is told the first; all are in quarantine.
        if self.refusals.is_empty() {
            self.refusals.push(refusal);
        }
    }

    fn keep(&mut self, offset: u64, reason: String, record: &[u8], bytes: Option<u64>) {
        let kept = if EVENT_BYTES_MAX < record.len() { &record[..BEGINNING_BYTES_MAX] } else { record };
        let format = match self.input.reader {
            Reader::Any => "",
            Reader::Format(it) => it.name,
            Reader::Logs | Reader::Ingest => REPLAYED_AS,
        };
        self.parts.keep(Quarantined {
            input: self.input.name.to_string(),
            place: self.place(offset),
            format: format.to_owned(),
            reason,
            received: self.now,
            record: kept.to_vec(),
            bytes,
            synthetic: false,
        });
    }

    /// Where a record stood: the queue, the message, and in a message of several its offset.
    fn place(&self, offset: u64) -> String {
        let queue = &self.input.wanted.queue;
        let message = match &self.delivery.message_id {
            Some(id) => format!("message {id}"),
            None => format!("delivery {}", self.delivery.tag),
        };
        let offset = if offset == 0 { String::new() } else { format!(":offset {offset}") };
        format!("queue {queue}:{message}{offset}")
    }
}

/// What the ids of the events of a message are made of, if it has a name. With the body in it, messages that differ are told
/// apart though their sender calls them all the same; one that comes again is the same, byte by byte.
fn name_of(delivery: &Delivery) -> Option<String> {
    let key = delivery.message_id.clone()?;
    Some(Once { key, body: digest128(&[&delivery.body]) }.name())
}

/// An id of its own goes before that of the message; without both a record is new each time it comes.
fn reading<'a>(input: &'a AmqpInput, name: Option<&'a str>, now: Timestamp) -> Reading<'a> {
    let ids = name.map_or(Ids::New, |key| Ids::Request { key });
    Reading { input: &input.name, received: Some(now), now, synthetic: false, ids }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
