//! Windows whose condition needs more than the number of events: distinct values, and counts judged at a trigger.
//!
//! A bucket keeps its events one by one up to [`ITEMS_MAX`]; beyond that, those are dropped that can decide nothing:
//! which alerts there are, and when each was complete, stays exact. What such a crowded bucket counts may then include
//! events that are later than its last completing one, or repeat a value.

use std::collections::HashMap;
use std::marker::PhantomData;

use model::alert::EvidenceRef;
use model::time::Timestamp;

use super::{Added, Counted, Item, KeyWindow, Role, Terms, cut_evidence};
use crate::snapshot::{Decoder, Encoder};

/// How many events of a bucket are kept one by one. Twice this many are looked at to judge one event at worst.
const ITEMS_MAX: usize = 512;

/// A condition over the events of a window that slides.
pub trait Judge: Default {
    /// Whether events of one time complete together: then one more of the newest time changes none of the others.
    const IS_TIMELESS: bool;
    /// Whether the condition is judged at this event.
    fn is_judged_at(item: &Item) -> bool;
    /// An event enters the window.
    fn enter(&mut self, item: &Item);
    /// An event leaves it.
    fn leave(&mut self, item: &Item);
    /// How far the condition is met, in units of the threshold.
    fn reached(&self) -> usize;
    /// What makes two events stand for one another.
    fn value_of(item: &Item) -> u64;
}

/// At least N distinct values.
#[derive(Debug, Default)]
pub struct Distinct {
    values: HashMap<u64, u32>,
}

impl Judge for Distinct {
    const IS_TIMELESS: bool = true;

    fn is_judged_at(_: &Item) -> bool {
        true
    }

    fn enter(&mut self, item: &Item) {
        *self.values.entry(item.value).or_default() += 1;
    }

    fn leave(&mut self, item: &Item) {
        if let Some(count) = self.values.get_mut(&item.value) {
            *count -= 1;
            if *count == 0 {
                self.values.remove(&item.value);
            }
        }
    }

    fn reached(&self) -> usize {
        self.values.len()
    }

    fn value_of(item: &Item) -> u64 {
        item.value
    }
}

/// At least N counting events, judged at a trigger.
#[derive(Debug, Default)]
pub struct Triggered {
    count: usize,
}

impl Judge for Triggered {
    const IS_TIMELESS: bool = false;

    fn is_judged_at(item: &Item) -> bool {
        item.role == Role::Triggers
    }

    fn enter(&mut self, item: &Item) {
        self.count += usize::from(item.role == Role::Counts);
    }

    fn leave(&mut self, item: &Item) {
        self.count -= usize::from(item.role == Role::Counts);
    }

    fn reached(&self) -> usize {
        self.count
    }

    fn value_of(item: &Item) -> u64 {
        // Each counts for itself.
        item.event.sequence
    }
}

/// The state of one key.
#[derive(Debug)]
pub struct ListWindow<J> {
    newest: Timestamp,
    buckets: Vec<Bucket>,
    judge: PhantomData<J>,
}

impl<J> Default for ListWindow<J> {
    fn default() -> Self {
        Self { newest: Timestamp::default(), buckets: Vec::new(), judge: PhantomData }
    }
}

#[derive(Clone, Debug)]
struct Bucket {
    number: i64,
    /// How many counting events were dropped.
    dropped: u32,
    items: Vec<Kept>,
    done: Option<(Timestamp, Timestamp)>,
    /// Whether the condition holds by this bucket's own events alone, at its newest.
    is_saturated: bool,
    is_changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    item: Item,
    is_done: bool,
}

impl Kept {
    fn counts(&self) -> bool {
        self.item.role == Role::Counts || self.is_done
    }
}

impl Bucket {
    fn new(number: i64) -> Self {
        Self { number, dropped: 0, items: Vec::with_capacity(1), done: None, is_saturated: false, is_changed: false }
    }

    fn complete(&mut self, time: Timestamp) {
        self.done = Some((self.done.map_or(time, |it| it.0.min(time)), self.done.map_or(time, |it| it.1.max(time))));
        self.is_changed = true;
    }

