//! Inspects requests: takes them apart, and has each value judged.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::body;
use crate::client::{Client, client_of};
use crate::decode;
use crate::exception::Exceptions;
use crate::explain::{Value, Values};
use crate::literal::Literals;
use crate::pollution;
use crate::protocol;
use crate::report::{Family, Finding, Place, Report, Unread, excerpt_of};
use crate::request::Request;
use crate::value::{Standing, ValueScratch, judge};

/// How many clean header values a thread remembers, and how many clean targets.
const CLEAN_MAX: usize = 8192;
/// How much of a target is read.
const TARGET_BYTES_MAX: usize = 64 << 10;
/// Longer targets are read each time: nobody asks for the same one often.
const TARGET_KEPT_BYTES_MAX: usize = 512;
/// Shorter segments of a path are read as parts of the path only.
const SEGMENT_BYTES_MIN: usize = 9;
/// How many values of one request are judged one by one; those beyond are judged together, some at a time.
const VALUES_MAX: usize = 20_000;
/// How much of what is beyond [`VALUES_MAX`] is judged at once; a path of that length is still read as one.
const TOGETHER_BYTES: usize = 4 << 10;

/// What inspection has made once for all requests. Any number of threads may share it.
#[derive(Debug)]
pub struct Inspector {
    pub(crate) literals: Literals,
    hasher: RandomState,
}

/// Memory that one thread uses again for each request.
#[derive(Debug, Default)]
pub struct Scratch {
    value: ValueScratch,
    /// Hashes of header values in which nothing stood out, and who such a user agent is. The key of the hash is random, so
    /// nobody makes one that is here.
    clean: Vec<(u64, Client)>,
    /// The same of targets: there are more of them, and they must not push out the few user agents.
    clean_targets: Vec<u64>,
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl Inspector {
    /// Makes an inspector; this takes some milliseconds.
    #[must_use]
    pub fn new() -> Self {
        Self { literals: Literals::new(), hasher: RandomState::new() }
    }

    /// Makes an inspector that runs every check on every form of every value, whatever the shared scan calls for, and
    /// remembers no header. It finds what [`Self::new`] finds and costs many times as much: the fast way is held against it.
    #[must_use]
    pub fn exhaustive() -> Self {
        Self { literals: Literals::calling_for_all(), hasher: RandomState::new() }
    }

    /// Says what stands out in a request. What was in `report` is forgotten.
    pub fn inspect(&self, request: &Request<'_>, scratch: &mut Scratch, report: &mut Report) {
        report.clear();
        self.walk(request, scratch, report, None);
    }

    /// The same, and returns the values that were judged, each with its place, as far as there is room: 256 of them,
    /// each up to 4 KiB.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>, scratch: &mut Scratch, report: &mut Report) -> Vec<Value> {
        let mut values = Values::default();
        report.clear();
        self.walk(request, scratch, report, Some(&mut values));
        values.into_list()
    }

    /// The same, without what `exceptions` cover; `host` is the host of the request where that is known.
    pub fn inspect_except(
        &self,
        request: &Request<'_>,
        (exceptions, host): (&Arc<Exceptions>, Option<&str>),
        scratch: &mut Scratch,
        report: &mut Report,
    ) {
        report.begin(exceptions, host, request.target);
        self.walk(request, scratch, report, None);
    }

    fn walk(&self, request: &Request<'_>, scratch: &mut Scratch, report: &mut Report, seen: Option<&mut Values>) {
        let mut walk = Walk { inspector: self, scratch, report, seen, values: 0, together: Vec::new() };
        walk.target_once(&request.target[..request.target.len().min(TARGET_BYTES_MAX)]);
        walk.headers(request);
        body::walk(request, &mut walk);
        walk.rest();
        protocol::check(request, report);
    }
}

/// One request on its way through.
pub(crate) struct Walk<'a> {
    inspector: &'a Inspector,
    scratch: &'a mut Scratch,
    report: &'a mut Report,
    /// What was judged, for people who want to see it.
    seen: Option<&'a mut Values>,
    values: usize,
    /// Values beyond [`VALUES_MAX`] that stand alike and wait to be judged together.
    together: Vec<(At<'static>, Standing, Vec<u8>)>,
}

