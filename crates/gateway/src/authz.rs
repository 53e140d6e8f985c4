//! The decision service: another proxy asks about a request that it holds, and keeps serving it itself.
//!
//! nginx (`auth_request`) names it in `X-Original-URI` and `X-Original-Method`; Traefik and Caddy (forward auth) in
//! `X-Forwarded-Uri`, `X-Forwarded-Method` and `X-Forwarded-Host`. 200 lets it pass; 403 and 429 do not.
//! Whoever asks passes on what the client sent beside: a field of the other dialect is the client's, and is inspected.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::{HeaderMap, Method};

use crate::doubt::is_host;
use crate::settings::AuthzDialect;

/// The fields of one dialect.
struct Fields {
    target: &'static str,
    method: &'static str,
    /// `None`: `Host`.
    host: Option<&'static str>,
}

const NGINX: Fields = Fields { target: "x-original-uri", method: "x-original-method", host: None };
const FORWARDED: Fields =
    Fields { target: "x-forwarded-uri", method: "x-forwarded-method", host: Some("x-forwarded-host") };

const fn fields(dialect: AuthzDialect) -> Fields {
    match dialect {
        AuthzDialect::Nginx => NGINX,
        AuthzDialect::Forwarded => FORWARDED,
    }
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
}

/// Reads what is asked about, `method` and `host` being those of the question; a sentence when it cannot be told.
pub(crate) fn read(
    dialect: AuthzDialect,
    headers: &HeaderMap,
    method: &Method,
    host: &str,
) -> Result<Asked, &'static str> {
    const TWICE: &str = "What is asked about stands there twice, or is no text.";
    let fields = fields(dialect);
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(|it| Some(it.to_owned())).map_err(|_| TWICE),
            (Some(_), Some(_)) => Err(TWICE),
        }
    };
    let Some(target) = one(fields.target)? else {
        return Err(match dialect {
            AuthzDialect::Nginx => "X-Original-URI is missing.",
            AuthzDialect::Forwarded => "X-Forwarded-Uri is missing.",
        });
    };
    let host = fields.host.map_or(Ok(None), one)?.unwrap_or_else(|| host.to_owned());
    if !is_host(&host) {
        return Err("The host that is asked about is none.");
    }
    let method = one(fields.method)?.unwrap_or_else(|| method.as_str().to_owned());
    Ok(Asked { method, target, host })
}

/// Takes out what belongs to the question and not to the request that it is about; `asked` gives that its host.
pub(crate) fn clean(dialect: AuthzDialect, headers: &mut HeaderMap, asked: &Asked) {
    let fields = fields(dialect);
    headers.remove(CONTENT_LENGTH);
    [Some(fields.target), Some(fields.method), fields.host].into_iter().flatten().for_each(|it| {
        headers.remove(it);
    });
    if let Ok(host) = HeaderValue::from_str(&asked.host) {
        headers.insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen<'a> = Result<(&'a str, &'a str, &'a str), &'a str>;

    fn headers_of(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[track_caller]
    fn check(dialect: AuthzDialect, fields: &[(&'static str, &'static str)], expected: Seen<'_>) {
        let asked = read(dialect, &headers_of(fields), &Method::GET, "gateway");
        let actual = asked.as_ref().map(|it| (it.method.as_str(), it.target.as_str(), it.host.as_str()));
        assert_eq!(actual.map_err(|it| *it), expected, "{fields:?}");
    }

    #[test]
    fn each_dialect_reads_its_own_fields_and_no_others() {
        let of_nginx = [("x-original-uri", "/a?b"), ("x-original-method", "POST")];
        let of_others = [("x-forwarded-uri", "/c"), ("x-forwarded-method", "PUT"), ("x-forwarded-host", "shop")];
        let both: Vec<_> = of_nginx.iter().chain(&of_others).copied().collect();
        for fields in [&of_nginx[..], &both] {
            check(AuthzDialect::Nginx, fields, Ok(("POST", "/a?b", "gateway")));
        }
        for fields in [&of_others[..], &both] {
            check(AuthzDialect::Forwarded, fields, Ok(("PUT", "/c", "shop")));
        }
        check(AuthzDialect::Nginx, &of_others, Err("X-Original-URI is missing."));
        check(AuthzDialect::Forwarded, &of_nginx, Err("X-Forwarded-Uri is missing."));
        check(AuthzDialect::Nginx, &of_nginx[..1], Ok(("GET", "/a?b", "gateway")));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_question() {
        let twice = "What is asked about stands there twice, or is no text.";
        check(AuthzDialect::Nginx, &[("x-original-uri", "/a"), ("x-original-uri", "/b")], Err(twice));
        let host = [("x-forwarded-uri", "/a"), ("x-forwarded-host", "shop:80:80")];
        check(AuthzDialect::Forwarded, &host, Err("The host that is asked about is none."));
    }

    #[test]
    fn what_the_client_sent_is_left_for_inspection() {
        let fields =
            [("x-original-uri", "/a"), ("x-forwarded-host", "evil"), ("content-type", "a"), ("content-length", "0")];
        let mut headers = headers_of(&fields);
        let asked = Asked { method: "GET".to_owned(), target: "/a".to_owned(), host: "shop".to_owned() };
        clean(AuthzDialect::Nginx, &mut headers, &asked);
        assert_eq!(headers, headers_of(&[("x-forwarded-host", "evil"), ("content-type", "a"), ("host", "shop")]));
    }
}