    /// Drops what can decide nothing: it keeps the first and the last of each value, of the first and the last
    /// `each_end` values, and the first and the last `each_end` events for evidence.
    fn thin<J: Judge>(&mut self, each_end: usize) {
        let mut is_kept = vec![false; self.items.len()];
        let all = self.items.len();
        let by_role = |it: &Kept| (J::value_of(&it.item), it.item.role == Role::Triggers);
        let mut mark = |order: &mut dyn Iterator<Item = usize>| {
            let (mut values, mut triggers, mut seen) = (std::collections::HashSet::new(), 0, 0);
            for at in order {
                let kept = &self.items[at];
                seen += 1;
                let is_trigger = kept.item.role == Role::Triggers;
                let is_new = if is_trigger {
                    triggers < each_end
                } else {
                    values.len() < each_end && values.insert(by_role(kept))
                };
                triggers += usize::from(is_trigger);
                if is_new || seen <= each_end {
                    is_kept[at] = true;
                }
            }
        };
        mark(&mut (0..all));
        mark(&mut (0..all).rev());
        let mut at = 0;
        let dropped = &mut self.dropped;
        self.items.retain(|it| {
            at += 1;
            *dropped += u32::from(!is_kept[at - 1] && it.counts());
            is_kept[at - 1]
        });
    }
}

impl<J: Judge> ListWindow<J> {
    fn place_of(&mut self, number: i64) -> usize {
        let at = self.buckets.partition_point(|it| it.number < number);
        if self.buckets.get(at).is_none_or(|it| it.number != number) {
            self.buckets.insert(at, Bucket::new(number));
        }
        at
    }

    /// The time of the latest event.
    fn latest(&self) -> Option<Timestamp> {
        self.buckets.last().and_then(|it| it.items.last()).map(|it| it.item.event.time)
    }

    fn items_of(&self, number: i64) -> &[Kept] {
        self.buckets.iter().rev().find(|it| it.number == number).map_or(&[], |it| &it.items)
    }

    /// Whether the condition holds for the window that ends at the newest event, which is in the bucket `number`.
    fn newest_completes(&mut self, number: i64, time: i64, terms: &Terms) -> bool {
        let at = self.place_of(number);
        if self.buckets[at].is_saturated {
            return true;
        }
        let needed = terms.threshold as usize;
        let after = time.saturating_sub(terms.span);
        let own = &self.buckets[at].items;
        let before = self.items_of(number - 1);
        let before = &before[before.partition_point(|it| it.item.event.time.0 <= after)..];
        if own.len() + before.len() < needed {
            return false;
        }
        let mut judge = J::default();
        own.iter().for_each(|it| judge.enter(&it.item));
        let is_saturated = needed <= judge.reached();
        before.iter().for_each(|it| judge.enter(&it.item));
        self.buckets[at].is_saturated = is_saturated;
        needed <= judge.reached()
    }

    /// Finds the completing events of a bucket anew, after one that was not the newest came in.
    fn judge_all(&mut self, number: i64, terms: &Terms) {
        if !self.buckets.iter().any(|it| it.number == number) {
            return;
        }
        let before = self.items_of(number - 1).to_vec();
        let at = self.place_of(number);
        let bucket = &mut self.buckets[at];
        let (mut judge, mut leaving, mut entered) = (J::default(), 0, 0);
        before.iter().for_each(|it| judge.enter(&it.item));
        for current in 0..bucket.items.len() {
            let time = bucket.items[current].item.event.time;
            while bucket.items.get(entered).is_some_and(|it| it.item.event.time <= time) {
                judge.enter(&bucket.items[entered].item);
                entered += 1;
            }
            while before.get(leaving).is_some_and(|it| it.item.event.time.0 <= time.0.saturating_sub(terms.span)) {
                judge.leave(&before[leaving].item);
                leaving += 1;
            }
            if J::is_judged_at(&bucket.items[current].item) && terms.threshold as usize <= judge.reached() {
                bucket.items[current].is_done = true;
                bucket.complete(time);
            }
        }
    }

