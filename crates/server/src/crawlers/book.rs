//! What was found out about addresses, for how long it counts, and which are being asked about.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use model::network::Network;
use model::time::Timestamp;

use super::operators::Operator;

/// For how long an address is known to be a crawler's.
const VERIFIED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long before its end that is asked again, so that a crawler is never unknown in between.
const RENEWED_BEFORE: Duration = Duration::from_secs(2 * 3600);
/// For how long an address is known to be nobody's.
const FALSE_FOR: Duration = Duration::from_secs(3600);
/// For how long nothing is asked after a resolver that gave no answer.
const FAILED_FOR: Duration = Duration::from_secs(300);
/// Of how many addresses it is known that they are crawlers'. Operators have some thousands; with more, the rest is asked
/// about again each time.
const VERIFIED_MAX: usize = 50_000;
/// Of how many others something is known, in two halves: when the younger is full the older is forgotten.
const OTHERS_MAX: usize = 50_000;
/// How many addresses are asked about at once. Further ones are asked about when they come again.
pub(super) const IN_FLIGHT_MAX: usize = 64;

/// What came of asking about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It belongs to this operator.
    Verified(&'static Operator),
    /// It belongs to none.
    False,
    /// The resolver could not say.
    Failed,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Book {
    verified: BTreeMap<IpAddr, (&'static Operator, Timestamp)>,
    young: HashMap<IpAddr, (Finding, Timestamp)>,
    old: HashMap<IpAddr, (Finding, Timestamp)>,
    in_flight: HashSet<IpAddr>,
}

impl Book {
    /// What is known of an address at `now`, and whether somebody should ask: then [`Self::settle`] must follow.
    pub(super) fn look_up(&mut self, address: IpAddr, now: Timestamp) -> (Option<Finding>, bool) {
        let known = self.known(address, now);
        let is_due = match known {
            None => true,
            // A renewal that failed lately waits as any other question does.
            Some((Finding::Verified(_), until)) => {
                until.minus(RENEWED_BEFORE) <= now && self.other(address, now).is_none()
            }
            Some(_) => false,
        };
        let asks = is_due && self.in_flight.len() < IN_FLIGHT_MAX && self.in_flight.insert(address);
        (known.map(|it| it.0), asks)
    }

    /// Takes what came of asking. What the resolver could not say does not undo what is still known.
    pub(super) fn settle(&mut self, address: IpAddr, finding: Finding, now: Timestamp) {
        self.in_flight.remove(&address);
        match finding {
            Finding::Verified(operator) => {
                self.young.remove(&address);
                self.old.remove(&address);
                if VERIFIED_MAX <= self.verified.len() {
                    self.verified.retain(|_, it| now < it.1);
                }
                if self.verified.len() < VERIFIED_MAX {
                    self.verified.insert(address, (operator, now.plus(VERIFIED_FOR)));
                }
            }
            Finding::False => {
                self.verified.remove(&address);
                self.remember(address, finding, now.plus(FALSE_FOR));
            }
            Finding::Failed => self.remember(address, finding, now.plus(FAILED_FOR)),
        }
    }

    /// A verified crawler with an address in `network`.
    pub(super) fn crawler_in(&self, network: &Network, now: Timestamp) -> Option<(IpAddr, &'static Operator)> {
        let behind = self.verified.range(network.address()..);
        let mut within = behind.take_while(|it| network.contains(*it.0));
        within.find(|(_, (_, until))| now < *until).map(|(address, (operator, _))| (*address, *operator))
    }

    fn known(&self, address: IpAddr, now: Timestamp) -> Option<(Finding, Timestamp)> {
        let verified = self.verified.get(&address).map(|(operator, until)| (Finding::Verified(operator), *until));
        verified.filter(|it| now < it.1).or_else(|| self.other(address, now))
    }

    fn other(&self, address: IpAddr, now: Timestamp) -> Option<(Finding, Timestamp)> {
        let found = self.young.get(&address).or_else(|| self.old.get(&address));
        found.copied().filter(|it| now < it.1)
    }

    fn remember(&mut self, address: IpAddr, finding: Finding, until: Timestamp) {
        if OTHERS_MAX / 2 <= self.young.len() {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(address, (finding, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn google() -> Finding {
        Finding::Verified(Operator::claimed("googlebot").unwrap())
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4((0x0b00_0000 + number).into())
    }

    #[track_caller]
    fn check(finding: Finding, known_until: u64, asked_from: u64) {
        let mut book = Book::default();
        assert_eq!(book.look_up(address(1), NOON), (None, true));
        assert_eq!(book.look_up(address(1), NOON), (None, false), "it is asked already");
        book.settle(address(1), finding, NOON);
        assert_eq!(book.look_up(address(1), after(asked_from - 1)), (Some(finding), false));
        assert_eq!(book.known(address(1), after(known_until - 1)).map(|it| it.0), Some(finding));
        assert_eq!(book.known(address(1), after(known_until)), None);
        assert!(book.look_up(address(1), after(asked_from)).1);
    }

    #[test]
    fn each_finding_counts_for_its_time() {
        check(google(), 86_400, 79_200);
        check(Finding::False, 3_600, 3_600);
        check(Finding::Failed, 300, 300);
    }

    #[test]
    fn a_resolver_that_fails_does_not_undo_what_is_known() {
        let mut book = Book::default();
        book.settle(address(1), google(), NOON);
        book.settle(address(1), Finding::Failed, after(79_200));
        assert_eq!(book.look_up(address(1), after(79_201)), (Some(google()), false));
        assert_eq!(book.look_up(address(1), after(79_500)), (Some(google()), true));
        book.settle(address(1), Finding::False, after(79_501));
        assert_eq!(book.known(address(1), after(79_502)).map(|it| it.0), Some(Finding::False));
    }

    #[test]
    fn what_is_kept_and_asked_is_bounded() {
        let mut book = Book::default();
        let asked = (0..100).filter(|it| book.look_up(address(*it), NOON).1).count();
        assert_eq!(asked, IN_FLIGHT_MAX);
        for number in 0..2 * OTHERS_MAX as u32 {
            book.settle(address(number), Finding::False, NOON);
        }
        assert!(book.young.len() + book.old.len() <= OTHERS_MAX);
        for number in 0..VERIFIED_MAX as u32 + 10 {
            book.settle(address(number), google(), NOON);
        }
        assert_eq!((book.verified.len(), book.in_flight.len()), (VERIFIED_MAX, 0));
        book.settle(address(u32::MAX >> 8), google(), after(86_400));
        assert_eq!(book.verified.len(), 1);
    }

    #[test]
    fn a_crawler_is_found_in_every_network_that_holds_it_and_in_no_other() {
        let mut book = Book::default();
        book.settle("198.51.100.9".parse().unwrap(), google(), NOON);
        book.settle("2001:db8::9".parse().unwrap(), google(), NOON);
        for (network, expected) in [
            ("198.51.100.9", true),
            ("198.51.100.8/29", true),
            ("0.0.0.0/0", true),
            ("2001:db8::/64", true),
            ("198.51.100.8", false),
            ("198.51.100.0/29", false),
            ("198.51.101.0/24", false),
            ("2001:db9::/32", false),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(book.crawler_in(&network, NOON).is_some(), expected, "{network}");
            assert!(book.crawler_in(&network, after(86_400)).is_none());
        }
    }
}
