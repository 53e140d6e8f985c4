//! The address of an upstream: `http://HOST:PORT` or `https://HOST:PORT`.

use std::fmt;

use hyper::Uri;

/// Why a text is no address of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin with `http://` or `https://`.
    #[error("needs its scheme, as `http://localhost:3000`")]
    Scheme,
    /// Something follows the port.
    #[error("has a path or a query, which would not be forwarded; leave it out, as in `http://localhost:3000`")]
    Path,
    /// It has a name or a password.
    #[error("has a user, which would not be forwarded; leave it out, as in `http://localhost:3000`")]
    User,
    /// The host or the port is none.
    #[error("has no good host or port; write it as `http://localhost:3000`")]
    Host,
}

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
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when it has a path, a query, a user, another scheme, or no host.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let has_scheme = ["http://", "https://"]
            .iter()
            .any(|it| text.get(..it.len()).is_some_and(|start| start.eq_ignore_ascii_case(it)));
        if !has_scheme {
            return Err(AddressError::Scheme);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError::Host)?;
        let is_tls = uri.scheme_str() == Some("https");
        let authority = uri.authority().ok_or(AddressError::Host)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::User);
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(AddressError::Path);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let has_port = authority.as_str().len() != authority.host().len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if has_port => return Err(AddressError::Host),
            None if is_tls => 443,
            None => 80,
        };
        if host.is_empty() || port == 0 {
            return Err(AddressError::Host);
        }
        Ok(Self { is_tls, host, port })
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
    fn check(text: &str, expected: Result<&str, AddressError>) {
        assert_eq!(Address::parse(text).map(|it| it.to_string()), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn reads_scheme_host_and_port() {
        check("http://127.0.0.1:3000", Ok("http://127.0.0.1:3000"));
        check("http://app/", Ok("http://app:80"));
        check("https://app", Ok("https://app:443"));
        check("http://[2001:db8::1]:8080", Ok("http://[2001:db8::1]:8080"));
    }

    #[test]
    fn refuses_what_would_be_forgotten_and_says_what_it_is() {
        for text in ["", "app:80", "localhost:3000", "app", "ftp://app", "http:app"] {
            check(text, Err(AddressError::Scheme));
        }
        for text in ["http://app/base", "http://app?q", "http://app:80/base/"] {
            check(text, Err(AddressError::Path));
        }
        check("http://me:pw@app", Err(AddressError::User));
        for text in ["http://", "http://app:", "http://app:0", "http://a b"] {
            check(text, Err(AddressError::Host));
        }
    }
}
