//! Bodies: forms, JSON, multipart and XML are read field by field; what is no text is not read as text.

use crate::inspector::{At, Walk, is_plain};
use crate::json;
use crate::request::Request;
use crate::value::Standing;

/// How many parts of a multipart body are read.
const PARTS_MAX: usize = 256;
/// How much of a file's content is read: what makes a server run it stands at its beginning.
const FILE_BYTES_MAX: usize = 4096;
/// Texts longer than this are not read as one value.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Takes a body apart.
pub(crate) fn walk(request: &Request<'_>, walk: &mut Walk<'_>) {
    let kind = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let body = request.body;
    let essence = kind.split(|it| *it == b';').next().unwrap_or_default().trim_ascii();
    match essence {
        b"application/x-www-form-urlencoded" => form_or_document(body, walk),
        b"multipart/form-data" | b"multipart/mixed" | b"multipart/related" => {
            // The boundary is read as written: it tells upper from lower case.
            match boundary_of(request.header("content-type").unwrap_or_default()) {
                Some(boundary) => multipart(body, boundary, walk),
                None => text(body, walk),
            }
        }
        _ if essence.ends_with(b"json")
            || essence.ends_with(b"x-json-stream")
            || essence.ends_with(b"ndjson")
            || essence.ends_with(b"csp-report") =>
        {
            document(body, walk)
        }
        _ if essence.ends_with(b"xml") => xml(body, walk),
        _ if essence.is_empty() || essence.starts_with(b"text/") => unknown(body, walk),
        // A serialised object is an attack whatever it is called.
        _ if body.starts_with(b"\xac\xed\x00\x05") => walk.value(At::Body(b""), b"aced0005", Standing::Content),
        _ => {}
    }
}

fn form_or_document(body: &[u8], walk: &mut Walk<'_>) {
    if json::may_be_document(body) && json::for_each(body, &mut |_| {}).is_none() {
        document(body, walk);
    } else if body.trim_ascii_start().starts_with(b"<?xml") {
        xml(body, walk);
    } else {
        walk.arguments(body, At::Body, Standing::Form);
    }
}

/// A body that does not say what it is.
fn unknown(body: &[u8], walk: &mut Walk<'_>) {
    if json::may_be_document(body) {
        document(body, walk);
    } else if body.trim_ascii_start().starts_with(b"<") {
        xml(body, walk);
    } else if is_form(body) {
        walk.arguments(body, At::Body, Standing::Form);
    } else {
        text(body, walk);
    }
}

fn is_form(body: &[u8]) -> bool {
    let name = body
        .iter()
        .take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'[' | b']' | b'.' | b'%'))
        .count();
    0 < name && body.get(name) == Some(&b'=') && memchr::memchr(b'\n', body).is_none()
}

fn text(body: &[u8], walk: &mut Walk<'_>) {
    if is_text(body) {
        walk.value(At::Body(b""), &body[..body.len().min(TEXT_BYTES_MAX)], Standing::Content);
    }
}

/// Whether bytes are text: hardly any control characters.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    let odd = head.iter().filter(|it| **it < b' ' && !matches!(it, b'\t' | b'\r' | b'\n')).count();
    odd * 50 <= head.len()
}

fn document(body: &[u8], walk: &mut Walk<'_>) {
    let mut plain = Vec::new();
    let mut leaves = Vec::new();
    let end = json::for_each(body, &mut |it| leaves.push(it));
    for leaf in leaves {
        plain.clear();
        json::unescape(leaf.text, &mut plain);
        if leaf.is_name && plain.starts_with(b"$") {
            // An operator of a query is known by its quotes: `{"$ne": 1}`.
            plain.insert(0, b'"');
            plain.push(b'"');
        }
        if !leaf.is_name || !is_plain(&plain) || plain == b"__proto__" {
            walk.value(At::Body(leaf.name), &plain, Standing::Field);
        }
    }
    if let Some(end) = end {
        text(&body[end.min(body.len())..], walk);
    }
}

