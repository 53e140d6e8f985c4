//! Judges one value: undoes its encodings one after another, and has each form scanned.

use crate::decode;
use crate::expression;
use crate::hit::Hit;
use crate::inspector::is_plain;
use crate::json;
use crate::literal::{Calls, Literals};
use crate::markup;
use crate::path::{self, Path};
use crate::protocol;
use crate::report::Family;
use crate::script;
use crate::shell::{self, Line};
use crate::sql;
use crate::work;

/// How many forms of one value are looked at: an attack that is encoded more often than that reaches nobody.
pub(crate) const LAYERS_MAX: usize = 6;
/// How many bytes of a value the checks of the families read at once; a longer one is read in pieces that overlap.
const CHECKED_BYTES_MAX: usize = 64 << 10;
/// How much of a long value is read before what calls for it: a way out may stand there.
const BEFORE_BYTES: usize = 512;
/// How often a value is base64 of base64.
const BASE64_LAYERS_MAX: usize = 3;
/// The shortest text that is taken for base64 in base64.
const NESTED_BYTES_MIN: usize = 12;
/// How many quoted parts of a value are tried as base64.
const QUOTED_MAX: usize = 32;

/// The shortest name that is an attack by itself.
const NAME_BYTES_MIN: usize = 5;

/// How a value stands in its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The path of the target.
    Target,
    /// One segment of it.
    Segment,
    /// An argument of a query.
    Argument,
    /// A field of a form in a body.
    Form,
    /// A query as a whole, beside its arguments.
    Whole,
    /// A text of a body: a field of JSON, of a multipart form, of XML.
    Field,
    /// The content of a file or of a body that is no form.
    Content,
    /// A header field without a grammar of its own.
    Header,
    /// A user or a password: any text, and nothing that a program runs but by mistake.
    Credential,
    /// A header field whose grammar has no room for text.
    Protocol,
    /// A cookie.
    Cookie,
    /// The user agent.
    Agent,
    /// The path of an address, as in `Referer`.
    Address,
}

/// Memory that is used again for each value.
#[derive(Debug, Default)]
pub(crate) struct ValueScratch {
    layer: Vec<u8>,
    next: Vec<u8>,
    lower: Vec<u8>,
    inner: Vec<u8>,
    path: Path,
    line: Line,
    tokens: Vec<usize>,
}

type Found<'a> = &'a mut dyn FnMut(Hit, &[u8]);

/// Judges a value; `found` is told of each hit with the form in which it stands.
pub(crate) fn judge(
    literals: &Literals,
    bytes: &[u8],
    standing: Standing,
    scratch: &mut ValueScratch,
    found: Found<'_>,
) {
    let is_dotted = || memchr::memmem::find(bytes, b"..").is_some() || memchr::memmem::find(bytes, b"0x2").is_some();
    if is_plain(bytes) && !is_dotted() && !literals.calls_for_all() {
        // Without a single special character it is an attack by a name alone: `java.lang.ProcessBuilder`.
        if NAME_BYTES_MIN <= bytes.len() {
            name(literals, bytes, standing, scratch, found);
        }
        base64(literals, bytes, standing, scratch, found);
        return;
    }
    let is_form = matches!(standing, Standing::Argument | Standing::Form | Standing::Whole | Standing::Segment);
    let mut layer = std::mem::take(&mut scratch.layer);
    let mut next = std::mem::take(&mut scratch.next);
    layer.clear();
    if !decode::percent(bytes, is_form, &mut layer) {
        layer.clear();
        layer.extend_from_slice(bytes);
    }
    let is_document =
        matches!(standing, Standing::Argument | Standing::Form | Standing::Field | Standing::Cookie | Standing::Header)
            && json::may_be_document(&layer);
    if !(is_document && document(literals, &layer, standing, scratch, found)) {
        scan(literals, &layer, standing, scratch, found);
        base64(literals, &layer, standing, scratch, found);
        quoted_base64(literals, &layer, standing, scratch, found);
    }
    for step in 1..LAYERS_MAX {
        next.clear();
        let is_changed = match step % 3 {
            1 => memchr::memchr(b'%', &layer).is_some() && decode::percent(&layer, is_form && step < 3, &mut next),
            2 => memchr::memchr(b'&', &layer).is_some() && decode::entities(&layer, &mut next),
            _ => memchr::memchr(b'\\', &layer).is_some() && decode::escapes(&layer, &mut next),
        };
        if is_changed {
            std::mem::swap(&mut layer, &mut next);
            scan(literals, &layer, standing, scratch, found);
            base64(literals, &layer, standing, scratch, found);
        }
    }
    (scratch.layer, scratch.next) = (layer, next);
}

