//! What decisions in force say of a request: blocked, or throttled to one request a second.
//!
//! They lie on the [`Board`] that all enforcers of the process share; here is only who was let through last.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decision::board::Board;
use decision::set::Entry;
use hashbrown::HashMap;
use model::decision::Measure;
use model::time::Timestamp;

/// How often a throttled address may send a request.
pub const THROTTLE_EVERY: Duration = Duration::from_secs(1);
/// For how many throttled addresses it is remembered when they were let through; with more, the oldest are forgotten and may
/// send one more request.
pub const THROTTLED_MAX: usize = 100_000;

/// What a decision in force says of one request.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The decision.
    pub entry: Arc<Entry>,
    /// After which time it is worth to come again.
    pub retry_after: Duration,
}

/// The decisions in force, as the gateway asks them. Any number of threads may share them.
#[derive(Debug, Default)]
pub struct Decisions {
    board: Arc<Board>,
    /// When the next request of an address may pass.
    next: Mutex<HashMap<IpAddr, Timestamp>>,
}

impl Decisions {
    /// Asks `board`.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, next: Mutex::default() }
    }

    /// Says what is to be done with a request of `address`; `None` lets it pass.
    ///
    /// A captcha is a ban here: the gateway has none to show.
    #[must_use]
    pub fn judge(&self, address: IpAddr, now: Timestamp) -> Option<Hit> {
        let entry = self.board.find(address, now)?;
        let retry_after = match entry.measure {
            Measure::Ban | Measure::Captcha => entry.until.since(now),
            Measure::Throttle if self.may_pass(address, now) => return None,
            Measure::Throttle => THROTTLE_EVERY,
        };
        Some(Hit { entry, retry_after })
    }

    /// How many are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.board.count().0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets who was let through long enough ago.
    pub fn prune(&self, now: Timestamp) {
        self.board.apply(&[], now);
        self.next.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, next| now < *next);
    }

    /// Lets one request through in each [`THROTTLE_EVERY`].
    fn may_pass(&self, address: IpAddr, now: Timestamp) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if THROTTLED_MAX <= next.len() {
            next.retain(|_, next| now < *next);
        }
        if THROTTLED_MAX <= next.len() {
            next.clear();
        }
        let next = next.entry(address.to_canonical()).or_default();
        let passes = *next <= now;
        if passes {
            *next = now.plus(THROTTLE_EVERY);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use model::decision::{Basis, Decision, DecisionId, Origin, Standing, Target};
    use model::network::Network;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn decisions(measure: Measure) -> Decisions {
        let board = Arc::<Board>::default();
        let decision = Decision {
            id: DecisionId(1),
            target: Target::Network(Network::parse("203.0.113.7").unwrap()),
            measure,
            origin: Origin::Rule,
            reason: String::new(),
            basis: Basis { rule_id: "bruteforce".to_owned(), ..Basis::default() },
            actor: String::new(),
            created_at: NOON,
            expires_at: after(60),
            standing: Standing::InForce,
            ended: None,
            is_synthetic: false,
            changed: 1,
        };
        board.apply(&[decision], NOON);
        Decisions::new(board)
    }

    #[track_caller]
    fn check(measure: Measure, seconds: &[u64], passes: &[bool]) {
        let decisions = decisions(measure);
        let judge = |it: &u64| decisions.judge("::ffff:203.0.113.7".parse().unwrap(), after(*it)).is_none();
        assert_eq!(seconds.iter().map(judge).collect::<Vec<_>>(), passes, "{measure:?}");
        assert!(decisions.judge("203.0.113.8".parse().unwrap(), NOON).is_none());
    }

    #[test]
    fn a_ban_lets_nothing_through_and_a_throttle_one_request_a_second() {
        check(Measure::Ban, &[0, 1, 59, 60], &[false, false, false, true]);
        check(Measure::Captcha, &[0, 60], &[false, true]);
        check(Measure::Throttle, &[0, 0, 1, 1, 3, 60], &[true, false, true, false, true, true]);
    }

    #[test]
    fn what_is_remembered_of_throttled_addresses_is_bounded() {
        let decisions = decisions(Measure::Throttle);
        for number in 0..THROTTLED_MAX as u32 + 10 {
            assert!(decisions.may_pass(IpAddr::V4(number.into()), NOON), "{number}");
        }
        assert!(decisions.next.lock().unwrap().len() <= THROTTLED_MAX);
        decisions.prune(after(2));
        assert!(decisions.next.lock().unwrap().is_empty());
    }
}
