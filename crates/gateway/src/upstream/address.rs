//! The address of an upstream: `http://HOST:PORT` or `https://HOST:PORT`.

use std::fmt;

use hyper::Uri;

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Its name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Address {
    /// Reads an address; `None` when it has a path, a query, a user, another scheme, or no host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let has_port = authority.as_str().len() != authority.host().len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if has_port => return None,
            None if is_tls => 443,
            None => 80,
        };
        (is_bare && !host.is_empty() && port != 0).then_some(Self { is_tls, host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(out, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Address::parse(text).map(|it| it.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_scheme_host_and_port() {
        check("http://127.0.0.1:3000", Some("http://127.0.0.1:3000"));
        check("http://app/", Some("http://app:80"));
        check("https://app", Some("https://app:443"));
        check("http://[2001:db8::1]:8080", Some("http://[2001:db8::1]:8080"));
    }

    #[test]
    fn refuses_what_would_be_forgotten() {
        for text in [
            "",
            "app:80",
            "ftp://app",
            "http://app/base",
            "http://app?q",
            "http://me:pw@app",
            "http://app:",
            "http://app:0",
        ] {
            check(text, None);
        }
    }
}
