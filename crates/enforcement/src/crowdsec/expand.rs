//! Ranges told address by address, for firewall bouncers that block only the first address of a range.
//!
//! Source: cs-firewall-bouncer in its nftables mode puts the network address into a set without intervals.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use decision::board::Board;
use decision::set::{Changes, Entry};
use model::decision::{Measure, Target};
use model::network::Network;
use model::time::Timestamp;

use super::filter::Filter;

/// The shortest prefix of a range of IPv4 that is told address by address: 256 of them.
pub(crate) const PREFIX_MIN: u8 = 24;
/// How many addresses a place has: those of the shortest prefix.
const PLACE_SIZE: usize = 1 << (32 - PREFIX_MIN);
/// What such a bouncer calls itself.
const AGENT: &str = "crowdsec-firewall-bouncer";

/// What is told: decisions as they are, and the places in which a look at each address is needed. Addresses are made while
/// they are written, so an answer holds no more than the decisions that changed.
pub(crate) struct Expanded {
    pub(crate) added: Vec<Arc<Entry>>,
    pub(crate) removed: Vec<Arc<Entry>>,
    places: BTreeMap<u32, Vec<Changed>>,
    board: Arc<Board>,
    filter: Filter,
    now: Timestamp,
}

/// What changed in a place.
struct Changed {
    entry: Arc<Entry>,
    is_gone: bool,
}

/// What is told of one address.
enum About {
    /// It is blocked by this.
    InForce(Arc<Entry>),
    /// Nothing blocks it any more; this did.
    Gone(Arc<Entry>),
}

impl Expanded {
    /// How many decisions and addresses are told, about.
    pub(crate) fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.places.len() * PLACE_SIZE
    }

    /// How many places there are, and how many changes in them.
    #[cfg(test)]
    pub(crate) fn places(&self) -> (usize, usize) {
        (self.places.len(), self.places.values().map(Vec::len).sum())
    }

    /// What is in force now, each with the address that it is narrowed to.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (Arc<Entry>, Option<Network>)> {
        let whole = self.added.iter().map(|it| (it.clone(), None));
        whole.chain(self.abouts().filter_map(|(network, about)| match about {
            About::InForce(it) => Some((it, Some(network))),
            About::Gone(_) => None,
        }))
    }

    /// What is over, each with the address that it is narrowed to.
    pub(crate) fn gone(&self) -> impl Iterator<Item = (Arc<Entry>, Option<Network>)> {
        let whole = self.removed.iter().map(|it| (it.clone(), None));
        whole.chain(self.abouts().filter_map(|(network, about)| match about {
            About::Gone(it) => Some((it, Some(network))),
            About::InForce(_) => None,
        }))
    }

    /// Every address that something changed about, place after place.
    fn abouts(&self) -> impl Iterator<Item = (Network, About)> {
        self.places.values().flat_map(|changed| {
            let touched: BTreeSet<(IpAddr, Measure)> =
                changed.iter().flat_map(|it| addresses(&it.entry).map(|address| (address, it.entry.measure))).collect();
            touched.into_iter().filter_map(|(address, measure)| self.about(changed, address, measure))
        })
    }

    fn about(&self, changed: &[Changed], address: IpAddr, measure: Measure) -> Option<(Network, About)> {
        let network = Network::of(address);
        if let Some(last) = last_about(&self.board, &self.filter, network, measure, self.now) {
            return Some((network, About::InForce(last)));
        }
        let mut gone = changed.iter().filter(|it| it.is_gone && it.entry.measure == measure);
        let over = gone.find(|it| holds(&it.entry, address))?;
        Some((network, About::Gone(over.entry.clone())))
    }
}

/// Whether a client needs it.
pub(crate) fn needs_it(agent: &str) -> bool {
    agent.starts_with(AGENT)
}

/// Whether a range is narrow enough.
pub(crate) fn is_narrow(network: &Network) -> bool {
    network.address().is_ipv4() && PREFIX_MIN <= network.prefix() && network.single().is_none()
}

