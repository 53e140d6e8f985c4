//! Bodies in parts: fields and files, each with a head of its own.
//!
//! Where servers differ, the reading is taken in which more is inspected.

use crate::body::{field, stated_alphabet, text};
use crate::decode;
use crate::foreign::Alphabet;
use crate::inspector::{At, Walk, is_plain};
use crate::report::Unread;
use crate::value::Standing;

/// How many parts of a body are read one by one.
const PARTS_MAX: usize = 256;
/// How much of a file's content is read: what makes a server run it stands at its beginning.
const FILE_BYTES_MAX: usize = 4096;
/// How many boundaries of one body are tried.
const BOUNDARIES_MAX: usize = 4;
/// How many boundaries that a type names are looked for: most name one.
const SAID_MAX: usize = 2 * BOUNDARIES_MAX;
/// The longest boundary that is guessed from a body. Source: RFC 2046, section 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Takes a body apart; `kind` is its content type as sent.
pub(crate) fn walk(body: &[u8], kind: &[u8], walk: &mut Walk<'_>) {
    let mut boundaries = said(kind);
    if SAID_MAX < boundaries.len() {
        walk.leave_unread(Unread::Length);
        boundaries.truncate(SAID_MAX);
    }
    boundaries.extend(guessed(body).map(<[u8]>::to_vec));
    let mut readings: Vec<Vec<Fence>> = Vec::new();
    for (at, boundary) in boundaries.iter().enumerate() {
        let is_new = !boundary.is_empty() && !boundaries[..at].contains(boundary);
        let fences = if is_new { fences(body, boundary) } else { Vec::new() };
        if !fences.is_empty() {
            readings.push(fences);
        }
    }
    if readings.is_empty() {
        return text(body, walk);
    }
    if BOUNDARIES_MAX < readings.len() {
        walk.leave_unread(Unread::Length);
    }
    for fences in readings.iter().take(BOUNDARIES_MAX) {
        parts(body, fences, walk);
    }
}

/// The boundaries that a type names: servers differ in which of several they take, and in whether they know the long way to
/// write one, `boundary*0=a; boundary*1=b` and `boundary*=utf-8''ab`.
///
/// Source: RFC 2231, sections 3 and 4.
fn said(kind: &[u8]) -> Vec<Vec<u8>> {
    let (mut said, mut joined) = (Vec::new(), Vec::new());
    for (name, value) in parameters(kind, b";,") {
        let Some(way) = name.get(8..).filter(|_| name[..8].eq_ignore_ascii_case(b"boundary")) else { continue };
        let value = if way.ends_with(b"*") { extended(value) } else { value.to_vec() };
        match way {
            b"" | b"*" => said.push(value),
            [b'*', b'0'..=b'9', ..] => joined.extend(value),
            _ => {}
        }
    }
    said.push(joined);
    said
}

/// A value that may have its alphabet and language before it, and percent-encoding in it.
fn extended(value: &[u8]) -> Vec<u8> {
    let text = value.splitn(3, |it| *it == b'\'').nth(2).unwrap_or(value);
    let mut out = Vec::new();
    if !decode::percent(text, false, &mut out) {
        out = text.to_vec();
    }
    out
}

/// Reads the parts between the fences of one boundary.
fn parts(body: &[u8], fences: &[Fence], walk: &mut Walk<'_>) {
    for (number, fence) in fences.iter().enumerate() {
        let end = fences.get(number + 1).map_or(body.len(), |it| it.begin);
        if number == PARTS_MAX {
            return text(&body[fence.end..], walk);
        }
        // What follows the last fence is nothing, and a fence may follow it for a server that looks on.
        if !fence.is_last {
            part(&body[fence.end..end], walk);
        }
    }
}

/// A line between two parts.
#[derive(Clone, Copy, Debug)]
struct Fence {
    /// Where the line begins.
    begin: usize,
    /// Where the part behind it begins.
    end: usize,
    /// Whether no part should follow: `--boundary--`.
    is_last: bool,
}