    fn touch(&mut self, number: i64) {
        if let Some(bucket) = self.buckets.iter_mut().find(|it| it.number == number) {
            bucket.is_changed |= bucket.done.is_some();
        }
    }

    fn counted(&self, bucket: &Bucket, terms: &Terms) -> Option<Counted> {
        let (first_done, last_done) = bucket.done?;
        let counted_before = self.buckets.iter().find(|it| it.number == bucket.number - 1).and_then(|it| it.done);
        let after = counted_before.map_or(i64::MIN, |it| it.1.0).max(first_done.0.saturating_sub(terms.span));
        let before = self.items_of(bucket.number - 1);
        let before = &before[before.partition_point(|it| it.item.event.time.0 <= after)..];
        let own = &bucket.items[..bucket.items.partition_point(|it| it.item.event.time <= last_done)];
        let events = || before.iter().chain(own).filter(|it| it.counts()).map(|it| it.item.event);
        let count = events().count() as u64 + u64::from(bucket.dropped);
        Some(Counted {
            bucket: bucket.number,
            completed: first_done,
            count,
            first_seen: events().next()?.time,
            last_seen: events().next_back()?.time,
            evidence: cut_evidence(events(), events().rev(), count),
        })
    }

    fn take_until(&mut self, end: usize, terms: &Terms, out: &mut Vec<Counted>) {
        for at in 0..end {
            if self.buckets[at].is_changed {
                out.extend(self.counted(&self.buckets[at], terms));
                self.buckets[at].is_changed = false;
            }
        }
    }

    fn drop_old(&mut self, terms: &Terms, out: &mut Vec<Counted>) {
        let oldest = terms.oldest_needed(self.newest);
        let old = self.buckets.partition_point(|it| it.number < oldest);
        if 0 < old {
            // The alert of the first bucket that stays rests on the last one that goes.
            self.take_until((old + 1).min(self.buckets.len()), terms, out);
            self.buckets.drain(..old);
        }
    }
}

impl<J: Judge> KeyWindow for ListWindow<J> {
    fn add(&mut self, item: Item, terms: &Terms, out: &mut Vec<Counted>) -> Added {
        let time = item.event.time;
        let is_first = self.buckets.is_empty();
        if !is_first && time.0 < self.newest.0.saturating_sub(terms.lateness) {
            return Added::Late;
        }
        let is_newest = self.latest().is_none_or(|it| it < time || (J::IS_TIMELESS && it == time));
        if is_first || self.newest < item.clock {
            self.newest = item.clock;
            self.drop_old(terms, out);
        }
        let number = terms.bucket_of(time);
        let at = self.place_of(number);
        let items = &mut self.buckets[at].items;
        let place = items.partition_point(|it| it.item.event <= item.event);
        items.insert(place, Kept { item, is_done: false });
        if !is_newest {
            self.judge_all(number, terms);
            self.judge_all(number + 1, terms);
            self.touch(number);
            self.touch(number + 1);
            self.touch(number + 2);
        } else if J::is_judged_at(&item) && self.newest_completes(number, time.0, terms) {
            let bucket = &mut self.buckets[at];
            bucket.items[place].is_done = true;
            bucket.complete(time);
        }
        let each_end = terms.kept_each_end();
        if ITEMS_MAX.max(8 * each_end) < self.buckets[at].items.len() {
            self.buckets[at].thin::<J>(each_end);
        }
        if self.buckets.iter().any(|it| it.is_changed) { Added::Changed } else { Added::In }
    }

    fn take(&mut self, terms: &Terms, out: &mut Vec<Counted>) {
        self.take_until(self.buckets.len(), terms, out);
    }

    fn newest(&self) -> Timestamp {
        self.newest
    }

    fn weight(&self) -> u64 {
        self.buckets.iter().map(|it| it.items.len() as u64 + u64::from(it.dropped)).sum()
    }

