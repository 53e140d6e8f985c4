//! What two servers could read differently in a request whose framing is beyond doubt: its host, and the type of its body.
//!
//! It is asked of every request, whichever version of HTTP it came in. Framing is `framing`'s business.

use std::net::Ipv6Addr;

use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request, Uri};

/// Fields that some servers take for the ones with `-`, and that decide how a body is read.
const OF_BODY: [&str; 3] = ["content_length", "content_type", "transfer_encoding"];

/// Returns what is in doubt, a stable word such as `host`; `None` for a request with one reading.
pub(crate) fn doubt<B>(request: &Request<B>) -> Option<&'static str> {
    let headers = request.headers();
    if !has_host(request.uri(), headers) {
        return Some("host");
    }
    if headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Some("type-twice");
    }
    OF_BODY.iter().any(|it| headers.contains_key(*it)).then_some("header-name")
}

/// Whether a request names one host, as a host is written, in its target, its field or both.
fn has_host(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(HOST).iter();
    let (field, second) = (fields.next(), fields.next());
    let of_target = uri.authority().map(|it| it.as_str());
    (of_target.is_some() || field.is_some())
        && second.is_none()
        && of_target.is_none_or(is_host)
        && field.is_none_or(|it| it.to_str().is_ok_and(is_host))
}

/// Whether `text` is a name or an address, with a port or without: no user, no second port, no empty label.
///
/// Source: RFC 9110, sections 4.2.4 and 7.2; RFC 3986, section 3.2.2, without its encoded and its odd characters.
pub(crate) fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|it| it.0.parse::<Ipv6Addr>().is_ok() && is_port(it.1));
    }
    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    is_port(port) && is_name(name)
}

/// Whether `text` is nothing, or a colon and a port; the port may be left out.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    port.is_empty() || (port.bytes().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

fn is_name(text: &str) -> bool {
    let is_label = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_~".contains(&it));
    // One dot at the end stands for the root.
    text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, fields: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        assert_eq!(doubt(&request.body(()).unwrap()), expected, "{uri} {fields:?}");
    }

    #[test]
    fn takes_names_and_addresses() {
        for host in [
            "a",
            "shop.example",
            "a_b.example.",
            "shop.example:8443",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[::1]:80",
            "a:",
        ] {
            check("/", &[("host", host)], None);
        }
        check("http://shop.example/", &[], None);
        check("http://shop.example/", &[("host", "other")], None);
    }

    #[test]
    fn refuses_what_another_server_would_read_otherwise() {
        for host in [
            "",
            ".",
            "shop.example:80:80",
            "x@shop.example",
            "shop.example:x",
            "shop.example:65536",
            "shop.example:+80",
            "shop..example",
            ".shop.example",
            "shop.example..",
            "shop%2eexample",
            "a,b",
            "[::1",
            "[::1]x",
            "[a]",
            "[::1]:80:80",
        ] {
            check("/", &[("host", host)], Some("host"));
        }
        check("/", &[], Some("host"));
        check("/", &[("host", "a"), ("host", "a")], Some("host"));
        check("http://x@shop.example/", &[("host", "shop.example")], Some("host"));
        check("http://shop.example/", &[("host", "a@b")], Some("host"));
    }

    #[test]
    fn a_body_has_one_type() {
        let host = ("host", "a");
        check("/", &[host, ("content-type", "text/plain")], None);
        check("/", &[host, ("content-type", "text/plain"), ("content-type", "application/json")], Some("type-twice"));
        check("/", &[host, ("content-type", "text/plain"), ("content_type", "application/json")], Some("header-name"));
        check("/", &[host, ("transfer_encoding", "chunked")], Some("header-name"));
    }
}
