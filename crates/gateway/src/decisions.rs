//! Decisions in force: which addresses and ranges are blocked or throttled, and until when.
//!
//! In memory. Bounded, so that a flood of addresses makes old decisions end early and not the process.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::time::Timestamp;

use crate::network::{Network, is_local};

/// How many addresses may have a decision; beyond that the one that ends first gives way.
pub const ADDRESSES_MAX: usize = 100_000;
/// How many ranges may have a decision; they are looked through one by one, two nanoseconds each.
pub const RANGES_MAX: usize = 1_000;
/// How often a throttled address may send a request.
pub const THROTTLE_EVERY: Duration = Duration::from_secs(1);

/// What is done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Nothing of it passes: 403.
    Block,
    /// One request in [`THROTTLE_EVERY`] passes, the others get 429.
    Throttle,
}

impl Measure {
    /// Its word in fields and settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Throttle => "throttle",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Block, Self::Throttle].into_iter().find(|it| it.as_str() == word)
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whom it is about.
    pub network: Network,
    /// What is done.
    pub measure: Measure,
    /// When it ends.
    pub until: Timestamp,
    /// Why: the id of a rule, or what a person wrote.
    pub reason: String,
    /// Whether a rule made it, and no person.
    pub is_automatic: bool,
}

/// Why a decision was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is about this host, a private network or a trusted proxy, and no person made it.
    #[error("local addresses and trusted proxies are not blocked automatically")]
    Protected,
    /// It is over already.
    #[error("it is over already")]
    Over,
    /// There are [`RANGES_MAX`] ranges.
    #[error("there are too many ranges")]
    TooManyRanges,
}

/// What a decision in force says of one request.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The decision.
    pub decision: Arc<Decision>,
    /// After which time it is worth to come again.
    pub retry_after: Duration,
}

/// The decisions in force. Any number of threads may share them.
#[derive(Debug)]
pub struct Decisions {
    kept: RwLock<Kept>,
    /// Never blocked automatically.
    protected: Vec<Network>,
    spares_local: bool,
    addresses_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    addresses: HashMap<IpAddr, Entry>,
    /// The same by their end.
    ends: BTreeSet<(Timestamp, IpAddr)>,
    ranges: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    decision: Arc<Decision>,
    /// When the next request of a throttled address may pass, as [`Timestamp`].
    next: AtomicI64,
}

impl Decisions {
    /// Makes an empty map. `protected` is never blocked automatically, nor are local addresses when `spares_local`.
    #[must_use]
    pub fn new(protected: Vec<Network>, spares_local: bool) -> Self {
        Self { kept: RwLock::default(), protected, spares_local, addresses_max: ADDRESSES_MAX }
    }

    /// How many addresses and ranges have a decision; one that is just over may be among them.
    #[must_use]
    pub fn len(&self) -> usize {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.addresses.len() + kept.ranges.len()
    }

    /// Whether nobody has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a decision. Of two about the same address the one that ends later stays, and of equal ends the newer.
    ///
    /// # Errors
    ///
    /// [`NotTaken`], with its reason.
    pub fn add(&self, decision: Decision, now: Timestamp) -> Result<(), NotTaken> {
        if decision.is_automatic && self.is_protected(&decision.network) {
            return Err(NotTaken::Protected);
        }
        if decision.until <= now {
            return Err(NotTaken::Over);
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.prune(now);
        match decision.network.single() {
            Some(address) => kept.add_address(address, decision, self.addresses_max),
            None => return kept.add_range(decision),
        }
        Ok(())
    }

    /// Ends the decision about exactly this network; returns whether there was one.
    pub fn remove(&self, network: Network) -> bool {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        match network.single() {
            Some(address) => kept.remove_address(address),
            None => {
                let before = kept.ranges.len();
                kept.ranges.retain(|it| it.decision.network != network);
                kept.ranges.len() < before
            }
        }
    }

    /// Says what is to be done with a request of `address`; `None` lets it pass.
    #[must_use]
    pub fn judge(&self, address: IpAddr, now: Timestamp) -> Option<Hit> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if kept.addresses.is_empty() && kept.ranges.is_empty() {
            return None;
        }
        let address = address.to_canonical();
        let single = kept.addresses.get(&address).filter(|it| now < it.decision.until);
        let mut ranges = kept.ranges.iter().filter(|it| now < it.decision.until);
        let entry = single.or_else(|| ranges.find(|it| it.decision.network.contains(address)))?;
        entry.judge(now)
    }

    /// Returns the decisions in force, those that end first first.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> Vec<Arc<Decision>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let all = kept.addresses.values().chain(&kept.ranges).map(|it| it.decision.clone());
        let mut list: Vec<_> = all.filter(|it| now < it.until).collect();
        list.sort_by_key(|it| (it.until, it.network));
        list
    }

    /// Forgets what is over.
    pub fn prune(&self, now: Timestamp) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).prune(now);
    }

    fn is_protected(&self, network: &Network) -> bool {
        let is_spared = self.spares_local && network.single().is_some_and(is_local);
        is_spared || self.protected.iter().any(|it| it.overlaps(network))
    }
}

impl Kept {
    fn add_address(&mut self, address: IpAddr, decision: Decision, addresses_max: usize) {
        if let Some(former) = self.addresses.get(&address)
            && decision.until < former.decision.until
        {
            return;
        }
        self.remove_address(address);
        if addresses_max <= self.addresses.len()
            && let Some((_, first)) = self.ends.first().copied()
        {
            self.remove_address(first);
        }
        self.ends.insert((decision.until, address));
        self.addresses.insert(address, Entry::of(decision));
    }