/// Looks for what is an attack by its name alone.
fn name(literals: &Literals, bytes: &[u8], standing: Standing, scratch: &mut ValueScratch, found: Found<'_>) {
    scratch.lower.clear();
    scratch.lower.extend(bytes.iter().map(u8::to_ascii_lowercase));
    literals.scan(&scratch.lower, &mut |hit| {
        if is_wanted(standing, hit.family) {
            found(hit, bytes);
        }
    });
}

/// Judges the texts of a document; `false` when it is none.
fn document(
    literals: &Literals,
    text: &[u8],
    standing: Standing,
    scratch: &mut ValueScratch,
    found: Found<'_>,
) -> bool {
    if !json::is_document(text) {
        return false;
    }
    let inner = match standing {
        Standing::Argument | Standing::Form | Standing::Field => Standing::Content,
        other => other,
    };
    let mut plain = Vec::new();
    json::for_each(text, &mut |leaf| {
        plain.clear();
        json::unescape(leaf.text, &mut plain);
        if leaf.is_name && is_plain(&plain) {
            return;
        }
        scan(literals, &plain, Standing::Field, scratch, found);
        if !leaf.is_name {
            base64(literals, &plain, inner, scratch, found);
        }
    });
    operators(literals, text, scratch, found);
    true
}

/// Names of operators in a document: `{"$ne": 1}`.
fn operators(literals: &Literals, text: &[u8], scratch: &mut ValueScratch, found: Found<'_>) {
    if memchr::memmem::find(text, b"\"$").is_none() && memchr::memmem::find(text, b"__proto__").is_none() {
        return;
    }
    scratch.lower.clear();
    scratch.lower.extend(text.iter().map(u8::to_ascii_lowercase));
    literals.scan(&scratch.lower, &mut |hit| {
        if matches!(hit.check, "nosql-operator" | "prototype-pollution") {
            found(hit, text);
        }
    });
}

fn base64(literals: &Literals, text: &[u8], standing: Standing, scratch: &mut ValueScratch, found: Found<'_>) {
    let mut inner = std::mem::take(&mut scratch.inner);
    inner.clear();
    if decode::base64_text(text, &mut inner) {
        nested_base64(&mut inner);
    }
    // A word alone is none: most words are base64 of something.
    if inner.iter().any(|it| !it.is_ascii_alphanumeric()) {
        if json::may_be_document(&inner) {
            let text = std::mem::take(&mut inner);
            document(literals, &text, Standing::Field, scratch, found);
            scratch.inner = text;
            return;
        }
        let standing = if standing == Standing::Segment { Standing::Argument } else { standing };
        scan(literals, &inner, standing, scratch, found);
        let mut decoded = Vec::new();
        if memchr::memchr(b'%', &inner).is_some() && decode::percent(&inner, false, &mut decoded) {
            scan(literals, &decoded, standing, scratch, found);
        }
        decoded.clear();
        if memchr::memchr(b'\\', &inner).is_some() && decode::escapes(&inner, &mut decoded) {
            scan(literals, &decoded, standing, scratch, found);
        }
        decoded.clear();
        if memchr::memchr(b'&', &inner).is_some() && decode::entities(&inner, &mut decoded) {
            scan(literals, &decoded, standing, scratch, found);
        }
    }
    scratch.inner = inner;
}

