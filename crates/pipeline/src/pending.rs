//! What waits for detection of one input: how many events, and since when the oldest.
//!
//! Events of an input go through detection in the order in which they were stored, so a few steps tell the age of the
//! oldest: how many came, and when the first of them did.

use std::collections::VecDeque;
use std::time::Duration;

use model::time::Timestamp;

/// How many steps are kept. When there are more, neighbours become one and take the age of the older: the age of the
/// oldest is then at most one step too high, and never too low.
const STEPS_MAX: usize = 64;
/// What comes within this time of the first of a step belongs to it, in nanoseconds.
const STEP_NANOS: i64 = 50_000_000;

/// Events that came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    events: u64,
    /// When the first of them was received.
    since: Timestamp,
}

/// The events of one input that are stored and not yet through detection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Oldest first; none without events.
    steps: VecDeque<Step>,
}

impl Pending {
    /// How many there are.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.steps.iter().map(|it| it.events).sum()
    }

    /// How long the oldest waits at `now`; zero when none waits, or when the clock was set back.
    #[must_use]
    pub fn oldest_age(&self, now: Timestamp) -> Duration {
        self.steps.front().map_or(Duration::ZERO, |it| now.since(it.since))
    }

    /// Adds events that were received at `at`.
    pub fn add(&mut self, events: u64, at: Timestamp) {
        if events == 0 {
            return;
        }
        match self.steps.back_mut() {
            Some(last) if at.0.saturating_sub(last.since.0) < STEP_NANOS => last.events += events,
            _ => self.steps.push_back(Step { events, since: at }),
        }
        if STEPS_MAX < self.steps.len() {
            self.halve();
        }
    }

    /// Takes back what was added last, since it was not stored after all.
    pub fn take_back(&mut self, events: u64) {
        let mut rest = events;
        while let Some(last) = self.steps.back_mut().filter(|_| 0 < rest) {
            let taken = rest.min(last.events);
            last.events -= taken;
            rest -= taken;
            if last.events == 0 {
                self.steps.pop_back();
            }
        }
    }

    /// Takes out the oldest, which are through detection.
    pub fn finish(&mut self, events: u64) {
        let mut rest = events;
        while let Some(first) = self.steps.front_mut().filter(|_| 0 < rest) {
            let taken = rest.min(first.events);
            first.events -= taken;
            rest -= taken;
            if first.events == 0 {
                self.steps.pop_front();
            }
        }
    }

    /// Makes one step of each two neighbours.
    fn halve(&mut self) {
        let steps: Vec<Step> = self.steps.drain(..).collect();
        let joined = |pair: &[Step]| Step { events: pair.iter().map(|it| it.events).sum(), since: pair[0].since };
        self.steps = steps.chunks(2).map(joined).collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A moment, in seconds.
    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[track_caller]
    fn check(pending: &Pending, now: i64, expected: (u64, u64)) {
        assert_eq!((pending.events(), pending.oldest_age(at(now)).as_secs()), expected);
    }

    #[test]
    fn the_age_is_that_of_the_oldest_that_waits() {
        let mut pending = Pending::default();
        check(&pending, 9, (0, 0));
        pending.add(0, at(1));
        pending.add(3, at(2));
        pending.add(4, at(5));
        check(&pending, 9, (7, 7));
        pending.finish(2);
        check(&pending, 9, (5, 7));
        pending.finish(1);
        check(&pending, 9, (4, 4));
        pending.finish(100);
        check(&pending, 9, (0, 0));
    }

    #[test]
    fn what_was_not_stored_is_taken_back_from_the_newest() {
        let mut pending = Pending::default();
        pending.add(3, at(2));
        pending.add(4, at(5));
        pending.take_back(5);
        check(&pending, 9, (2, 7));
        pending.take_back(100);
        check(&pending, 9, (0, 0));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_age() {
        let mut pending = Pending::default();
        pending.add(1, at(5));
        pending.add(1, at(3));
        check(&pending, 1, (2, 0));
    }

    proptest! {
        #[test]
        fn few_steps_tell_the_age_never_too_young(
            additions in proptest::collection::vec((1_u64..5, 0_i64..10), 1..400),
            finished in 0_u64..1500,
        ) {
            let (mut pending, mut each, mut now) = (Pending::default(), VecDeque::new(), 0);
            for (events, pause) in additions {
                now += pause;
                pending.add(events, at(now));
                (0..events).for_each(|_| each.push_back(now));
            }
            pending.finish(finished);
            (0..finished).for_each(|_| {
                each.pop_front();
            });
            prop_assert!(pending.steps.len() <= STEPS_MAX);
            prop_assert_eq!(pending.events(), each.len() as u64);
            let oldest = each.front().map_or(0, |it| (now - it) as u64);
            prop_assert!(oldest <= pending.oldest_age(at(now)).as_secs());
        }
    }
}
