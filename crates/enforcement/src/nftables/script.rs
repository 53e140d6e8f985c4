//! What `nft` is told. Only networks that were parsed and numbers get into a script, never text from outside.
//!
//! Single addresses are in hash sets, where one more costs nothing; ranges in interval sets of their own, which the tool
//! reads whole for each change, and in which nothing may overlap.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::network::Network;
use model::time::Timestamp;

use super::wanted::Wanted;

/// The name of the table: everything in it is ours, and nothing else is.
pub const TABLE: &str = "inet bartizan";
/// How many elements are in one transaction: a few hundred milliseconds of the kernel's time.
const ELEMENTS_MAX: usize = 20_000;

/// Our table, empty: what was in it before is gone in the same transaction. Packets are dropped before connections are
/// tracked, those that are forwarded too.
const EMPTY: &str = "\
add table inet bartizan
delete table inet bartizan
add table inet bartizan
add set inet bartizan bans4 { type ipv4_addr; flags timeout; }
add set inet bartizan bans6 { type ipv6_addr; flags timeout; }
add set inet bartizan ranges4 { type ipv4_addr; flags interval, timeout; }
add set inet bartizan ranges6 { type ipv6_addr; flags interval, timeout; }
add counter inet bartizan dropped
add chain inet bartizan in { type filter hook prerouting priority -300; policy accept; }
add rule inet bartizan in ip saddr @bans4 counter name dropped drop
add rule inet bartizan in ip saddr @ranges4 counter name dropped drop
add rule inet bartizan in ip6 saddr @bans6 counter name dropped drop
add rule inet bartizan in ip6 saddr @ranges6 counter name dropped drop
";

/// Takes our table away, whether it is there or not.
pub const REMOVE: &str = "add table inet bartizan\ndelete table inet bartizan\n";

/// Makes the table anew with all that is wanted: the first script swaps it at once, further ones add to it.
#[must_use]
pub fn all(wanted: &Wanted, now: Timestamp) -> Vec<String> {
    let mut scripts = vec![format!("{EMPTY}{}", ranges(wanted, now))];
    let singles: Vec<_> = wanted.all().filter(|it| it.0.single().is_some()).map(|it| *it.0).collect();
    for (number, chunk) in singles.chunks(ELEMENTS_MAX).enumerate() {
        let elements = elements(wanted, chunk, now);
        if number == 0 {
            scripts[0].push_str(&elements);
        } else {
            scripts.push(elements);
        }
    }
    scripts
}

/// Changes the table where `changed` is another now.
#[must_use]
pub fn changes(wanted: &Wanted, changed: &BTreeSet<Network>, now: Timestamp) -> Vec<String> {
    let singles: Vec<Network> = changed.iter().filter(|it| it.single().is_some()).copied().collect();
    let mut scripts: Vec<String> = singles
        .chunks(ELEMENTS_MAX)
        .map(|chunk| {
            // An element that is there keeps its time, and one that is gone cannot be deleted: so it is made sure that it
            // is there, deleted, and added. All of it happens at once.
            let list = |is_v4: bool| joined(chunk.iter().filter(|it| it.address().is_ipv4() == is_v4));
            let mut script = String::new();
            for (set, list) in [("bans4", list(true)), ("bans6", list(false))] {
                if !list.is_empty() {
                    let _ = writeln!(script, "add element {TABLE} {set} {{ {list} }}");
                    let _ = writeln!(script, "delete element {TABLE} {set} {{ {list} }}");
                }
            }
            script + &elements(wanted, chunk, now)
        })
        .collect();
    if singles.len() < changed.len() {
        scripts.push(format!("flush set {TABLE} ranges4\nflush set {TABLE} ranges6\n{}", ranges(wanted, now)));
    }
    scripts
}

fn joined<'a>(networks: impl Iterator<Item = &'a Network>) -> String {
    networks.map(Network::to_string).collect::<Vec<_>>().join(", ")
}

/// Adds those of `networks` that are wanted.
fn elements(wanted: &Wanted, networks: &[Network], now: Timestamp) -> String {
    let mut lists = [String::new(), String::new()];
    for network in networks {
        let Some(seconds) = wanted.until(network).and_then(|it| seconds_left(it, now)) else { continue };
        let list = &mut lists[usize::from(network.address().is_ipv6())];
        let comma = if list.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(list, "{comma}{network} timeout {seconds}s");
    }
    added(["bans4", "bans6"], lists)
}

fn added(sets: [&str; 2], lists: [String; 2]) -> String {
    let filled = sets.iter().zip(lists).filter(|it| !it.1.is_empty());
    filled.map(|(set, list)| format!("add element {TABLE} {set} {{ {list} }}\n")).collect()
}

/// The whole seconds that are left, rounded up: never zero, which would be for ever.
fn seconds_left(until: Timestamp, now: Timestamp) -> Option<u64> {
    Some(until.since(now).as_millis().div_ceil(1000) as u64).filter(|it| 0 < *it)
}

/// Adds all ranges.
fn ranges(wanted: &Wanted, now: Timestamp) -> String {
    let of_family = |is_v4: bool| {
        let ranges = wanted.all().filter(|it| it.0.single().is_none() && it.0.address().is_ipv4() == is_v4);
        let flat = flat(ranges.map(|(network, until)| (bounds(network), until)));
        let texts = flat.into_iter().filter_map(|((first, last), until)| {
            let seconds = seconds_left(until, now)?;
            Some(format!("{} timeout {seconds}s", between(first, last, is_v4)))
        });
        texts.collect::<Vec<_>>().join(", ")
    };
    added(["ranges4", "ranges6"], [of_family(true), of_family(false)])
}

