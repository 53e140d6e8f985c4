//! Messages of DNS: a question made, an answer read. No input is a panic, and none is walked over more than once.
//!
//! Source: RFC 1035, section 4; RFC 3596 for `AAAA` and `ip6.arpa`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest name, in bytes of the wire. Source: RFC 1035, section 2.3.4.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest label, in bytes. Source: RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// How many records of an answer are read; no honest answer to our questions has so many.
const RECORDS_MAX: usize = 128;
/// How many aliases lead from one name to the next, at most.
const ALIASES_MAX: usize = 8;
/// How many compression pointers one name may follow.
const POINTERS_MAX: usize = 16;
const HEAD_BYTES: usize = 12;

const CLASS_IN: u16 = 1;
const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_TRUNCATED: u16 = 0x0200;
const FLAG_RECURSION: u16 = 0x0100;
const OPCODE_MASK: u16 = 0x7800;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// An IPv4 address.
    A = 1,
    /// The name of an address.
    Ptr = 12,
    /// An IPv6 address.
    Aaaa = 28,
}

const TYPE_CNAME: u16 = 5;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case, without the last dot.
    pub name: String,
    /// What is asked for.
    pub kind: Kind,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// `A` and `AAAA`.
    Address(IpAddr),
    /// `PTR`, in lower case, without the last dot.
    Name(String),
}

/// How a question was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What there is; empty when the name is known and has nothing of the kind.
    Found(Vec<Data>),
    /// There is no such name.
    NoName,
    /// It did not fit; it must be asked for over TCP.
    Truncated,
    /// The resolver could not say, with its code.
    Failed(u8),
}

/// Why bytes are no answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// They are no message, or a damaged one.
    #[error("the answer is no message of DNS")]
    Malformed,
    /// They answer something else: another id, another question.
    #[error("the answer is to another question")]
    Other,
}

impl Question {
    /// Asks for the names of an address. An IPv4 address in IPv6 form is the IPv4 address.
    #[must_use]
    pub fn reverse(address: IpAddr) -> Self {
        let mut name = String::with_capacity(80);
        // Writing to a String cannot fail.
        match address.to_canonical() {
            IpAddr::V4(it) => {
                let [a, b, c, d] = it.octets();
                let _ = write!(name, "{d}.{c}.{b}.{a}.in-addr.arpa");
            }
            IpAddr::V6(it) => {
                for octet in it.octets().iter().rev() {
                    let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
                }
                name.push_str("ip6.arpa");
            }
        }
        Self { name, kind: Kind::Ptr }
    }

    /// Asks for the addresses of `name`, of the family of `like`; `None` when it is no name that can be asked for.
    #[must_use]
    pub fn forward(name: &str, like: IpAddr) -> Option<Self> {
        let kind = if like.to_canonical().is_ipv4() { Kind::A } else { Kind::Aaaa };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let labels_fit = name.split('.').all(|it| (1..=LABEL_BYTES_MAX).contains(&it.len()));
        (labels_fit && name.len() + 2 <= NAME_BYTES_MAX).then_some(Self { name, kind })
    }

    /// Writes the query with `id`; recursion is asked for.
    #[must_use]
    pub fn query(&self, id: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.name.len() + 6);
        for word in [id, FLAG_RECURSION, 1, 0, 0, 0] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for label in self.name.split('.').filter(|it| !it.is_empty()) {
            let label = &label.as_bytes()[..label.len().min(LABEL_BYTES_MAX)];
            out.push(label.len() as u8);
            out.extend_from_slice(label);
        }
        out.push(0);
        out.extend_from_slice(&(self.kind as u16).to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out
    }

    /// Reads the answer to the query with `id`.
    ///
    /// Only records of the asked kind count that stand under the asked name, or under the last of its aliases.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; [`ReadError::Other`] means that the answer may still come.
    pub fn read(&self, id: u16, message: &[u8]) -> Result<Answer, ReadError> {
        let mut reader = Reader { message, at: 0 };
        let [answered, flags, questions, answers, _, _] = reader.head().ok_or(ReadError::Malformed)?;
        if answered != id || flags & FLAG_RESPONSE == 0 || flags & OPCODE_MASK != 0 || questions != 1 {
            return Err(ReadError::Other);
        }
        let asked = reader.question().ok_or(ReadError::Malformed)?;
        if asked != (self.name.clone(), self.kind as u16, CLASS_IN) {
            return Err(ReadError::Other);
        }
        if flags & FLAG_TRUNCATED != 0 {
            return Ok(Answer::Truncated);
        }
        match (flags & 15) as u8 {
            0 => {}
            3 => return Ok(Answer::NoName),
            code => return Ok(Answer::Failed(code)),
        }
        let count = usize::from(answers).min(RECORDS_MAX);
        let records: Option<Vec<Record>> = (0..count).map(|_| reader.record()).collect();
        Ok(Answer::Found(self.select(records.ok_or(ReadError::Malformed)?)))
    }

