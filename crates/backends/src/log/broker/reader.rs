//! From the broker into the copy: one thread, from where the copy ends, for ever.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use model::place::{PartitionId, Sequence};
use model::time::Timestamp;

use super::message::Message;
use super::{OWNER_MARK, Shared, TELL_EVERY, first_at, locked, offset_behind};
use crate::log::embedded::EmbeddedLog;
use crate::log::{Block, Log};

/// How long to wait for messages before looking whether it is time to end.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long to wait before a broker that failed is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How many messages before the end of the copy are read again at a start, to know what was sent twice.
const BEHIND: u64 = 2_000;

/// Whose messages count: those of the process that took the log over last. What one before it had on its way arrives too
/// late; it was never acknowledged, and may have been sent again by whoever sent it.
#[derive(Default)]
struct Owner {
    /// 0 in a copy that begins in the middle, until a message tells.
    generation: u64,
    producer: u64,
    /// Its newest number.
    newest: u64,
}

/// The generation that a copy knows of.
pub(super) fn generation_of(copy: &EmbeddedLog) -> u64 {
    Owner::of(copy).generation
}

/// What the mark of an owner says.
pub(super) fn owner_mark(generation: u64, producer: u64) -> [u8; 16] {
    (u128::from(generation) << 64 | u128::from(producer)).to_be_bytes()
}

impl Owner {
    fn of(copy: &EmbeddedLog) -> Self {
        let both = copy.mark(OWNER_MARK).and_then(|it| it.try_into().ok()).map_or(0, u128::from_be_bytes);
        Self { generation: (both >> 64) as u64, producer: both as u64, newest: 0 }
    }

    /// Whether a message counts that is not in the copy yet. Of two that took the log over at once, the first did.
    fn takes(&mut self, message: &Message) -> bool {
        let is_same = self.generation == message.generation && self.producer == message.producer;
        let counts = if is_same { self.newest < message.number } else { self.generation < message.generation };
        if counts {
            *self = Self { generation: message.generation, producer: message.producer, newest: message.number };
        }
        counts
    }

    /// Takes note of a message that is in the copy.
    fn recall(&mut self, message: &Message) {
        if self.generation == message.generation && self.producer == message.producer {
            self.newest = self.newest.max(message.number);
        }
    }
}

/// Reads until it is told to end.
pub(super) fn run(shared: &Shared) {
    let known = offset_behind(shared.copy.end(PartitionId(0)));
    let mut next = known.saturating_sub(BEHIND);
    let mut owner = Owner::of(&shared.copy);
    // A copy that is begun begins with what there is.
    let mut is_begun = 0 < known;
    let (mut pause, mut told) = (RETRY.0, None::<Instant>);
    while !shared.is_over.load(Ordering::Relaxed) {
        let found = match shared.stream.read(next, PATIENCE) {
            Ok(found) => found,
            Err(error) => {
                if told.is_none_or(|it| TELL_EVERY <= it.elapsed()) {
                    told = Some(Instant::now());
                    tracing::warn!(place = %shared.stream.place(), reason = %error, "The log cannot be read from the broker; it is tried again");
                }
                thread::sleep(pause);
                pause = (pause * 2).min(RETRY.1);
                continue;
            }
        };
        if told.take().is_some() {
            tracing::info!(place = %shared.stream.place(), "The log can be read from the broker again");
        }
        pause = RETRY.0;
        for (offset, bytes) in found {
            let expected = next.max(known);
            if std::mem::replace(&mut is_begun, true) && expected < offset {
                lose(shared, offset - expected, offset);
            }
            next = offset + 1;
            take(shared, &mut owner, offset, &bytes, known);
            shared.read_to.store(next, Ordering::Release);
        }
    }
}

/// Notes that the broker removed messages which nobody here has read.
fn lose(shared: &Shared, messages: u64, before: u64) {
    let finding =
        format!("{messages} messages before offset {before} are lost: the broker removed them before they were read");
    tracing::error!(%finding, "The log is damaged");
    let mut damage = locked(&shared.damage);
    damage.damaged_places += 1;
    damage.records_lost += messages;
    damage.findings.push(finding);
}

/// Takes a message into the copy; what is there already only tells what was sent last.
fn take(shared: &Shared, owner: &mut Owner, offset: u64, bytes: &[u8], known: u64) {
    let first = first_at(offset);
    let Some(mut message) = Message::decode(bytes).filter(|it| it.tag == shared.tag) else {
        if known <= offset {
            let finding = format!("the message at offset {offset} cannot be read");
            tracing::error!(%finding, "The log is damaged");
            let mut damage = locked(&shared.damage);
            damage.damaged_places += 1;
            damage.findings.push(finding);
        }
        return;
    };
    if offset < known {
        owner.recall(&message);
        return;
    }
    if !owner.takes(&message) {
        return;
    }
    if 0 < message.count {
        let block = Block { bytes: std::mem::take(&mut message.records), count: message.count };
        keep(shared, first, block, message.appended);
    }
    shared.land(&message, first);
}

/// Writes records to the copy, for as long as it takes: nothing is left out because a disk is full.
fn keep(shared: &Shared, first: Sequence, mut block: Block, appended: Timestamp) {
    let mut is_told = false;
    while let Err(error) = shared.copy.write(Some(first), &mut block, appended) {
        if !std::mem::replace(&mut is_told, true) {
            tracing::error!(reason = %error, "The copy of the log cannot be written; it is tried again");
        }
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(RETRY.1);
    }
}
