//! A record a line.

use memchr::memchr;
use model::limits::EVENT_BYTES_MAX;

use super::{Sink, too_large};

/// The lines of one file.
#[derive(Debug)]
pub(super) struct Lines {
    /// Where the line begins that has not ended.
    start: u64,
    /// How long it is so far.
    length: u64,
    /// Its bytes, as long as it is within the limit.
    rest: Vec<u8>,
}

impl Lines {
    pub(super) const fn new(offset: u64) -> Self {
        Self { start: offset, length: 0, rest: Vec::new() }
    }

    pub(super) const fn position(&self) -> u64 {
        self.start
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, after) = (&bytes[..end], &bytes[end + 1..]);
            if self.length == 0 {
                hand_out(self.start, line, sink);
                self.start += end as u64 + 1;
            } else {
                self.keep(line);
                self.end_kept(1, sink);
            }
            bytes = after;
        }
        self.keep(bytes);
    }

    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        if 0 < self.length {
            self.end_kept(0, sink);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        // One byte over the limit, for the carriage return that is no part of the line.
        if self.length <= EVENT_BYTES_MAX as u64 + 1 {
            self.rest.extend_from_slice(bytes);
        } else {
            self.rest = Vec::new();
        }
    }

    fn end_kept(&mut self, newline_bytes: u64, sink: &mut Sink<'_>) {
        if self.rest.len() as u64 == self.length {
            hand_out(self.start, &self.rest, sink);
        } else {
            sink(self.start, Err(too_large(self.length)));
        }
        self.start += self.length + newline_bytes;
        self.length = 0;
        self.rest.clear();
    }
}

fn hand_out(offset: u64, line: &[u8], sink: &mut Sink<'_>) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if EVENT_BYTES_MAX < line.len() { sink(offset, Err(too_large(line.len() as u64))) } else { sink(offset, Ok(line)) }
}