/// Undoes base64 that lies in base64, for as long as it gives text.
fn nested_base64(inner: &mut Vec<u8>) {
    for _ in 1..BASE64_LAYERS_MAX {
        let mut next = Vec::new();
        if inner.len() < NESTED_BYTES_MIN || !decode::base64_text(inner, &mut next) {
            break;
        }
        *inner = next;
    }
}

/// Objects that are written as text carry base64 between quotes: `s:16:"L2V0Yy9wYXNzd2Q="`.
fn quoted_base64(literals: &Literals, text: &[u8], standing: Standing, scratch: &mut ValueScratch, found: Found<'_>) {
    if memchr::memchr(b'"', text).is_none() {
        return;
    }
    for part in text.split(|it| *it == b'"').skip(1).take(QUOTED_MAX).filter(|it| 8 <= it.len() && it.len() < 4096) {
        base64(literals, part, standing, scratch, found);
    }
}

/// Scans one form of a value.
fn scan(literals: &Literals, layer: &[u8], standing: Standing, scratch: &mut ValueScratch, found: Found<'_>) {
    work::count(layer.len());
    let mut lower = std::mem::take(&mut scratch.lower);
    lower.clear();
    lower.extend(layer.iter().map(u8::to_ascii_lowercase));
    let (calls, first) = literals.scan(&lower, &mut |hit| {
        if is_wanted(standing, hit.family) {
            found(hit, layer);
        }
    });
    // A long value is read piece by piece, from where something calls for it.
    let mut begin = if CHECKED_BYTES_MAX < lower.len() { first.saturating_sub(BEFORE_BYTES) } else { 0 };
    loop {
        let end = lower.len().min(begin + CHECKED_BYTES_MAX);
        let mut tell = |hit: Option<Hit>| {
            if let Some(hit) = hit {
                found(Hit { at: hit.at.start + begin..hit.at.end + begin, ..hit }, layer);
            }
        };
        check(&lower[begin..end], calls, standing, scratch, &mut tell);
        if end == lower.len() {
            break;
        }
        begin = end - BEFORE_BYTES;
    }
    scratch.lower = lower;
}

fn is_wanted(standing: Standing, family: Family) -> bool {
    match standing {
        Standing::Credential => matches!(family, Family::Lookup | Family::SqlInjection),
        Standing::Protocol | Standing::Agent => {
            matches!(family, Family::Lookup | Family::CodeInjection | Family::RequestForgery)
        }
        Standing::Address => family != Family::FileInclusion,
        Standing::Whole => false,
        _ => true,
    }
}

