//! How many connections each address has: nobody may take all of them.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// The part of an IPv6 address that one subscriber has in whole: its first 64 bits.
const OF_SUBSCRIBER: u128 = !0 << 64;

/// The connections that are open, by address. It holds no more addresses than there are connections.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection in the crowd, for as long as it is held.
#[derive(Debug)]
pub struct Member {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    /// Takes a connection of `address` in; `None` when it has `max` already.
    #[must_use]
    pub fn join(&self, address: IpAddr, max: usize) -> Option<Member> {
        let address = subscriber(address);
        let mut counts = self.locked();
        let count = counts.entry(address).or_insert(0);
        if max <= *count {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Member { crowd: self.clone(), address })
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut counts = self.crowd.locked();
        if let Entry::Occupied(mut it) = counts.entry(self.address) {
            *it.get_mut() -= 1;
            if *it.get() == 0 {
                it.remove();
            }
        }
    }
}

/// Who is counted as one: an IPv4 address, or the network of an IPv6 address.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & OF_SUBSCRIBER)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(crowd: &Crowd, address: &str, is_let_in: bool) -> Option<Member> {
        let member = crowd.join(address.parse().unwrap(), 2);
        assert_eq!(member.is_some(), is_let_in, "{address}");
        member
    }

    #[test]
    fn each_address_and_each_network_of_a_subscriber_has_its_share() {
        for (first, second, third, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3", "2001:db8:0:1::1"),
        ] {
            let crowd = Crowd::default();
            let held = (check(&crowd, first, true), check(&crowd, second, true));
            check(&crowd, third, false);
            check(&crowd, other, true);
            drop(held.0);
            check(&crowd, third, true);
            drop(held.1);
            assert!(crowd.locked().is_empty());
        }
    }
}
