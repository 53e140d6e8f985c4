//! Telling the records of a growing file apart: lines, documents, blocks.
//!
//! A [`Framer`] takes bytes as they are appended, hands out each record with its offset, and keeps a partial
//! rest. A record of over `EVENT_BYTES_MAX` is handed out as a refusal and skipped up to its end; memory stays
//! bounded by that limit and what is pushed at a time.

mod blocks;
mod document;
mod lines;

use model::limits::EVENT_BYTES_MAX;

use crate::refusal::{Code, Refusal};

/// How the records of a file are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A record a line; CRLF will do.
    Lines,
    /// JSON over many lines: the elements of a list at the top or under `Records`, else each object at the top.
    Document,
    /// Entries of several lines, ended by an empty one; a field may hold any bytes after its length.
    Blocks,
}

impl Framing {
    /// Tells the framing of a file from its first bytes; a kilobyte is enough.
    #[must_use]
    pub fn of_head(head: &[u8]) -> Self {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let line_end = memchr::memchr(b'\n', head).unwrap_or(head.len());
        let line = head[..line_end].trim_ascii_end();
        let opens_list = |rest: &[u8]| rest.first().is_none_or(|it| *it == b'{');
        let names_list = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"\"Records\"");
        match line.split_first() {
            Some((b'[', rest)) if opens_list(rest.trim_ascii_start()) => Self::Document,
            Some((b'{', rest)) if names_list(rest.trim_ascii_start()) => Self::Document,
            Some((b'_', _)) if line.starts_with(b"__") && line.contains(&b'=') => Self::Blocks,
            _ => Self::Lines,
        }
    }
}

/// How much is handed out of a record that is not whole, in bytes: enough to see what it is.
pub const BEGINNING_BYTES_MAX: usize = 64 << 10;

/// A record that cannot be handed out whole.
#[derive(Debug)]
pub struct Unframed<'a> {
    /// Why.
    pub refusal: Refusal,
    /// How it begins, up to [`BEGINNING_BYTES_MAX`].
    pub beginning: &'a [u8],
    /// How long it is, in bytes; `None` when its end is not in the file.
    pub bytes: Option<u64>,
}

/// Takes a record, or what there is of it and why there is no more, with its offset in the file.
pub type Sink<'s> = dyn FnMut(u64, Result<&[u8], Unframed<'_>>) + 's;

/// Tells the records of one file apart.
#[derive(Debug)]
pub struct Framer(Kind);

#[derive(Debug)]
enum Kind {
    Lines(lines::Lines),
    Document(document::Document),
    Blocks(blocks::Blocks),
}

impl Framer {
    /// Begins at `offset` of a file, which must be 0 or a [`Framer::position`].
    #[must_use]
    pub fn new(framing: Framing, offset: u64) -> Self {
        Self(match framing {
            Framing::Lines => Kind::Lines(lines::Lines::new(offset)),
            Framing::Document => Kind::Document(document::Document::new(offset)),
            Framing::Blocks => Kind::Blocks(blocks::Blocks::new(offset)),
        })
    }

    /// Goes on with the bytes that follow and hands out every record that they complete.
    pub fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        match &mut self.0 {
            Kind::Lines(it) => it.push(bytes, sink),
            Kind::Document(it) => it.push(bytes, sink),
            Kind::Blocks(it) => it.push(bytes, sink),
        }
    }

    /// Hands out what is left of a file that will not grow: a last line without an end is a record.
    pub fn finish(&mut self, sink: &mut Sink<'_>) {
        match &mut self.0 {
            Kind::Lines(it) => it.finish(sink),
            Kind::Document(it) => it.finish(sink),
            Kind::Blocks(it) => it.finish(sink),
        }
    }

    /// Returns the offset from which a new framer hands out everything that this one has not.
    ///
    /// Within a document it is where the document begins: what was handed out of it comes again, with the
    /// same offsets.
    #[must_use]
    pub const fn position(&self) -> u64 {
        match &self.0 {
            Kind::Lines(it) => it.position(),
            Kind::Document(it) => it.position(),
            Kind::Blocks(it) => it.position(),
        }
    }
}

fn too_large(beginning: &[u8], bytes: u64) -> Unframed<'_> {
    let message = format!("a record of {bytes} bytes is over the limit of {EVENT_BYTES_MAX}");
    let refusal = Refusal::record(Code::TooLarge, message);
    Unframed { refusal, beginning: beginning_of(beginning), bytes: Some(bytes) }
}

fn cut_off<'a>(beginning: &'a [u8], what: &str) -> Unframed<'a> {
    let refusal = Refusal::record(Code::BadLine, format!("the file ends in the middle of {what}"));
    Unframed { refusal, beginning: beginning_of(beginning), bytes: None }
}

/// As much of a record's beginning as is kept.
fn beginning_of(record: &[u8]) -> &[u8] {
    &record[..record.len().min(BEGINNING_BYTES_MAX)]
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
