//! A window of a key that is far from its threshold: its few events in one list, and no more.
//!
//! Nearly every key of nearly every rule never has enough events for anything to complete. Only when a window holds as
//! many as the threshold is the full state made, by giving it the same events in order.

use model::alert::EvidenceRef;
use model::time::Timestamp;

use super::{Added, Counted, Item, KeyWindow, Role, Terms};
use crate::snapshot::{Decoder, Encoder};

/// Beyond this many events the full state is made in any case: it is bounded.
const FEW_MAX: usize = 512;

/// A [`KeyWindow`] that begins small.
#[derive(Debug)]
pub struct Sparse<W> {
    newest: Timestamp,
    /// In order; empty once there is a full state.
    few: Vec<Item>,
    full: Option<Box<W>>,
}

impl<W> Default for Sparse<W> {
    fn default() -> Self {
        Self { newest: Timestamp::MIN, few: Vec::new(), full: None }
    }
}

impl<W: KeyWindow> Sparse<W> {
    /// Whether some window that the event at `at` is in holds as many events as the threshold.
    fn may_complete(&self, at: usize, terms: &Terms) -> bool {
        let reach = terms.threshold as usize - 1;
        let time = self.few[at].event.time.0;
        let last = self.few.partition_point(|it| it.event.time.0.saturating_sub(terms.span) < time);
        (at.max(reach)..last).any(|end| {
            let begin = self.few[end - reach].event.time.0;
            self.few[end].event.time.0.saturating_sub(terms.span) < begin
        })
    }

    fn fill(&mut self, terms: &Terms, out: &mut Vec<Counted>) -> Added {
        let mut full = Box::new(W::default());
        let mut added = Added::In;
        for item in std::mem::take(&mut self.few) {
            if full.add(item, terms, out) == Added::Changed {
                added = Added::Changed;
            }
        }
        self.full = Some(full);
        added
    }
}

impl<W: KeyWindow> KeyWindow for Sparse<W> {
    fn add(&mut self, item: Item, terms: &Terms, out: &mut Vec<Counted>) -> Added {
        if let Some(full) = &mut self.full {
            return full.add(item, terms, out);
        }
        let time = item.event.time;
        if time.0 < self.newest.0.saturating_sub(terms.lateness) {
            return Added::Late;
        }
        if self.newest < item.clock {
            self.newest = item.clock;
            let oldest = terms.start_of(terms.oldest_needed(item.clock));
            let old = self.few.partition_point(|it| it.event.time < oldest);
            self.few.drain(..old);
        }
        let at = match self.few.last() {
            Some(last) if item.event < last.event => self.few.partition_point(|it| it.event <= item.event),
            _ => self.few.len(),
        };
        if self.few.capacity() == 0 {
            self.few.reserve_exact(1);
        }
        self.few.insert(at, item);
        if FEW_MAX <= self.few.len() || self.may_complete(at, terms) { self.fill(terms, out) } else { Added::In }
    }

    fn take(&mut self, terms: &Terms, out: &mut Vec<Counted>) {
        if let Some(full) = &mut self.full {
            full.take(terms, out);
        }
    }

    fn newest(&self) -> Timestamp {
        self.full.as_ref().map_or(self.newest, |it| it.newest())
    }

    fn weight(&self) -> u64 {
        self.full.as_ref().map_or(self.few.len() as u64, |it| it.weight())
    }

    fn only_event(&self) -> Option<EvidenceRef> {
        match (self.few.as_slice(), &self.full) {
            ([Item { event, role: Role::Counts, .. }], None) => Some(*event),
            _ => None,
        }
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.newest.0);
        out.u64(self.few.len() as u64);
        for item in &self.few {
            out.event(&item.event);
            out.i64(item.clock.0);
            out.i64(item.value as i64);
            out.flag(item.role == Role::Triggers);
        }
        out.flag(self.full.is_some());
        if let Some(full) = &self.full {
            full.encode(out);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let newest = Timestamp(from.i64()?);
        let few = from.list(|from| {
            let (event, clock, value) = (from.event()?, Timestamp(from.i64()?), from.i64()? as u64);
            Some(Item { event, clock, value, role: if from.flag()? { Role::Triggers } else { Role::Counts } })
        })?;
        let full = if from.flag()? { Some(Box::new(W::decode(from)?)) } else { None };
        Some(Self { newest, few, full })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::count::CountWindow;
    use super::super::list::{Distinct, ListWindow, Triggered};
    use super::super::naive::{agree, alerts, item, run};
    use super::*;

    fn items(parts: &[(i64, u64, bool)], is_triggered: bool) -> Vec<Item> {
        let role = |it| if is_triggered && it { Role::Triggers } else { Role::Counts };
        let made = parts.iter().enumerate();
        made.map(|(at, (time, value, flag))| Item { value: *value, role: role(*flag), ..item(*time, at as u64) })
            .collect()
    }

    #[test]
    fn a_key_seen_once_takes_one_list_of_one() {
        let (mut window, mut out) = (Sparse::<CountWindow>::default(), Vec::new());
        let terms = Terms { span: 60, lateness: 120, threshold: 5 };
        assert_eq!(window.add(item(1, 1), &terms, &mut out), Added::In);
        assert_eq!((window.few.capacity(), window.full.is_none(), size_of::<Sparse<CountWindow>>()), (1, true, 40));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counts_agree_with_the_naive_form(
            parts in proptest::collection::vec((0_i64..300, 0_u64..9, any::<bool>()), 0..120),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..12, take_every in 1_usize..9,
        ) {
            let (terms, items) = (Terms { span, lateness, threshold }, items(&parts, false));
            agree(&run::<Sparse<CountWindow>>(&items, &terms, take_every), &alerts(&items, &terms, |it| threshold as usize <= it.len()));
        }

        #[test]
        fn distinct_values_agree_with_the_naive_form(
            parts in proptest::collection::vec((0_i64..300, 0_u64..9, any::<bool>()), 0..120),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..8, take_every in 1_usize..9,
        ) {
            let (terms, items) = (Terms { span, lateness, threshold }, items(&parts, false));
            let distinct = |window: &[Item]| window.iter().map(|it| it.value).collect::<BTreeSet<_>>().len();
            let expected = alerts(&items, &terms, |it| threshold as usize <= distinct(it));
            agree(&run::<Sparse<ListWindow<Distinct>>>(&items, &terms, take_every), &expected);
        }

        #[test]
        fn triggers_agree_with_the_naive_form(
            parts in proptest::collection::vec((0_i64..300, 0_u64..9, prop::bool::weighted(0.2)), 0..120),
            span in 1_i64..60, lateness in 0_i64..90, threshold in 1_u32..8, take_every in 1_usize..9,
        ) {
            let (terms, mut items) = (Terms { span, lateness, threshold }, items(&parts, true));
            // The naive form knows by a trigger that there are triggers.
            items.push(Item { role: Role::Triggers, ..item(-1_000_000, 1_000_000) });
            let expected = alerts(&items, &terms, |it| threshold as usize <= it.len());
            agree(&run::<Sparse<ListWindow<Triggered>>>(&items, &terms, take_every), &expected);
        }
    }
}
