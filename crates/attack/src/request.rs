//! What is known of a request.

/// A request, borrowed from whoever received it or read of it in a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The request target as sent, percent-encoding and all: a path with query, or an absolute URL.
    pub target: &'a [u8],
    /// The version as sent, such as `HTTP/1.1`; empty when unknown.
    pub version: &'a str,
    /// The header fields in their order. From an access log, those that it has: `User-Agent`, `Referer`.
    pub headers: &'a [Header<'a>],
    /// The body, or the beginning of it.
    pub body: &'a [u8],
    /// Whether all header fields are here. Only then does a missing one mean something.
    pub has_all_headers: bool,
}

/// A header field.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Its name, in any case.
    pub name: &'a str,
    /// Its value as sent.
    pub value: &'a [u8],
}

impl<'a> Request<'a> {
    /// The first value of a header field, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name)).map(|it| it.value)
    }
}
