//! The common and the combined log format of Apache and nginx, with or without the virtual host before them.
//!
//! ```text
//! [host:port] client ident user [10/Oct/2000:13:55:36 -0700] "request" status bytes ["referer" "agent" ...]
//! ```
//!
//! A line needs its time, its quoted request and its status; everything in them may be garbage. A request that
//! is none (TLS bytes, an empty line) is an event without method and path whose message is what was sent. A
//! client that is a name goes to `host`. A user may contain blanks. Escapes (`\"`, `\xHH`) are resolved in the
//! fields and kept in the original. Log source: category `webserver`, complete; which product, it does not say.
//!
//! Source: Apache HTTP Server, "Log Files"; nginx, `ngx_http_log_module`.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use model::entity::parse_ip;
use model::event::{Original, TextField};
use model::time::{Civil, Timestamp, UtcOffset, number};

use crate::draft::Draft;
use crate::formats::{Format, Read};
use crate::framing::Framing;
use crate::member::status_of;
use crate::quote;
use crate::reading::Reading;
use crate::refusal::{Code, Refusal};

/// The format's line in the list.
pub(super) const FORMAT: Format = Format {
    name: "combined",
    about: "the common and combined access logs of Apache and nginx",
    framing: Framing::Lines,
    detect,
    read,
};

/// Length of `[10/Oct/2000:13:55:36 -0700]`.
const TIME_BYTES: usize = 28;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// What stands before and behind the quote that opens the request.
#[derive(Debug)]
struct Halves<'a> {
    /// Client, ident and user, and before them perhaps the virtual host.
    who: &'a str,
    time: Timestamp,
    /// From behind the quote.
    rest: &'a str,
}

fn detect(record: &[u8]) -> bool {
    memchr(b'[', record).is_some() && memchr(b'"', record).is_some()
}

fn read(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    let line = match std::str::from_utf8(record) {
        Ok(line) => Cow::Borrowed(line),
        Err(_) => String::from_utf8_lossy(record),
    };
    let mut draft = Draft::new(FORMAT.name, Original::Text(&line));
    fill(&mut draft, &line).ok_or_else(|| bad_line(&line))?;
    draft.write(reading, offset, out);
    Ok(Read::Event)
}

fn bad_line(line: &str) -> Refusal {
    let message = format!("`{}` is no line of an access log in the common or combined format", quote::shown(line));
    Refusal::record(Code::BadLine, message)
}

/// Reads `line` into `draft`, which is not moved on the way: it is large.
fn fill<'a>(draft: &mut Draft<'a>, line: &'a str) -> Option<()> {
    let Halves { who, time, rest } = halves(line)?;
    let (request, rest) = take_request(rest)?;
    let (status, rest) = take_word(rest)?;
    let (bytes, rest) = take_word(rest)?;
    if status != "-" && !(status.len() == 3 && status.bytes().all(|it| it.is_ascii_digit())) {
        return None;
    }
    draft.time = Some(time);
    draft.status_code = status_of(status);
    draft.response_bytes = bytes.parse().ok();
    set_who(draft, who)?;
    set_request(draft, request);
    set_agent(draft, rest);
    draft.set(TextField::Category, "webserver");
    draft.is_complete = true;
    Some(())
}

/// Splits at the time, which stands right before the quote of the request.
///
/// A user name cannot forge it: no writer leaves a bare quote in one, so the first that follows a time is ours.
fn halves(line: &str) -> Option<Halves<'_>> {
    let bytes = line.as_bytes();
    let mut from = 0;
    loop {
        let quote = from + memchr(b'"', bytes.get(from..)?)?;
        if let Some(start) = quote.checked_sub(TIME_BYTES + 1)
            && bytes[start] == b'['
            && bytes[quote - 2..quote] == *b"] "
            && let Some(time) = clf_time(&bytes[start + 1..quote - 2])
        {
            return Some(Halves { who: line.get(..start)?.trim_end(), time, rest: line.get(quote + 1..)? });
        }
        from = quote + 1;
    }
}

/// Reads `10/Oct/2000:13:55:36 -0700`.
pub(super) fn clf_time(text: &[u8]) -> Option<Timestamp> {
    let [
        d1,
        d2,
        b'/',
        m1,
        m2,
        m3,
        b'/',
        y1,
        y2,
        y3,
        y4,
        b':',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b' ',
        sign,
        z1,
        z2,
        z3,
        z4,
    ] = *text
    else {
        return None;
    };
    let month = month_of(&[m1, m2, m3])?;
    let offset = i32::try_from(number(&[z1, z2])? * 3600 + number(&[z3, z4])? * 60).ok()?;
    let civil = Civil {
        year: i64::from(number(&[y1, y2, y3, y4])?),
        month,
        day: number(&[d1, d2])? as u8,
        hour: number(&[h1, h2])? as u8,
        minute: number(&[n1, n2])? as u8,
        second: number(&[s1, s2])? as u8,
        nanos: 0,
    };
    match sign {
        b'+' => civil.at(UtcOffset(offset)),
        b'-' => civil.at(UtcOffset(-offset)),
        _ => None,
    }
}

