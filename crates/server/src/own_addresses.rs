//! The addresses of this host, as the kernel lists them: nobody blocks himself.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::network::Network;

/// The kernel's routing trie of IPv4; its leaves `/32 host LOCAL` are our addresses.
const V4: &str = "/proc/net/fib_trie";
/// The kernel's list of IPv6 addresses, one a line.
const V6: &str = "/proc/net/if_inet6";

/// The addresses of this host; none where the kernel does not tell.
pub(crate) fn all() -> Vec<Network> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut found = v4(&read(V4));
    found.extend(v6(&read(V6)));
    found.sort();
    found.dedup();
    found
}

fn v4(text: &str) -> Vec<Network> {
    let (mut leaf, mut found) = (None, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf.map(|it| Network::of(IpAddr::V4(it))));
        }
    }
    found
}

fn v6(text: &str) -> Vec<Network> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    text.lines().filter_map(address).map(|it| Network::of(IpAddr::V6(Ipv6Addr::from_bits(it)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lists_of_the_kernel() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 198.51.100.0/24 2 0 2\n        \
                    |-- 198.51.100.0\n           /24 link UNICAST\n        |-- 198.51.100.7\n           /32 host LOCAL\n        \
                    |-- 198.51.100.255\n           /32 link BROADCAST\n";
        let shown: Vec<_> = v4(trie).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["198.51.100.7"]);
        let list = "20010db8000000000000000000000007 02 40 00 80     eth0\nnonsense\n\n";
        assert_eq!(v6(list).iter().map(ToString::to_string).collect::<Vec<_>>(), ["2001:db8::7"]);
    }

    #[test]
    fn this_host_has_the_loopback_address_at_least() {
        assert!(all().contains(&Network::parse("127.0.0.1").unwrap()));
    }
}
