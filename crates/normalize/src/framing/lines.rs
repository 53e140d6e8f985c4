//! A record a line.

use memchr::memchr;
use model::limits::EVENT_BYTES_MAX;

use super::{BEGINNING_BYTES_MAX, Sink, too_large};

/// The lines of one file.
#[derive(Debug)]
pub(super) struct Lines {
    /// Where the line begins that has not ended.
    start: u64,
    /// How long it is so far.
    length: u64,
    /// Its bytes, as long as it is within the limit; its beginning when it is over.
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
        if self.is_within() {
            self.rest.extend_from_slice(bytes);
        } else {
            let room = BEGINNING_BYTES_MAX.saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&bytes[..room.min(bytes.len())]);
            self.rest.truncate(BEGINNING_BYTES_MAX);
            self.rest.shrink_to_fit();
        }
    }

    /// Whether all of the line is kept: one byte over the limit, for the carriage return that is no part of it.
    const fn is_within(&self) -> bool {
        self.length <= EVENT_BYTES_MAX as u64 + 1
    }

    fn end_kept(&mut self, newline_bytes: u64, sink: &mut Sink<'_>) {
        if self.is_within() {
            hand_out(self.start, &self.rest, sink);
        } else {
            sink(self.start, Err(too_large(&self.rest, self.length)));
        }
        self.start += self.length + newline_bytes;
        self.length = 0;
        self.rest.clear();
    }
}

fn hand_out(offset: u64, line: &[u8], sink: &mut Sink<'_>) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_over = EVENT_BYTES_MAX < line.len();
    if is_over { sink(offset, Err(too_large(line, line.len() as u64))) } else { sink(offset, Ok(line)) }
}