    fn add_range(&mut self, decision: Decision) -> Result<(), NotTaken> {
        self.ranges.retain(|it| it.decision.network != decision.network);
        if RANGES_MAX <= self.ranges.len() {
            return Err(NotTaken::TooManyRanges);
        }
        self.ranges.push(Entry::of(decision));
        Ok(())
    }

    fn remove_address(&mut self, address: IpAddr) -> bool {
        let Some(former) = self.addresses.remove(&address) else { return false };
        self.ends.remove(&(former.decision.until, address));
        true
    }

    fn prune(&mut self, now: Timestamp) {
        while let Some((until, address)) = self.ends.first().copied()
            && until <= now
        {
            self.remove_address(address);
        }
        self.ranges.retain(|it| now < it.decision.until);
    }
}

impl Entry {
    fn of(decision: Decision) -> Self {
        Self { decision: Arc::new(decision), next: AtomicI64::new(i64::MIN) }
    }

    fn judge(&self, now: Timestamp) -> Option<Hit> {
        let retry_after = match self.decision.measure {
            Measure::Block => self.decision.until.since(now),
            Measure::Throttle => {
                let after = now.plus(THROTTLE_EVERY).0;
                // Whoever changes it first passes; the others of this moment do not.
                let next = self.next.load(Ordering::Relaxed);
                let passes = next <= now.0
                    && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
                if passes {
                    return None;
                }
                THROTTLE_EVERY
            }
        };
        Some(Hit { decision: self.decision.clone(), retry_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn decision(network: &str, measure: Measure, seconds: u64) -> Decision {
        let network = Network::parse(network).unwrap();
        Decision { network, measure, until: after(seconds), reason: "bruteforce".to_owned(), is_automatic: true }
    }

    fn judge(decisions: &Decisions, address: &str, seconds: u64) -> Option<Measure> {
        decisions.judge(address.parse().unwrap(), after(seconds)).map(|it| it.decision.measure)
    }

    #[test]
    fn a_block_holds_until_its_end_and_no_longer() {
        let decisions = Decisions::new(Vec::new(), true);
        decisions.add(decision("203.0.113.7", Measure::Block, 60), NOON).unwrap();
        assert_eq!(judge(&decisions, "203.0.113.7", 59), Some(Measure::Block));
        assert_eq!(judge(&decisions, "::ffff:203.0.113.7", 0), Some(Measure::Block));
        assert_eq!(judge(&decisions, "203.0.113.7", 60), None);
        assert_eq!(judge(&decisions, "203.0.113.8", 0), None);
        assert!(decisions.remove(Network::parse("203.0.113.7").unwrap()));
        assert_eq!(judge(&decisions, "203.0.113.7", 0), None);
    }

    #[test]
    fn a_range_holds_all_of_it() {
        let decisions = Decisions::new(Vec::new(), true);
        decisions.add(decision("2001:db8:1::/48", Measure::Block, 60), NOON).unwrap();
        assert_eq!(judge(&decisions, "2001:db8:1:ffff::1", 0), Some(Measure::Block));
        assert_eq!(judge(&decisions, "2001:db8:2::1", 0), None);
    }

    #[test]
    fn a_throttled_address_may_send_one_request_a_second() {
        let decisions = Decisions::new(Vec::new(), true);
        decisions.add(decision("203.0.113.7", Measure::Throttle, 60), NOON).unwrap();
        let passed: Vec<bool> = [0, 0, 1, 1, 3].map(|it| judge(&decisions, "203.0.113.7", it).is_none()).into();
        assert_eq!(passed, [true, false, true, false, true]);
    }

    #[test]
    fn automatic_decisions_spare_local_addresses_and_trusted_proxies() {
        let decisions = Decisions::new(vec![Network::parse("198.51.100.0/24").unwrap()], true);
        for spared in ["127.0.0.1", "10.1.2.3", "::1", "198.51.100.7", "198.51.0.0/16"] {
            assert_eq!(decisions.add(decision(spared, Measure::Block, 60), NOON), Err(NotTaken::Protected), "{spared}");
            let by_hand = Decision { is_automatic: false, ..decision(spared, Measure::Block, 60) };
            assert_eq!(decisions.add(by_hand, NOON), Ok(()), "{spared}");
        }
        let told = Decisions::new(Vec::new(), false);
        assert_eq!(told.add(decision("127.0.0.1", Measure::Block, 60), NOON), Ok(()));
    }

    #[test]
    fn the_later_end_stays() {
        let decisions = Decisions::new(Vec::new(), true);
        decisions.add(decision("203.0.113.7", Measure::Block, 60), NOON).unwrap();
        decisions.add(decision("203.0.113.7", Measure::Throttle, 30), NOON).unwrap();
        assert_eq!(judge(&decisions, "203.0.113.7", 31), Some(Measure::Block));
        assert_eq!(decisions.list(NOON).len(), 1);
    }

    #[test]
    fn a_flood_of_addresses_ends_those_that_end_first() {
        let decisions = Decisions { addresses_max: 3, ..Decisions::new(Vec::new(), true) };
        for last in 1..=5_u64 {
            decisions.add(decision(&format!("203.0.113.{last}"), Measure::Block, 10 + last), NOON).unwrap();
        }
        let list: Vec<String> = decisions.list(NOON).iter().map(|it| it.network.to_string()).collect();
        assert_eq!(list, ["203.0.113.3", "203.0.113.4", "203.0.113.5"]);
        decisions.prune(after(100));
        assert!(decisions.list(NOON).is_empty());
        assert_eq!(decisions.add(decision("203.0.113.1", Measure::Block, 0), NOON), Err(NotTaken::Over));
    }
}
