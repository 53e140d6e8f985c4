//! Whom an event or an alert is about.

use std::fmt;
use std::net::IpAddr;

/// What kind of thing an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// An address of a client.
    Ip,
    /// A user or another principal.
    User,
    /// A host.
    Host,
    /// A source: what an event says where it comes from.
    Source,
    /// An input: the door through which events come.
    Input,
    /// Several entities at once, folded because they were too many.
    Many,
    /// Something else by which a rule groups.
    Group,
}

impl EntityKind {
    const ALL: [Self; 7] = [Self::Ip, Self::User, Self::Host, Self::Source, Self::Input, Self::Many, Self::Group];

    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::User => "user",
            Self::Host => "host",
            Self::Source => "source",
            Self::Input => "input",
            Self::Many => "many",
            Self::Group => "group",
        }
    }

    /// Reads the word of the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// The kind as people write it: `IP`, `user`, `host`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ip => "IP",
            other => other.as_str(),
        }
    }
}

/// Whom an event or an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// What kind of thing it is.
    pub kind: EntityKind,
    /// Its name; an address in canonical text.
    pub value: String,
}

impl Entity {
    /// The entity of an address.
    #[must_use]
    pub fn of_ip(address: IpAddr) -> Self {
        Self { kind: EntityKind::Ip, value: address.to_string() }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.label(), self.value)
    }
}

/// Reads an address in any usual spelling to its canonical form.
///
/// Takes the form with a full prefix (`4.4.4.4/32`) that publishers of findings (`AnormalEvent`) send. An IPv4 address
/// mapped into IPv6 (`::ffff:1.2.3.4`) is the IPv4 address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = match text.split_once('/') {
        None => text,
        Some((address, prefix)) => {
            let full = if address.contains(':') { "128" } else { "32" };
            if prefix != full {
                return None;
            }
            address
        }
    };
    bare.parse::<IpAddr>().ok().map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(parse_ip(text).map(|it| it.to_string()), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn reads_addresses_to_canonical_text() {
        check("192.168.1.1", Some("192.168.1.1"));
        check("2001:DB8:0:0:0:0:0:A1", Some("2001:db8::a1"));
        check("::ffff:10.0.0.5", Some("10.0.0.5"));
        check("4.4.4.4/32", Some("4.4.4.4"));
        check("2001:db8::1/128", Some("2001:db8::1"));
    }

    #[test]
    fn refuses_what_is_no_single_address() {
        for text in ["", "256.1.1.1", "1.2.3", "::gg", "localhost", "10.0.0.0/8", "4.4.4.4/128", "1.2.3.4; DROP"] {
            check(text, None);
        }
    }
}
