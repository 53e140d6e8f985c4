//! Windows: which events of a key complete a rule, and which events each alert counts.
//!
//! The meaning, to the nanosecond, is `docs/windows.md`; the naive form there is a test here. What makes it cheap:
//! an event of bucket `b` (a bucket is as long as the timespan) has a window that reaches back into `b - 1` at most, and
//! the windows of the completing events of one bucket overlap, so that what they unite is one stretch of time,
//! `(first completing - T, last completing]`. A key therefore keeps, of each bucket, its first and last few events and
//! numbers for the rest.
//!
//! [`count`] is for thresholds on the number of events, [`list`] for distinct values and for triggers,
//! [`consecutive`] for rules with a reset; [`sparse`] is how a key begins. [`table`] keeps the keys of a rule.

pub mod consecutive;
pub mod count;
pub mod list;
pub mod seeds;
pub mod sparse;
pub mod table;

use model::alert::EvidenceRef;
use model::limits::EVIDENCE_EACH_END;
use model::time::Timestamp;

use crate::snapshot::{Decoder, Encoder};

/// What a rule asks of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The timespan T, in nanoseconds; at least 1.
    pub span: i64,
    /// The lateness L, in nanoseconds.
    pub lateness: i64,
    /// How many events, or distinct values, complete the rule; at least 1.
    pub threshold: u32,
}

impl Terms {
    /// The bucket of a time.
    #[must_use]
    pub const fn bucket_of(&self, time: Timestamp) -> i64 {
        time.0.div_euclid(self.span)
    }

    /// The start of a bucket.
    #[must_use]
    pub const fn start_of(&self, bucket: i64) -> Timestamp {
        Timestamp(bucket.saturating_mul(self.span))
    }

    /// The oldest bucket that a key needs whose newest event is at `newest`: the one before the oldest that may change.
    #[must_use]
    pub const fn oldest_needed(&self, newest: Timestamp) -> i64 {
        newest.0.saturating_sub(self.lateness).div_euclid(self.span) - 1
    }

    /// How many events of each end of a bucket are kept: enough to decide, and enough for evidence.
    #[must_use]
    pub const fn kept_each_end(&self) -> usize {
        if EVIDENCE_EACH_END < self.threshold as usize { self.threshold as usize } else { EVIDENCE_EACH_END }
    }
}

/// An event on its way into a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which event.
    pub event: EvidenceRef,
    /// What time it is as far as this event may say: its own, but not later than its receipt. Only this makes others late.
    pub clock: Timestamp,
    /// A hash of the value whose distinct values count; unused elsewhere.
    pub value: u64,
    /// What it does there.
    pub role: Role,
}

/// What an event does in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It counts.
    Counts,
    /// It does not count, and the condition is judged at it.
    Triggers,
    /// It makes the windows after it begin anew.
    Resets,
}

/// What an alert says of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The bucket, as a number of timespans from the epoch.
    pub bucket: i64,
    /// The time of the earliest completing event.
    pub completed: Timestamp,
    /// How many events are counted.
    pub count: u64,
    /// The earliest time of them.
    pub first_seen: Timestamp,
    /// The latest time of them.
    pub last_seen: Timestamp,
    /// The first and the last of them, in order; all of them when they are few.
    pub evidence: Vec<EvidenceRef>,
}

/// What came of adding an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is older than lateness allows, and nothing changed.
    Late,
    /// It is in, and no alert changed.
    In,
    /// It is in, and at least one alert is new or changed.
    Changed,
}

/// The state of one key.
pub trait KeyWindow: Default {
    /// Adds an event. Alerts that can no longer change and were not yet taken go to `out`.
    fn add(&mut self, item: Item, terms: &Terms, out: &mut Vec<Counted>) -> Added;

    /// Takes the alerts that are new or changed since they were last taken.
    fn take(&mut self, terms: &Terms, out: &mut Vec<Counted>);

    /// The time of the newest event.
    fn newest(&self) -> Timestamp;

    /// How many events it rests on: how much would be lost with it.
    fn weight(&self) -> u64;

    /// The event, when it rests on this one only.
    fn only_event(&self) -> Option<EvidenceRef>;

    /// Writes all of it.
    fn encode(&self, out: &mut Encoder);

