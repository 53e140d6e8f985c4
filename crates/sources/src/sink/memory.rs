//! A sink that keeps what it is given, for the tests of this crate.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use model::event::{EventFlags, EventView, TextField};
use model::id::EventId;
use model::intake::{IngestError, Once, Quarantined, Receipt, Submission};
use model::time::Timestamp;

use super::{Sink, Submitted};

/// 2026-11-20T12:00:00Z.
const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

#[derive(Default)]
struct Kept {
    submissions: Vec<Submission>,
    seen: HashSet<EventId>,
    duplicates: u64,
    marks: BTreeMap<String, Vec<u8>>,
    error: Option<IngestError>,
    errors_first: usize,
    receipt: Option<Receipt>,
}

/// Keeps submissions and marks in memory, and knows repeated ids.
#[derive(Default)]
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    refused: AtomicU64,
}

impl Memory {
    /// Refuses everything from now on.
    pub(crate) fn fail_with(&self, error: IngestError) {
        self.kept.lock().unwrap().error = Some(error);
    }

    /// Refuses the next `count` submissions as too many.
    pub(crate) fn fail_first(&self, count: usize) {
        self.kept.lock().unwrap().errors_first = count;
    }

    /// Answers everything with `receipt` from now on.
    pub(crate) fn answer_with(&self, receipt: Receipt) {
        self.kept.lock().unwrap().receipt = Some(receipt);
    }

    pub(crate) fn submissions(&self) -> usize {
        self.kept.lock().unwrap().submissions.len()
    }

    /// How many events are kept, duplicates left out.
    pub(crate) fn stored(&self) -> usize {
        let kept = self.kept.lock().unwrap();
        kept.submissions.iter().map(|it| it.events.len()).sum::<usize>() - kept.duplicates as usize
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.kept.lock().unwrap().duplicates
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.kept.lock().unwrap().submissions.iter().map(|it| it.rejected).sum()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn quarantined(&self) -> Vec<Quarantined> {
        self.kept.lock().unwrap().submissions.iter().flat_map(|it| it.quarantined.clone()).collect()
    }

    pub(crate) fn names(&self) -> Vec<Option<Once>> {
        self.kept.lock().unwrap().submissions.iter().map(|it| it.once.clone()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<EventId> {
        self.of_events(|it| it.id)
    }

    /// The `message` of every event, in the order of arrival.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.of_events(|it| it.text(TextField::Message).unwrap_or_default().to_owned())
    }

    fn of_events<T>(&self, read: impl Fn(EventView<'_>) -> T) -> Vec<T> {
        let kept = self.kept.lock().unwrap();
        let events = kept.submissions.iter().flat_map(|it| it.events.iter());
        events.map(|it| read(EventView::of(it).expect("an event"))).collect()
    }
}

impl Sink for Memory {
    fn submit(&self, submission: Submission) -> Submitted {
        let result = self.submit_blocking(submission);
        Box::pin(async move { result })
    }

    fn submit_blocking(&self, submission: Submission) -> Result<Receipt, IngestError> {
        let mut kept = self.kept.lock().unwrap();
        if let Some(error) = kept.error {
            return Err(error);
        }
        if 0 < kept.errors_first {
            kept.errors_first -= 1;
            return Err(IngestError::Overloaded("written"));
        }
        let mut receipt = Receipt::default();
        for event in submission.events.iter() {
            let view = EventView::of(event).expect("an event");
            if view.flags.has(EventFlags::REPEATABLE) && submission.once.is_none() && !kept.seen.insert(view.id) {
                receipt.duplicate += 1;
            } else {
                receipt.stored += 1;
                receipt.ids.push(view.id);
            }
        }
        kept.duplicates += receipt.duplicate;
        kept.marks.extend(submission.marks.iter().cloned());
        kept.submissions.push(submission);
        Ok(kept.receipt.clone().unwrap_or(receipt))
    }

    fn count_refused_request(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn mark(&self, key: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().marks.get(key).cloned()
    }

    fn now(&self) -> Timestamp {
        NOON
    }
}
