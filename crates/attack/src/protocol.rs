//! What two servers would read differently, line breaks where none may be, and what is merely unusual.

use crate::hit::Hit;
use crate::report::{Family, Finding, Place, Report, excerpt_of};
use crate::request::Request;

/// Judges a request as a message of HTTP.
pub(crate) fn check(request: &Request<'_>, report: &mut Report) {
    let mut tell = |family, check, name: &str, excerpt: &[u8], score| {
        let excerpt = excerpt_of(excerpt, 0..excerpt.len());
        let place = Place::Header(name.to_owned());
        report.add(Finding { family, check, place, excerpt, confidence: if score == 5 { 90 } else { 50 }, score });
    };
    let (mut lengths, mut is_chunked) = (0, false);
    for header in request.headers {
        let value = header.value;
        if value.iter().any(|it| matches!(it, b'\r' | b'\n' | 0)) {
            tell(Family::ProtocolAttack, "header-control-character", &header.name.to_ascii_lowercase(), value, 5);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            lengths += 1;
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                tell(Family::ProtocolAttack, "content-length", "content-length", value, 5);
            }
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = true;
            let last = value.rsplit(|it| *it == b',').next().unwrap_or_default().trim_ascii();
            if !last.eq_ignore_ascii_case(b"chunked") {
                tell(Family::ProtocolAttack, "transfer-encoding", "transfer-encoding", value, 5);
            }
        }
        if header.name.eq_ignore_ascii_case("host") && is_address(value) {
            tell(Family::Policy, "host-is-address", "host", value, 1);
        }
    }
    if 1 < lengths || (is_chunked && 0 < lengths) {
        tell(Family::ProtocolAttack, "two-lengths", "content-length", b"", 5);
    }
    if request.has_all_headers && request.header("user-agent").is_none() {
        tell(Family::Policy, "no-user-agent", "user-agent", b"", 1);
    }
    if request.has_all_headers && !request.body.is_empty() && request.header("content-type").is_none() {
        tell(Family::Policy, "no-content-type", "content-type", b"", 1);
    }
}

fn is_address(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = host.rsplit_once(':').filter(|it| !it.0.contains(':') || it.0.ends_with(']')).map_or(host, |it| it.0);
    let name = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    name.parse::<std::net::IpAddr>().is_ok()
}

/// Header fields that attackers add to an answer or a mail, with the colon.
const FIELDS: &[&[u8]] = &[
    b"set-cookie:",
    b"location:",
    b"content-type:",
    b"content-length:",
    b"host:",
    b"bcc:",
    b"cc:",
    b"to:",
    b"from:",
    b"subject:",
    b"mime-version:",
    b"x-",
    b"http/1.",
    b"access-control-",
    b"transfer-encoding:",
    b"refresh:",
    b"link:",
    b"crlf",
    b"header:",
];
/// Fields that people write in lines of their own, too: heads of mails that they quote, `Location: room 5`.
const OF_PROSE: &[&[u8]] =
    &[b"to:", b"cc:", b"from:", b"subject:", b"location:", b"host:", b"link:", b"x-", b"header:"];
/// From so many blanks on, what stands before a line is prose, and no address or name that a field is put behind.
const PROSE_BLANKS_MIN: usize = 3;
/// What comes after a tag in IMAP, or by itself in SMTP and POP.
const COMMANDS: &[&[u8]] = &[
    b"capability",
    b"fetch",
    b"select",
    b"list",
    b"rcpt to",
    b"mail from",
    b"data",
    b"quit",
    b"noop",
    b"login",
    b"logout",
    b"stat",
    b"retr",
    b"dele",
    b"helo",
    b"ehlo",
    b"create",
    b"search",
    b"store",
    b"rename",
    b"status",
    b"append",
];

/// Looks for lines that a server would take for fields or commands of its own, in a text in lower case.
pub(crate) fn check_line_breaks(text: &[u8], is_body: bool) -> Option<Hit> {
    // A character whose last byte is a line break, for servers that drop the others.
    if let Some(at) =
        memchr::memmem::find(text, b"\xe5\x98\x8d").or_else(|| memchr::memmem::find(text, b"\xe5\x98\x8a"))
        && let behind = &text[at + 3..]
        && let behind = behind.strip_prefix(b"\xe5\x98\x8a").unwrap_or(behind)
        && FIELDS.iter().any(|it| behind.starts_with(it))
    {
        return Some(Hit::sure(Family::ProtocolAttack, "line-break-field", at..text.len().min(at + 80)));
    }
    let first = memchr::memchr2(b'\r', b'\n', text)?;
    // Texts have lines; only one that begins with its line break is odd in a body.
    if is_body && 0 < first || 2048 < text.len() {
        return None;
    }
    for at in memchr::memchr2_iter(b'\r', b'\n', text).take(64) {
        let line = text[at..].trim_ascii_start();
        let is_prose = OF_PROSE.iter().any(|it| line.starts_with(it))
            && PROSE_BLANKS_MIN <= memchr::memchr_iter(b' ', &text[..at]).count();
        if !is_prose
            && FIELDS.iter().any(|it| line.starts_with(it))
            && memchr::memchr(b':', &line[..line.len().min(64)]).is_some()
                | line.starts_with(b"http/1.")
                | line.starts_with(b"crlf")
        {
            return Some(Hit::sure(Family::ProtocolAttack, "line-break-field", at..text.len().min(at + 80)));
        }
        let tag = line.iter().take(8).take_while(|it| it.is_ascii_alphanumeric()).count();
        let behind = line[tag..].trim_ascii_start();
        let has_digit = line[..tag].iter().any(u8::is_ascii_digit);
        let is_command = |text: &[u8]| {
            COMMANDS
                .iter()
                .any(|it| text.starts_with(it) && text.get(it.len()).is_none_or(|it| !it.is_ascii_alphanumeric()))
        };
        if (has_digit && is_command(behind))
            || line.starts_with(b"rcpt to")
            || line.starts_with(b"mail from")
            || (line.starts_with(b"quit") && line.trim_ascii().len() < 6)
        {
            return Some(Hit::sure(Family::ProtocolAttack, "line-break-command", at..text.len().min(at + 80)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields_behind_line_breaks() {
        for text in ["x\r\nset-cookie: a=b", "\r\nv100 capability\r\n", "a\nbcc: x@y", "\r\nhttp/1.1 200 ok"] {
            assert!(check_line_breaks(text.as_bytes(), false).is_some(), "{text}");
        }
        for text in ["dear all,\nthe list is long", "a\r\nb", "1\n2\n3"] {
            assert!(check_line_breaks(text.as_bytes(), false).is_none(), "{text}");
        }
        assert!(check_line_breaks(b"hello\r\nsubject: x", true).is_none());
    }

    #[test]
    fn tells_addresses_from_names() {
        for (host, expected) in [
            ("10.0.0.1", true),
            ("10.0.0.1:8080", true),
            ("[::1]:80", true),
            ("example.com:80", false),
            ("example.com", false),
        ] {
            assert_eq!(is_address(host.as_bytes()), expected, "{host}");
        }
    }
}
