//! The records of a body of `POST /v1/events`: an object, an array, or NDJSON, found out by looking.
//!
//! A body that is one value from end to end is that value: an object is one record, an array has one for each
//! element. Everything else is NDJSON: a record a line, blank lines are none. A broken element or line is
//! handed out like the others and refused where it is read, by its index, and does not spoil the rest.

use memchr::{memchr, memchr_iter, memchr2};
use serde_json::value::RawValue;

use crate::refusal::{Code, Refusal};

/// Why a body has no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Nothing but blanks.
    #[error(transparent)]
    Empty(Refusal),
    /// More records than are allowed: none of them is taken.
    #[error("more than {records_max} records in one body; send fewer at a time")]
    TooMany {
        /// How many are allowed.
        records_max: usize,
    },
}

/// The records of one body, in order, each with its bytes.
#[derive(Clone, Debug)]
pub enum Batch<'a> {
    /// The whole body is one record.
    One(Option<&'a [u8]>),
    /// The elements of an array that are still to come, from behind its bracket or comma.
    Elements(&'a [u8]),
    /// The lines that are still to come.
    Lines(&'a [u8]),
}

/// Finds the records of `body`, at most `records_max`.
///
/// An empty array has none, which is no error.
///
/// # Errors
///
/// Returns [`BatchError::Empty`] for a body of blanks, [`BatchError::TooMany`] above `records_max`.
pub fn split_batch(body: &[u8], records_max: usize) -> Result<Batch<'_>, BatchError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let batch = match body.first() {
        None => {
            let message = "the body is empty; send a JSON object, an array of objects, or one object a line";
            return Err(BatchError::Empty(Refusal::record(Code::Empty, message)));
        }
        Some(b'[') if value_end(body) == Some(body.len()) => Batch::Elements(&body[1..body.len() - 1]),
        Some(b'{') if is_one_object(body) => Batch::One(Some(body)),
        Some(_) => Batch::Lines(body),
    };
    if batch.is_longer_than(records_max) { Err(BatchError::TooMany { records_max }) } else { Ok(batch) }
}

impl<'a> Batch<'a> {
    /// Counts exactly only where there are separators enough for it to matter.
    fn is_longer_than(&self, records_max: usize) -> bool {
        let separators = match self {
            Self::One(_) => 0,
            Self::Elements(rest) => memchr_iter(b',', rest).take(records_max + 1).count(),
            Self::Lines(rest) => memchr_iter(b'\n', rest).take(records_max + 1).count(),
        };
        records_max <= separators && records_max < self.clone().take(records_max + 1).count()
    }

    fn next_element(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        // A comma behind the last element is forgiven.
        if rest.trim_ascii().is_empty() {
            return None;
        }
        let end = element_end(rest);
        let element = rest[..end].trim_ascii();
        *rest = rest.get(end + 1..).unwrap_or_default();
        Some(element)
    }

    fn next_line(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest[..end].trim_ascii();
            *rest = rest.get(end + 1..).unwrap_or_default();
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(record) => record.take(),
            Self::Elements(rest) => Self::next_element(rest),
            Self::Lines(rest) => Self::next_line(rest),
        }
    }
}

/// Whether `body`, which begins with a brace, is one object although it may span lines.
fn is_one_object(body: &[u8]) -> bool {
    if value_end(body) != Some(body.len()) {
        return false;
    }
    // A broken first line whose braces happen to be closed by the last one is not.
    let spans_lines = memchr(b'\n', body).is_some();
    !spans_lines || std::str::from_utf8(body).is_ok_and(|it| serde_json::from_str::<&RawValue>(it).is_ok())
}

/// Returns the place behind the container that `bytes` begins with; `None` when it is not closed.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => at = text_end(bytes, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// Returns the place of the comma that ends the element that `bytes` begins with, or the end.
fn element_end(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = text_end(bytes, at).unwrap_or(bytes.len()),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Returns the place of the quote that closes the string opened at `start`.
fn text_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Where a walk over bytes that should be JSON is: how deep, and whether in a string.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// How many containers are open.
    pub(crate) depth: usize,
    /// Whether inside a string.
    pub(crate) in_text: bool,
    is_escaped: bool,
}

impl Walk {
    /// Goes on by one byte; returns whether it was a bracket that counts.
    pub(crate) fn step(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => return false,
        }
        byte != b'"'
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        let records: Vec<_> = split_batch(body.as_bytes(), 100).expect(body).collect();
        let records: Vec<_> = records.iter().map(|it| std::str::from_utf8(it).unwrap()).collect();
        assert_eq!(records, expected, "{body}");
    }

    #[test]
    fn one_object_is_one_record_even_over_lines() {
        check(" {\"a\":1}\n", &["{\"a\":1}"]);
        check("{\n  \"a\": \"}\",\n  \"b\": [1]\n}\n", &["{\n  \"a\": \"}\",\n  \"b\": [1]\n}"]);
        check("\u{feff}{\"a\":1}", &["{\"a\":1}"]);
    }

    #[test]
    fn an_array_has_its_elements() {
        check("[{\"a\":\",]\"}, 17 ,{bad}, [1,2]]", &["{\"a\":\",]\"}", "17", "{bad}", "[1,2]"]);
        check("[\n{\"a\":1},\n{\"b\":2}\n]", &["{\"a\":1}", "{\"b\":2}"]);
        check("[]", &[]);
        check("[ ]", &[]);
        check("[1,,2]", &["1", "", "2"]);
        check("[1,2,]", &["1", "2"]);
    }

    #[test]
    fn ndjson_has_its_lines() {
        check("{\"a\":1}\n{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]);
        check("{\"a\":1}\r\n\r\n  \n{\"b\":2}\r\n\r\n", &["{\"a\":1}", "{\"b\":2}"]);
        check("{\"a\":1}\n{not json\n[1,2]\n", &["{\"a\":1}", "{not json", "[1,2]"]);
        check("[1,2]\n{\"a\":1}", &["[1,2]", "{\"a\":1}"]);
        check("{\nnothing\n5", &["{", "nothing", "5"]);
        check("null", &["null"]);
    }

    #[test]
    fn a_broken_line_does_not_swallow_the_rest() {
        check("{\"a\":{\n{\"b\":2}\n{\"c\":3}}}", &["{\"a\":{", "{\"b\":2}", "{\"c\":3}}}"]);
        check("{\"a\":\"\n{\"b\":2}", &["{\"a\":\"", "{\"b\":2}"]);
    }

    #[test]
    fn a_body_of_blanks_is_refused() {
        for body in ["", "\n\n", " \r\n\t"] {
            let error = split_batch(body.as_bytes(), 100).unwrap_err();
            assert!(matches!(error, BatchError::Empty(it) if it.code == Code::Empty));
        }
    }

    #[test]
    fn takes_the_last_record_allowed_and_refuses_the_next() {
        for (body, records) in
            [("{\"a\":[1,2,3]}\n\n\n\n{}\n{}", 3), ("[{\"a\":[1,2,3]},2,3]", 3), ("{\"a\":\n[1,2]}", 1)]
        {
            assert_eq!(split_batch(body.as_bytes(), records).unwrap().count(), records);
            let error = split_batch(body.as_bytes(), records - 1).unwrap_err();
            assert_eq!(error, BatchError::TooMany { records_max: records - 1 });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in r#"[\{\}\[\]"\\,\n1 ]{0,40}"#) {
            for body in [bytes.as_slice(), text.as_bytes()] {
                let _ = split_batch(body, 5).map(|it| it.count());
            }
        }
    }
}
