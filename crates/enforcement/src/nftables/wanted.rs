//! What is to be blocked, as the stream of changes tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::network::Network;
use model::time::Timestamp;
use serde_json::Value;

/// How many addresses and ranges are blocked at most; further ones are not, and that is said.
pub const WANTED_MAX: usize = 1_000_000;

/// What a line of the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Everything follows: what was known before is over.
    Reset,
    /// A network is banned for so long.
    Add(Network, Duration),
    /// A network is banned no longer.
    Remove(Network),
    /// From where to go on.
    Cursor(String),
    /// Something that a firewall does not do: another measure, a user.
    Other,
}

impl Change {
    /// Reads a line; `None` for what is none.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let what = line["change"].as_str()?;
        match what {
            "reset" => return Some(Self::Reset),
            "cursor" => return Some(Self::Cursor(line["cursor"].as_str()?.to_owned())),
            _ => {}
        }
        let is_ban = line["type"] == "ban";
        let network = match line["scope"].as_str()? {
            "ip" | "range" if is_ban => Network::parse(line["value"].as_str()?)?,
            _ => return Some(Self::Other),
        };
        match what {
            "add" => Some(Self::Add(network, Duration::from_secs(line["ttl"].as_u64()?))),
            "remove" => Some(Self::Remove(network)),
            _ => None,
        }
    }
}

/// What is to be blocked, each until when by the clock of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    until: BTreeMap<Network, Timestamp>,
    is_over_limit: bool,
}

impl Wanted {
    /// Takes a change; returns the network whose block is another now.
    pub fn take(&mut self, change: &Change, now: Timestamp) -> Option<Network> {
        match change {
            Change::Reset => {
                *self = Self::default();
                None
            }
            Change::Add(network, lasts) => {
                if WANTED_MAX <= self.until.len() && !self.until.contains_key(network) {
                    self.is_over_limit = true;
                    return None;
                }
                self.until.insert(*network, now.plus(*lasts));
                Some(*network)
            }
            Change::Remove(network) => self.until.remove(network).map(|_| *network),
            Change::Cursor(_) | Change::Other => None,
        }
    }

    /// Forgets what is over; the kernel ends it by itself.
    pub fn expire(&mut self, now: Timestamp) {
        self.until.retain(|_, until| now < *until);
    }

    /// Until when a network is blocked.
    #[must_use]
    pub fn until(&self, network: &Network) -> Option<Timestamp> {
        self.until.get(network).copied()
    }

    /// Everything, in order.
    pub fn all(&self) -> impl Iterator<Item = (&Network, Timestamp)> {
        self.until.iter().map(|(network, until)| (network, *until))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether nothing is to be blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Whether something was left out since the last [`Change::Reset`], because there is too much.
    #[must_use]
    pub const fn is_over_limit(&self) -> bool {
        self.is_over_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Change>) {
        assert_eq!(Change::read(line), expected, "{line}");
    }

    #[test]
    fn lines_of_the_stream_are_read_and_nothing_else() {
        let network = Network::parse("203.0.113.7").unwrap();
        check(
            r#"{"change":"add","scope":"ip","value":"203.0.113.7","type":"ban","ttl":90}"#,
            Some(Change::Add(network, Duration::from_secs(90))),
        );
        check(r#"{"change":"remove","scope":"ip","value":"203.0.113.7","type":"ban"}"#, Some(Change::Remove(network)));
        check(r#"{"change":"add","scope":"ip","value":"203.0.113.7","type":"captcha","ttl":9}"#, Some(Change::Other));
        check(r#"{"change":"add","scope":"user","value":"anna","type":"ban","ttl":9}"#, Some(Change::Other));
        check(r#"{"change":"reset"}"#, Some(Change::Reset));
        check(r#"{"change":"cursor","cursor":"5-6"}"#, Some(Change::Cursor("5-6".into())));
        for line in [
            "",
            "{}",
            r#"{"change":"add","scope":"ip","value":"x; flush ruleset","type":"ban","ttl":9}"#,
            r#"{"change":"add","scope":"ip","value":"203.0.113.7","type":"ban","ttl":"9"}"#,
            r#"{"change":"more","scope":"ip","value":"203.0.113.7","type":"ban","ttl":9}"#,
        ] {
            check(line, None);
        }
    }
}
