//! The parts of a request that come before its body.

use attack::request::Request;

use crate::rule_set::RuleSet;
use crate::target::Collection;
use crate::transform::{self, Transform};
use crate::values::Values;

/// The version of a request that names none. Source: RFC 1945, section 3.1.
const OLDEST: &str = "HTTP/0.9";

/// Adds the request line, its address with arguments, the header fields and cookies.
pub(crate) fn collect(request: &Request, set: &RuleSet, values: &mut Values) {
    let mut push = |collection, name: &[u8], text: &[u8]| values.push(set, collection, name, text);
    push(Collection::RequestMethod, b"", request.method.as_bytes());
    push(Collection::RequestUriRaw, b"", request.target);
    // A log need not have the version; a request has one, or says by its absence that it is very old.
    if request.has_all_headers || !request.version.is_empty() {
        let version = if request.version.is_empty() { OLDEST } else { request.version };
        push(Collection::RequestProtocol, b"", version.as_bytes());
        let line = [request.method.as_bytes(), request.target, request.version.as_bytes()].join(&b' ');
        push(Collection::RequestLine, b"", line.trim_ascii_end());
    }
    let uri = without_origin(request.target);
    let (path, query) = split_once(uri, b'?');
    push(Collection::RequestUri, b"", uri);
    let mut decoded = Vec::new();
    transform::decode_path(path, &mut decoded);
    let path = decoded.as_slice();
    push(Collection::RequestFilename, b"", path);
    let base = path.iter().rposition(|it| matches!(it, b'/' | b'\\')).map_or(path, |at| &path[at + 1..]);
    push(Collection::RequestBasename, b"", base);
    push(Collection::QueryString, b"", query.unwrap_or_default());
    arguments(query.unwrap_or_default(), [Collection::ArgsGet, Collection::ArgsGetNames], set, values);
    for header in request.headers {
        values.push(set, Collection::RequestHeaders, header.name.as_bytes(), header.value);
        values.push(set, Collection::RequestHeadersNames, header.name.as_bytes(), header.name.as_bytes());
        if header.name.eq_ignore_ascii_case("cookie") {
            cookies(header.value, set, values);
        }
    }
}

/// The path and query of a target that names the whole address.
fn without_origin(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let Some(at) = memchr::memmem::find(target, b"://").filter(|at| *at < 10) else { return target };
    let rest = &target[at + 3..];
    rest.iter().position(|it| *it == b'/').map_or(b"/", |at| &rest[at..])
}

/// Splits at the first `byte`.
pub(crate) fn split_once(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    memchr::memchr(byte, text).map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

/// Adds the arguments of a query or a form: values and names, decoded.
pub(crate) fn arguments(text: &[u8], [values_of, names_of]: [Collection; 2], set: &RuleSet, values: &mut Values) {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for argument in text.split(|it| *it == b'&').filter(|it| !it.is_empty()) {
        if values.is_full {
            return;
        }
        let (raw_name, raw_value) = split_once(argument, b'=');
        Transform::UrlDecode.apply(raw_name, &mut name);
        Transform::UrlDecode.apply(raw_value.unwrap_or_default(), &mut value);
        values.push(set, values_of, &name, &value);
        values.push(set, names_of, &name, &name);
    }
}

fn cookies(text: &[u8], set: &RuleSet, values: &mut Values) {
    for cookie in text.split(|it| *it == b';').map(<[u8]>::trim_ascii_start).filter(|it| !it.is_empty()) {
        let (name, value) = split_once(cookie, b'=');
        values.push(set, Collection::RequestCookies, name, value.unwrap_or_default());
        values.push(set, Collection::RequestCookiesNames, name, name);
    }
}

/// The sum of the lengths of the arguments and their names.
pub(crate) fn arguments_size(values: &Values) -> usize {
    let of = |collection| (0..values.count(collection)).map(move |at| values.raw(values.value(collection, at)).len());
    of(Collection::ArgsGet).sum::<usize>()
        + of(Collection::ArgsPost).sum::<usize>()
        + of(Collection::ArgsGetNames).sum::<usize>()
        + of(Collection::ArgsPostNames).sum::<usize>()
}
