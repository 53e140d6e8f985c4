//! How much time a rule may cost, and which rules cost more.
//!
//! Now and then an event is weighed: each rule that was evaluated for it is evaluated once more under a clock. What an event may
//! cost a rule grows with its size, since the patterns of rules run in linear time: who sends long texts must not get rid of
//! rules by it. A rule that is beyond its budget in a row of such events is reported, and the server takes it out of force, at
//! a place in the log like every change of the rules.

use std::collections::HashMap;
use std::time::Duration;

use sigma::rule_set::RuleIndex;

/// After how many bytes of events one is weighed. Long events are so the more likely ones, and weighing costs the same share of
/// the time whatever comes: less than one part in a hundred.
const WEIGHED_EVERY_BYTES: usize = 128 << 10;
/// How many weighings are judged together: a single one may have met a cold cache.
const WEIGHINGS_JUDGED: u32 = 32;
/// In how many of them a rule must have been evaluated: on average it costs little otherwise.
const WEIGHED_MIN: u32 = 8;
/// What an event may cost one rule. All rules together take some microseconds an event on what is common.
const OF_EVENT: Duration = Duration::from_micros(50);
/// What each byte of an event may cost one rule beside that. A pattern of the kind that is meant takes one to three nanoseconds.
const OF_BYTE: Duration = Duration::from_nanos(20);

/// What one rule cost.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    weighings: u32,
    cost: Duration,
    allowed: Duration,
}

/// What rules cost lately.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bytes: usize,
    weighings: u32,
    spent: HashMap<RuleIndex, Spent>,
}

impl Budget {
    /// Counts an event of `bytes`; returns whether it is to be weighed.
    pub(crate) const fn is_due(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes < WEIGHED_EVERY_BYTES {
            return false;
        }
        self.bytes = 0;
        true
    }

    /// Adds what a rule cost for an event of `bytes`.
    pub(crate) fn add(&mut self, rule: RuleIndex, cost: Duration, bytes: usize) {
        let spent = self.spent.entry(rule).or_default();
        spent.weighings += 1;
        spent.cost += cost;
        spent.allowed += OF_EVENT + OF_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Says that an event was weighed; returns the rules that are beyond their budget, when it is time to judge.
    pub(crate) fn judge(&mut self) -> Vec<RuleIndex> {
        self.weighings += 1;
        if self.weighings < WEIGHINGS_JUDGED {
            return Vec::new();
        }
        self.weighings = 0;
        let is_dear = |it: &Spent| WEIGHED_MIN <= it.weighings && it.allowed < it.cost;
        let mut dear: Vec<_> = self.spent.drain().filter(|it| is_dear(&it.1)).map(|it| it.0).collect();
        dear.sort_unstable();
        dear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weighs `of` of a row of events in which the rule took part, each `bytes` long; whether it is found too dear.
    #[track_caller]
    fn check(cost: Duration, bytes: usize, of: u32, expected: bool) {
        let mut budget = Budget::default();
        for number in 0..WEIGHINGS_JUDGED {
            if number < of {
                budget.add(RuleIndex(7), cost, bytes);
            }
            let dear = budget.judge();
            let is_last = number + 1 == WEIGHINGS_JUDGED;
            assert_eq!(dear, if is_last && expected { vec![RuleIndex(7)] } else { vec![] }, "{cost:?} for {bytes}");
        }
        assert_eq!(budget.judge(), [], "a new row begins");
    }

    #[test]
    fn a_rule_may_cost_its_budget_and_not_more() {
        check(Duration::from_micros(50), 0, 32, false);
        check(Duration::from_micros(51), 0, 32, true);
        check(Duration::from_micros(51), 100, 32, false);
        check(Duration::from_micros(1360), 65_536, 32, false);
        check(Duration::from_micros(1370), 65_536, 32, true);
    }

    #[test]
    fn a_rule_that_is_seldom_evaluated_is_left_alone() {
        check(Duration::from_millis(5), 300, 7, false);
        check(Duration::from_millis(5), 300, 8, true);
    }

    #[test]
    fn long_events_are_weighed_more_often() {
        for (bytes, events) in [(256, 512), (64 << 10, 2), (1 << 20, 1)] {
            let mut budget = Budget::default();
            assert_eq!((1..).find(|_| budget.is_due(bytes)), Some(events), "{bytes}");
        }
    }
}