    /// Follows the aliases of the name through `records`, and takes what stands at their end.
    fn select(&self, records: Vec<Record>) -> Vec<Data> {
        let mut name = &self.name;
        for _ in 0..ALIASES_MAX {
            let alias = records.iter().find(|it| it.kind == TYPE_CNAME && it.owner == *name);
            match alias.and_then(|it| it.data.as_ref()) {
                Some(Data::Name(next)) => name = next,
                _ => break,
            }
        }
        let name = name.clone();
        let wanted = records.into_iter().filter(|it| it.kind == self.kind as u16 && it.owner == name);
        wanted.filter_map(|it| it.data).collect()
    }
}

/// A record of an answer; without data when it is of a kind or class that is not ours.
struct Record {
    owner: String,
    kind: u16,
    data: Option<Data>,
}

/// Reads from the front of a message; nothing is read twice but through the pointers of a name.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.message.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn head(&mut self) -> Option<[u16; 6]> {
        let mut words = [0; 6];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(words)
    }

    fn question(&mut self) -> Option<(String, u16, u16)> {
        Some((self.name()?, self.word()?, self.word()?))
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let (kind, class) = (self.word()?, self.word()?);
        // How long others may keep it: our own times count.
        self.take(4)?;
        let length = usize::from(self.word()?);
        let start = self.at;
        let value = self.take(length)?;
        let is_name = kind == Kind::Ptr as u16 || kind == TYPE_CNAME;
        let data = if class != CLASS_IN {
            None
        } else if is_name {
            let mut inner = Reader { message: self.message, at: start };
            let name = inner.name()?;
            // A name that ends elsewhere than its record is a mistake or mischief.
            if inner.at != self.at {
                return None;
            }
            Some(Data::Name(name))
        } else {
            address_of(kind, value)
        };
        Some(Record { owner, kind, data })
    }

    /// Reads a name: labels, and pointers that each lead further to the front, so that none leads round.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut at, mut before) = (String::new(), self.at, self.at);
        let (mut pointers, mut bytes) = (0, 1);
        loop {
            let length = usize::from(*self.message.get(at)?);
            match length >> 6 {
                0 if length == 0 => {
                    if pointers == 0 {
                        self.at = at + 1;
                    }
                    return Some(name);
                }
                0 => {
                    let label = self.message.get(at + 1..at + 1 + length)?;
                    bytes += length + 1;
                    if NAME_BYTES_MAX < bytes {
                        return None;
                    }
                    push_label(&mut name, label)?;
                    at += 1 + length;
                }
                3 => {
                    let low = usize::from(*self.message.get(at + 1)?);
                    let target = (length & 63) << 8 | low;
                    if pointers == 0 {
                        self.at = at + 2;
                    }
                    pointers += 1;
                    if before <= target || POINTERS_MAX < pointers {
                        return None;
                    }
                    (at, before) = (target, target);
                }
                _ => return None,
            }
        }
    }
}

/// Appends a label in lower case; `None` for one that no host has, as with a dot or a NUL in it.
fn push_label(name: &mut String, label: &[u8]) -> Option<()> {
    if !label.iter().all(|it| it.is_ascii_graphic() && *it != b'.') {
        return None;
    }
    if !name.is_empty() {
        name.push('.');
    }
    name.extend(label.iter().map(|it| it.to_ascii_lowercase() as char));
    Some(())
}

fn address_of(kind: u16, value: &[u8]) -> Option<Data> {
    let address = if kind == Kind::A as u16 {
        IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
    } else if kind == Kind::Aaaa as u16 {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?))
    } else {
        return None;
    };
    Some(Data::Address(address))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