fn check(text: &[u8], calls: Calls, standing: Standing, scratch: &mut ValueScratch, tell: &mut dyn FnMut(Option<Hit>)) {
    use Standing as S;
    let all = calls.is_all();
    // A call with a comparison inside, `anything(1=1)`, is SQL by its shape.
    let is_condition = || memchr::memchr(b'(', text).is_some() && has_any(text, b"=<>");
    let is_called = || calls.has(Calls::SQL) || has_any(text, b"'\"`") || is_condition() || has_odd_connective(text);
    let is_sql = may_be_sql(text) && is_called();
    if (all || is_sql) && standing != S::Target {
        tell(sql::check(text, &mut scratch.tokens));
    }
    if standing == S::Credential {
        // Whatever else a password looks like, it is one.
        return;
    }
    if (all || calls.has(Calls::MARKUP) && has_any(text, b"<=")) && standing != S::Protocol {
        // Editors send frames and objects in bodies; nobody sends them in an address.
        let is_in_address = matches!(standing, S::Target | S::Segment | S::Argument | S::Address);
        tell(
            markup::check(text)
                .map(|it| if is_in_address && it.check == "markup-tag" { Hit { score: 5, ..it } } else { it }),
        );
    }
    let is_script = calls.has(Calls::SCRIPT) && has_any(text, b"(`:[=")
        || has_any(text, b":") && script::is_link(text.trim_ascii());
    if (all || is_script) && standing != S::Protocol {
        tell(script::check(text));
    }
    if (all || calls.has(Calls::PATH) || may_be_disguised_path(text))
        && !matches!(standing, S::Protocol | S::Agent | S::Content | S::Whole)
    {
        let place = if standing == S::Target { path::Standing::Target } else { path::Standing::Value };
        tell(path::check(text, place, &mut scratch.path));
    }
    match standing {
        S::Argument | S::Form | S::Field | S::Header | S::Segment | S::Whole | S::Target | S::Content
            if calls.has(Calls::SHELL) =>
        {
            tell(shell::check(text, matches!(standing, S::Field | S::Content), &mut scratch.line));
        }
        S::Agent | S::Protocol | S::Cookie | S::Address => {
            tell(
                shell::shellshock(text)
                    .map(|at| Hit::sure(Family::CommandInjection, "shell-function", at..text.len().min(at + 80))),
            );
        }
        _ => {}
    }
    if calls.has(Calls::TEMPLATE) {
        tell(expression::check_template(text));
    }
    if calls.has(Calls::OBJECT) {
        tell(expression::check_object(text));
    }
    if calls.has(Calls::XML) {
        tell(expression::check_xml(text));
    }
    if calls.has(Calls::ADDRESS) && !matches!(standing, S::Agent | S::Protocol) {
        tell(expression::check_address(text));
    }
    // The last stands in two characters that some servers cut to a line break.
    if (all || has_any(text, b"\r\n\x98")) && standing != S::Whole {
        let is_body = matches!(standing, S::Field | S::Content);
        tell(protocol::check_line_breaks(text, is_body));
    }
}

/// Whether one of a few bytes stands in a text.
fn has_any(text: &[u8], bytes: &[u8]) -> bool {
    let mut threes = bytes.chunks(3);
    threes.any(|it| match *it {
        [a, b, c] => memchr::memchr3(a, b, c, text).is_some(),
        [a, b] => memchr::memchr2(a, b, text).is_some(),
        [a] => memchr::memchr(a, text).is_some(),
        _ => false,
    })
}

/// Whether a text has bytes that a lenient server reads as dots and slashes: overlong sequences, look-alikes of other alphabets,
/// escapes with digits that are none, control characters between dots.
fn may_be_disguised_path(text: &[u8]) -> bool {
    let is_odd = |it: &u8| matches!(it, 0xc0 | 0xc1 | 0xe0 | 0xe2 | 0xee | 0xef | 0xf0 | 0xf8 | 0xfc);
    !text.is_ascii() && text.iter().any(is_odd)
        || path::is_padded(text)
        || memchr::memchr(b'.', text).is_some() && text.iter().any(|it| *it < b' ')
        || memchr::memchr(b'%', text).is_some() && memchr::memmem::find(text, b"%b").is_some()
}

/// The characters without one of which no SQL leaves its place, unless it says `union`.
const OF_SQL: [bool; 256] = {
    let mut of_sql = [false; 256];
    let (characters, mut at) = (b"'\"(=<>;#*-@|&_`0123456789", 0);
    while at < characters.len() {
        of_sql[characters[at] as usize] = true;
        at += 1;
    }
    of_sql
};

/// Whether a text may have `or` or `and` between spaces that no word of the scan has: control characters, and those beyond ASCII.
fn has_odd_connective(text: &[u8]) -> bool {
    let is_odd = |it: &u8| matches!(it, 0..b' ' | 0x80..=0x8a | 0xa0 | 0xaf);
    text.iter().any(is_odd)
        && (memchr::memmem::find(text, b"or").is_some() || memchr::memmem::find(text, b"and").is_some())
}

/// Whether a text has anything without which no SQL leaves its place.
fn may_be_sql(text: &[u8]) -> bool {
    text.iter().any(|it| OF_SQL[usize::from(*it)]) || memchr::memmem::find(text, b"union").is_some()
}
