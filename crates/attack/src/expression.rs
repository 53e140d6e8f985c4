//! Expressions that a template engine or a look-up would evaluate, entities of XML, and addresses inside.

use crate::hit::Hit;
use crate::report::Family;

/// How far an expression is read.
const EXPRESSION_BYTES_MAX: usize = 400;

/// Looks for expressions of template engines in a text in lower case.
pub(crate) fn check_template(text: &[u8]) -> Option<Hit> {
    for at in memchr::memchr_iter(b'{', text).take(64) {
        let (open, close) = match at.checked_sub(1).map(|it| text[it]) {
            Some(b'$' | b'#' | b'*' | b'%' | b'@') => (at + 1, b'}'),
            _ if text[at..].starts_with(b"{{") => (at + 2, b'}'),
            _ if text[..at].ends_with(b"$\\a") || text[..at].ends_with(b"+") => (at + 1, b'}'),
            _ => continue,
        };
        let rest = &text[open..text.len().min(open + EXPRESSION_BYTES_MAX)];
        let inside = &rest[..memchr::memchr(close, rest).unwrap_or(rest.len())];
        if is_expression(inside) {
            let at = at.saturating_sub(1)..text.len().min(open + inside.len() + 2);
            return Some(Hit::sure(Family::TemplateInjection, "template-expression", at));
        }
        if inside.starts_with(b"${")
            || memchr::memmem::find(inside, b":-").is_some()
                && memchr::memmem::find(inside, b"j").is_some()
                && text.len() < 400
        {
            let is_lookup = memchr::memmem::find(text, b"${").is_some() && memchr::memmem::find(inside, b":").is_some();
            if is_lookup && memchr::memchr(b'$', inside).is_some() {
                return Some(Hit::sure(
                    Family::Lookup,
                    "nested-lookup",
                    at.saturating_sub(1)..text.len().min(at + 120),
                ));
            }
        }
    }
    for open in [&b"<%"[..], b"@(", b"[[", b"{%"] {
        let Some(at) = memchr::memmem::find(text, open) else { continue };
        let rest = &text[at + open.len()..text.len().min(at + EXPRESSION_BYTES_MAX)];
        let end = rest.iter().position(|it| matches!(it, b'%' | b']' | b')')).unwrap_or(rest.len());
        let inside = rest[..end].trim_ascii_start();
        if is_product(inside.strip_prefix(b"print(").unwrap_or(inside)) {
            return Some(Hit::sure(Family::TemplateInjection, "template-expression", at..text.len().min(at + 80)));
        }
    }
    None
}

/// `7*7`, `''.__class__`, `config.items()`, `t(java.lang.x)`
fn is_expression(inside: &[u8]) -> bool {
    let telling = [
        &b"__"[..],
        b"config.",
        b"self.",
        b"request.",
        b"cycler.",
        b"lipsum",
        b"url_for",
        b"get_flashed",
        b"constructor",
        b"?new(",
        b"java",
        b".getclass",
        b"system(",
        b"exec(",
        b"exec ",
        b"runtime",
        b"dump(",
        b"app.",
        b"|filter",
        b"|map(",
        b"|attr(",
        b"['map']",
        b"passthru",
        b"script:",
        b"print(",
        b"md5(",
    ];
    is_product(inside)
        || (telling.iter().any(|it| memchr::memmem::find(inside, it).is_some())
            && inside.iter().any(|it| matches!(it, b'(' | b'[' | b'|' | b'_')))
}

/// Whether it is a product of two numbers, as probes are, and nothing else.
fn is_product(inside: &[u8]) -> bool {
    let inside = inside.trim_ascii();
    let inside = inside.strip_prefix(b"{").unwrap_or(inside);
    let inside = inside.strip_prefix(b"=").unwrap_or(inside);
    let is_number = |it: &[u8]| {
        let it = it.trim_ascii();
        let it = it.strip_prefix(b"'").and_then(|it| it.strip_suffix(b"'")).unwrap_or(it);
        !it.is_empty() && it.len() <= 12 && it.iter().all(u8::is_ascii_digit)
    };
    inside.len() <= 64 && inside.contains(&b'*') && inside.split(|it| *it == b'*').all(is_number)
}

/// Looks for objects as PHP writes them, `O:8:"Name":1:{`, in a text in lower case.
pub(crate) fn check_object(text: &[u8]) -> Option<Hit> {
    memchr::memmem::find_iter(text, b":\"").take(64).find_map(|at| {
        let digits = text[..at].iter().rev().take(6).take_while(|it| it.is_ascii_digit()).count();
        let begin = text[..at - digits].strip_suffix(b":").and_then(|it| it.len().checked_sub(1))?;
        let is_first = begin == 0 || matches!(text[begin - 1], b';' | b'{' | b'}' | b'=' | b'|' | b' ');
        let rest = &text[at + 2..text.len().min(at + 2 + EXPRESSION_BYTES_MAX)];
        let behind = &rest[memchr::memchr(b'"', rest)? + 1..];
        let counted = behind.strip_prefix(b":")?;
        let count = counted.iter().take(6).take_while(|it| it.is_ascii_digit()).count();
        let is_object =
            0 < digits && is_first && matches!(text[begin], b'o' | b'c') && counted[count..].starts_with(b":{");
        is_object.then(|| Hit::sure(Family::CodeInjection, "php-object", begin..text.len().min(begin + 80)))
    })
}