fn boundary_of(kind: &[u8]) -> Option<&[u8]> {
    let lower = kind.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, b"boundary=")? + 9;
    let rest = &kind[at..];
    let boundary = match rest.strip_prefix(b"\"") {
        Some(quoted) => &quoted[..memchr::memchr(b'"', quoted)?],
        None => rest[..memchr::memchr2(b';', b',', rest).unwrap_or(rest.len())].trim_ascii(),
    };
    (!boundary.is_empty()).then_some(boundary)
}

fn multipart(body: &[u8], boundary: &[u8], walk: &mut Walk<'_>) {
    let mut fence = b"--".to_vec();
    fence.extend_from_slice(boundary);
    let finder = memchr::memmem::Finder::new(&fence);
    let places: Vec<usize> = finder.find_iter(body).take(PARTS_MAX).collect();
    for (number, begin) in places.iter().enumerate() {
        let end = places.get(number + 1).copied().unwrap_or(body.len());
        let part = &body[(begin + fence.len()).min(end)..end];
        if part.starts_with(b"--") {
            break;
        }
        let (head, content) = match memchr::memmem::find(part, b"\r\n\r\n") {
            Some(at) => (&part[..at], &part[at + 4..]),
            None => match memchr::memmem::find(part, b"\n\n") {
                Some(at) => (&part[..at], &part[at + 2..]),
                None => (part, &b""[..]),
            },
        };
        let content = content.strip_suffix(b"\r\n").unwrap_or(content);
        let name = parameter(head, b"name=").unwrap_or_default();
        if !is_plain(name) {
            walk.value(At::Body(name), name, Standing::Field);
        }
        match parameter(head, b"filename=") {
            Some(file) => {
                walk.value(At::Body(name), file, Standing::Field);
                let head = &content[..content.len().min(FILE_BYTES_MAX)];
                if !file.is_empty() && is_code(head) {
                    walk.value(At::Body(name), head, Standing::Content);
                }
            }
            None if is_text(content) => walk.value(At::Body(name), content, Standing::Field),
            None => {}
        }
    }
}

/// Whether a file has what a server would run, wherever it hides: pictures may carry it, too.
fn is_code(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"<?php").is_some()
        || memchr::memmem::find(head, b"<?=").is_some()
        || memchr::memmem::find(head, b"<%").is_some()
        || (head.trim_ascii_start().starts_with(b"<") && is_text(head))
}

/// A parameter of the head of a part, by its name with `=`; not one whose name merely ends so.
fn parameter<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let lower = head.to_ascii_lowercase();
    let at = memchr::memmem::find_iter(&lower, name).find(|at| *at == 0 || !lower[at - 1].is_ascii_alphanumeric())?;
    let rest = &head[at + name.len()..];
    Some(match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            &quoted[..quoted
                .iter()
                .enumerate()
                .position(|(at, it)| *it == b'"' && (at == 0 || quoted[at - 1] != b'\\'))
                .unwrap_or(quoted.len())]
        }
        None => &rest[..rest.iter().position(|it| matches!(it, b';' | b'\r' | b'\n' | b' ')).unwrap_or(rest.len())],
    })
}

fn xml(body: &[u8], walk: &mut Walk<'_>) {
    let body = &body[..body.len().min(TEXT_BYTES_MAX)];
    walk.value(At::Body(b""), body, Standing::Whole);
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'<', &body[at..]) {
        let text = &body[at..at + open];
        if !text.trim_ascii().is_empty() {
            walk.value(At::Body(b""), text.trim_ascii(), Standing::Field);
        }
        let tag = &body[at + open..];
        if let Some(data) = tag.strip_prefix(b"<![CDATA[") {
            let end = memchr::memmem::find(data, b"]]>").unwrap_or(data.len());
            walk.value(At::Body(b""), &data[..end], Standing::Field);
            at += open + 9 + end;
            continue;
        }
        let end = memchr::memchr(b'>', tag).unwrap_or(tag.len());
        for value in
            tag[..end].split(|it| matches!(it, b'"' | b'\'')).skip(1).step_by(2).filter(|it| !it.starts_with(b"http"))
        {
            walk.value(At::Body(b""), value, Standing::Field);
        }
        at = (at + open + end + 1).min(body.len());
    }
    if !body[at..].trim_ascii().is_empty() {
        walk.value(At::Body(b""), body[at..].trim_ascii(), Standing::Field);
    }
}
