//! Windows of `event_count`: at least N events within T. Exact, and of bounded size however many events come.

use model::alert::EvidenceRef;
use model::time::Timestamp;

use super::{Added, Counted, Item, KeyWindow, Terms, cut_evidence};
use crate::snapshot::{Decoder, Encoder};

/// The state of one key.
#[derive(Clone, Debug, Default)]
pub struct CountWindow {
    /// The latest clock of an event: what is older than this less the lateness is late.
    newest: Timestamp,
    /// By number; few, because old ones are dropped.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug)]
struct Bucket {
    number: i64,
    /// How many events there were; more than `entries` holds when the middle was dropped.
    total: u32,
    /// The events in order: all of them, or the first and the last [`Terms::kept_each_end`].
    entries: Vec<EvidenceRef>,
    /// The times of the earliest and the latest completing event.
    done: Option<(Timestamp, Timestamp)>,
    is_changed: bool,
}

impl Bucket {
    fn new(number: i64) -> Self {
        Self { number, total: 0, entries: Vec::with_capacity(1), done: None, is_changed: false }
    }

    fn is_whole(&self) -> bool {
        self.total as usize == self.entries.len()
    }

    fn insert(&mut self, event: EvidenceRef, each_end: usize) {
        self.total = self.total.saturating_add(1);
        let at = self.entries.partition_point(|it| *it <= event);
        if self.entries.len() < 2 * each_end {
            self.entries.insert(at, event);
        } else if at < each_end {
            // A new one among the first: the last of the first falls into the middle.
            self.entries[at..each_end].rotate_right(1);
            self.entries[at] = event;
        } else if each_end < at {
            self.entries[each_end..at].rotate_left(1);
            self.entries[at - 1] = event;
        }
    }

    /// How many events are later than `time`, exact up to [`Terms::kept_each_end`].
    fn count_after(&self, time: i64, each_end: usize) -> usize {
        let from = if self.is_whole() { 0 } else { each_end };
        let last = &self.entries[from..];
        last.len() - last.partition_point(|it| it.time.0 <= time)
    }

    /// How many events are not later than `time`, exact up to [`Terms::kept_each_end`].
    fn count_until(&self, time: i64, each_end: usize) -> usize {
        let to = if self.is_whole() { self.entries.len() } else { each_end };
        self.entries[..to].partition_point(|it| it.time.0 <= time)
    }
}

impl CountWindow {
    /// The time of the latest event.
    fn latest(&self) -> Option<Timestamp> {
        self.buckets.last().and_then(|it| it.entries.last()).map(|it| it.time)
    }

    fn at(&self, number: i64) -> Option<&Bucket> {
        self.buckets.iter().rev().find(|it| it.number == number)
    }

    fn place_of(&mut self, number: i64) -> usize {
        let at = self.buckets.partition_point(|it| it.number < number);
        if self.buckets.get(at).is_none_or(|it| it.number != number) {
            if self.buckets.capacity() == 0 {
                self.buckets.reserve_exact(1);
            }
            self.buckets.insert(at, Bucket::new(number));
        }
        at
    }

    /// Whether the condition holds for the window that ends at `time` in the bucket `number`.
    fn completes(&self, number: i64, time: i64, terms: &Terms) -> bool {
        let (needed, each_end) = (terms.threshold as usize, terms.kept_each_end());
        let own = self.at(number).map_or(0, |it| it.count_until(time, each_end));
        if needed <= own {
            return true;
        }
        let before = self.at(number - 1).map_or(0, |it| it.count_after(time.saturating_sub(terms.span), each_end));
        needed <= own + before
    }

    /// Finds the completing events of a bucket anew, after one that was not the newest came in.
    fn judge(&mut self, number: i64, terms: &Terms) {
        let Some(bucket) = self.at(number) else { return };
        let completing = |it: &&EvidenceRef| self.completes(number, it.time.0, terms);
        let first = bucket.entries.iter().find(completing).map(|it| it.time);
        let last = bucket.entries.iter().rev().find(completing).map(|it| it.time);
        let at = self.place_of(number);
        self.buckets[at].done = first.zip(last);
        self.touch(number);
    }

    /// Says that the alert of a bucket may count fewer: the bucket before now counts more.
    fn touch(&mut self, number: i64) {
        if let Some(bucket) = self.buckets.iter_mut().find(|it| it.number == number) {
            bucket.is_changed |= bucket.done.is_some();
        }
    }

