//! Which addresses may be connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not the public internet, with the length of their prefix.
///
/// Source: the IANA registry of special-purpose IPv4 addresses (RFC 6890), multicast and reserved space.
const DENIED_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Metadata services of clouds are in here.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // A metadata service that lies outside of link-local.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Networks of IPv6 inside of `2000::/3` that are not the public internet. Everything outside of it is denied, too.
///
/// Source: the IANA registry of special-purpose IPv6 addresses (RFC 6890).
const DENIED_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
];

/// The public unicast space of IPv6.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// What stands before an IPv4 address that a translator reaches (RFC 6052, RFC 8215).
const NAT64: [(Ipv6Addr, u32); 2] =
    [(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48)];
/// What stands before an IPv4 address that 6to4 reaches (RFC 3056): its bits 16 to 48.
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

/// A network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    address: IpAddr,
    prefix: u32,
}

impl Range {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address; `None` for anything else, and for bits beyond the prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(it) if !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()) => it.parse().ok()?,
            Some(_) => return None,
        };
        let is_whole = prefix <= longest
            && match address {
                IpAddr::V4(it) => rest_v4(it, prefix) == 0,
                IpAddr::V6(it) => rest_v6(it, prefix) == 0,
            };
        is_whole.then_some(Self { address, prefix })
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(start), IpAddr::V4(it)) => starts_v4(it, (start, self.prefix)),
            (IpAddr::V6(start), IpAddr::V6(it)) => starts_v6(it, (start, self.prefix)),
            _ => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

/// Says where connections may lead: the public internet, and what is allowed by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    allowed: Vec<Range>,
}

impl Guard {
    /// Makes a guard that lets the public internet through, and `allowed`.
    #[must_use]
    pub const fn new(allowed: Vec<Range>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be connected to.
    ///
    /// An IPv4 address in IPv6 form, mapped, compatible, translated (NAT64) or tunnelled (6to4), is the IPv4 address.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = meant(address);
        is_public(address) || self.allowed.iter().any(|it| it.contains(address))
    }
}

/// Whether an address is of this host or of a private network (RFC 1918, RFC 4193), and no link-local one.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match meant(address) {
        IpAddr::V4(it) => it.is_loopback() || it.is_private(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local(),
    }
}

/// The address that is reached in the end.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let bits = six.to_bits();
    let four = |shift: u32| IpAddr::V4(Ipv4Addr::from_bits((bits >> shift) as u32));
    // Compatible addresses are `::a.b.c.d`; `::` and `::1` have names of their own.
    let is_compatible = bits >> 32 == 0 && 1 < bits;
    if six.to_ipv4_mapped().is_some() || is_compatible || NAT64.iter().any(|it| starts_v6(six, *it)) {
        return four(0);
    }
    if starts_v6(six, SIX_TO_FOUR) { four(80) } else { address }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => !DENIED_V4.iter().any(|denied| starts_v4(it, *denied)),
        IpAddr::V6(it) => starts_v6(it, GLOBAL_V6) && !DENIED_V6.iter().any(|denied| starts_v6(it, *denied)),
    }
}

fn starts_v4(address: Ipv4Addr, (start, prefix): (Ipv4Addr, u32)) -> bool {
    let differing = address.to_bits() ^ start.to_bits();
    differing.checked_shr(32 - prefix.min(32)).unwrap_or(0) == 0
}

fn starts_v6(address: Ipv6Addr, (start, prefix): (Ipv6Addr, u32)) -> bool {
    let differing = address.to_bits() ^ start.to_bits();
    differing.checked_shr(128 - prefix.min(128)).unwrap_or(0) == 0
}

fn rest_v4(address: Ipv4Addr, prefix: u32) -> u32 {
    address.to_bits().checked_shl(prefix).unwrap_or(0)
}

fn rest_v6(address: Ipv6Addr, prefix: u32) -> u128 {
    address.to_bits().checked_shl(prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(guard: &Guard, addresses: &[&str], expected: bool) {
        for address in addresses {
            assert_eq!(guard.allows(address.parse().expect(address)), expected, "{address}");
        }
    }

    #[test]
    fn the_public_internet_may_be_reached() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::",
        ];
        check(&Guard::default(), &public, true);
    }

    #[test]
    fn what_is_not_public_may_not() {
        let others = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "203.0.113.7",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
        ];
        check(&Guard::default(), &others, false);
    }

    #[test]
    fn an_address_in_another_dress_is_the_same_address() {
        let dressed = [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ];
        check(&Guard::default(), &dressed, false);
    }

    #[test]
    fn what_is_allowed_by_name_may_be_reached_and_nothing_beside_it() {
        let ranges = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|it| Range::parse(it).expect(it));
        let guard = Guard::new(ranges.to_vec());
        check(&guard, &["10.255.0.1", "127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.1.1.1", "fd12::1"], true);
        check(&guard, &["127.0.0.2", "192.168.0.1", "fe80::1", "::1", "169.254.169.254"], false);
        check(&Guard::new(vec![Range::parse("0.0.0.0/0").expect("it is one")]), &["169.254.169.254"], true);
    }

    #[test]
    fn a_range_is_read_strictly() {
        for (text, shown) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("::/0", "::/0"), ("1.2.3.4", "1.2.3.4/32"), ("0.0.0.0/0", "0.0.0.0/0")]
        {
            assert_eq!(Range::parse(text).map(|it| it.to_string()).as_deref(), Some(shown), "{text}");
        }
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10/8",
            "0x7f.1",
            "host",
            "fd00::1/8",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
