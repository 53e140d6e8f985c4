//! Networks: an address with a prefix, and lists of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address with a prefix; a single address has the whole prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of one address only.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: bits(address) }
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or a single address; `None` for anything else, and for bits beyond the prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            None => return text.parse().ok().map(Self::of),
            Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, prefix),
        };
        let is_plain = !prefix.is_empty() && prefix.bytes().all(|it| it.is_ascii_digit());
        let mut prefix: u8 = if is_plain { prefix.parse().ok()? } else { return None };
        let given = address;
        let address = given.to_canonical();
        if address.is_ipv4() && given.is_ipv6() {
            // IPv4 addresses mapped into IPv6 are meant; what holds more than these is written as what it is.
            prefix = prefix.checked_sub(96)?;
        }
        let network = Self { address, prefix };
        (prefix <= bits(address) && network.masked(address) == Some(number(address))).then_some(network)
    }

    /// The network of `address` with the first `prefix` bits; `None` when there are not so many.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = address.to_canonical();
        if bits(address) < prefix {
            return None;
        }
        let masked = Self { address, prefix }.masked(address)?;
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(masked).ok()?)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(masked)),
        };
        Some(Self { address, prefix })
    }

    /// Its first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether `address` is in it; an IPv4 address mapped into IPv6 is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.masked(address.to_canonical()) == Some(number(self.address))
    }

    /// The address, if it is a single one.
    #[must_use]
    pub fn single(&self) -> Option<IpAddr> {
        (self.prefix == bits(self.address)).then_some(self.address)
    }

    /// Whether it and `other` have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The bits of `address` under the prefix; `None` when it is of the other family.
    fn masked(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.address.is_ipv4() {
            return None;
        }
        let host_bits = u32::from(bits(address) - self.prefix);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(number(address) & mask)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => write!(out, "{address}"),
            None => write!(out, "{}/{}", self.address, self.prefix),
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(it) => u128::from(it.to_bits()),
        IpAddr::V6(it) => it.to_bits(),
    }
}

/// Whether an address is of this host or of a private network: loopback, private, link-local, unique local, unspecified.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => it.is_loopback() || it.is_private() || it.is_link_local() || it.is_unspecified(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unspecified() || it.is_unique_local() || it.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, expected: bool) {
        let network = Network::parse(network).expect(network);
        assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
    }

    #[test]
    fn holds_the_first_and_the_last_address_and_no_other() {
        check("192.0.2.0/24", "192.0.2.0", true);
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("::/0", "203.0.113.9", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
    }

    #[test]
    fn refuses_what_is_no_network() {
        assert_eq!(Network::parse("::ffff:192.0.2.0/120"), Network::parse("192.0.2.0/24"));
        assert_eq!(Network::parse("::ffff:0.0.0.0/96"), Network::parse("0.0.0.0/0"));
        for text in [
            "::ffff:0.0.0.0/95",
            "::ffff:192.0.2.1/120",
            "",
            "192.0.2.1/33",
            "192.0.2.1/24",
            "2001:db8::/129",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "host/8",
            "/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn tells_local_addresses_from_others() {
        for (text, expected) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("::ffff:192.168.0.1", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("203.0.113.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_local(text.parse().unwrap()), expected, "{text}");
        }
    }
}