fn between(first: u128, last: u128, is_v4: bool) -> String {
    let address = |number: u128| match u32::try_from(number) {
        Ok(number) if is_v4 => IpAddr::V4(Ipv4Addr::from_bits(number)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(number)),
    };
    if first == last { address(first).to_string() } else { format!("{}-{}", address(first), address(last)) }
}

/// The first and the last address of a network.
fn bounds(network: &Network) -> (u128, u128) {
    let (first, bits) = match network.address() {
        IpAddr::V4(it) => (u128::from(it.to_bits()), 32_u32),
        IpAddr::V6(it) => (it.to_bits(), 128),
    };
    let host_bits = bits - u32::from(network.prefix());
    (first, first | 1_u128.checked_shl(host_bits).map_or(u128::MAX, |it| it - 1))
}

/// Cuts ranges that overlap into pieces that do not, each with the latest end of those that hold it.
fn flat(ranges: impl Iterator<Item = ((u128, u128), Timestamp)>) -> Vec<((u128, u128), Timestamp)> {
    let mut begins: BTreeMap<u128, Vec<(Timestamp, u128)>> = BTreeMap::new();
    let mut cuts: BTreeSet<u128> = BTreeSet::new();
    for ((first, last), until) in ranges {
        begins.entry(first).or_default().push((until, last));
        cuts.insert(first);
        // Behind the last address there is nothing to cut.
        cuts.extend(last.checked_add(1));
    }
    let mut open: BinaryHeap<(Timestamp, u128)> = BinaryHeap::new();
    let mut pieces: Vec<((u128, u128), Timestamp)> = Vec::new();
    let mut cuts = cuts.into_iter().peekable();
    while let Some(first) = cuts.next() {
        open.extend(begins.remove(&first).into_iter().flatten());
        while open.peek().is_some_and(|it| it.1 < first) {
            open.pop();
        }
        let Some((until, _)) = open.peek().copied() else { continue };
        let last = cuts.peek().map_or(u128::MAX, |it| it - 1);
        match pieces.last_mut() {
            Some(((_, end), before)) if *before == until && end.checked_add(1) == Some(first) => *end = last,
            _ => pieces.push(((first, last), until)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::wanted::Change;
    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    fn wanted(networks: &[(&str, u64)]) -> Wanted {
        let mut wanted = Wanted::default();
        for (network, seconds) in networks {
            let change = Change::Add(Network::parse(network).unwrap(), Duration::from_secs(*seconds));
            wanted.take(&change, NOON);
        }
        wanted
    }

    #[track_caller]
    fn check(networks: &[(&str, u64)], expected: &str) {
        assert_eq!(ranges(&wanted(networks), NOON), expected);
    }

    #[test]
    fn ranges_that_overlap_are_cut_into_pieces_with_the_latest_end() {
        check(&[], "");
        check(
            &[("198.51.100.0/24", 60)],
            "add element inet bartizan ranges4 { 198.51.100.0-198.51.100.255 timeout 60s }\n",
        );
        check(
            &[("198.51.0.0/16", 60), ("198.51.100.0/24", 600)],
            "add element inet bartizan ranges4 { 198.51.0.0-198.51.99.255 timeout 60s, \
             198.51.100.0-198.51.100.255 timeout 600s, 198.51.101.0-198.51.255.255 timeout 60s }\n",
        );
        check(
            &[("198.51.0.0/16", 600), ("198.51.100.0/24", 60)],
            "add element inet bartizan ranges4 { 198.51.0.0-198.51.255.255 timeout 600s }\n",
        );
        check(
            &[("::/0", 60)],
            "add element inet bartizan ranges6 { ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff timeout 60s }\n",
        );
        check(
            &[("255.255.255.0/24", 60)],
            "add element inet bartizan ranges4 { 255.255.255.0-255.255.255.255 timeout 60s }\n",
        );
    }

    #[test]
    fn a_change_replaces_the_time_of_an_element_and_what_is_over_is_only_deleted() {
        let mut wanted = wanted(&[("203.0.113.7", 60), ("2001:db8::7", 60)]);
        let changed: BTreeSet<Network> = wanted.all().map(|it| *it.0).collect();
        wanted.take(&Change::Remove(Network::parse("2001:db8::7").unwrap()), NOON);
        assert_eq!(
            changes(&wanted, &changed, NOON),
            ["add element inet bartizan bans4 { 203.0.113.7 }\ndelete element inet bartizan bans4 { 203.0.113.7 }\n\
              add element inet bartizan bans6 { 2001:db8::7 }\ndelete element inet bartizan bans6 { 2001:db8::7 }\n\
              add element inet bartizan bans4 { 203.0.113.7 timeout 60s }\n"]
        );
    }

    #[test]
    fn a_large_set_is_made_in_several_transactions() {
        let mut wanted = Wanted::default();
        for number in 0..=ELEMENTS_MAX as u32 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 + number));
            wanted.take(&Change::Add(Network::of(address), Duration::from_secs(60)), NOON);
        }
        let scripts = all(&wanted, NOON);
        assert_eq!(scripts.len(), 2);
        assert!(scripts[0].starts_with(EMPTY));
        assert_eq!(scripts[1], "add element inet bartizan bans4 { 203.0.78.32 timeout 60s }\n");
        // Nothing is left of what is over by then.
        assert_eq!(all(&wanted, NOON.plus(Duration::from_secs(60)))[0], EMPTY);
    }
}
