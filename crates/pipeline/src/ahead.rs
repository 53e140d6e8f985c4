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
use rustix::time::{ClockId, clock_gettime};
use sigma::rule_set::RuleIndex;

use crate::budget::Budget;
use crate::ingest::chain;
use crate::progress::Progress;

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

    fn rules(&self) -> Arc<Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that nothing more is wanted.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// What the rules in force cost.
struct Scales {
    rules: Arc<Rules>,
    budget: Budget,
}

impl Scales {
    fn new(rules: Arc<Rules>) -> Self {
        Self { rules, budget: Budget::default() }
    }

    /// Measures what each rule costs for the event that `matcher` saw last, and reports those that cost too much.
    fn weigh(&mut self, matcher: &mut Matcher, event: &EventView<'_>, bytes: usize, progress: &Progress) {
        let (budget, mut last) = (&mut self.budget, processor_time());
        matcher.weigh(&self.rules, event, &mut |rule| {
            let now = processor_time();
            if let Some(rule) = rule {
                budget.add(rule, now.saturating_sub(last), bytes);
            }
            last = now;
        });
        let dear = budget.judge();
        if dear.is_empty() {
            return;
        }
        let id = |it: RuleIndex| Some((self.rules.digest.clone(), self.rules.rules.get(it.0 as usize)?.id.clone()));
        progress.done().dear.extend(dear.into_iter().filter_map(id));
    }
}

/// How long this thread has had a processor: what others do meanwhile is nobody's fault here.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Reads from `from` on and hands over what is ready, until it is told to end or nobody takes it.
pub(crate) fn run(
    log: &dyn Log,
    partition: PartitionId,
    from: Position,
    shared: &Shared,
    progress: &Progress,
    ready: &SyncSender<Ready>,
) {
    let (mut position, mut matcher, mut is_complained) = (from, Matcher::default(), false);
    let mut scales = Scales::new(shared.rules());
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
        let rules = shared.rules();
        if !Arc::ptr_eq(&rules, &scales.rules) {
            scales = Scales::new(rules.clone());
        }
        let mut matches = Matches::default();
        for record in block.records(position).filter(|it| it.kind == RecordKind::Event) {
            match EventView::of(record.bytes) {
                Some(event) => {
                    matcher.run(&rules, &event, &mut matches);
                    if scales.budget.is_due(record.bytes.len()) {
                        scales.weigh(&mut matcher, &event, record.bytes.len(), progress);
                    }
                }
                None => matches.pass(),
            }
        }
        position = block.next();
        if ready.send(Ready { block, matches, rules }).is_err() {
            return;
        }
    }
}