    fn counted(&self, bucket: &Bucket, terms: &Terms) -> Option<Counted> {
        let (first_done, last_done) = bucket.done?;
        let before = self.at(bucket.number - 1);
        let counted_before = before.and_then(|it| it.done).map_or(i64::MIN, |it| it.1.0);
        let after = counted_before.max(first_done.0.saturating_sub(terms.span));
        // Behind the last completing event of a bucket there are fewer than the threshold, so none was dropped.
        let before =
            before.map_or(&[][..], |it| &it.entries[it.entries.partition_point(|entry| entry.time.0 <= after)..]);
        let own = &bucket.entries[..bucket.entries.partition_point(|it| it.time <= last_done)];
        let dropped = u64::from(bucket.total) - bucket.entries.len() as u64;
        let count = before.len() as u64 + own.len() as u64 + dropped;
        Some(Counted {
            bucket: bucket.number,
            completed: first_done,
            count,
            first_seen: before.first().or(own.first())?.time,
            last_seen: last_done,
            evidence: cut_evidence(before.iter().chain(own).copied(), before.iter().chain(own).rev().copied(), count),
        })
    }

    fn drop_old(&mut self, terms: &Terms, out: &mut Vec<Counted>) {
        let oldest = terms.oldest_needed(self.newest);
        let old = self.buckets.partition_point(|it| it.number < oldest);
        if old == 0 {
            return;
        }
        // The alert of the first bucket that stays rests on the last one that goes.
        self.take_until((old + 1).min(self.buckets.len()), terms, out);
        self.buckets.drain(..old);
    }