/// A place that is not yet a text of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At<'a> {
    Path,
    Query(&'a [u8]),
    Header(&'a str),
    Cookie(&'a [u8]),
    Body(&'a [u8]),
}

impl At<'_> {
    /// The same place without its name.
    fn nameless(self) -> At<'static> {
        match self {
            Self::Path => At::Path,
            Self::Query(_) => At::Query(b""),
            Self::Header(_) => At::Header(""),
            Self::Cookie(_) => At::Cookie(b""),
            Self::Body(_) => At::Body(b""),
        }
    }

    fn place(self) -> Place {
        let text = |it: &[u8]| excerpt_of(it, 0..it.len().min(64));
        match self {
            Self::Path => Place::Path,
            Self::Query(name) => Place::Query(text(name)),
            Self::Header(name) => Place::Header(name.to_ascii_lowercase()),
            Self::Cookie(name) => Place::Cookie(text(name)),
            Self::Body(name) => Place::Body(text(name)),
        }
    }
}

impl Walk<'_> {
    /// Has one value judged; values beyond [`VALUES_MAX`] are judged together, as nobody may hide behind many.
    pub(crate) fn value(&mut self, at: At<'_>, bytes: &[u8], standing: Standing) {
        if bytes.is_empty() {
            return;
        }
        self.values += 1;
        if let Some(seen) = &mut self.seen {
            seen.add(|| at.place(), bytes, standing);
        }
        if self.values <= VALUES_MAX {
            self.judged(at, bytes, standing);
        } else {
            self.wait(at.nameless(), bytes, standing);
        }
    }

    /// Puts a value to those that are judged together, once they are enough.
    fn wait(&mut self, at: At<'static>, bytes: &[u8], standing: Standing) {
        let known = self.together.iter().position(|it| (it.0, it.1) == (at, standing));
        let index = known.unwrap_or_else(|| {
            self.together.push((at, standing, Vec::with_capacity(TOGETHER_BYTES)));
            self.together.len() - 1
        });
        let text = &mut self.together[index].2;
        text.extend_from_slice(bytes);
        text.push(b' ');
        if TOGETHER_BYTES <= text.len() {
            let mut text = std::mem::take(text);
            self.judged(at, &text, standing);
            text.clear();
            self.together[index].2 = text;
        }
    }

    /// Has those judged that still wait.
    fn rest(&mut self) {
        for (at, standing, text) in std::mem::take(&mut self.together) {
            self.judged(at, &text, standing);
        }
    }

    fn judged(&mut self, at: At<'_>, bytes: &[u8], standing: Standing) {
        let report = &mut *self.report;
        judge(&self.inspector.literals, bytes, standing, &mut self.scratch.value, &mut |hit, layer| {
            report.add(Finding {
                family: hit.family,
                check: hit.check,
                place: at.place(),
                excerpt: excerpt_of(layer, hit.at),
                confidence: hit.confidence,
                score: hit.score,
            });
        });
    }

    /// Reads the target, unless nothing stood out in the same one before: sites serve the same few again and again.
    fn target_once(&mut self, target: &[u8]) {
        if TARGET_KEPT_BYTES_MAX < target.len() || self.inspector.literals.calls_for_all() {
            return self.target(target);
        }
        // No header has an empty name.
        let hash = self.inspector.hasher.hash_one(("", target)) | 1;
        let slot = hash as usize % CLEAN_MAX;
        if self.scratch.clean_targets.get(slot) == Some(&hash) {
            return;
        }
        let before = self.report.added();
        self.target(target);
        if self.report.added() == before {
            self.scratch.clean_targets.resize(CLEAN_MAX, 0);
            self.scratch.clean_targets[slot] = hash;
        }
    }

    /// Remembers that nothing stood out in what has this hash.
    fn keep_clean(&mut self, hash: u64, client: Client) {
        if self.scratch.clean.is_empty() {
            self.scratch.clean.resize(CLEAN_MAX, (0, Client::Silent));
        }
        self.scratch.clean[hash as usize % CLEAN_MAX] = (hash, client);
    }

    fn target(&mut self, target: &[u8]) {
        let target = without_origin(target);
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, &b""[..]),
        };
        self.value(At::Path, path, Standing::Target);
        // A segment may be a value by itself: base64, a number with SQL behind it.
        let is_value = |it: &&[u8]| 16 <= it.len() || (SEGMENT_BYTES_MIN <= it.len() && !is_plain(it));
        for segment in path.split(|it| *it == b'/').filter(is_value).take(16) {
            self.value(At::Path, segment, Standing::Segment);
        }
        self.arguments(query, At::Query, Standing::Argument);
    }

    /// Arguments as forms write them.
    pub(crate) fn arguments<'b>(&mut self, query: &'b [u8], at: impl Fn(&'b [u8]) -> At<'b>, standing: Standing) {
        for argument in query.split(|it| *it == b'&') {
            match memchr::memchr(b'=', argument) {
                Some(equals) => {
                    let (name, value) = (&argument[..equals], &argument[equals + 1..]);
                    if !is_plain(name) && !is_comparison(name, value) {
                        self.value(at(name), name, standing);
                    }
                    self.value(at(name), value, standing);
                }
                None => self.value(at(b""), argument, standing),
            }
        }
        // What stands in pieces between `&` may be one text: `?x=1&&ls`, entities, a query without names.
        let is_odd = memchr::memmem::find(query, b"&&").is_some()
            || memchr::memchr3(b'<', b';', b'\'', query).is_some()
            || memchr::memmem::find(query, b"& ").is_some()
            || memchr::memmem::find(query, b"&%20").is_some();
        if is_odd && memchr::memchr(b'&', query).is_some() && query.len() < 8192 {
            self.value(at(b""), query, Standing::Whole);
        }
        pollution::for_each(query, &mut |name, joined| self.value(at(name), joined, standing));
    }

    /// Says that a part of the body is not read; the first reason counts.
    pub(crate) fn leave_unread(&mut self, reason: Unread) {
        self.unread().get_or_insert(reason);
    }

    /// What was said of that so far.
    pub(crate) const fn unread(&mut self) -> &mut Option<Unread> {
        &mut self.report.unread
    }

    fn headers(&mut self, request: &Request<'_>) {
        let mut client = Client::Silent;
        for header in request.headers {
            let hash = self.inspector.hasher.hash_one((header.name, header.value)) | 1;
            let slot = hash as usize % CLEAN_MAX;
            let is_agent = header.name.eq_ignore_ascii_case("user-agent");
            if let Some((_, known)) = self.scratch.clean.get(slot).filter(|it| it.0 == hash) {
                client = if is_agent { *known } else { client };
                continue;
            }
            if is_agent {
                client = client_of(&header.value.to_ascii_lowercase());
            }
            let before = self.report.added();
            self.header(header.name, header.value);
            // What was found and not kept was found all the same, and what waits is not judged yet: the value is not clean.
            if self.report.added() == before && self.together.is_empty() && !self.inspector.literals.calls_for_all() {
                self.keep_clean(hash, if is_agent { client } else { Client::Silent });
            }
        }
        if client == Client::Scanner {
            self.report.add(Finding {
                family: Family::Scanner,
                check: "scanner-agent",
                place: Place::Header("user-agent".to_owned()),
                excerpt: request.header("user-agent").map(|it| excerpt_of(it, 0..it.len())).unwrap_or_default(),
                confidence: 95,
                score: 5,
            });
        }
        if client != Client::Silent || request.has_all_headers {
            self.report.bot_score = client.bot_score();
        }
    }

    /// User and password, each by itself.
    fn credentials(&mut self, at: At<'_>, value: &[u8]) {
        let Some(text) = basic(value) else { return };
        for part in text.splitn(2, |it| *it == b':') {
            self.value(at, part, Standing::Credential);
        }
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        let at = At::Header(name);
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "cookie" => {
                for cookie in value.split(|it| *it == b';') {
                    let cookie = cookie.trim_ascii();
                    let (name, value) = match memchr::memchr(b'=', cookie) {
                        Some(equals) => (&cookie[..equals], &cookie[equals + 1..]),
                        None => (&b""[..], cookie),
                    };
                    self.value(At::Cookie(name), value, Standing::Cookie);
                }
            }
            "referer" => {
                let value = without_origin(value);
                match memchr::memchr(b'?', value) {
                    Some(query) => {
                        self.value(at, &value[..query], Standing::Address);
                        self.arguments(&value[query + 1..], |_| At::Header("referer"), Standing::Argument);
                    }
                    None => self.value(at, value, Standing::Address),
                }
            }
            "user-agent" => self.value(at, value, Standing::Agent),
            "authorization" | "proxy-authorization" => {
                self.value(at, value, Standing::Protocol);
                self.credentials(at, value);
            }
            // Some applications look for the files of a language under its name.
            "accept-language" | "accept-charset" => self.value(at, value, Standing::Header),
            _ if is_of_protocol(&lower) => self.value(at, value, Standing::Protocol),
            _ => self.value(at, value, Standing::Header),
        }
    }
}

