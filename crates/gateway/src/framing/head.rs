//! The head of an HTTP/1 request: what is ambiguous in it is refused, and how its body is framed is said.
//!
//! Source: RFC 9112, sections 2.2, 3, 5 and 6.3; RFC 9110, sections 5.5 and 8.6.

/// How long a head may be, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// How many header fields a request may have.
pub(crate) const HEADERS_MAX: usize = 100;
/// How long a method may be; the longest registered one has 17 letters.
const METHOD_BYTES_MAX: usize = 24;

/// A head that is not ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) body: Framing,
    /// Whether it asks for another protocol on this connection.
    pub(crate) is_upgrade: bool,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Why a head is refused, with what is known of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: u16,
    /// A stable word, such as `length-twice`.
    pub(crate) check: &'static str,
    /// The method as sent; empty when it cannot be told.
    pub(crate) method: String,
    /// The target as sent; empty when it cannot be told.
    pub(crate) target: String,
    /// The first `Host`; empty when there is none.
    pub(crate) host: String,
}

/// A complaint before what is known of the request is added: status and check.
type Complaint = (u16, &'static str);

const BAD: u16 = 400;

/// Checks a head, from the method to the empty line, every line of which ends with CRLF.
pub(crate) fn check(head: &[u8]) -> Result<Head, Refusal> {
    read(head).map_err(|(status, check)| refusal(head, status, check))
}

/// Makes a refusal with what can be told of the request.
pub(crate) fn refusal(head: &[u8], status: u16, check: &'static str) -> Refusal {
    let mut lines = lines(head);
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(3, |it| *it == b' ').map(|it| String::from_utf8_lossy(it).into_owned());
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_method = method.len() <= METHOD_BYTES_MAX && method.bytes().all(is_token);
    let host = lines.filter_map(split).find(|it| it.0.eq_ignore_ascii_case(b"host"));
    Refusal {
        status,
        check,
        method: if is_method { method } else { String::new() },
        target,
        host: host.map(|it| String::from_utf8_lossy(it.1).into_owned()).unwrap_or_default(),
    }
}

/// The lines without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|it| *it == b'\n').map(|it| it.strip_suffix(b"\r").unwrap_or(it))
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn read(head: &[u8]) -> Result<Head, Complaint> {
    let mut lines = lines(head);
    let is_1_1 = request_line(lines.next().unwrap_or_default())?;
    let mut seen = Seen::default();
    for line in lines.take_while(|it| !it.is_empty()) {
        seen.take(line)?;
    }
    seen.end(is_1_1)
}

/// Checks the request line; returns whether the version is 1.1.
fn request_line(line: &[u8]) -> Result<bool, Complaint> {
    let mut words = line.split(|it| *it == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err((BAD, "request-line"));
    };
    let is_method = (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.iter().all(|it| is_token(*it));
    if !is_method || method == super::link::REFUSED.as_bytes() {
        return Err((BAD, "method"));
    }
    if target.iter().any(|it| *it <= b' ' || *it == 0x7f || *it == b'#') || hyper::Uri::try_from(target).is_err() {
        return Err((BAD, "target"));
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err((505, "version")),
    }
}

/// What the header fields say about framing.
#[derive(Default)]
struct Seen {
    count: usize,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    is_upgrade: bool,
    asks_upgrade: bool,
}

impl Seen {
    fn take(&mut self, line: &[u8]) -> Result<(), Complaint> {
        self.count += 1;
        if HEADERS_MAX < self.count {
            return Err((431, "header-count"));
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err((BAD, "folded-line"));
        }
        let Some((name, value)) = split(line) else { return Err((BAD, "header-line")) };
        if name.is_empty() || !name.iter().all(|it| is_token(*it)) {
            return Err((BAD, "header-name"));
        }
        if value.iter().any(|it| (*it < b' ' && *it != b'\t') || *it == 0x7f) {
            return Err((BAD, "header-value"));
        }
        self.take_field(name, value)
    }

    fn take_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Complaint> {
        // Names of other lengths are none of those below.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                let is_host = value.iter().all(|it| it.is_ascii_alphanumeric() || b".-_:[]%~!$&'()*+,;=".contains(it));
                if 1 < self.hosts || !is_host {
                    return Err((BAD, "host"));
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.asks_upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let mut words = value.split(|it| *it == b',').map(<[u8]>::trim_ascii);
                self.is_upgrade |= words.any(|it| it.eq_ignore_ascii_case(b"upgrade"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err((BAD, "length-twice"));
                }
                self.length = Some(length(value).ok_or((BAD, "length"))?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.is_chunked {
                    return Err((BAD, "encoding-twice"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err((BAD, "encoding"));
                }
                self.is_chunked = true;
            }
            // Some servers read `_` as `-`: to them these would be the two above.
            14 | 17
                if name.eq_ignore_ascii_case(b"content_length") || name.eq_ignore_ascii_case(b"transfer_encoding") =>
            {
                return Err((BAD, "header-name"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&self, is_1_1: bool) -> Result<Head, Complaint> {
        if is_1_1 && self.hosts == 0 {
            return Err((BAD, "host"));
        }
        let body = match (self.is_chunked, self.length) {
            (true, Some(_)) => return Err((BAD, "length-and-encoding")),
            (true, None) if !is_1_1 => return Err((BAD, "encoding-in-1.0")),
            (true, None) => Framing::Chunked,
            (false, Some(0) | None) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        let is_upgrade = self.is_upgrade && self.asks_upgrade;
        if is_upgrade && body != Framing::None {
            return Err((BAD, "upgrade-with-body"));
        }
        Ok(Head { body, is_upgrade })
    }
}

/// Reads a length: digits only, and no more than 18 of them.
fn length(value: &[u8]) -> Option<u64> {
    let is_number = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| value.iter().fold(0, |sum, it| sum * 10 + u64::from(it - b'0')))
}

/// Whether a byte may stand in a token.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_head(lines: &str, expected: Result<Framing, &str>) {
        let head = format!("{}\r\n\r\n", lines.replace('\n', "\r\n"));
        let actual = check(head.as_bytes()).map(|it| it.body).map_err(|it| it.check);
        assert_eq!(actual, expected, "{lines}");
    }

    #[test]
    fn says_how_a_body_is_framed() {
        check_head("GET / HTTP/1.1\nHost: a", Ok(Framing::None));
        check_head("GET / HTTP/1.0", Ok(Framing::None));
        check_head("POST / HTTP/1.1\nHost: a\nContent-Length: 0", Ok(Framing::None));
        check_head("POST / HTTP/1.1\nHost: a\ncontent-length:17", Ok(Framing::Length(17)));
        check_head("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked", Ok(Framing::Chunked));
    }

    #[test]
    fn refuses_two_readings_and_takes_the_one_beside() {
        let post = "POST / HTTP/1.1\nHost: a\n";
        for (fields, check) in [
            ("Content-Length: 4\nTransfer-Encoding: chunked", "length-and-encoding"),
            ("Transfer-Encoding: chunked\nContent-Length: 4", "length-and-encoding"),
            ("Content-Length: 4\nContent-Length: 4", "length-twice"),
            ("Content-Length: 4, 4", "length"),
            ("Content-Length: +4", "length"),
            ("Content-Length: 0x4", "length"),
            ("Content-Length:", "length"),
            ("Content-Length: 1234567890123456789", "length"),
            ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "encoding-twice"),
            ("Transfer-Encoding: identity, chunked", "encoding"),
            ("Transfer-Encoding: xchunked", "encoding"),
            ("Transfer-Encoding: \u{b}chunked", "header-value"),
            ("Transfer-Encoding : chunked", "header-name"),
            ("Transfer_Encoding: chunked", "header-name"),
            ("Content_Length: 4", "header-name"),
            ("X: a\n b", "folded-line"),
            (" X: a", "folded-line"),
            ("X", "header-line"),
            (": a", "header-name"),
            ("X: a\rContent-Length: 4", "header-value"),
            ("X: a\0b", "header-value"),
            ("Host: b", "host"),
            ("Connection: Upgrade\nUpgrade: websocket\nContent-Length: 4", "upgrade-with-body"),
        ] {
            check_head(&format!("{post}{fields}"), Err(check));
        }
        check_head(&format!("{post}Content-Length: 4\nX: 4"), Ok(Framing::Length(4)));
        check_head(&format!("{post}X: ö"), Ok(Framing::None));
        check_head("POST / HTTP/1.0\nTransfer-Encoding: chunked", Err("encoding-in-1.0"));
    }

    #[test]
    fn refuses_request_lines_that_are_none() {
        for (line, check) in [
            ("GET /", "request-line"),
            ("GET  / HTTP/1.1", "request-line"),
            ("GET / a HTTP/1.1", "request-line"),
            ("GET /\ta HTTP/1.1", "target"),
            ("GET /#a HTTP/1.1", "target"),
            ("G@T / HTTP/1.1", "method"),
            ("REFUSED / HTTP/1.1", "method"),
            ("GET / HTTP/1.2", "version"),
            ("GET / http/1.1", "version"),
            ("", "request-line"),
        ] {
            check_head(&format!("{line}\nHost: a"), Err(check));
        }
        check_head("GET / HTTP/1.1", Err("host"));
        check_head("GET / HTTP/1.1\nHost: a b", Err("host"));
    }

    #[test]
    fn takes_a_hundred_fields_and_refuses_one_more() {
        let of = |count: usize| format!("GET / HTTP/1.1\nHost: a{}", "\nX: a".repeat(count - 1));
        check_head(&of(HEADERS_MAX), Ok(Framing::None));
        check_head(&of(HEADERS_MAX + 1), Err("header-count"));
    }

    #[test]
    fn a_refusal_tells_what_is_known() {
        let refusal = check(b"POST /a?b HTTP/1.1\r\nHost: shop\r\nContent-Length: x\r\n\r\n").expect_err("no length");
        let actual = (refusal.status, refusal.method.as_str(), refusal.target.as_str(), refusal.host.as_str());
        assert_eq!(actual, (400, "POST", "/a?b", "shop"));
    }
}