/// Whether a range is served whole to those who block only its first address.
pub(crate) fn is_half_blocked(entry: &Entry) -> bool {
    entry.target.network().is_some_and(|it| it.single().is_none() && !is_narrow(it))
}

/// Tells nothing address by address.
pub(crate) fn as_it_is(changes: Changes, board: &Arc<Board>, filter: Filter, now: Timestamp) -> Expanded {
    let Changes { added, removed, .. } = changes;
    Expanded { added, removed, places: BTreeMap::new(), board: board.clone(), filter, now }
}

/// Tells narrow ranges address by address.
///
/// An address may be in several ranges and have a decision of its own: what is told of it is what ends last of them all,
/// and that it is gone only when nothing is left.
pub(crate) fn expand(changes: Changes, board: &Arc<Board>, filter: Filter, now: Timestamp) -> Expanded {
    let mut expanded = as_it_is(Changes::default(), board, filter, now);
    if !expanded.filter.takes_addresses() {
        return Expanded { added: changes.added, removed: changes.removed, ..expanded };
    }
    for (entries, is_gone) in [(changes.added, false), (changes.removed, true)] {
        for entry in entries {
            match expanded.place_of(&entry) {
                Some(place) => expanded.places.entry(place).or_default().push(Changed { entry, is_gone }),
                None if is_gone => expanded.removed.push(entry),
                None => expanded.added.push(entry),
            }
        }
    }
    expanded.split_touched();
    expanded
}

impl Expanded {
    /// The place in which each address needs a look: of a narrow range, and of an address that lies in one.
    fn place_of(&self, entry: &Entry) -> Option<u32> {
        let network = entry.target.network()?;
        let IpAddr::V4(address) = network.address() else { return None };
        let is_in_range = || {
            let all = self.board.about(&entry.target, self.now);
            all.iter().any(|it| it.target.network().is_some_and(is_narrow) && self.filter.takes(it))
        };
        let is_touched = is_narrow(network) || (network.single().is_some() && is_in_range());
        is_touched.then(|| address.to_bits() >> (32 - PREFIX_MIN))
    }

    /// Has an address that is told for itself looked at with its range, where that changed, too.
    fn split_touched(&mut self) {
        let Self { added, removed, places, .. } = self;
        for (list, is_gone) in [(added, false), (removed, true)] {
            list.retain(|entry| {
                let single = entry.target.network().and_then(Network::single);
                let Some(IpAddr::V4(address)) = single else { return true };
                let Some(changed) = places.get_mut(&(address.to_bits() >> (32 - PREFIX_MIN))) else { return true };
                let is_covered =
                    changed.iter().any(|it| it.entry.measure == entry.measure && holds(&it.entry, IpAddr::V4(address)));
                if is_covered {
                    changed.push(Changed { entry: entry.clone(), is_gone });
                }
                !is_covered
            });
        }
    }
}

fn last_about(
    board: &Board,
    filter: &Filter,
    network: Network,
    measure: Measure,
    now: Timestamp,
) -> Option<Arc<Entry>> {
    let mut all = board.about(&Target::Network(network), now);
    // A wide range is told whole and ends for itself.
    all.retain(|it| it.measure == measure && filter.takes(it) && !is_half_blocked(it));
    all.into_iter().max_by_key(|it| (it.until, it.id))
}

fn holds(entry: &Entry, address: IpAddr) -> bool {
    entry.target.network().is_some_and(|it| it.contains(address))
}

/// The addresses of a narrow range, and a single one; of anything else none.
fn addresses(entry: &Entry) -> impl Iterator<Item = IpAddr> + use<> {
    let is_meant = |it: &&Network| is_narrow(it) || it.single().is_some();
    let range = entry.target.network().filter(is_meant).and_then(|it| match it.address() {
        IpAddr::V4(first) => Some((first.to_bits(), 1_u32.wrapping_shl(32 - u32::from(it.prefix())))),
        IpAddr::V6(_) => None,
    });
    let (first, count) = range.unwrap_or((0, 0));
    (0..count).map(move |it| IpAddr::V4(Ipv4Addr::from_bits(first | it)))
}