    fn take_until(&mut self, end: usize, terms: &Terms, out: &mut Vec<Counted>) {
        for at in 0..end {
            if self.buckets[at].is_changed {
                out.extend(self.counted(&self.buckets[at], terms));
                self.buckets[at].is_changed = false;
            }
        }
    }
}

impl KeyWindow for CountWindow {
    fn add(&mut self, item: Item, terms: &Terms, out: &mut Vec<Counted>) -> Added {
        let time = item.event.time;
        let is_first = self.buckets.is_empty();
        if !is_first && time.0 < self.newest.0.saturating_sub(terms.lateness) {
            return Added::Late;
        }
        let is_newest = self.latest().is_none_or(|it| it <= time);
        if is_first || self.newest < item.clock {
            self.newest = item.clock;
            self.drop_old(terms, out);
        }
        let number = terms.bucket_of(time);
        let at = self.place_of(number);
        self.buckets[at].insert(item.event, terms.kept_each_end());
        if !is_newest {
            self.judge(number, terms);
            self.judge(number + 1, terms);
            self.touch(number + 2);
        } else if self.completes(number, time.0, terms) {
            let bucket = &mut self.buckets[at];
            bucket.done = Some((bucket.done.map_or(time, |it| it.0), time));
            bucket.is_changed = true;
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
        self.buckets.iter().map(|it| u64::from(it.total)).sum()
    }

    fn only_event(&self) -> Option<EvidenceRef> {
        match self.buckets.as_slice() {
            [Bucket { entries, total: 1, is_changed: false, .. }] => entries.first().copied(),
            _ => None,
        }
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.newest.0);
        out.u64(self.buckets.len() as u64);
        for bucket in &self.buckets {
            out.i64(bucket.number);
            out.u64(u64::from(bucket.total));
            out.flag(bucket.is_changed);
            out.span(bucket.done);
            out.events(&bucket.entries);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let newest = Timestamp(from.i64()?);
        let buckets = from.list(|from| {
            let (number, total) = (from.i64()?, from.u64()? as u32);
            let (is_changed, done) = (from.flag()?, from.span()?);
            Some(Bucket { number, total, entries: from.events()?, done, is_changed })
        })?;
        Some(Self { newest, buckets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{agree, alerts, item, item_ahead, run};
    use super::*;
    use crate::window::sparse::Sparse;

    const SECOND: i64 = 1_000_000_000;
    const TERMS: Terms = Terms { span: 60 * SECOND, lateness: 120 * SECOND, threshold: 5 };

    #[test]
    fn an_event_of_a_fast_clock_makes_no_other_late() {
        let times = [(0, 0), (290, 290), (1, 0), (2, 0), (3, 0), (4, 0)];
        let items: Vec<_> =
            (0..).zip(times).map(|(at, (time, ahead))| item_ahead(time * SECOND, ahead * SECOND, at)).collect();
        let found = run::<CountWindow>(&items, &TERMS, 1);
        assert_eq!(found.values().map(|it| (it.bucket, it.count)).collect::<Vec<_>>(), [(0, 5)]);
    }

    /// The examples of `docs/windows.md`: seconds of arrival to (bucket start, count, first, last).
    #[track_caller]
    fn check(seconds: &[i64], expected: &[(i64, u64, i64, i64)]) {
        let items: Vec<_> = seconds.iter().enumerate().map(|(at, it)| item(it * SECOND, at as u64)).collect();
        let found = run::<CountWindow>(&items, &TERMS, 1);
        let in_seconds =
            found.values().map(|it| (it.bucket * 60, it.count, it.first_seen.0 / SECOND, it.last_seen.0 / SECOND));
        assert_eq!(in_seconds.collect::<Vec<_>>(), expected, "{seconds:?}");
        agree(&found, &alerts(&items, &TERMS, |window| 5 <= window.len()));
    }

    #[test]
    fn the_examples_of_the_definition_hold() {
        check(&[0, 10, 20, 30, 59], &[(0, 5, 0, 59)]);
        check(&[0, 10, 20, 30, 60], &[]);
        check(&[58, 59, 60, 61, 62], &[(60, 5, 58, 62)]);
        check(&[58, 59, 60, 61, 62, 63], &[(60, 6, 58, 63)]);
        check(&(0..180).collect::<Vec<_>>(), &[(0, 60, 0, 59), (60, 60, 60, 119), (120, 60, 120, 179)]);
        check(&[0, 1, 2, 3, 4, 100], &[(0, 5, 0, 4)]);
        check(&[3, 1, 4, 0, 2], &[(0, 5, 0, 4)]);
        check(&[50, 51, 52, 53, 200, 49], &[]);
        check(&[50, 51, 52, 53, 150, 49], &[(0, 5, 49, 53)]);
    }

    #[test]
    fn an_alert_is_raised_at_the_event_that_completes_it() {
        let (mut window, mut out) = (CountWindow::default(), Vec::new());
        for at in 0..4 {
            assert_eq!(window.add(item(at * SECOND, at as u64), &TERMS, &mut out), Added::In);
        }
        assert_eq!(window.add(item(4 * SECOND, 4), &TERMS, &mut out), Added::Changed);
        window.take(&TERMS, &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_flood_of_one_key_takes_no_more_memory_than_its_ends() {
        let (mut window, mut out) = (CountWindow::default(), Vec::new());
        for at in 0..100_000 {
            window.add(item(at * 1000, at as u64), &TERMS, &mut out);
        }
        assert_eq!(window.buckets.len(), 1);
        assert_eq!((window.buckets[0].entries.len(), window.buckets[0].total), (20, 100_000));
    }

    fn items(times: &[i64]) -> Vec<Item> {
        times.iter().enumerate().map(|(at, it)| item(*it, at as u64)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_the_naive_form(
            times in proptest::collection::vec(0_i64..400, 0..150),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..30, take_every in 1_usize..9,
        ) {
            let terms = Terms { span, lateness, threshold };
            let items = items(&times);
            agree(&run::<CountWindow>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= it.len()));
        }

        #[test]
        fn it_agrees_where_clocks_run_ahead(
            events in proptest::collection::vec((0_i64..400, 0_i64..200), 0..150),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..12, take_every in 1_usize..9,
        ) {
            let terms = Terms { span, lateness, threshold };
            let items: Vec<Item> =
                events.iter().enumerate().map(|(at, (time, ahead))| item_ahead(*time, *ahead, at as u64)).collect();
            agree(&run::<CountWindow>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= it.len()));
            agree(&run::<Sparse<CountWindow>>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= it.len()));
        }

        #[test]
        fn it_agrees_on_nearly_ordered_and_dense_streams(
            steps in proptest::collection::vec((0_i64..3, -6_i64..1), 0..300),
            span in 3_i64..40, threshold in 1_u32..14, take_every in 1_usize..50,
        ) {
            let terms = Terms { span, lateness: 6, threshold };
            let mut now = 0;
            let times: Vec<i64> = steps.iter().map(|(step, back)| { now += step; now + back }).collect();
            let items = items(&times);
            agree(&run::<CountWindow>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= it.len()));
        }

        #[test]
        fn the_order_of_arrival_changes_nothing(
            times in proptest::collection::vec(0_i64..100, 0..80), seed in any::<u64>(), threshold in 1_u32..9,
        ) {
            let terms = Terms { span: 20, lateness: 100, threshold };
            let ordered = items(&times);
            let mut shuffled = ordered.clone();
            shuffled.sort_by_key(|it| it.event.sequence.wrapping_mul(seed | 1).rotate_left(17));
            prop_assert_eq!(run::<CountWindow>(&ordered, &terms, 1), run::<CountWindow>(&shuffled, &terms, 3));
        }
    }
}
