//! Bodies: forms and JSON are read field by field here, what has parts by `multipart`, XML by `xml`; what is no text is not read as text.

use std::borrow::Cow;

use crate::charset;
use crate::coding;
use crate::decode;
use crate::foreign::Alphabet;
use crate::inspector::{At, Walk, is_plain};
use crate::json;
use crate::multipart;
use crate::report::Unread;
use crate::request::Request;
use crate::value::Standing;
use crate::xml;

/// Texts longer than this are not read as one value.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// Fields up to this length are read as text whatever is in them.
const FIELD_BYTES_MAX: usize = 4 << 10;
/// The shortest part of a field that is read by itself: in random bytes there are hardly any of it.
const LEGIBLE_BYTES_MIN: usize = 8;
/// How much is looked at to tell whether bytes are text.
const SAMPLE_BYTES: usize = 1024;
/// What some editors write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes a body apart. The query is read in the alphabet that the body is in, and without a body in the one that is stated.
pub(crate) fn walk(request: &Request<'_>, walk: &mut Walk<'_>) {
    let kind = request.header("content-type").unwrap_or_default();
    if request.body.is_empty() {
        return foreign_query(request.target, stated_alphabet(kind), walk);
    }
    let plain = coding::undo(request);
    if plain.is_sealed || plain.is_torn {
        walk.leave_unread(Unread::Encoding);
    } else if plain.is_cut {
        walk.leave_unread(Unread::Length);
    }
    whole(request.target, &plain.bytes, kind, walk);
    if matches!(plain.bytes, Cow::Owned(_)) {
        as_sent(request.body, kind, walk);
    }
}

/// Reads a body that is undone, in each of its alphabets.
fn whole(target: &[u8], bytes: &[u8], kind: &[u8], walk: &mut Walk<'_>) {
    let utf8 = charset::to_utf8(bytes);
    let body = utf8.as_deref().unwrap_or(bytes);
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let declared = Alphabet::declared(body);
    let alphabet = if declared == Alphabet::Common { stated_alphabet(kind) } else { declared };
    if alphabet == Alphabet::Unknown {
        walk.leave_unread(Unread::Charset);
    }
    // Servers that do not know an alphabet read on as if none were named, so both readings count.
    let unread = *walk.unread();
    typed(body, kind, walk);
    foreign_query(target, alphabet, walk);
    if matches!(alphabet, Alphabet::Ebcdic(_) | Alphabet::Utf7) {
        if let Some(other) = alphabet.to_utf8(body) {
            *walk.unread() = unread;
            typed(&other, kind, walk);
        }
        pieces(body, alphabet, At::Body, walk);
    }
}

/// Reads a compressed body as a server does that does not look whether it is: as parts, or as a form between whose arguments is
/// noise. What is not text there is no loss.
fn as_sent(body: &[u8], kind: &[u8], walk: &mut Walk<'_>) {
    let unread = *walk.unread();
    if essence_of(kind).starts_with(b"multipart/") || is_text_throughout(body) {
        typed(body, kind, walk);
    } else {
        for argument in body.split(|it| *it == b'&') {
            if is_text(argument) && is_text_throughout(argument) {
                walk.arguments(argument, At::Body, Standing::Form);
            } else {
                legible(argument).for_each(|it| walk.arguments(it, At::Body, Standing::Form));
            }
        }
    }
    *walk.unread() = unread;
}

/// Reads the query in an alphabet that is no extension of ASCII.
fn foreign_query(target: &[u8], alphabet: Alphabet, walk: &mut Walk<'_>) {
    if let (Alphabet::Ebcdic(_) | Alphabet::Utf7, Some(at)) = (alphabet, memchr::memchr(b'?', target)) {
        pieces(&target[at + 1..], alphabet, At::Query, walk);
    }
}

/// The alphabet that a type of content names; of several the one in which more may hide.
pub(crate) fn stated_alphabet(kind: &[u8]) -> Alphabet {
    let charsets = multipart::parameters(kind, b";,").filter(|it| it.0.eq_ignore_ascii_case(b"charset"));
    charsets.map(|it| Alphabet::of_name(it.1)).find(|it| *it != Alphabet::Common).unwrap_or(Alphabet::Common)
}

/// Arguments whose values are in another alphabet, each in percent-encoding.
fn pieces<'a>(arguments: &'a [u8], alphabet: Alphabet, at: impl Fn(&'a [u8]) -> At<'a>, walk: &mut Walk<'_>) {
    for argument in arguments.split(|it| *it == b'&') {
        let equals = memchr::memchr(b'=', argument);
        let (name, value) = equals.map_or((&b""[..], argument), |it| (&argument[..it], &argument[it + 1..]));
        let mut bytes = Vec::new();
        if !decode::percent(value, false, &mut bytes) {
            bytes.extend_from_slice(value);
        }
        if let Some(text) = alphabet.to_utf8(&bytes) {
            walk.value(at(name), &text, Standing::Field);
        }
    }
}

