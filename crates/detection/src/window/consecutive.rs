//! Windows of rules with a reset: at least N events within T with no resetting event between.
//!
//! The lateness of such a rule is 0: it is decided at once, in the order of the log, and what is older than the newest
//! event of its key is late for it. What bears a time after its receipt counts as of its receipt.

use std::collections::VecDeque;

use model::alert::EvidenceRef;
use model::limits::EVIDENCE_EACH_END;
use model::time::Timestamp;

use super::{Added, Counted, Item, KeyWindow, Role, Terms};
use crate::snapshot::{Decoder, Encoder};

/// The state of one key.
#[derive(Clone, Debug, Default)]
pub struct ConsecutiveWindow {
    newest: Option<Timestamp>,
    /// The newest events since the last reset, at most as many as the threshold.
    recent: VecDeque<EvidenceRef>,
    /// How many of them, from the back, no alert has counted.
    uncounted: usize,
    alert: Option<Growing>,
}

/// The alert of the newest bucket that has one.
#[derive(Clone, Debug)]
struct Growing {
    bucket: i64,
    completed: Timestamp,
    count: u64,
    first: Vec<EvidenceRef>,
    last: VecDeque<EvidenceRef>,
    is_changed: bool,
}

impl Growing {
    fn count(&mut self, event: EvidenceRef) {
        self.count += 1;
        self.is_changed = true;
        // In order of time they come in order, except that equal times come in the order of the log.
        let sorted_in = |list: &mut Vec<EvidenceRef>| {
            let at = list.partition_point(|it| *it <= event);
            list.insert(at, event);
        };
        if self.first.len() < EVIDENCE_EACH_END {
            sorted_in(&mut self.first);
        } else {
            let at = self.last.partition_point(|it| *it <= event);
            self.last.insert(at, event);
            if EVIDENCE_EACH_END < self.last.len() {
                self.last.pop_front();
            }
        }
    }

    fn counted(&self) -> Option<Counted> {
        let evidence: Vec<_> = self.first.iter().chain(&self.last).copied().collect();
        Some(Counted {
            bucket: self.bucket,
            completed: self.completed,
            count: self.count,
            first_seen: evidence.first()?.time,
            last_seen: evidence.last()?.time,
            evidence,
        })
    }
}

impl KeyWindow for ConsecutiveWindow {
    fn add(&mut self, item: Item, terms: &Terms, out: &mut Vec<Counted>) -> Added {
        let time = item.clock;
        if self.newest.is_some_and(|it| time.0 < it.0.saturating_sub(terms.lateness)) {
            return Added::Late;
        }
        self.newest = Some(self.newest.map_or(time, |it| it.max(time)));
        if item.role == Role::Resets {
            self.recent.clear();
            self.uncounted = 0;
            return Added::In;
        }
        self.recent.push_back(item.event);
        self.uncounted += 1;
        let needed = terms.threshold as usize;
        if needed < self.recent.len() {
            self.recent.pop_front();
            self.uncounted = self.uncounted.min(needed);
        }
        let is_complete = self.recent.len() == needed
            && self.recent.front().is_some_and(|it| time.0.saturating_sub(terms.span) < it.time.0);
        if !is_complete {
            return Added::In;
        }
        let bucket = terms.bucket_of(time);
        if self.alert.as_ref().is_some_and(|it| it.bucket != bucket) {
            self.take(terms, out);
            self.alert = None;
        }
        let alert = self.alert.get_or_insert_with(|| Growing {
            bucket,
            completed: time,
            count: 0,
            first: Vec::new(),
            last: VecDeque::new(),
            is_changed: true,
        });
        let from = self.recent.len() - self.uncounted;
        self.recent.iter().skip(from).for_each(|it| alert.count(*it));
        self.uncounted = 0;
        Added::Changed
    }

    fn take(&mut self, _: &Terms, out: &mut Vec<Counted>) {
        if let Some(alert) = self.alert.as_mut().filter(|it| it.is_changed) {
            alert.is_changed = false;
            out.extend(alert.counted());
        }
    }

    fn newest(&self) -> Timestamp {
        self.newest.unwrap_or_default()
    }

