//! XML: its text as one, and each attribute.
//!
//! It reads like a reader that forgives: what is no markup is text. Nothing is fetched and no entity is expanded but the
//! five of the standard and those by number.

use crate::rule_set::RuleSet;
use crate::target::Collection;
use crate::transform::Transform;
use crate::values::Values;

/// Adds the text and the attributes; returns whether every tag was closed.
pub(super) fn collect(text: &[u8], set: &RuleSet, values: &mut Values) -> bool {
    let mut content = Vec::new();
    let mut work = Vec::new();
    let mut rest = text;
    let mut is_whole = true;
    while let Some(at) = memchr::memchr(b'<', rest) {
        push_decoded(&rest[..at], &mut content, &mut work);
        rest = &rest[at..];
        let (length, is_closed) = match rest {
            it if it.starts_with(b"<!--") => until(it, b"-->"),
            it if it.starts_with(b"<![CDATA[") => {
                let (length, is_closed) = until(it, b"]]>");
                content.extend_from_slice(&it[9..if is_closed { length - 3 } else { length }]);
                (length, is_closed)
            }
            it if it.starts_with(b"<?") => until(it, b"?>"),
            it if it.starts_with(b"<!") => declaration(it),
            it => tag(it, set, values, &mut work),
        };
        is_whole &= is_closed;
        rest = &rest[length..];
    }
    push_decoded(rest, &mut content, &mut work);
    if !content.is_empty() {
        values.push(set, Collection::XmlText, b"", &content);
    }
    is_whole
}

fn push_decoded(text: &[u8], content: &mut Vec<u8>, work: &mut Vec<u8>) {
    if memchr::memchr(b'&', text).is_none() {
        content.extend_from_slice(text);
        return;
    }
    decode(text, work);
    content.extend_from_slice(work);
}

fn decode(text: &[u8], out: &mut Vec<u8>) {
    // The one of the five that HTML lacked for long.
    const APOSTROPHE: &[u8] = b"&apos;";
    if memchr::memmem::find(text, APOSTROPHE).is_none() {
        return Transform::HtmlEntityDecode.apply(text, out);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(text, APOSTROPHE) {
        plain.extend_from_slice(&text[from..at]);
        plain.push(b'\'');
        from = at + APOSTROPHE.len();
    }
    plain.extend_from_slice(&text[from..]);
    Transform::HtmlEntityDecode.apply(&plain, out);
}

/// The length up to and with `end`, and whether it came.
fn until(text: &[u8], end: &[u8]) -> (usize, bool) {
    memchr::memmem::find(text, end).map_or((text.len(), false), |at| (at + end.len(), true))
}

/// A declaration, which may hold others in brackets.
fn declaration(text: &[u8]) -> (usize, bool) {
    let mut depth = 0_usize;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return (at + 1, true);
        }
    }
    (text.len(), false)
}

/// Reads a tag and adds its attributes; returns its length and whether it was closed.
fn tag(text: &[u8], set: &RuleSet, values: &mut Values, work: &mut Vec<u8>) -> (usize, bool) {
    let mut at = 1;
    loop {
        match text.get(at) {
            None => return (at, false),
            Some(b'>') => return (at + 1, true),
            Some(quote @ (b'"' | b'\'')) => {
                let inside = &text[at + 1..];
                let length = memchr::memchr(*quote, inside).unwrap_or(inside.len());
                decode(&inside[..length], work);
                values.push(set, Collection::XmlAttributes, b"", work);
                at = (at + 2 + length).min(text.len());
            }
            Some(_) => at += 1,
        }
    }
}
