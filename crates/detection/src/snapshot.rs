//! Bytes of engine state: a plain writer and reader, so that a snapshot needs no reflection and no allocation per field.

use model::alert::EvidenceRef;
use model::event::{push_varint, take_varint};
use model::time::Timestamp;

/// Writes state.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

/// Reads state; every method returns `None` at what is no state.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl Encoder {
    /// Returns what was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a number without sign; small ones take few bytes.
    pub fn u64(&mut self, value: u64) {
        push_varint(&mut self.bytes, value);
    }

    /// Writes a number with sign.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes 128 bits.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes true or false.
    pub fn flag(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// Writes a text.
    pub fn text(&mut self, value: &str) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// Writes bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Writes two times, or none.
    pub fn span(&mut self, value: Option<(Timestamp, Timestamp)>) {
        self.flag(value.is_some());
        if let Some((first, last)) = value {
            self.i64(first.0);
            self.i64(last.0);
        }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &EvidenceRef) {
        self.i64(event.time.0);
        self.i64(event.id_upper as i64);
        self.u64(event.sequence);
    }

    /// Writes events.
    pub fn events(&mut self, events: &[EvidenceRef]) {
        self.u64(events.len() as u64);
        events.iter().for_each(|it| self.event(it));
    }
}

impl<'a> Decoder<'a> {
    /// Reads from `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*front)
    }

    /// Reads a number without sign.
    pub fn u64(&mut self) -> Option<u64> {
        let (value, rest) = take_varint(self.rest)?;
        self.rest = rest;
        Some(value)
    }

    /// Reads a number with sign.
    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads 128 bits.
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// Reads true or false.
    pub fn flag(&mut self) -> Option<bool> {
        match self.array::<1>()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// Reads a text.
    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// Reads bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        let (front, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(front)
    }

    /// Reads two times, or none.
    pub fn span(&mut self) -> Option<Option<(Timestamp, Timestamp)>> {
        if !self.flag()? {
            return Some(None);
        }
        Some(Some((Timestamp(self.i64()?), Timestamp(self.i64()?))))
    }

    /// Reads one event.
    pub fn event(&mut self) -> Option<EvidenceRef> {
        Some(EvidenceRef { time: Timestamp(self.i64()?), id_upper: self.i64()? as u64, sequence: self.u64()? })
    }

    /// Reads events.
    pub fn events(&mut self) -> Option<Vec<EvidenceRef>> {
        self.list(Self::event)
    }

    /// Reads a count and as many of `one`.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.u64()?).ok()?;
        // What is claimed may be more than there is: room is made as it comes.
        let mut found = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            found.push(one(self)?);
        }
        Some(found)
    }
}
