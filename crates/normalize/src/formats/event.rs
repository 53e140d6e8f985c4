//! Our own NDJSON: the events of `POST /v1/events`, one a line, in any mix.

use crate::formats::{Format, Read, is_object, joined};
use crate::forms::event;
use crate::framing::Framing;
use crate::reading::Reading;
use crate::refusal::Refusal;

/// The format's line in the list.
pub(super) const FORMAT: Format = Format {
    name: "event",
    about: "our own events as NDJSON, in any mix of the forms of /v1/events",
    framing: Framing::Lines,
    detect,
    read,
};

/// A byte order mark is skipped by the sniffer and by the reader.
fn detect(record: &[u8]) -> bool {
    is_object(record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record))
}

fn read(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    event::read(record, offset, reading, out).map(|()| Read::Event).map_err(joined)
}