    fn only_event(&self) -> Option<EvidenceRef> {
        None
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.newest.0);
        out.u64(self.buckets.len() as u64);
        for bucket in &self.buckets {
            out.i64(bucket.number);
            out.u64(u64::from(bucket.dropped));
            out.flag(bucket.is_saturated);
            out.flag(bucket.is_changed);
            out.span(bucket.done);
            out.u64(bucket.items.len() as u64);
            for kept in &bucket.items {
                out.event(&kept.item.event);
                out.i64(kept.item.value as i64);
                out.flag(kept.item.role == Role::Triggers);
                out.flag(kept.is_done);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let newest = Timestamp(from.i64()?);
        let buckets = from.list(|from| {
            let (number, dropped) = (from.i64()?, from.u64()? as u32);
            let (is_saturated, is_changed, done) = (from.flag()?, from.flag()?, from.span()?);
            let items = from.list(|from| {
                let (event, value) = (from.event()?, from.i64()? as u64);
                let role = if from.flag()? { Role::Triggers } else { Role::Counts };
                Some(Kept { item: Item { event, clock: event.time, value, role }, is_done: from.flag()? })
            })?;
            Some(Bucket { number, dropped, items, done, is_saturated, is_changed })
        })?;
        Some(Self { newest, buckets, judge: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::naive::{agree, alerts, item, run};
    use super::*;

    fn with_values(parts: &[(i64, u64)]) -> Vec<Item> {
        parts.iter().enumerate().map(|(at, (time, value))| Item { value: *value, ..item(*time, at as u64) }).collect()
    }

    fn with_triggers(parts: &[(i64, bool)]) -> Vec<Item> {
        let role = |it| if it { Role::Triggers } else { Role::Counts };
        parts
            .iter()
            .enumerate()
            .map(|(at, (time, is_trigger))| Item { role: role(*is_trigger), ..item(*time, at as u64) })
            .collect()
    }

    fn distinct(window: &[Item]) -> usize {
        window.iter().map(|it| it.value).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn a_crowded_bucket_stays_small_and_its_alerts_exact() {
        let terms = Terms { span: 1000, lateness: 500, threshold: 25 };
        let parts: Vec<_> = (0..6000).map(|it| (it, if 5200 < it { it as u64 } else { it as u64 % 24 })).collect();
        let items = with_values(&parts);
        let found = run::<ListWindow<Distinct>>(&items, &terms, 100);
        let expected = alerts(&items, &terms, |it| 25 <= distinct(it));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(found.iter().all(|(bucket, it)| it.completed == expected[bucket].1));
        let (mut window, mut out) = (ListWindow::<Distinct>::default(), Vec::new());
        items.iter().for_each(|it| {
            window.add(*it, &terms, &mut out);
        });
        assert!(window.buckets.iter().all(|it| it.items.len() <= ITEMS_MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn distinct_values_agree_with_the_naive_form(
            parts in proptest::collection::vec((0_i64..300, 0_u64..12), 0..150),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..10, take_every in 1_usize..9,
        ) {
            let terms = Terms { span, lateness, threshold };
            let items = with_values(&parts);
            agree(&run::<ListWindow<Distinct>>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= distinct(it)));
        }

        #[test]
        fn distinct_values_agree_in_order(
            parts in proptest::collection::vec((0_i64..4, 0_u64..12), 0..200), span in 1_i64..60, threshold in 1_u32..10,
        ) {
            let terms = Terms { span, lateness: 10, threshold };
            let mut now = 0;
            let parts: Vec<_> = parts.iter().map(|(step, value)| { now += step; (now, *value) }).collect();
            let items = with_values(&parts);
            agree(&run::<ListWindow<Distinct>>(&items, &terms, 3), &alerts(&items, &terms, |it| threshold as usize <= distinct(it)));
        }

        #[test]
        fn triggers_agree_with_the_naive_form(
            parts in proptest::collection::vec((0_i64..300, prop::bool::weighted(0.2)), 0..150),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..10, take_every in 1_usize..9,
        ) {
            let terms = Terms { span, lateness, threshold };
            let mut items = with_triggers(&parts);
            // The naive form knows by a trigger that there are triggers.
            items.push(Item { role: Role::Triggers, ..item(-1_000_000, 1_000_000) });
            agree(&run::<ListWindow<Triggered>>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= it.len()));
        }
    }
}
