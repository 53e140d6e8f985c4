//! The texts of an XML document: what stands between tags, and the values of attributes.
//!
//! A text is joined as parsers do: comments and instructions are left out, and sections of characters are text.

use crate::inspector::{At, Walk};
use crate::report::Unread;
use crate::value::Standing;

/// How much of a document is read.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// Takes a document apart.
pub(crate) fn walk(body: &[u8], walk: &mut Walk<'_>) {
    if DOCUMENT_BYTES_MAX < body.len() {
        walk.leave_unread(Unread::Length);
    }
    let body = &body[..body.len().min(DOCUMENT_BYTES_MAX)];
    walk.value(At::Body(b""), body, Standing::Whole);
    for_each(body, &mut |it| walk.value(At::Body(b""), it, Standing::Field));
}

/// Calls `found` for each text and each value of an attribute; what is broken is read as far as it goes.
fn for_each(document: &[u8], found: &mut dyn FnMut(&[u8])) {
    let (mut rest, mut joined) = (document, Vec::new());
    while let Some(open) = memchr::memchr(b'<', rest) {
        joined.extend_from_slice(&rest[..open]);
        let tag = &rest[open..];
        rest = if let Some(comment) = tag.strip_prefix(b"<!--") {
            until(comment, b"-->").1
        } else if let Some(section) = tag.strip_prefix(b"<![CDATA[") {
            let (text, behind) = until(section, b"]]>");
            joined.extend_from_slice(text);
            behind
        } else if let Some(instruction) = tag.strip_prefix(b"<?") {
            until(instruction, b"?>").1
        } else {
            tell(&mut joined, found);
            attributes(&tag[1..], found)
        };
    }
    joined.extend_from_slice(rest);
    tell(&mut joined, found);
}

/// Tells of a text unless it is blank, and begins the next.
fn tell(joined: &mut Vec<u8>, found: &mut dyn FnMut(&[u8])) {
    let text = joined.trim_ascii();
    if !text.is_empty() {
        found(text);
    }
    joined.clear();
}

/// What stands before `end`, and what behind; all is before an end that is missing.
fn until<'a>(text: &'a [u8], end: &[u8]) -> (&'a [u8], &'a [u8]) {
    memchr::memmem::find(text, end).map_or((text, &b""[..]), |at| (&text[..at], &text[at + end.len()..]))
}

/// Tells of the attributes of a tag; returns what stands behind it.
fn attributes<'a>(mut tag: &'a [u8], found: &mut dyn FnMut(&[u8])) -> &'a [u8] {
    while let Some(at) = memchr::memchr3(b'>', b'"', b'\'', tag) {
        let behind = &tag[at + 1..];
        if tag[at] == b'>' {
            return behind;
        }
        let (value, behind) = until(behind, &tag[at..=at]);
        if !is_plain_address(value) {
            found(value);
        }
        tag = behind;
    }
    b""
}

/// Whether a value is an address with nothing odd in it, as namespaces are.
fn is_plain_address(value: &[u8]) -> bool {
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_' | b':' | b'/' | b'#');
    value.starts_with(b"http") && value.iter().all(is_plain) && memchr::memmem::find(value, b"..").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: &[&str]) {
        let mut found = Vec::new();
        for_each(document.as_bytes(), &mut |it| found.push(String::from_utf8_lossy(it).into_owned()));
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn joins_texts_as_parsers_do() {
        check("<a>un<!-- x -->ion</a>", &["union"]);
        check("<a>un<![CDATA[ion]]> <![CDATA[select]]></a>", &["union select"]);
        check("<a>un<?x y?>ion</a>", &["union"]);
        check("<a>one<b/>two</a>", &["one", "two"]);
        check("<a><![CDATA[<b>]]></a> ", &["<b>"]);
    }

    #[test]
    fn reads_attributes_with_the_other_quote_and_brackets_in_them() {
        check("<a b=\"it's\" c='>\"' xmlns='http://x.example/a'>t</a>", &["it's", ">\"", "t"]);
        check("<a b='http://x.example/?q=1'/>", &["http://x.example/?q=1"]);
    }

    #[test]
    fn reads_what_is_broken_as_far_as_it_goes() {
        check("a<b c='d", &["a", "d"]);
        check("a<![CDATA[b", &["ab"]);
        check("a<!-- b", &["a"]);
        check("a<b", &["a"]);
        check("<<<<", &[]);
    }
}
