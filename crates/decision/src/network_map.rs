//! Values by network, found by address: one table for each length of prefix that is in use.

use std::net::IpAddr;

use hashbrown::HashMap;
use model::network::Network;

/// Values by network. A look-up asks once for each length of prefix in use, however many networks there are.
#[derive(Clone, Debug)]
pub struct NetworkMap<T> {
    tables: HashMap<Network, T>,
    /// How many networks have each length of prefix: 0 to 32 for IPv4, 0 to 128 for IPv6.
    v4: [u32; 33],
    v6: [u32; 129],
}

impl<T> Default for NetworkMap<T> {
    fn default() -> Self {
        Self { tables: HashMap::new(), v4: [0; 33], v6: [0; 129] }
    }
}

impl<T> NetworkMap<T> {
    /// Returns the value of a network, made if there is none.
    pub fn entry(&mut self, network: Network) -> &mut T
    where
        T: Default,
    {
        let count = Self::count(&mut self.v4, &mut self.v6, &network);
        self.tables.entry(network).or_insert_with(|| {
            *count += 1;
            T::default()
        })
    }

    /// Removes a network and returns its value.
    pub fn remove(&mut self, network: &Network) -> Option<T> {
        let removed = self.tables.remove(network)?;
        *Self::count(&mut self.v4, &mut self.v6, network) -= 1;
        Some(removed)
    }

    /// The value of exactly this network.
    #[must_use]
    pub fn get(&self, network: &Network) -> Option<&T> {
        self.tables.get(network)
    }

    /// The value of exactly this network, to be changed.
    pub fn get_mut(&mut self, network: &Network) -> Option<&mut T> {
        self.tables.get_mut(network)
    }

    /// The networks that hold all of `network`, the narrowest first.
    pub fn covering(&self, network: Network) -> impl Iterator<Item = (&Network, &T)> {
        let address = network.address();
        let counts: &[u32] = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let lengths = (0..=network.prefix()).rev().filter(|it| counts[usize::from(*it)] != 0);
        lengths.filter_map(move |it| self.tables.get_key_value(&Network::around(address, it)?))
    }

    /// The networks that hold an address, the narrowest first.
    pub fn holding(&self, address: IpAddr) -> impl Iterator<Item = (&Network, &T)> {
        self.covering(Network::of(address))
    }

    /// Whether any network has an address in common with `network`. Looks at all of them when `network` is no single
    /// address and none covers it.
    #[must_use]
    pub fn overlaps(&self, network: &Network) -> bool {
        self.covering(*network).next().is_some()
            || (network.single().is_none() && self.tables.keys().any(|it| network.covers(it)))
    }

    /// Every network with its value, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Network, &T)> {
        self.tables.iter()
    }

    /// How many networks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn count<'a>(v4: &'a mut [u32; 33], v6: &'a mut [u32; 129], network: &Network) -> &'a mut u32 {
        let prefix = usize::from(network.prefix());
        if network.address().is_ipv4() { &mut v4[prefix] } else { &mut v6[prefix] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).expect(text)
    }

    #[test]
    fn finds_the_narrowest_network_first() {
        let mut map = NetworkMap::<u32>::default();
        for (text, value) in [("192.0.2.0/24", 1), ("192.0.2.7", 2), ("0.0.0.0/0", 3), ("2001:db8::/32", 4)] {
            *map.entry(network(text)) = value;
        }
        let found = |it: &str| map.holding(it.parse().unwrap()).map(|it| *it.1).collect::<Vec<_>>();
        assert_eq!(found("192.0.2.7"), [2, 1, 3]);
        assert_eq!(found("192.0.2.8"), [1, 3]);
        assert_eq!(found("::ffff:192.0.2.7"), [2, 1, 3]);
        assert_eq!(found("2001:db8::1"), [4]);
        assert_eq!(found("2001:db9::1"), [0_u32; 0]);
        assert!(map.overlaps(&network("2001:db8:1::/48")) && map.overlaps(&network("2000::/3")));
        assert_eq!(map.remove(&network("2001:db8::/32")), Some(4));
        assert!(!map.overlaps(&network("2000::/3")));
        assert_eq!(map.len(), 3);
    }

    proptest! {
        #[test]
        fn it_agrees_with_looking_at_every_network(
            networks in prop::collection::vec((any::<u8>(), 0_u8..=32), 0..20), address in any::<u8>(),
        ) {
            let at = |it: u8| IpAddr::V4(std::net::Ipv4Addr::new(203, 0, it / 16, it));
            let mut map = NetworkMap::<()>::default();
            for (last, prefix) in &networks {
                map.entry(Network::around(at(*last), *prefix).unwrap());
            }
            let mut expected: Vec<_> = map.iter().map(|it| *it.0).filter(|it| it.contains(at(address))).collect();
            expected.sort_by_key(|it| std::cmp::Reverse(it.prefix()));
            prop_assert_eq!(map.holding(at(address)).map(|it| *it.0).collect::<Vec<_>>(), expected);
        }
    }
}
