//! HTML: whether a value would run a script in the page into which it is put.
//!
//! A value can be put between tags, where it must open one, or into the value of an attribute, which it must leave.

/// Elements that run or load something, or change what the page means.
const ELEMENTS: &[&str] = &[
    "applet", "base", "embed", "frame", "frameset", "iframe", "link", "math", "meta", "object", "script", "style",
    "svg", "xml",
];

/// Attributes that hold an address.
const ADDRESSES: &[&str] =
    &["action", "background", "data", "formaction", "from", "href", "poster", "src", "to", "values"];

/// Schemes of addresses that run a script.
const SCHEMES: &[&str] = &["data:", "javascript:", "vbscript:"];

/// The most attributes of an element that are looked at.
const ATTRIBUTES_MAX: usize = 64;

/// Whether `value` runs a script in any of the places.
pub(super) fn is_injection(value: &[u8]) -> bool {
    let tags = memchr::memchr_iter(b'<', value);
    if tags.into_iter().any(|at| is_tag(&value[at + 1..])) {
        return true;
    }
    [b'"', b'\'', b'`']
        .into_iter()
        .any(|quote| memchr::memchr(quote, value).is_some_and(|at| has_attribute(&value[at + 1..])))
}

/// Whether what follows `<` is an element that runs something.
fn is_tag(text: &[u8]) -> bool {
    if text.starts_with(b"!") || text.starts_with(b"?") {
        let rest = text[1..].trim_ascii_start();
        return ["doctype", "entity", "import", "xml"].iter().any(|it| starts_with(rest, it));
    }
    let length = text.iter().take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b':' | b'-' | b'\0')).count();
    let name: Vec<u8> = text[..length.min(64)].iter().filter(|it| **it != 0).map(u8::to_ascii_lowercase).collect();
    if !name.first().is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    let local = name.rsplit(|it| *it == b':').next().unwrap_or(&name);
    let is_element = ELEMENTS.iter().any(|it| it.as_bytes() == local);
    let next = text.get(length).copied().unwrap_or(b'>');
    let is_ended = next.is_ascii_whitespace() || matches!(next, b'/' | b'>' | b'<' | b'"' | b'\'');
    is_ended && (is_element || has_attribute(&text[length..]))
}

/// Whether attributes follow one of which runs something. `text` begins between two of them.
fn has_attribute(text: &[u8]) -> bool {
    let mut rest = text;
    for _ in 0..ATTRIBUTES_MAX {
        let is_between = |it: &u8| it.is_ascii_whitespace() || matches!(it, b'/' | b'"' | b'\'' | b'\0');
        let from = rest.iter().position(|it| !is_between(it)).unwrap_or(rest.len());
        rest = &rest[from..];
        // What begins at the next tag is looked at from there.
        if rest.is_empty() || matches!(rest[0], b'>' | b'<') {
            return false;
        }
        let is_in_name = |it: &u8| !it.is_ascii_whitespace() && !matches!(it, b'=' | b'<' | b'>' | b'/' | b'"' | b'\'');
        let length = rest.iter().take_while(|it| is_in_name(it)).count();
        let (name, after) = rest.split_at(length.max(1));
        let Some(value) = after.trim_ascii_start().strip_prefix(b"=") else {
            rest = after;
            continue;
        };
        let value = value.trim_ascii_start();
        if runs(name, value) {
            return true;
        }
        rest = &value[value_length(value)..];
    }
    false
}

fn value_length(value: &[u8]) -> usize {
    match value.first() {
        Some(quote @ (b'"' | b'\'')) => memchr::memchr(*quote, &value[1..]).map_or(value.len(), |at| at + 2),
        _ => value.iter().position(|it| it.is_ascii_whitespace() || *it == b'>').unwrap_or(value.len()),
    }
}

/// Whether an attribute runs something: an event with something to do, or an address that is a script.
fn runs(name: &[u8], value: &[u8]) -> bool {
    let is_event = 4 < name.len() && starts_with(name, "on") && name.iter().all(u8::is_ascii_alphabetic);
    if is_event {
        return !value.is_empty();
    }
    let local = name.rsplit(|it| *it == b':').next().unwrap_or(name);
    if !ADDRESSES.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(local)) {
        return false;
    }
    let is_noise = |it: &u8| *it <= b' ' || matches!(it, b'"' | b'\'');
    let address: Vec<u8> = value.iter().filter(|it| !is_noise(it)).take(16).copied().collect();
    SCHEMES.iter().any(|it| starts_with(&address, it))
}

fn starts_with(text: &[u8], beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(beginning.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::is_injection;

    #[test]
    fn finds_what_runs() {
        for value in [
            "<script>alert(1)</script>",
            "<x:script src=//a />",
            "<b onbeforesomething=f()>",
            "a<svg/onload=f()>",
            "\"onmouseover='f(document.cookie)'\"",
            "<a href=\" java\tscript:f()\">",
            "<scr\0ipt>",
            "<!ENTITY x SYSTEM 'a'>",
        ] {
            assert!(is_injection(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn leaves_text_and_plain_markup_alone() {
        for value in [
            "a < b and c > d",
            "<p>Hello, <b>you</b></p>",
            "1<2",
            "it's on = off",
            "<a href=\"https://example.com/\">x</a>",
            "say \"only=one\"",
            "",
            "<",
            "\"",
        ] {
            assert!(!is_injection(value.as_bytes()), "{value}");
        }
    }
}