/// The user and the password of `Basic` credentials.
///
/// Source: RFC 7617, section 2.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.trim_ascii_start().split_at_checked(6)?;
    let mut text = Vec::new();
    (scheme.eq_ignore_ascii_case(b"basic ") && decode::base64(rest, &mut text)).then_some(text)
}

/// Header fields whose values are lists, dates and numbers by their specifications.
fn is_of_protocol(name: &str) -> bool {
    name.starts_with("accept")
        || name.starts_with("sec-")
        || name.starts_with("if-")
        || name.starts_with("access-control-")
        || name.starts_with("content-")
        || matches!(
            name,
            "host"
                | "connection"
                | "cache-control"
                | "pragma"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "upgrade-insecure-requests"
                | "dnt"
                | "date"
                | "range"
                | "origin"
                | "priority"
                | "via"
                | "keep-alive"
                | "expect"
                | "max-forwards"
        )
}

/// A target or an address without scheme and host. Only what is an address of the web has them, and only a host that may be one is
/// left out.
pub(crate) fn without_origin(target: &[u8]) -> &[u8] {
    let is_scheme = |it: &&[u8]| target.get(..it.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(it));
    let Some(scheme) = [&b"https://"[..], b"http://"].into_iter().find(is_scheme) else { return target };
    let rest = &target[scheme.len()..];
    let (host, path) = rest.split_at(rest.iter().position(|it| matches!(it, b'/' | b'?' | b'#')).unwrap_or(rest.len()));
    let may_be_host = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if host.iter().all(may_be_host) { path } else { rest }
}

