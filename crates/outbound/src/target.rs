//! Where a request goes: an address of the web, read strictly.

use std::fmt;

use hyper::Uri;

/// The longest address, in bytes: far more than any service hands out.
pub const URL_BYTES_MAX: usize = 2048;

/// An `http` or `https` address.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The host: a name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, from the slash on.
    pub path: String,
}

impl Target {
    /// Reads an address; says what is wrong without repeating it, for it may hold a secret.
    ///
    /// # Errors
    ///
    /// Another scheme, no host, a user in it, or too long.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if URL_BYTES_MAX < text.len() {
            return Err("is longer than 2048 bytes");
        }
        let uri: Uri = text.parse().map_err(|_| "is no address as `https://host/path`")?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("must begin with `https://` or `http://`"),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a user or password; there are settings for them");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let has_port = authority.as_str().len() != authority.host().len();
        let port = match authority.port_u16() {
            Some(0) => return Err("has the port 0"),
            Some(port) => port,
            None if has_port => return Err("has a port that is no number"),
            None if is_tls => 443,
            None => 80,
        };
        if host.is_empty() {
            return Err("has no host");
        }
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_tls, host, port, path })
    }

    /// Host and port as the header `Host` has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// The path may be a secret, so it is not shown.
impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(out, "{scheme}://{}/...", self.authority())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(bool, &str, u16, &str), &str>) {
        let actual = Target::parse(text);
        let actual = actual.as_ref().map(|it| (it.is_tls, it.host.as_str(), it.port, it.path.as_str()));
        assert_eq!(actual.map_err(|it| *it), expected, "{text}");
    }

    #[test]
    fn reads_scheme_host_port_and_path() {
        check("https://hooks.example/services/T/B?x=1", Ok((true, "hooks.example", 443, "/services/T/B?x=1")));
        check("http://[2001:db8::1]:8080", Ok((false, "2001:db8::1", 8080, "/")));
        check("http://a?b", Ok((false, "a", 80, "/?b")));
    }

    #[test]
    fn refuses_what_is_no_such_address() {
        let scheme = "must begin with `https://` or `http://`";
        for text in ["ftp://a/", "file://a/etc/passwd", "gopher://a", "unix://a", "/path", "host"] {
            check(text, Err(scheme));
        }
        check("http://me:pw@a/", Err("must not hold a user or password; there are settings for them"));
        check("http://a:0/", Err("has the port 0"));
        for text in ["", "file:///etc/passwd", "http://", "https:///path", "http://a b/", "http://a\r\nX: y/"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_is_taken_and_one_more_is_not() {
        let of = |length: usize| format!("http://a/{}", "x".repeat(length - "http://a/".len()));
        assert!(Target::parse(&of(URL_BYTES_MAX)).is_ok());
        check(&of(URL_BYTES_MAX + 1), Err("is longer than 2048 bytes"));
    }

    #[test]
    fn the_path_is_not_shown() {
        let target = Target::parse("https://a:444/secret").expect("it is one");
        assert_eq!(format!("{target} {target:?}"), "https://a:444/... https://a:444/...");
        assert_eq!(target.authority(), "a:444");
    }
}
