//! Networks in CIDR notation.

use std::net::IpAddr;

/// A network of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    bits: u128,
    mask: u128,
    is_v6: bool,
}

impl Cidr {
    /// Reads `ADDRESS/LENGTH`, or an address alone as the network of itself.
    ///
    /// # Errors
    ///
    /// Says what is wrong: no address, a length beyond the family's, bits set behind the length.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| format!("`{text}` is no network"))?;
        let (bits, is_v6) = bits_of(address);
        let width: u32 = if is_v6 { 128 } else { 32 };
        let length = match length {
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => Some(width),
        };
        let length = length.filter(|it| *it <= width).ok_or_else(|| format!("`{text}` is no network"))?;
        let host_mask = if length == width { 0 } else { u128::MAX >> (128 - (width - length)) };
        if bits & host_mask != 0 {
            return Err(format!("`{text}` is no network: it has bits set behind its length"));
        }
        Ok(Self { bits, mask: !host_mask, is_v6 })
    }

    /// Whether `text` is an address in this network. An IPv4 address written as IPv6 counts as IPv4.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let (bits, is_v6) = bits_of(if self.is_v6 { address } else { address.to_canonical() });
        is_v6 == self.is_v6 && bits & self.mask == self.bits
    }

    /// The network, one spelling for equal ones.
    pub(crate) fn canonical(&self) -> String {
        format!("{}:{:x}&{:x}", if self.is_v6 { 6 } else { 4 }, self.bits, self.mask)
    }
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(it) => (u128::from(u32::from(it)), false),
        IpAddr::V6(it) => (u128::from(it), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let cidr = Cidr::parse(network).unwrap();
        assert!(inside.iter().all(|it| cidr.holds(it)), "{network} holds {inside:?}");
        assert!(!outside.iter().any(|it| cidr.holds(it)), "{network} holds none of {outside:?}");
    }

    #[test]
    fn holds_both_ends_and_nothing_beside() {
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], &["9.255.255.255", "11.0.0.0", "10.x"]);
        check("192.168.16.0/20", &["192.168.16.0", "192.168.31.255"], &["192.168.15.255", "192.168.32.0"]);
        check("0.0.0.0/0", &["255.255.255.255"], &["::1", ""]);
        check("192.0.2.1", &["192.0.2.1"], &["192.0.2.2"]);
        check("fe80::/10", &["fe80::1", "febf::", "FE80:0:0:0:0:0:0:1"], &["fec0::", "fe80"]);
        check("::/0", &["2001:db8::1"], &["10.0.0.1"]);
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in ["10.0.0.0/33", "10.0.0.0/99", "::/129", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "x/8", "", "/8"]
        {
            assert!(Cidr::parse(text).is_err(), "{text}");
        }
    }
}