/// Reads a body as its type says.
fn typed(body: &[u8], kind: &[u8], walk: &mut Walk<'_>) {
    let essence = essence_of(kind);
    match essence.as_slice() {
        b"application/x-www-form-urlencoded" => form_or_document(body, walk),
        it if it.starts_with(b"multipart/") => multipart::walk(body, kind, walk),
        // Nobody says what it is, so its server takes it for what it wants.
        it if matches!(it, b"" | b"text/plain") && is_noise(body) => field(body, At::Body(b""), walk),
        it if it.is_empty() || it.starts_with(b"text/") => unknown(body, walk),
        it if it.ends_with(b"csp-report") || memchr::memmem::find(it, b"json").is_some() => stated(body, walk),
        it if it.ends_with(b"xml") => xml::walk(body, walk),
        // A serialised object is an attack whatever it is called.
        _ if body.starts_with(b"\xac\xed\x00\x05") => walk.value(At::Body(b""), b"aced0005", Standing::Content),
        // Programs are sent to be kept, and are full of what else only attacks have.
        it if memchr::memmem::find(it, b"script").is_some() && !begins_as_document(body) => {
            walk.leave_unread(Unread::Type);
        }
        _ if is_text_throughout(body) => unknown(body, walk),
        _ => walk.leave_unread(Unread::Type),
    }
}

/// The type itself in lower case: what stands before parameters, and before what servers forgive.
fn essence_of(kind: &[u8]) -> Vec<u8> {
    let is_end = |it: &u8| matches!(it, b';' | b',') || it.is_ascii_whitespace();
    kind.trim_ascii_start().split(is_end).next().unwrap_or_default().to_ascii_lowercase()
}

/// A body that is called JSON; some servers read a form under that name.
fn stated(body: &[u8], walk: &mut Walk<'_>) {
    if is_form(body) || body.trim_ascii_start().starts_with(b"<") { unknown(body, walk) } else { document(body, walk) }
}

/// Whether a body is neither text nor anything that is told by its begin.
fn is_noise(body: &[u8]) -> bool {
    !is_text_throughout(body) && !begins_as_document(body) && !is_form(body)
}

fn begins_as_document(body: &[u8]) -> bool {
    json::may_be_document(body) || body.trim_ascii_start().starts_with(b"<")
}

fn form_or_document(body: &[u8], walk: &mut Walk<'_>) {
    if json::may_be_document(body) && json::is_document(body) {
        document(body, walk);
    } else if body.trim_ascii_start().starts_with(b"<?xml") {
        xml::walk(body, walk);
    } else {
        walk.arguments(body, At::Body, Standing::Form);
    }
}

/// A body that does not say what it is.
fn unknown(body: &[u8], walk: &mut Walk<'_>) {
    if json::may_be_document(body) {
        document(body, walk);
    } else if body.trim_ascii_start().starts_with(b"<") {
        xml::walk(body, walk);
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

/// A body as one text.
pub(crate) fn text(body: &[u8], walk: &mut Walk<'_>) {
    if TEXT_BYTES_MAX < body.len() {
        walk.leave_unread(Unread::Length);
    }
    if is_text(body) {
        walk.value(At::Body(b""), &body[..body.len().min(TEXT_BYTES_MAX)], Standing::Content);
    } else {
        walk.leave_unread(Unread::Type);
    }
}

/// A field that its server takes for a text, whatever bytes are in it: of a long one that is hardly text its legible parts are read.
pub(crate) fn field(content: &[u8], at: At<'_>, walk: &mut Walk<'_>) {
    let utf8 = charset::to_utf8(content);
    let content = utf8.as_deref().unwrap_or(content);
    if content.len() <= FIELD_BYTES_MAX || is_text_throughout(content) {
        return walk.value(at, content, Standing::Field);
    }
    legible(content).for_each(|it| walk.value(at, it, Standing::Field));
}

/// The parts of bytes that can be read.
fn legible(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_legible = |it: &u8| matches!(it, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    content.split(move |it| !is_legible(it)).filter(|it| LEGIBLE_BYTES_MIN <= it.len())
}

/// Whether bytes are text: hardly any control characters.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let odd = head.iter().filter(|it| **it < b' ' && !matches!(it, b'\t' | b'\r' | b'\n')).count();
    odd * 50 <= head.len()
}

/// Whether bytes are text at their beginning, in their middle and at their end.
fn is_text_throughout(bytes: &[u8]) -> bool {
    let middle = bytes.len() / 2;
    is_text(bytes) && is_text(&bytes[middle..]) && is_text(&bytes[bytes.len().saturating_sub(SAMPLE_BYTES)..])
}

fn document(body: &[u8], walk: &mut Walk<'_>) {
    let mut plain = Vec::new();
    let end = json::for_each(body, &mut |leaf| {
        plain.clear();
        json::unescape(leaf.text, &mut plain);
        if leaf.is_name && plain.starts_with(b"$") {
            // An operator of a query is known by its quotes: `{"$ne": 1}`.
            plain.insert(0, b'"');
            plain.push(b'"');
        }
        if !leaf.is_name || !is_plain(&plain) || plain == b"__proto__" {
            walk.value(At::Body(leaf.path), &plain, Standing::Field);
        }
    });
    if let Some(end) = end {
        text(&body[end.min(body.len())..], walk);
    }
}
