//! Who the client is: the peer, or whom trusted proxies say to have forwarded, read from right to left.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use model::network::Network;

/// The header in which proxies say for whom they forward.
pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";
/// How many entries of a chain are looked at; more proxies than this nobody has in a row.
const CHAIN_MAX: usize = 32;

/// Whether an address is of a proxy that may say who the client is.
#[must_use]
pub(crate) fn is_trusted(trusted: &[Network], address: IpAddr) -> bool {
    trusted.iter().any(|it| it.contains(address))
}

/// Returns the client of a request that `peer` sent.
///
/// The nearest address that is not a trusted proxy, from right to left. An entry that is no address ends the
/// walk: what stands left of it was written by nobody who is trusted, and the last good address is the client.
#[must_use]
pub(crate) fn client_of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(trusted, peer) {
        return peer;
    }
    let mut client = peer;
    let values: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().map(|it| it.to_str().unwrap_or("?")).collect();
    let entries = values.iter().rev().flat_map(|it| it.rsplit(','));
    for entry in entries.take(CHAIN_MAX) {
        let Some(address) = address_of(entry.trim()) else { return client };
        client = address;
        if !is_trusted(trusted, address) {
            return client;
        }
    }
    client
}

/// Reads an address, with a port or without.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()));
    address.map(|it: IpAddr| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(peer: &str, chain: &[&str], expected: &str) {
        let trusted = [Network::parse("127.0.0.1").unwrap(), Network::parse("10.0.0.0/8").unwrap()];
        let mut headers = HeaderMap::new();
        for value in chain {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let actual = client_of(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(actual.to_string(), expected, "{peer} {chain:?}");
    }

    #[test]
    fn believes_nobody_but_trusted_proxies() {
        check("203.0.113.5", &["192.0.2.1"], "203.0.113.5");
        check("127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("::ffff:127.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn reads_from_right_to_left_over_all_lines() {
        check("127.0.0.1", &["192.0.2.66, 198.51.100.7, 10.1.1.1"], "198.51.100.7");
        check("127.0.0.1", &["192.0.2.66", "198.51.100.7", "10.1.1.1"], "198.51.100.7");
        check("127.0.0.1", &["10.2.2.2, 10.1.1.1"], "10.2.2.2");
    }

    #[test]
    fn takes_ports_and_whole_ipv6_addresses() {
        check("127.0.0.1", &["198.51.100.7:4711"], "198.51.100.7");
        check("127.0.0.1", &["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2:3:4:5:6");
        check("127.0.0.1", &["2001:DB8::A1"], "2001:db8::a1");
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_good_address() {
        check("127.0.0.1", &["192.0.2.1, unknown, 10.1.1.1"], "10.1.1.1");
        check("127.0.0.1", &["unknown"], "127.0.0.1");
        check("127.0.0.1", &["192.0.2.1,"], "127.0.0.1");
    }
}