/// The fences of a body, up to one more than are read: lines that have the boundary and nothing else.
fn fences(body: &[u8], boundary: &[u8]) -> Vec<Fence> {
    let line = [b"--", boundary].concat();
    let is_begin = |at: usize| at == 0 || matches!(body[at - 1], b'\n' | b'\r');
    let fence_at = |begin: usize| {
        let rest = &body[begin + line.len()..];
        let is_last = rest.starts_with(b"--");
        let rest = if is_last { &rest[2..] } else { rest };
        let blank = rest.iter().take_while(|it| matches!(it, b' ' | b'\t')).count();
        let is_end = rest.get(blank).is_none_or(|it| matches!(it, b'\r' | b'\n'));
        let broken = rest[blank.min(rest.len())..].starts_with(b"\r\n");
        let end = body.len() - rest.len() + blank + if broken { 2 } else { 1 };
        is_end.then_some(Fence { begin, end: end.min(body.len()), is_last })
    };
    memchr::memmem::find_iter(body, &line).filter(|at| is_begin(*at)).filter_map(fence_at).take(PARTS_MAX + 1).collect()
}

/// The boundary as the first line has it, for a body whose type does not say it.
fn guessed(body: &[u8]) -> Option<&[u8]> {
    let line = body.split(|it| matches!(it, b'\r' | b'\n')).next()?.strip_prefix(b"--")?.trim_ascii();
    (!line.is_empty() && line.len() <= BOUNDARY_BYTES_MAX).then_some(line)
}

fn part(part: &[u8], walk: &mut Walk<'_>) {
    let (head, content) = halves(part);
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    let (mut name, mut file, mut is_file) = (&b""[..], None, true);
    // A server that knows no folded lines sees other parameters.
    let is_folded = head.windows(2).any(|it| matches!(it[0], b'\n' | b'\r') && matches!(it[1], b' ' | b'\t'));
    let head = unfolded(head);
    let dispositions = head.split(|it| *it == b'\n').filter_map(disposition_of);
    let mut count = 0;
    for disposition in dispositions {
        count += 1;
        let mut named = None;
        for (parameter, value) in parameters(disposition, b";") {
            match parameter.to_ascii_lowercase().as_slice() {
                b"name" if name.is_empty() => name = value,
                b"filename" => named = named.or(Some(value)),
                b"filename*" | b"name*" => walk.value(At::Body(name), value, Standing::Field),
                _ => {}
            }
        }
        is_file &= !is_folded && is_file_to_all(disposition);
        file = file.or(named);
    }
    if !is_plain(name) {
        walk.value(At::Body(name), name, Standing::Field);
    }
    if let Some(file) = file {
        walk.value(At::Body(name), file, Standing::Field);
    }
    if !is_file || count == 0 {
        return coded_field(&head, content, At::Body(name), walk);
    }
    let head = &content[..content.len().min(FILE_BYTES_MAX)];
    if is_code(head) {
        walk.value(At::Body(name), head, Standing::Content);
    }
}

/// Whether every server finds the name of a file in a disposition: each parameter stands behind `;` and before `=`, nothing is
/// escaped before it, and none of its names is empty.
fn is_file_to_all(disposition: &[u8]) -> bool {
    let is_odd = |it: &u8| *it < b' ' && *it != b'\t';
    let Some(semicolon) = memchr::memchr(b';', disposition).filter(|_| !disposition.iter().any(is_odd)) else {
        return false;
    };
    let (word, mut rest) = (disposition[..semicolon].trim_ascii(), &disposition[semicolon..]);
    let mut is_file = false;
    while let Some(parameter) = rest.strip_prefix(b";") {
        let parameter = parameter.trim_ascii_start();
        if parameter.is_empty() {
            break;
        }
        let Some((name, value, behind)) = strict_parameter(parameter) else { return false };
        let is_name_of_file = name.eq_ignore_ascii_case(b"filename");
        if is_name_of_file && value.trim_ascii().is_empty() || !is_file && !is_name_of_file && value.contains(&b'\\') {
            return false;
        }
        is_file |= is_name_of_file;
        rest = behind.trim_ascii_start();
    }
    is_file && word.iter().all(|it| it.is_ascii_alphanumeric() || *it == b'-')
}