    /// Reads what [`Self::encode`] wrote.
    fn decode(from: &mut Decoder<'_>) -> Option<Self>;
}

/// Cuts evidence to the first and the last few.
pub(crate) fn cut_evidence(
    first: impl Iterator<Item = EvidenceRef>,
    last_reversed: impl Iterator<Item = EvidenceRef>,
    count: u64,
) -> Vec<EvidenceRef> {
    let each_end = EVIDENCE_EACH_END as u64;
    if count <= 2 * each_end {
        return first.take(count as usize).collect();
    }
    let mut evidence: Vec<_> = first.take(EVIDENCE_EACH_END).collect();
    let mut last: Vec<_> = last_reversed.take(EVIDENCE_EACH_END).collect();
    last.reverse();
    evidence.extend(last);
    evidence
}

#[cfg(test)]
pub(crate) mod naive {
    //! The naive form of `docs/windows.md`, for property tests.

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// What the naive form says of one key: bucket to (events in order, earliest completing time).
    pub(crate) fn alerts(
        items: &[Item],
        terms: &Terms,
        holds: impl Fn(&[Item]) -> bool,
    ) -> BTreeMap<i64, (Vec<EvidenceRef>, Timestamp)> {
        let (mut admitted, mut newest): (Vec<Item>, Option<Timestamp>) = (Vec::new(), None);
        for item in items {
            let time = item.event.time;
            if newest.is_none_or(|it| it.0 - terms.lateness <= time.0) {
                admitted.push(*item);
                newest = Some(newest.map_or(item.clock, |it| it.max(item.clock)));
            }
        }
        let mut union: BTreeMap<i64, BTreeSet<EvidenceRef>> = BTreeMap::new();
        let mut completed: BTreeMap<i64, Timestamp> = BTreeMap::new();
        let has_triggers = items.iter().any(|it| it.role == Role::Triggers);
        for item in &admitted {
            let time = item.event.time.0;
            if has_triggers && item.role != Role::Triggers {
                continue;
            }
            let inside =
                |it: &&Item| time - terms.span < it.event.time.0 && it.event.time.0 <= time && it.role == Role::Counts;
            let window: Vec<Item> = admitted.iter().filter(inside).copied().collect();
            if holds(&window) {
                let bucket = terms.bucket_of(item.event.time);
                let ids = union.entry(bucket).or_default();
                ids.extend(window.iter().map(|it| it.event));
                ids.insert(item.event);
                let earliest = completed.entry(bucket).or_insert(item.event.time);
                *earliest = (*earliest).min(item.event.time);
            }
        }
        let nothing = BTreeSet::new();
        let found = union.iter().map(|(bucket, ids)| {
            let before = union.get(&(bucket - 1)).unwrap_or(&nothing);
            (*bucket, (ids.difference(before).copied().collect(), completed[bucket]))
        });
        found.collect()
    }

    /// Runs a window over the items and returns the last word on each bucket.
    pub(crate) fn run<W: KeyWindow>(items: &[Item], terms: &Terms, take_every: usize) -> BTreeMap<i64, Counted> {
        let (mut window, mut out) = (W::default(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            window.add(*item, terms, &mut out);
            if at % take_every == 0 {
                window.take(terms, &mut out);
            }
            // A snapshot in the middle changes nothing.
            if at % 7 == 3 {
                let mut bytes = Encoder::default();
                window.encode(&mut bytes);
                window = W::decode(&mut Decoder::new(&bytes.into_bytes())).unwrap();
            }
        }
        window.take(terms, &mut out);
        out.into_iter().map(|it| (it.bucket, it)).collect()
    }

    #[track_caller]
    pub(crate) fn agree(found: &BTreeMap<i64, Counted>, expected: &BTreeMap<i64, (Vec<EvidenceRef>, Timestamp)>) {
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "the buckets with alerts");
        for (bucket, (events, completed)) in expected {
            let counted = &found[bucket];
            assert_eq!(counted.count, events.len() as u64, "the count of bucket {bucket}");
            assert_eq!(counted.completed, *completed, "the earliest completing event of bucket {bucket}");
            assert_eq!(
                (counted.first_seen, counted.last_seen),
                (events[0].time, events[events.len() - 1].time),
                "bucket {bucket}"
            );
            let all = || events.iter().copied();
            assert_eq!(
                counted.evidence,
                cut_evidence(all(), all().rev(), events.len() as u64),
                "the evidence of bucket {bucket}"
            );
        }
    }

    pub(crate) fn item(nanos: i64, number: u64) -> Item {
        let event = EvidenceRef {
            time: Timestamp(nanos),
            id_upper: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            sequence: number,
        };
        Item { event, clock: event.time, value: 0, role: Role::Counts }
    }

    /// An event whose sender's clock is `ahead` of its receipt.
    pub(crate) fn item_ahead(nanos: i64, ahead: i64, number: u64) -> Item {
        Item { clock: Timestamp(nanos - ahead), ..item(nanos, number) }
    }
}
