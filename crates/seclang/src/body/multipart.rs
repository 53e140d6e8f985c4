//! Forms with files: parts between boundaries, each with header lines of its own.

use super::Faults;
use crate::head;
use crate::rule_set::RuleSet;
use crate::target::Collection;
use crate::values::Values;

/// The longest boundary, in bytes. Source: RFC 2046, section 5.1.1, and room for those that do not keep to it.
const BOUNDARY_BYTES_MAX: usize = 256;

/// Adds fields as arguments, files by their names, and the header lines of all parts.
pub(super) fn collect(content_type: &[u8], body: &[u8], set: &RuleSet, values: &mut Values) -> Faults {
    let Some(boundary) = boundary(content_type) else { return Faults { is_broken: true, is_ambiguous: true } };
    let delimiter = [b"--".as_slice(), &boundary].concat();
    let mut marks = memchr::memmem::find_iter(body, &delimiter).filter(|at| is_line_start(body, *at)).peekable();
    let mut faults = Faults { is_broken: marks.peek().is_none(), is_ambiguous: false };
    while let Some(at) = marks.next() {
        let from = at + delimiter.len();
        if body[from..].starts_with(b"--") {
            return faults;
        }
        let to = marks.peek().copied().unwrap_or(body.len());
        faults.is_ambiguous |= !part(line_end_before(&body[from..to]), set, values);
        if values.is_full {
            return faults;
        }
    }
    // The last boundary never came.
    faults.is_broken = true;
    faults
}

/// The boundary that a content type names.
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(&content_type.to_ascii_lowercase(), b"boundary")? + b"boundary".len();
    let value = content_type[at..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let value = match value.strip_prefix(b"\"") {
        Some(inside) => head::split_once(inside, b'"').0,
        None => head::split_once(head::split_once(value, b';').0, b',').0.trim_ascii(),
    };
    (!value.is_empty() && value.len() <= BOUNDARY_BYTES_MAX).then(|| value.to_vec())
}

fn is_line_start(body: &[u8], at: usize) -> bool {
    at == 0 || body[at - 1] == b'\n'
}

/// The text without the line end before the next boundary.
fn line_end_before(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Adds a part; returns whether its header is as it should be. `text` begins behind the boundary.
fn part(text: &[u8], set: &RuleSet, values: &mut Values) -> bool {
    let mut rest = head::split_once(text, b'\n').1.unwrap_or_default();
    let mut headers: Vec<Vec<u8>> = Vec::new();
    loop {
        let (line, after) = head::split_once(rest, b'\n');
        rest = after.unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match headers.last_mut() {
            _ if line.is_empty() => break,
            // A line that begins with white space continues the one before.
            Some(header) if line[0].is_ascii_whitespace() => header.extend_from_slice(line),
            _ => headers.push(line.to_vec()),
        }
        if after.is_none() {
            break;
        }
    }
    let disposition = headers.iter().find(|it| is_named(it, b"content-disposition"));
    let name = disposition.and_then(|it| parameter(it, b"name")).unwrap_or_default();
    let filename = disposition.and_then(|it| parameter(it, b"filename"));
    for header in &headers {
        values.push(set, Collection::MultipartPartHeaders, &name, header);
    }
    match filename {
        Some(filename) => {
            values.push(set, Collection::Files, &name, &filename);
            values.push(set, Collection::FilesNames, &name, &name);
            values.push(set, Collection::FilesSizes, &name, rest.len().to_string().as_bytes());
        }
        None => {
            values.push(set, Collection::ArgsPost, &name, rest);
            values.push(set, Collection::ArgsPostNames, &name, &name);
        }
    }
    disposition.is_some()
}

fn is_named(line: &[u8], name: &[u8]) -> bool {
    head::split_once(line, b':').0.trim_ascii().eq_ignore_ascii_case(name)
}

/// The value of a parameter, in quotes or not; `\"` in quotes is a quote.
fn parameter(line: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = head::split_once(line, b';').1?;
    loop {
        let at = rest.iter().position(|it| !it.is_ascii_whitespace() && *it != b';')?;
        rest = &rest[at..];
        let end = rest.iter().position(|it| matches!(it, b'=' | b';')).unwrap_or(rest.len());
        let found = rest[..end].trim_ascii();
        let Some(after) = rest[end..].strip_prefix(b"=") else {
            rest = &rest[end..];
            continue;
        };
        let (value, after) = value(after.trim_ascii_start());
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

fn value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(inside) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|it| *it == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii().to_vec(), &text[end..]);
    };
    let mut value = Vec::new();
    let mut at = 0;
    while let Some(byte) = inside.get(at) {
        match (byte, inside.get(at + 1)) {
            (b'"', _) => return (value, &inside[at + 1..]),
            (b'\\', Some(b'"')) => {
                value.push(b'"');
                at += 2;
            }
            (it, _) => {
                value.push(*it);
                at += 1;
            }
        }
    }
    (value, &[])
}
