//! Ranges told address by address, for firewall bouncers that block only the first address of a range.
//!
//! Source: cs-firewall-bouncer in its nftables mode puts the network address into a set without intervals.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use decision::board::Board;
use decision::set::{Changes, Entry};
use hashbrown::HashSet;
use model::decision::{Measure, Target};
use model::network::Network;
use model::time::Timestamp;

use super::filter::Filter;

/// The shortest prefix of a range of IPv4 that is told address by address: 256 of them.
pub(crate) const PREFIX_MIN: u8 = 24;
/// What such a bouncer calls itself.
const AGENT: &str = "crowdsec-firewall-bouncer";

/// What is told, each with the address it is narrowed to.
#[derive(Default)]
pub(crate) struct Expanded {
    pub(crate) added: Vec<(Arc<Entry>, Option<Network>)>,
    pub(crate) removed: Vec<(Arc<Entry>, Option<Network>)>,
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
pub(crate) fn as_it_is(changes: Changes) -> Expanded {
    let whole = |list: Vec<Arc<Entry>>| list.into_iter().map(|it| (it, None)).collect();
    Expanded { added: whole(changes.added), removed: whole(changes.removed) }
}

/// Tells narrow ranges address by address.
///
/// An address may be in several ranges and have a decision of its own: what is told of it is what ends last of them all,
/// and that it is gone only when nothing is left.
pub(crate) fn expand(changes: Changes, board: &Board, filter: &Filter, now: Timestamp) -> Expanded {
    if changes.added.is_empty() && changes.removed.is_empty() {
        return as_it_is(changes);
    }
    let narrow = |it: &&Arc<Entry>| it.target.network().is_some_and(is_narrow);
    let is_plain = |it: &Arc<Entry>| !narrow(&it);
    let ranges_in_force = board.select(now, &mut |it| it.target.network().is_some_and(is_narrow) && filter.takes(it));
    let has_ranges = !ranges_in_force.is_empty() || changes.added.iter().chain(&changes.removed).any(|it| narrow(&it));
    if !has_ranges || !filter.takes_addresses() {
        return as_it_is(changes);
    }
    let mut touched: BTreeSet<(IpAddr, Measure)> = BTreeSet::new();
    changes.added.iter().chain(&changes.removed).filter(narrow).for_each(|it| {
        touched.extend(addresses(it).map(|address| (address, it.measure)));
    });
    // What is in one of the ranges needs a look, even when only its own decision changed.
    let in_range: HashSet<IpAddr> = ranges_in_force.iter().flat_map(addresses).collect();
    let single = |it: &Entry| it.target.network().and_then(Network::single);
    for entry in changes.added.iter().chain(&changes.removed) {
        if let Some(address) = single(entry).filter(|it| in_range.contains(it)) {
            touched.insert((address, entry.measure));
        }
    }
    let is_touched = |it: &Arc<Entry>| single(it).is_some_and(|address| touched.contains(&(address, it.measure)));
    let gone: Vec<Arc<Entry>> = changes.removed.iter().filter(|it| narrow(it) || is_touched(it)).cloned().collect();
    let mut told = as_it_is(Changes {
        added: changes.added.into_iter().filter(|it| is_plain(it) && !is_touched(it)).collect(),
        removed: changes.removed.into_iter().filter(|it| is_plain(it) && !is_touched(it)).collect(),
        next: changes.next,
    });
    for (address, measure) in touched {
        let network = Network::of(address);
        match last_about(board, filter, network, measure, now) {
            Some(last) => told.added.push((last, Some(network))),
            None => {
                let over = gone.iter().find(|it| it.measure == measure && holds(it, address));
                told.removed.extend(over.map(|it| (it.clone(), Some(network))));
            }
        }
    }
    told
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

/// The addresses of a narrow range; of anything else none.
fn addresses(entry: &Arc<Entry>) -> impl Iterator<Item = IpAddr> + use<> {
    let range = entry.target.network().filter(|it| is_narrow(it)).and_then(|it| match it.address() {
        IpAddr::V4(first) => Some((first.to_bits(), 1_u32 << (32 - it.prefix()))),
        IpAddr::V6(_) => None,
    });
    let (first, count) = range.unwrap_or((0, 0));
    (0..count).map(move |it| IpAddr::V4(Ipv4Addr::from_bits(first | it)))
}
