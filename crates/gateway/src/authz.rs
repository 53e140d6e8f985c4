//! The decision service: another proxy asks about a request that it holds, and keeps serving it itself.
//!
//! nginx (`auth_request`) names it in `X-Original-URI` and `X-Original-Method`; Traefik and Caddy (forward auth) in
//! `X-Forwarded-Uri`, `X-Forwarded-Method` and `X-Forwarded-Host`. 200 lets it pass; 403 and 429 do not.

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use hyper::{HeaderMap, Method};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
}

/// Reads what is asked about; `None` when no header names the target.
pub(crate) fn read(headers: &HeaderMap, method: &Method, host: &str) -> Option<Asked> {
    let first = |names: &[&str]| {
        names.iter().find_map(|it| headers.get(*it)).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
    };
    let target = first(&["x-original-uri", "x-forwarded-uri"])?;
    Some(Asked {
        method: first(&["x-original-method", "x-forwarded-method"]).unwrap_or_else(|| method.as_str().to_owned()),
        target,
        host: first(&["x-original-host", "x-forwarded-host"]).unwrap_or_else(|| host.to_owned()),
    })
}

/// Takes out what belongs to the question and not to the request that it is about.
pub(crate) fn clean(headers: &mut HeaderMap) {
    const OF_QUESTION: [HeaderName; 3] = [HOST, CONTENT_LENGTH, CONTENT_TYPE];
    OF_QUESTION.iter().for_each(|it| {
        headers.remove(it);
    });
    let named: Vec<HeaderName> = headers
        .keys()
        .filter(|it| it.as_str().starts_with("x-original-") || it.as_str().starts_with("x-forwarded-"))
        .cloned()
        .collect();
    named.iter().for_each(|it| {
        headers.remove(it);
    });
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], expected: Option<(&str, &str, &str)>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let asked = read(&headers, &Method::GET, "gateway");
        let actual = asked.as_ref().map(|it| (it.method.as_str(), it.target.as_str(), it.host.as_str()));
        assert_eq!(actual, expected, "{fields:?}");
    }

    #[test]
    fn understands_nginx_and_forward_auth() {
        check(&[("x-original-uri", "/a?b"), ("x-original-method", "POST")], Some(("POST", "/a?b", "gateway")));
        check(
            &[("x-forwarded-uri", "/a?b"), ("x-forwarded-method", "PUT"), ("x-forwarded-host", "shop")],
            Some(("PUT", "/a?b", "shop")),
        );
        check(&[("x-original-uri", "/a")], Some(("GET", "/a", "gateway")));
        check(&[("x-forwarded-host", "shop")], None);
    }
}