/// A parameter that can be read in one way only, its value, and what follows: the end, or a semicolon.
fn strict_parameter(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = text.iter().position(|it| matches!(it, b'=' | b';' | b'"' | b'\'') || it.is_ascii_whitespace())?;
    let (name, behind) = text.split_at(length);
    let value = behind.strip_prefix(b"=")?;
    let (value, behind) = match value.strip_prefix(b"\"") {
        Some(quoted) => {
            let (value, behind) = quoted.split_at(quote_end(quoted).min(quoted.len()));
            (value, behind.strip_prefix(b"\"")?)
        }
        None => value.split_at(memchr::memchr(b';', value).unwrap_or(value.len())),
    };
    let is_quoted = text.get(length + 1) == Some(&b'"');
    let is_one = is_quoted || !value.trim_ascii_end().iter().any(|it| matches!(it, b'"' | b'\'' | b' ' | b'\t'));
    let is_end = behind.trim_ascii_start().first().is_none_or(|it| *it == b';');
    (is_one && is_end).then_some((name, value, behind))
}

/// A field as it stands there, and as its own head says that it is written.
fn coded_field(head: &[u8], content: &[u8], at: At<'_>, walk: &mut Walk<'_>) {
    field(content, at, walk);
    let of = |name: &'static [u8]| head.split(|it| *it == b'\n').find_map(|it| value_of(it, name));
    let alphabet = of(b"content-type").map_or(Alphabet::Common, stated_alphabet);
    let coding = of(b"content-transfer-encoding").unwrap_or_default();
    if alphabet == Alphabet::Unknown {
        walk.leave_unread(Unread::Charset);
    }
    if let Some(text) = alphabet.to_utf8(content) {
        field(&text, at, walk);
    }
    // Base64 is undone in every value.
    if coding.trim_ascii().eq_ignore_ascii_case(b"quoted-printable") {
        field(&unquoted(content), at, walk);
    }
}

/// Undoes quoted-printable; what is broken stays. Source: RFC 2045, section 6.7.
fn unquoted(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")) {
            rest = behind;
        } else if let Some((code, behind)) = code_of(rest) {
            out.push(code);
            rest = behind;
        } else {
            out.push(b'=');
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The byte that two digits stand for, and what follows.
fn code_of(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, behind) = text.split_at_checked(2)?;
    let digit = |it: u8| char::from(it).to_digit(16);
    let code = digit(digits[0])? << 4 | digit(digits[1])?;
    Some((u8::try_from(code).ok()?, behind))
}

/// The head of a part and its content: the first empty line is between them. A part without one is content.
fn halves(part: &[u8]) -> (&[u8], &[u8]) {
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', part) {
        if part[begin..end].iter().all(|it| *it == b'\r') {
            return (&part[..begin], &part[end + 1..]);
        }
        begin = end + 1;
    }
    (b"", part)
}

/// A head with each field on one line.
fn unfolded(head: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(head.len());
    for line in head.split(|it| matches!(it, b'\n' | b'\r')).filter(|it| !it.is_empty()) {
        if !lines.is_empty() {
            lines.push(if matches!(line[0], b' ' | b'\t') { b' ' } else { b'\n' });
        }
        lines.extend_from_slice(line);
    }
    lines
}

/// What a line says of how a part is to be taken.
fn disposition_of(line: &[u8]) -> Option<&[u8]> {
    value_of(line, b"content-disposition")
}

/// The value of a line if it is the field `name`.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let colon = memchr::memchr(b':', line)?;
    line[..colon].trim_ascii().eq_ignore_ascii_case(name).then_some(&line[colon + 1..])
}

/// The parameters behind the first word of a field: names as written, values without quotes. One of `ends` is between two.
pub(crate) fn parameters<'a>(field: &'a [u8], ends: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let is_between = |it: &u8| ends.contains(it) || it.is_ascii_whitespace();
    let mut rest =
        &field[field.trim_ascii_start().iter().position(is_between).unwrap_or(field.len()).min(field.len())..];
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.iter().take_while(|it| is_between(it)).count()..];
            if rest.is_empty() {
                return None;
            }
            let length = rest.iter().position(|it| *it == b'=' || is_between(it)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(length);
            let Some(value) = behind.trim_ascii_start().strip_prefix(b"=") else {
                rest = behind;
                continue;
            };
            let value = value.trim_ascii_start();
            let (value, behind) = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted.split_at(quote_end(quoted)),
                None => value.split_at(value.iter().position(|it| ends.contains(it)).unwrap_or(value.len())),
            };
            rest = behind.strip_prefix(b"\"").unwrap_or(behind);
            return Some((name, value.trim_ascii()));
        }
    })
}

