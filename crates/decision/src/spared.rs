//! Who is never blocked, whoever proposes it.

use std::net::IpAddr;
use std::sync::Arc;

use model::decision::Target;
use model::network::Network;

use crate::network_map::NetworkMap;

/// The networks that belong to nobody outside: this host, private networks, what is between links. A block of them hits
/// ourselves or one's own people.
const OWN: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/127",
    "fc00::/7",
    "fe80::/10",
];

/// The networks that are never blocked, each with why.
#[derive(Clone, Debug, Default)]
pub struct SparedList {
    networks: NetworkMap<Arc<str>>,
}

impl SparedList {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The list of what is local: loopback, private, link-local, unspecified.
    #[must_use]
    pub fn of_local() -> Self {
        let mut list = Self::default();
        for text in OWN {
            let Some(network) = Network::parse(text) else { continue };
            list.add(network, "a local address");
        }
        list
    }

    /// Adds a network; of two reasons for one network the later stays.
    pub fn add(&mut self, network: Network, why: &str) {
        *self.networks.entry(network) = why.into();
    }

    /// Says why a target is spared: part of it is on the list. Users never are.
    #[must_use]
    pub fn why(&self, target: &Target) -> Option<(Network, Arc<str>)> {
        let network = target.network()?;
        let covering = self.networks.covering(*network).next();
        let within = || self.networks.iter().find(|it| network.single().is_none() && network.covers(it.0));
        covering.or_else(within).map(|(network, why)| (*network, why.clone()))
    }

    /// Whether an address is spared.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.networks.holding(address).next().is_some()
    }

    /// Whether a network has an address in common with the list.
    #[must_use]
    pub fn overlaps(&self, network: &Network) -> bool {
        self.networks.overlaps(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, expected: Option<&str>) {
        let mut list = SparedList::of_local();
        list.add(Network::parse("203.0.113.9").unwrap(), "the monitor");
        let target = Target::Network(Network::parse(target).unwrap());
        assert_eq!(list.why(&target).map(|it| it.1.to_string()).as_deref(), expected, "{target}");
    }

    #[test]
    fn what_is_on_the_list_is_spared_and_what_holds_it_too() {
        check("203.0.113.9", Some("the monitor"));
        check("203.0.113.0/24", Some("the monitor"));
        check("203.0.113.8", None);
        for local in ["127.0.0.1", "10.20.30.40", "192.168.1.0/24", "::1", "fe80::1", "fd12::1", "169.254.169.254"] {
            check(local, Some("a local address"));
        }
        check("2001:db8::1", None);
    }
}