/// Looks for entities and doctypes that read or fetch, in a text in lower case.
pub(crate) fn check_xml(text: &[u8]) -> Option<Hit> {
    let sure = |check, at: usize| Some(Hit::sure(Family::XmlEntity, check, at..text.len().min(at + 160)));
    if let Some(at) = memchr::memmem::find(text, b"<!entity") {
        return sure("xml-entity", at);
    }
    let at = memchr::memmem::find(text, b"<!doctype")?;
    let rest = &text[at + 9..text.len().min(at + 600)];
    let head = &rest[..memchr::memchr(b'>', rest).unwrap_or(rest.len())];
    // `<!DOCTYPE html SYSTEM "about:legacy-compat">` is HTML.
    let is_fetch = memchr::memmem::find(head, b" system").is_some()
        && memchr::memmem::find(head, b"about:legacy").is_none()
        && memchr::memmem::find(head, b"apple").is_none();
    is_fetch.then_some(())?;
    sure("xml-doctype", at)
}

/// Looks for addresses that a server should not fetch, in a text in lower case.
pub(crate) fn check_address(text: &[u8]) -> Option<Hit> {
    for at in memchr::memmem::find_iter(text, b"://").take(16) {
        let scheme_length = text[..at]
            .iter()
            .rev()
            .take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.'))
            .count();
        let scheme = &text[at - scheme_length..at];
        let rest = &text[at + 3..];
        let host = &rest[..rest
            .iter()
            .position(|it| matches!(it, b'/' | b'?' | b'#' | b'"' | b'\'' | b' ' | b'>' | b'\\'))
            .unwrap_or(rest.len())];
        let host = host.rsplit(|it| *it == b'@').next().unwrap_or(host);
        let name = if host.starts_with(b"[") { host } else { host.split(|it| *it == b':').next().unwrap_or(host) };
        let place = at - scheme_length..text.len().min(at + 80);
        if matches!(scheme, b"gopher" | b"dict" | b"ldap" | b"ldaps" | b"rmi" | b"tftp" | b"sftp" | b"netdoc")
            && !host.is_empty()
        {
            return Some(Hit::sure(Family::RequestForgery, "address-scheme", place));
        }
        let is_metadata = matches!(
            name,
            b"169.254.169.254"
                | b"metadata.google.internal"
                | b"100.100.100.200"
                | b"[fd00:ec2::254]"
                | b"metadata"
                | b"169.254.170.2"
                | b"[::ffff:a9fe:a9fe]"
                | b"metadata.tencentyun.com"
                | b"instance-data"
        ) || name.starts_with(b"169.254.169.254.");
        if is_metadata {
            return Some(Hit::sure(Family::RequestForgery, "address-metadata", place));
        }
        let is_number = 8 <= name.len() && name.iter().all(u8::is_ascii_digit)
            || name.starts_with(b"0x")
                && 4 < name.len()
                && name[2..].iter().all(|it| it.is_ascii_hexdigit() || *it == b'.');
        let is_octal = name.split(|it| *it == b'.').count() == 4
            && name.split(|it| *it == b'.').all(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit))
            && name.split(|it| *it == b'.').any(|it| 1 < it.len() && it[0] == b'0');
        // `127.1`, `0`: parts that are left out are zero.
        let is_short = name == b"0"
            || matches!(name.split(|it| *it == b'.').count(), 2 | 3)
                && name.split(|it| *it == b'.').all(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit));
        if is_number || is_octal || is_short {
            return Some(Hit::sure(Family::RequestForgery, "address-in-disguise", place));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_expressions_and_lets_placeholders_pass() {
        for text in [
            "{{7*7}}",
            "${1337*1338}",
            "#{16*8787}",
            "{{''.__class__}}",
            "$\\a{233*233}",
            "<%= 7*7 %>",
            "${${x:y}ndi:z}",
            "{{config.items()}}",
            "${{1337*1338}}",
        ] {
            assert!(check_template(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["{{name}}", "${user}", "{\"a\":1}", "{{ user.name | upper }}", "#{id}", "${a.b}", "{{a*b}}"] {
            assert!(check_template(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn finds_entities_and_lets_documents_pass() {
        assert!(check_xml(b"<!doctype foo [ <!entity xxe system \"file:///etc/passwd\"> ]>").is_some());
        assert!(check_xml(b"<!doctype x system \"//x/x\" > <x>a</x>").is_some());
        assert!(check_xml(b"<!doctype html><html></html>").is_none());
        assert!(
            check_xml(b"<!doctype html public \"-//w3c//dtd xhtml 1.0//en\" \"http://www.w3.org/tr/x.dtd\">").is_none()
        );
    }

    #[test]
    fn finds_addresses_that_are_no_sites() {
        for text in [
            "http://169.254.169.254/latest/",
            "gopher://127.0.0.1:6379/_x",
            "http://2130706433/",
            "http://0x7f000001/",
            "ldap://x.y/a",
        ] {
            assert!(check_address(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["https://example.com/?a=b", "http://10.0.0.1/x", "http://localhost:3000/"] {
            assert!(check_address(text.as_bytes()).is_none(), "{text}");
        }
    }
}