    fn weight(&self) -> u64 {
        self.recent.len() as u64 + self.alert.as_ref().map_or(0, |it| it.count)
    }

    fn only_event(&self) -> Option<EvidenceRef> {
        None
    }

    fn encode(&self, out: &mut Encoder) {
        out.flag(self.newest.is_some());
        out.i64(self.newest().0);
        let recent: Vec<_> = self.recent.iter().copied().collect();
        out.events(&recent);
        out.u64(self.uncounted as u64);
        out.flag(self.alert.is_some());
        if let Some(alert) = &self.alert {
            out.i64(alert.bucket);
            out.i64(alert.completed.0);
            out.u64(alert.count);
            out.events(&alert.first);
            let last: Vec<_> = alert.last.iter().copied().collect();
            out.events(&last);
            out.flag(alert.is_changed);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let (has_newest, newest) = (from.flag()?, Timestamp(from.i64()?));
        let recent = VecDeque::from(from.events()?);
        let uncounted = (from.u64()? as usize).min(recent.len());
        let alert = if from.flag()? {
            Some(Growing {
                bucket: from.i64()?,
                completed: Timestamp(from.i64()?),
                count: from.u64()?,
                first: from.events()?,
                last: from.events()?.into(),
                is_changed: from.flag()?,
            })
        } else {
            None
        };
        Some(Self { newest: has_newest.then_some(newest), recent, uncounted, alert })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{agree, item, run};
    use super::*;

    /// The naive form with a reset, for events in the order of their times.
    fn naive(items: &[Item], terms: &Terms) -> std::collections::BTreeMap<i64, (Vec<EvidenceRef>, Timestamp)> {
        let mut union: std::collections::BTreeMap<i64, (std::collections::BTreeSet<EvidenceRef>, Timestamp)> =
            Default::default();
        for (at, current) in items.iter().enumerate() {
            let since = items[..=at].iter().rposition(|it| it.role == Role::Resets).map_or(0, |it| it + 1);
            if current.role == Role::Resets {
                continue;
            }
            let time = current.event.time.0;
            let window: Vec<_> =
                items[since..=at].iter().filter(|it| time - terms.span < it.event.time.0).map(|it| it.event).collect();
            if terms.threshold as usize <= window.len() {
                union
                    .entry(terms.bucket_of(current.event.time))
                    .or_insert((Default::default(), current.event.time))
                    .0
                    .extend(window);
            }
        }
        let before = union.clone();
        let found = union.into_iter().map(|(bucket, (ids, completed))| {
            let counted =
                ids.into_iter().filter(|it| !before.get(&(bucket - 1)).is_some_and(|(ids, _)| ids.contains(it)));
            (bucket, (counted.collect(), completed))
        });
        found.collect()
    }

    fn items(parts: &[(i64, bool)]) -> Vec<Item> {
        let mut now = 0;
        let role = |it| if it { Role::Resets } else { Role::Counts };
        let made = parts.iter().enumerate().map(|(at, (step, is_reset))| {
            now += step;
            Item { role: role(*is_reset), ..item(now, at as u64) }
        });
        made.collect()
    }

    #[test]
    fn another_event_between_begins_anew() {
        let terms = Terms { span: 60, lateness: 0, threshold: 5 };
        let buckets = |parts: &[(i64, bool)]| run::<ConsecutiveWindow>(&items(parts), &terms, 1).len();
        let (hit, reset) = ((1, false), (1, true));
        assert_eq!(buckets(&[hit, hit, hit, hit, hit]), 1);
        assert_eq!(buckets(&[hit, hit, hit, hit, reset, hit]), 0);
        assert_eq!(buckets(&[reset, hit, hit, hit, hit, hit]), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_the_naive_form(
            parts in proptest::collection::vec((1_i64..8, prop::bool::weighted(0.1)), 0..150), span in 1_i64..60, threshold in 1_u32..10,
        ) {
            let terms = Terms { span, lateness: 0, threshold };
            let items = items(&parts);
            agree(&run::<ConsecutiveWindow>(&items, &terms, 2), &naive(&items, &terms));
        }
    }
}
