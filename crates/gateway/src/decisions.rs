//! What decisions in force say of a request: blocked, or throttled to one request a second.
//!
//! They lie on the [`Board`] that all enforcers of the process share, and in the copy of another installation's where there is
//! one; here is only who was let through last.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decision::board::Board;
use decision::set::Entry;
use hashbrown::HashMap;
use model::decision::Measure;
use model::time::Timestamp;

use crate::remote::Remote;

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

/// Says of an address whether it is a verified crawler's, who is blocked by nobody.
pub type IsCrawler = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Who is a crawler; nobody, until somebody says so.
#[derive(Clone, Default)]
struct Crawlers(Option<IsCrawler>);

impl fmt::Debug for Crawlers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Crawlers")
    }
}

/// The decisions in force, as the gateway asks them. Any number of threads may share them.
#[derive(Debug, Default)]
pub struct Decisions {
    board: Arc<Board>,
    remote: Option<Arc<Remote>>,
    crawlers: Crawlers,
    /// When the next request of an address may pass.
    next: Mutex<HashMap<IpAddr, Timestamp>>,
}

impl Decisions {
    /// Asks `board`.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, ..Self::default() }
    }

    /// Asks this copy, too. Who is spared here is spared whatever it says.
    #[must_use]
    pub fn and(self, remote: Option<Arc<Remote>>) -> Self {
        Self { remote, ..self }
    }

    /// Lets crawlers that were verified here pass, whatever the copy says; our own decisions never are about them.
    #[must_use]
    pub fn but(self, is_crawler: IsCrawler) -> Self {
        Self { crawlers: Crawlers(Some(is_crawler)), ..self }
    }

    /// The copy of another installation's decisions, if there is one.
    #[must_use]
    pub const fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref()
    }

    /// Says what is to be done with a request of `address`; `None` lets it pass.
    ///
    /// A captcha is a ban here: the gateway has none to show.
    #[must_use]
    pub fn judge(&self, address: IpAddr, now: Timestamp) -> Option<Hit> {
        let found = self.board.find(address, now).into_iter().chain(self.find_remote(address, now));
        let entry = found.max_by_key(|it| (it.measure, it.until))?;
        let retry_after = match entry.measure {
            Measure::Ban | Measure::Captcha => entry.until.since(now),
            Measure::Throttle if self.may_pass(address, now) => return None,
            Measure::Throttle => THROTTLE_EVERY,
        };
        Some(Hit { entry, retry_after })
    }

    fn find_remote(&self, address: IpAddr, now: Timestamp) -> Option<Arc<Entry>> {
        let entry = self.remote.as_ref().filter(|it| it.is_enforced(now))?.board().find(address, now)?;
        let is_crawler = self.crawlers.0.as_ref().is_some_and(|it| it(address));
        (!is_crawler && !self.board.spares(address)).then_some(entry)
    }

    /// How many are in force, those of a copy too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.board.count().0 + self.remote.as_ref().map_or(0, |it| it.board().count().0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets who was let through long enough ago.
    pub fn prune(&self, now: Timestamp) {
        self.board.apply(&[], now);
        if let Some(remote) = &self.remote {
            remote.board().apply(&[], now);
        }
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

    fn decision(measure: Measure, address: &str) -> Decision {
        Decision {
            id: DecisionId(1),
            target: Target::Network(Network::parse(address).unwrap()),
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
        }
    }

    fn decisions(measure: Measure) -> Decisions {
        let board = Arc::<Board>::default();
        board.apply(&[decision(measure, "203.0.113.7")], NOON);
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
    fn a_copy_adds_what_it_has_unless_it_is_spared_here_or_the_copy_is_too_old() {
        let remote = Remote::new(Some(Duration::from_secs(30)));
        let [monitor, other] = ["203.0.113.9", "203.0.113.10"];
        let both = [decision(Measure::Ban, monitor), Decision { id: DecisionId(2), ..decision(Measure::Ban, other) }];
        remote.board().replace(&both, NOON);
        let decisions = decisions(Measure::Throttle).and(Some(remote.clone()));
        let judge = |it: &str, seconds| decisions.judge(it.parse().unwrap(), after(seconds)).map(|it| it.entry.measure);
        assert_eq!(judge(other, 0), None, "nothing was heard yet");
        remote.heard(NOON);
        assert_eq!([judge(monitor, 0), judge(other, 0)], [Some(Measure::Ban); 2]);
        let mut spared = decision::spared::SparedList::new();
        spared.add(Network::parse(monitor).unwrap(), "our monitor");
        decisions.board.spare(spared);
        assert_eq!([judge(monitor, 1), judge(other, 1)], [None, Some(Measure::Ban)]);
        assert_eq!(judge(other, 30), None);
        assert_eq!(decisions.len(), 3);
    }

    #[test]
    fn a_crawler_that_was_verified_here_passes_whatever_the_copy_says() {
        let remote = Remote::new(None);
        remote.board().replace(&[decision(Measure::Ban, "203.0.113.0/24")], NOON);
        remote.heard(NOON);
        let crawler: IpAddr = "203.0.113.9".parse().unwrap();
        let decisions = Decisions::default().and(Some(remote)).but(Arc::new(move |it| it == crawler));
        assert!(decisions.judge(crawler, NOON).is_none());
        assert!(decisions.judge("203.0.113.10".parse().unwrap(), NOON).is_some());
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