/// Where a quoted text ends whose first quote is left out.
fn quote_end(quoted: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = quoted.get(at..).and_then(|it| memchr::memchr2(b'"', b'\\', it)) {
        at += found;
        if quoted[at] == b'"' {
            return at;
        }
        at += 2;
    }
    quoted.len()
}

/// Whether a file has what a server would run, wherever it hides: pictures may carry it, too.
fn is_code(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"<?php").is_some()
        || memchr::memmem::find(head, b"<?=").is_some()
        || memchr::memmem::find(head, b"<%").is_some()
        || (head.trim_ascii_start().starts_with(b"<") && crate::body::is_text(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, expected: &[(&str, &str)]) {
        let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
        let actual: Vec<_> = parameters(field.as_bytes(), b";,").map(|it| (text(it.0), text(it.1))).collect();
        let expected: Vec<_> = expected.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
        assert_eq!(actual, expected, "{field}");
    }

    #[test]
    fn reads_parameters_as_servers_do() {
        check("", &[]);
        check("multipart/form-data", &[]);
        check("multipart/form-data; boundary=b", &[("boundary", "b")]);
        check("multipart/form-data, boundary=b", &[("boundary", "b")]);
        check("multipart/form-data;; x ; Boundary = \"b c\" ;y=z", &[("Boundary", "b c"), ("y", "z")]);
        check(
            "m; xboundary=a; a=\"; boundary=c\\\"\"; boundary=b",
            &[("xboundary", "a"), ("a", "; boundary=c\\\""), ("boundary", "b")],
        );
        check("m; boundary=\"open", &[("boundary", "open")]);
        check("m; boundary=", &[("boundary", "")]);
    }

    #[test]
    fn a_file_is_one_to_every_server_or_none() {
        for (disposition, expected) in [
            ("form-data; name=q; filename=x", true),
            ("form-data; name=\"q\"; filename=\"C:\\dir\\x \\\"1\\\".txt\" ; a=b;", true),
            ("attachment;FileName=x", true),
            ("form-data; name=\"O'Neill; x\"; filename=\"it's\"", true),
            ("form-data; name=q; filename =x", false),
            ("form-data; name=q filename=x", false),
            ("form-data; name=\"q\" filename=\"x\"", false),
            ("form-data; name=\"a\\\"; filename=\"x\"; name=\"q\"", false),
            ("form-data; name=\"a\\\\\"; filename=\"x\"; name=\"q\"", false),
            ("form-data; name='q; filename=x; a='", false),
            ("form-data; name=q; filename=\"\"; filename=x", false),
            ("form-data; name=q; filename=x; filename=\" \"", false),
            ("form-data; name=q; filename*=x", false),
            ("form-data; name=q\0; filename=x", false),
            ("form-data name=q; filename=x", false),
            ("filename=x; name=q", false),
            ("form-data; filename", false),
            ("form-data; filename=\"x", false),
            ("form-data; name=q", false),
            ("", false),
        ] {
            assert_eq!(is_file_to_all(disposition.as_bytes()), expected, "{disposition}");
        }
    }

    #[test]
    fn undoes_quoted_printable() {
        for (text, expected) in
            [(&b"=27 or=20=\r\n1=3d1=\n=3B=zz="[..], &b"' or 1=1;=zz="[..]), (b"plain", b"plain"), (b"=4", b"=4")]
        {
            assert_eq!(unquoted(text), expected);
        }
    }

    #[test]
    fn finds_each_boundary_that_a_type_names() {
        for (kind, expected) in [
            ("m; boundary=a; boundary=b", &["a", "b", ""][..]),
            ("m; boundary*=utf-8''%61b", &["ab", ""]),
            ("m; boundary*0=a; boundary*1*=%62; boundary=c", &["c", "ab"]),
            ("m; boundaryx=a; bound=b", &[""]),
        ] {
            let actual: Vec<String> =
                said(kind.as_bytes()).iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
            assert_eq!(actual, expected, "{kind}");
        }
    }
}
