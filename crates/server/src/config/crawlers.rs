//! The sections `[crawlers]` and `[data]`: who verifies crawlers, and where fetched lists come from.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use outbound::target::Target;

use super::Raw;
use crate::failure::Failure;

/// The port of DNS.
const DNS_PORT: u16 = 53;
/// Where the system says which resolver it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Who is asked for names of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrawlersConfig {
    /// Nobody: no crawler is verified.
    Off,
    /// The first resolver of the system.
    System,
    /// This one.
    At(SocketAddr),
}

impl CrawlersConfig {
    fn read(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::Off),
            "system" => Some(Self::System),
            _ => {
                let port_less = || text.parse::<IpAddr>().map(|it| (it, DNS_PORT).into());
                text.parse().or_else(|_| port_less()).ok().map(Self::At)
            }
        }
    }

    /// The address of the resolver, if there is to be one; for the system's its file is read.
    pub(crate) fn address(self) -> Result<Option<SocketAddr>, Failure> {
        match self {
            Self::Off => Ok(None),
            Self::At(address) => Ok(Some(address)),
            Self::System => {
                let text = fs::read_to_string(RESOLV_CONF)
                    .map_err(|it| Failure::usage(format!("`crawlers.resolver` is `system`: `{RESOLV_CONF}`: {it}")))?;
                let found = first_of(&text).ok_or_else(|| {
                    Failure::usage(format!(
                        "`crawlers.resolver` is `system`, and `{RESOLV_CONF}` names no address of one"
                    ))
                })?;
                Ok(Some((found, DNS_PORT).into()))
            }
        }
    }
}

/// The first resolver that a `resolv.conf` names by an address without a zone.
///
/// Source: resolv.conf(5).
fn first_of(text: &str) -> Option<IpAddr> {
    let words = text.lines().map(str::split_whitespace);
    let named = words.filter_map(|mut it| (it.next() == Some("nameserver")).then(|| it.next()).flatten());
    named.filter_map(|it| it.parse().ok()).next()
}

/// An address from which a list may be fetched: by TLS, or from this host.
fn source(text: &str) -> Option<String> {
    let target = Target::parse(text).ok()?;
    let is_own = target.host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    (target.is_tls || is_own).then(|| text.to_owned())
}

impl Raw {
    pub(super) fn crawlers(&self) -> Result<CrawlersConfig, Failure> {
        self.get("crawlers.resolver", CrawlersConfig::read)
    }

    pub(super) fn crawlers_url(&self) -> Result<String, Failure> {
        self.get("data.crawlers_url", source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let shown = CrawlersConfig::read(text).map(|it| match it {
            CrawlersConfig::At(address) => address.to_string(),
            other => format!("{other:?}"),
        });
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn a_resolver_is_off_the_systems_or_an_address() {
        check("", Some("Off"));
        check("system", Some("System"));
        check("127.0.0.1:5353", Some("127.0.0.1:5353"));
        check("127.0.0.1", Some("127.0.0.1:53"));
        check("::1", Some("[::1]:53"));
        check("[2001:db8::1]:53", Some("[2001:db8::1]:53"));
        check("dns.example:53", None);
        check("127.0.0.1:70000", None);
    }

    #[test]
    fn the_first_resolver_of_the_system_is_the_one() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        assert_eq!(first_of(text), Some([192, 0, 2, 1].into()));
        assert_eq!(first_of("nameserver\nnameserver dns.example\n"), None);
    }

    #[test]
    fn a_list_comes_by_tls_or_from_this_host() {
        for (text, is_one) in [
            ("https://lists.example/a.json", true),
            ("http://127.0.0.1:8080/a.json", true),
            ("http://lists.example/a.json", false),
            ("http://192.0.2.1/a.json", false),
            ("file:///etc/passwd", false),
            ("", false),
        ] {
            assert_eq!(source(text).is_some(), is_one, "{text}");
        }
    }
}
