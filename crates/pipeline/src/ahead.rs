//! Reading and matching ahead of the windows, on a thread of its own: rules know no state, so that another core can
//! find their matches while the windows of the partition take in those before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use backends::log::{Log, ReadBlock, RecordKind};
use detection::engine::{Matcher, Matches};
use detection::rules::Rules;
use model::event::EventView;
use model::place::{PartitionId, Position};

use crate::ingest::chain;

/// How many blocks may be ready. Each is some hundred kilobytes at most.
pub(crate) const BLOCKS_MAX: usize = 32;
/// How long to wait for more before looking whether it is time to end.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to let events gather after some were read: to be woken for each append of a busy log costs more than to
/// detect on what it brought. No event waits longer for it.
const GATHER: Duration = Duration::from_millis(2);
/// How long to wait before a log that cannot be read is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// A block with what the rules say of its events.
pub(crate) struct Ready {
    /// The records.
    pub(crate) block: ReadBlock,
    /// What the rules say of the events among them, in order.
    pub(crate) matches: Matches,
    /// The rules that were asked; when others are in force by now, they must be asked again.
    pub(crate) rules: Arc<Rules>,
}

/// What the two threads share.
pub(crate) struct Shared {
    rules: Mutex<Arc<Rules>>,
    is_over: AtomicBool,
}

impl Shared {
    pub(crate) const fn new(rules: Arc<Rules>) -> Self {
        Self { rules: Mutex::new(rules), is_over: AtomicBool::new(false) }
    }

    /// Says which rules are in force.
    pub(crate) fn set_rules(&self, rules: Arc<Rules>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Says that nothing more is wanted.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Reads from `from` on and hands over what is ready, until it is told to end or nobody takes it.
pub(crate) fn run(log: &dyn Log, partition: PartitionId, from: Position, shared: &Shared, ready: &SyncSender<Ready>) {
    let (mut position, mut matcher, mut is_complained) = (from, Matcher::default(), false);
    let mut has_read = false;
    while !shared.is_over.load(Ordering::Relaxed) {
        let block = match log.read(partition, position) {
            Ok(block) => block,
            Err(error) => {
                if !std::mem::replace(&mut is_complained, true) {
                    tracing::error!(reason = %chain(&error), "The log cannot be read; it is tried again");
                }
                thread::sleep(RETRY);
                continue;
            }
        };
        is_complained = false;
        if block.is_empty() {
            if std::mem::take(&mut has_read) {
                thread::sleep(GATHER);
            } else {
                log.wait(partition, position, PATIENCE);
            }
            continue;
        }
        has_read = true;
        let rules = shared.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut matches = Matches::default();
        for record in block.records(position).filter(|it| it.kind == RecordKind::Event) {
            match EventView::of(record.bytes) {
                Some(event) => matcher.run(&rules, &event, &mut matches),
                None => matches.pass(),
            }
        }
        position = block.next();
        if ready.send(Ready { block, matches, rules }).is_err() {
            return;
        }
    }
}
