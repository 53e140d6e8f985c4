//! Header fields on their way: those of one hop are taken out, those that say who asks are put in.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};

use crate::answer::REQUEST_ID;
use crate::client::FORWARDED_FOR;

/// Fields of one hop, beside those that `Connection` names. Source: RFC 9110, section 7.6.1.
const OF_ONE_HOP: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Fields that nobody but a trusted proxy may set: upstreams believe them, many of them with `_` in place of `-` too.
const OF_PROXIES: [&str; 15] = [
    "cf-connecting-ip",
    "client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// Who asked, and how.
pub(crate) struct Hop<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) client: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub(crate) is_trusted: bool,
    pub(crate) is_tls: bool,
    pub(crate) host: &'a str,
    pub(crate) id: &'a str,
}

/// Whether a request asks for the WebSocket protocol; no other is passed through.
pub(crate) fn asks_websocket(headers: &HeaderMap) -> bool {
    let is_websocket = |it: &HeaderValue| it.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    let mut upgrades = headers.get_all(UPGRADE).iter();
    asks_upgrade(headers) && upgrades.next().is_some_and(is_websocket) && upgrades.next().is_none()
}

/// Whether a request asks for another protocol, whatever it is.
pub(crate) fn asks_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) && connection_words(headers).any(|it| it.eq_ignore_ascii_case(b"upgrade"))
}

fn connection_words(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(CONNECTION).iter().flat_map(|it| it.as_bytes().split(|it| *it == b',')).map(<[u8]>::trim_ascii)
}

/// Takes out what belongs to one hop.
pub(crate) fn leave_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = connection_words(headers)
            .filter_map(|it| HeaderName::from_bytes(it).ok())
            // A client may not take away what others rely on.
            .filter(|it| it != HOST && it != COOKIE && it != "content-length" && it != "authorization")
            .collect();
        named.iter().for_each(|it| {
            headers.remove(it);
        });
        headers.remove(CONNECTION);
    }
    OF_ONE_HOP.iter().for_each(|it| {
        headers.remove(it);
    });
}

/// Makes the fields of a request those that the upstream shall see.
pub(crate) fn forward(headers: &mut HeaderMap, hop: &Hop<'_>, is_websocket: bool) {
    leave_hop(headers);
    // It was answered here.
    headers.remove(EXPECT);
    headers.remove(PROXY_AUTHORIZATION);
    join_cookies(headers);
    if is_websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let chain = hop.is_trusted.then(|| chain(headers)).flatten();
    let told = |name: &str| headers.get(name).filter(|_| hop.is_trusted).cloned();
    let (proto, host) = (told("x-forwarded-proto"), told("x-forwarded-host"));
    OF_PROXIES.iter().for_each(|it| {
        headers.remove(*it);
    });
    remove_disguised(headers);
    let chain = chain.map_or_else(|| hop.peer.to_string(), |it| format!("{it}, {}", hop.peer));
    let own_proto = HeaderValue::from_static(if hop.is_tls { "https" } else { "http" });
    set(headers, FORWARDED_FOR, HeaderValue::from_str(&chain).ok());
    set(headers, "x-real-ip", HeaderValue::from_str(&hop.client.to_string()).ok());
    set(headers, "x-forwarded-proto", Some(proto.unwrap_or(own_proto)));
    set(headers, "x-forwarded-host", host.or_else(|| HeaderValue::from_str(hop.host).ok()));
    if let Ok(host) = HeaderValue::from_str(hop.host) {
        headers.insert(HOST, host);
    }
    if let Ok(id) = HeaderValue::from_str(hop.id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Takes out what some upstreams take for a field of proxies, or for the id: they read `_` as `-`.
fn remove_disguised(headers: &mut HeaderMap) {
    let is_disguised = |it: &str| {
        let plain = it.replace('_', "-");
        OF_PROXIES.contains(&&*plain) || plain == REQUEST_ID.as_str()
    };
    let named: Vec<HeaderName> =
        headers.keys().filter(|it| it.as_str().contains('_') && is_disguised(it.as_str())).cloned().collect();
    named.iter().for_each(|it| {
        headers.remove(it);
    });
}

fn set(headers: &mut HeaderMap, name: &'static str, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

/// The chain of those for whom was forwarded, in one line.
fn chain(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|it| it.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// HTTP/2 may split the cookies; HTTP/1 has them in one line. Source: RFC 9113, section 8.2.3.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(fields: &[(&'static str, &'static str)], is_trusted: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let address = |it: &str| it.parse().unwrap();
        let (peer, client) = (address("10.0.0.1"), address("203.0.113.7"));
        let hop = Hop { peer, client, is_trusted, is_tls: true, host: "shop.example", id: "77" };
        forward(&mut headers, &hop, false);
        headers
    }

    #[track_caller]
    fn check(headers: &HeaderMap, name: &str, expected: Option<&str>) {
        assert_eq!(headers.get(name).map(|it| it.to_str().unwrap()), expected, "{name}");
    }

    #[test]
    fn fields_of_one_hop_stay_behind() {
        let headers = forwarded(
            &[
                ("connection", "keep-alive, X-Secret, Host"),
                ("x-secret", "1"),
                ("keep-alive", "timeout=5"),
                ("te", "trailers"),
                ("upgrade", "h2c"),
                ("proxy-authorization", "Basic x"),
                ("accept", "*/*"),
            ],
            false,
        );
        for name in ["connection", "x-secret", "keep-alive", "te", "upgrade", "proxy-authorization"] {
            check(&headers, name, None);
        }
        check(&headers, "accept", Some("*/*"));
        check(&headers, "host", Some("shop.example"));
        check(&headers, "x-request-id", Some("77"));
    }

    #[test]
    fn a_client_cannot_say_who_it_is_and_a_proxy_can() {
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil"),
            ("x-real-ip", "192.0.2.1"),
            ("x-original-url", "/admin"),
            ("x-request-id", "mine"),
        ];
        let headers = forwarded(&fields, false);
        check(&headers, "x-forwarded-for", Some("10.0.0.1"));
        check(&headers, "x-forwarded-proto", Some("https"));
        check(&headers, "x-forwarded-host", Some("shop.example"));
        check(&headers, "x-real-ip", Some("203.0.113.7"));
        check(&headers, "x-original-url", None);
        check(&headers, "x-request-id", Some("77"));
        let headers = forwarded(&fields, true);
        check(&headers, "x-forwarded-for", Some("192.0.2.1, 10.0.0.1"));
        check(&headers, "x-forwarded-proto", Some("http"));
        check(&headers, "x-forwarded-host", Some("evil"));
    }

    #[test]
    fn an_underscore_is_no_way_around() {
        let names = ["x_real_ip", "x_forwarded_for", "x-forwarded_for", "x_original_url", "x_request_id", "client_ip"];
        for name in names {
            for is_trusted in [false, true] {
                check(&forwarded(&[(name, "192.0.2.1")], is_trusted), name, None);
            }
        }
        check(&forwarded(&[("x_own", "1")], false), "x_own", Some("1"));
    }

    #[test]
    fn cookies_come_in_one_line() {
        check(&forwarded(&[("cookie", "a=1"), ("cookie", "b=2")], false), "cookie", Some("a=1; b=2"));
    }

    #[test]
    fn no_protocol_but_websocket_is_passed_through() {
        for (connection, upgrade, expected) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "WebSocket", true),
            ("Upgrade", "h2c", false),
            ("Upgrade", "websocket, h2c", false),
            ("keep-alive", "websocket", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_static(connection));
            headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
            assert_eq!(asks_websocket(&headers), expected, "{connection} {upgrade}");
        }
    }
}