/// Returns the number of a month by its first three letters.
pub(super) fn month_of(name: &[u8]) -> Option<u8> {
    MONTHS.iter().position(|it| it.as_slice() == name).map(|it| it as u8 + 1)
}

/// Takes the request up to its closing quote; returns it and what follows the blank behind the quote.
fn take_request(rest: &str) -> Option<(&str, &str)> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            // A writer that does not escape leaves quotes inside: the one before the status ends it.
            b'"' if is_status(&bytes[at + 1..]) => return Some((&rest[..at], &rest[at + 2..])),
            b'"' => at += 1,
            _ => at += 2,
        }
    }
}

fn is_status(bytes: &[u8]) -> bool {
    matches!(bytes, [b' ', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..] | [b' ', b'-', b' ', ..])
}

/// Takes what stands before the next blank; never empty.
fn take_word(rest: &str) -> Option<(&str, &str)> {
    let end = memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
    (0 < end).then(|| (&rest[..end], rest[end..].trim_start()))
}

/// Reads client, ident and user, and the virtual host before them if there is one.
fn set_who<'a>(draft: &mut Draft<'a>, who: &'a str) -> Option<()> {
    let (first, rest) = take_word(who)?;
    let (client, rest) = match (parse_ip(first), take_word(rest)) {
        (None, Some((second, after))) if is_virtual_host(first, second, after) => {
            draft.set(TextField::Host, without_port(first));
            (second, after)
        }
        _ => (first, rest),
    };
    match parse_ip(client) {
        Some(address) => draft.client_ip = Some(address),
        None if draft.has(TextField::Host) => draft.extra("client_host", client),
        None if client != "-" => draft.set(TextField::Host, client),
        None => {}
    }
    let (_ident, user) = take_word(rest)?;
    if !matches!(user, "" | "-" | "\"\"") {
        draft.set(TextField::User, unescaped(user));
    }
    Some(())
}

/// Whether there are four words and the first is `host:port`, or the second an address.
fn is_virtual_host(first: &str, second: &str, after: &str) -> bool {
    after.contains(' ') && (without_port(first).len() < first.len() || parse_ip(second).is_some())
}

fn without_port(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()) => host,
        _ => name,
    }
}

fn set_request<'a>(draft: &mut Draft<'a>, request: &'a str) {
    match split_request(request) {
        Some((method, path, protocol)) => {
            draft.set(TextField::Method, method);
            draft.set(TextField::Path, unescaped(path));
            draft.set_option(TextField::Protocol, protocol.map(Cow::Borrowed));
        }
        None if matches!(request, "" | "-") => {}
        None => draft.set(TextField::Message, unescaped(request)),
    }
}

/// Splits `GET /path HTTP/1.1` into method, path and protocol; the path may contain blanks, the protocol be absent.
pub(super) fn split_request(request: &str) -> Option<(&str, &str, Option<&str>)> {
    let (method, rest) = request.split_at_checked(memchr(b' ', request.as_bytes())?)?;
    let is_method = |it: u8| it.is_ascii_alphabetic() || matches!(it, b'-' | b'_');
    if method.is_empty() || 32 < method.len() || !method.bytes().all(is_method) {
        return None;
    }
    let rest = rest.trim_start();
    match rest.rsplit_once(' ') {
        Some((path, protocol)) if protocol.starts_with("HTTP/") => Some((method, path, Some(protocol))),
        _ if rest.is_empty() || rest.starts_with("HTTP/") => None,
        _ => Some((method, rest, None)),
    }
}

fn set_agent<'a>(draft: &mut Draft<'a>, rest: &'a str) {
    let Some((referer, rest)) = take_quoted(rest) else { return };
    if !matches!(referer, "" | "-") {
        draft.set(TextField::Referer, unescaped(referer));
    }
    if let Some((agent, _)) = take_quoted(rest)
        && !matches!(agent, "" | "-")
    {
        draft.set(TextField::UserAgent, unescaped(agent));
    }
}

/// Takes a quoted text; one that is cut off ends with the line.
fn take_quoted(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.strip_prefix('"')?;
    let bytes = inside.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|it| memchr2(b'"', b'\\', it)) {
        at += found;
        if bytes[at] == b'"' {
            return Some((&inside[..at], inside[at + 1..].trim_start()));
        }
        at += 2;
    }
    Some((inside, ""))
}

/// Resolves the escapes of Apache and nginx; borrows where there are none.
fn unescaped(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'\\', text.as_bytes()) else { return Cow::Borrowed(text) };
    let mut out = text.as_bytes()[..first].to_vec();
    let mut rest = &text.as_bytes()[first..];
    while let Some((&byte, after)) = rest.split_first() {
        let (resolved, length) = match (byte, after) {
            (b'\\', [b'x', h1, h2, ..]) => hex(*h1, *h2).map_or((byte, 1), |it| (it, 4)),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [escaped @ (b'"' | b'\\'), ..]) => (*escaped, 2),
            _ => (byte, 1),
        };
        out.push(resolved);
        rest = &rest[length..];
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()))
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |it: u8| char::from(it).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
#[path = "combined_tests.rs"]
mod tests;
