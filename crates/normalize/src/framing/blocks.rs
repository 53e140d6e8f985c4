//! Entries of several lines, ended by an empty one, as the journal exports them.
//!
//! A line `NAME=value` is a field. A line without an equals sign is the name of a field whose length, 64 bits
//! little endian, and bytes follow; those may hold anything, empty lines too.

use memchr::memchr;
use model::limits::EVENT_BYTES_MAX;

use super::{Sink, beginning_of, cut_off, too_large};

/// The longest field that is skipped by its length, in bytes. A longer one is no length but damage, and the
/// entry goes on with the next line.
const FIELD_SKIPPED_MAX: u64 = 1 << 30;

/// The entries of one file.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Where the entry begins that has not ended.
    start: u64,
    /// How many of its bytes have been dropped for want of room; then it is over the limit.
    dropped: u64,
    /// How it begins, once some of it has been dropped.
    beginning: Vec<u8>,
    /// Its bytes, and what follows them.
    buffer: Vec<u8>,
    /// How far the buffer has been read.
    at: usize,
    /// How many bytes of a field are still to be skipped.
    skip: u64,
    /// Whether the beginning of a line has been dropped.
    in_long_line: bool,
}

impl Blocks {
    pub(super) const fn new(offset: u64) -> Self {
        Self {
            start: offset,
            dropped: 0,
            beginning: Vec::new(),
            buffer: Vec::new(),
            at: 0,
            skip: 0,
            in_long_line: false,
        }
    }

    pub(super) const fn position(&self) -> u64 {
        self.start
    }

    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        self.buffer.extend_from_slice(bytes);
        let mut begin = 0;
        while self.step(&mut begin, sink) {}
        self.buffer.drain(..begin);
        self.at -= begin;
        self.drop_what_is_too_much();
    }

    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        let length = self.dropped + self.buffer.len() as u64;
        if 0 < self.skip || (0 < length && self.is_inside_a_length()) {
            sink(self.start, Err(cut_off(self.beginning_in(&self.buffer), "a field")));
        } else if 0 < length {
            self.hand_out(0, self.buffer.len(), sink);
        }
        *self = Self::new(self.start + length);
    }

    /// Goes on by one line or field of the entry that begins at `begin`; false when there is none complete.
    fn step(&mut self, begin: &mut usize, sink: &mut Sink<'_>) -> bool {
        if 0 < self.skip {
            let here = self.skip.min((self.buffer.len() - self.at) as u64);
            self.at += here as usize;
            self.skip -= here;
            return 0 < here;
        }
        let rest = &self.buffer[self.at..];
        let Some(end) = memchr(b'\n', rest) else { return false };
        let line = &rest[..end];
        let is_text = self.in_long_line || line.contains(&b'=');
        if !is_text && line.trim_ascii().is_empty() {
            self.hand_out(*begin, self.at, sink);
            self.at += end + 1;
            self.start += self.dropped + (self.at - *begin) as u64;
            (self.dropped, *begin) = (0, self.at);
            return true;
        }
        if !is_text {
            let Some(length) = rest.get(end + 1..end + 9) else { return false };
            let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
            if length <= FIELD_SKIPPED_MAX {
                self.skip = length + 1;
                self.at += 8;
            }
        }
        self.in_long_line = false;
        self.at += end + 1;
        true
    }

    fn hand_out(&self, begin: usize, end: usize, sink: &mut Sink<'_>) {
        let entry = &self.buffer[begin..end];
        let length = self.dropped + entry.len() as u64;
        if EVENT_BYTES_MAX as u64 + 1 < length {
            sink(self.start, Err(too_large(self.beginning_in(entry), length)));
        } else if !entry.trim_ascii().is_empty() {
            sink(self.start, Ok(entry));
        }
    }

    /// How the entry begins of which `rest` has not been dropped.
    fn beginning_in<'a>(&'a self, rest: &'a [u8]) -> &'a [u8] {
        if self.dropped == 0 { rest } else { &self.beginning }
    }

    /// Whether the last line names a field whose length has not come.
    fn is_inside_a_length(&self) -> bool {
        memchr(b'\n', &self.buffer[self.at..]).is_some()
    }

    fn drop_what_is_too_much(&mut self) {
        if self.dropped == 0 && self.buffer.len() <= EVENT_BYTES_MAX + 1 {
            return;
        }
        if self.dropped == 0 {
            self.beginning = beginning_of(&self.buffer).to_vec();
        }
        let is_long_line = EVENT_BYTES_MAX < self.buffer.len() - self.at;
        if is_long_line {
            self.in_long_line = true;
            self.at = self.buffer.len();
        }
        self.dropped += self.at as u64;
        self.buffer.drain(..self.at);
        self.at = 0;
    }
}
