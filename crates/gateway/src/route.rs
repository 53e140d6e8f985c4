//! Routes: which upstreams a host and a path belong to, and what is done there with attacks.

use std::borrow::Cow;
use std::sync::Arc;

use crate::settings::Fail;
use crate::upstream::group::Group;

/// What is done with a request whose attack score reaches the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It passes, and its event says what was found.
    #[default]
    Observe,
    /// 429 with `Retry-After`.
    Throttle,
    /// 403 with an id.
    Block,
}

impl Mode {
    /// Reads its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [("observe", Self::Observe), ("throttle", Self::Throttle), ("block", Self::Block)]
            .iter()
            .find(|it| it.0 == word)
            .map(|it| it.1)
    }
}

/// A part of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// The host, or `*.` and a domain for all hosts below it; `None` for every host.
    pub host: Option<String>,
    /// What the path begins with, in whole segments and in any case; `/` for every path.
    pub path: String,
    /// Where it goes: `http://HOST:PORT` or `https://HOST:PORT`, one or more.
    pub upstreams: Vec<crate::upstream::address::Address>,
    /// What is done with attacks.
    pub mode: Mode,
    /// The attack score from which a request is one.
    pub threshold: u32,
    /// Whether the Core Rule Set is asked, where there is one.
    pub crs: bool,
    /// What is done with a request whose body was not read, or not to its end.
    pub unread: Fail,
}

/// A route with its upstreams.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) settings: RouteSettings,
    pub(crate) group: Arc<Group>,
}

/// The routes; of those that fit, a named host goes before a domain, a domain before none, then the longer path.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    pub(crate) fn new(mut routes: Vec<Route>) -> Self {
        let weight = |it: &RouteSettings| {
            let host = it.host.as_deref().map_or((0, 0), |host| (1 + u8::from(!host.starts_with("*.")), host.len()));
            std::cmp::Reverse((host, it.path.len()))
        };
        routes.sort_by_key(|it| weight(&it.settings));
        Self(routes)
    }

    /// The route of a request; `host` may have a port, `path` is as sent.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Route> {
        if let [only] = &*self.0
            && only.settings.host.is_none()
            && only.settings.path == "/"
        {
            return Some(only);
        }
        let (host, path) = (bare_host(host), resolved(path));
        self.0.iter().find(|it| {
            it.settings.host.as_deref().is_none_or(|pattern| is_host(pattern, host))
                && is_below(&it.settings.path, &path)
        })
    }
}

/// A host without its port and its last dot.
fn bare_host(host: &str) -> &str {
    let end = host.rfind(':').filter(|it| !host[*it..].contains(']')).unwrap_or(host.len());
    host[..end].trim_end_matches('.')
}

fn is_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .and_then(|it| host.get(it..))
            .is_some_and(|end| suffix.len() < host.len() && end.eq_ignore_ascii_case(suffix)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn is_below(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    // Some upstreams read paths in any case; to the others the other case is most likely nothing.
    let is_prefix = path.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
    is_prefix && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
}

/// The path as an upstream will understand it: decoded, without `.`, `..`, empty segments and parameters. Only for finding a
/// route, so that nobody reaches one path under the policy of another; what is forwarded stays as it was sent.
fn resolved(path: &str) -> Cow<'_, str> {
    let is_plain = !path.contains(['%', '\\', ';']) && !path.contains("/.") && !path.contains("//");
    if is_plain {
        return Cow::Borrowed(path);
    }
    let decoded = decoded(path.as_bytes());
    let text = String::from_utf8_lossy(&decoded);
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split(['/', '\\']) {
        // Some upstreams leave out what follows a semicolon. Source: RFC 3986, section 3.3.
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let byte = digits.filter(|it| !it.starts_with('+')).and_then(|it| u8::from_str_radix(it, 16).ok());
        match byte {
            Some(byte) if first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let route = |host: Option<&str>, path: &str| {
            let settings = RouteSettings {
                host: host.map(str::to_owned),
                path: path.to_owned(),
                upstreams: Vec::new(),
                mode: Mode::Observe,
                threshold: 5,
                crs: true,
                unread: Fail::Open,
            };
            Route { group: Arc::new(Group::new(Vec::new())), settings }
        };
        Routes::new(vec![
            route(None, "/"),
            route(None, "/admin"),
            route(Some("*.shop.example"), "/"),
            route(Some("www.shop.example"), "/"),
            route(Some("www.shop.example"), "/api/"),
        ])
    }

    #[track_caller]
    fn check(host: &str, path: &str, expected: (Option<&str>, &str)) {
        let routes = routes();
        let route = routes.find(host, path).expect("there is one for everything");
        assert_eq!((route.settings.host.as_deref(), route.settings.path.as_str()), expected, "{host} {path}");
    }

    #[test]
    fn the_named_host_and_the_longer_path_go_first() {
        check("www.shop.example", "/", (Some("www.shop.example"), "/"));
        check("WWW.Shop.Example:8443", "/api/x", (Some("www.shop.example"), "/api/"));
        check("www.shop.example.", "/api", (Some("www.shop.example"), "/api/"));
        check("www.shop.example", "/apis", (Some("www.shop.example"), "/"));
        check("cdn.shop.example", "/api", (Some("*.shop.example"), "/"));
        check("shop.example", "/", (None, "/"));
        check("[2001:db8::1]:80", "/admin", (None, "/admin"));
    }

    #[test]
    fn a_path_is_found_however_it_is_spelled() {
        for path in [
            "/%61dmin",
            "/x/../admin",
            "/x/%2e%2e/admin/y",
            "//admin",
            "/./admin",
            "/x\\..\\admin",
            "/admin;a=b/x",
            "/admin%3ba",
            "/x/..;/admin",
            "/;a/admin",
            "/ADMIN/x",
        ] {
            check("other", path, (None, "/admin"));
        }
        check("other", "/admins", (None, "/"));
        for path in ["/adm%", "/adm%zz", "/", "*", "/%", "/%4"] {
            let routes = routes();
            assert!(path == "*" || routes.find("other", path).is_some(), "{path}");
        }
    }
}