/// Whether an argument compares a field with a plain value, `age[$gt]=5`, as filters of lists do. A field that somebody signs in with
/// is another matter, and so is a comparison with nothing.
fn is_comparison(name: &[u8], value: &[u8]) -> bool {
    const SECRETS: [&[u8]; 8] = [b"pass", b"pwd", b"user", b"login", b"mail", b"token", b"secret", b"key"];
    let mut decoded = Vec::new();
    let name = if decode::percent(name, true, &mut decoded) { &decoded } else { name }.to_ascii_lowercase();
    let Some(open) = memchr::memmem::find(&name, b"[$") else { return false };
    let (field, operator) = name.split_at(open);
    let operator = operator.strip_suffix(b"[]").unwrap_or(operator);
    let is_list = operator == b"[$in]" && value.iter().all(|it| *it == b',' || is_plain(&[*it]));
    matches!(operator, b"[$gt]" | b"[$gte]" | b"[$lt]" | b"[$lte]" | b"[$in]")
        && !value.is_empty()
        && (is_list || is_plain(value))
        && field.iter().all(|it| is_plain(&[*it]) || matches!(it, b'[' | b']'))
        && !SECRETS.iter().any(|it| memchr::memmem::find(field, it).is_some())
}

/// Whether a text has letters, digits, `_`, `-` and `.` only.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Header;

    #[test]
    fn a_header_whose_finding_was_not_kept_is_no_clean_one() {
        let attacks: [&[u8]; 2] = [b"1' union select 1,2-- ", b"2' union select 3,4-- "];
        let both = attacks.map(|value| Header { name: "X-Query", value });
        let (inspector, mut scratch, mut report) = (Inspector::new(), Scratch::default(), Report::default());
        for headers in [&both[..], &both[1..]] {
            let request = Request { method: "GET", target: b"/", headers, ..Request::default() };
            inspector.inspect(&request, &mut scratch, &mut report);
            assert_eq!(report.findings.len(), 1);
        }
    }
}
