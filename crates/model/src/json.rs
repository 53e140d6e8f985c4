//! Walks over JSON text that has been validated: members, elements, text of a value. Builds no tree.
//!
//! The doors validate with a real parser; what is here only finds its way in text that passed. On text
//! that did not pass, it ends early or returns `None`, and never panics.

use std::borrow::Cow;

/// One value in JSON text, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string, between its quotes, escapes as they were written.
    Text(RawText<'a>),
    /// An array, brackets included.
    Array(&'a str),
    /// An object, braces included.
    Object(&'a str),
}

/// The inside of a JSON string, with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawText<'a>(pub &'a str);

impl<'a> RawText<'a> {
    /// Resolves the escapes; borrows where there are none. A lone surrogate becomes U+FFFD.
    #[must_use]
    pub fn decode(self) -> Cow<'a, str> {
        if self.0.bytes().any(|it| it == b'\\') { Cow::Owned(unescape(self.0)) } else { Cow::Borrowed(self.0) }
    }
}

impl<'a> Value<'a> {
    /// Reads the value that `text` is; `None` when it is none.
    #[must_use]
    pub fn of(text: &'a str) -> Option<Self> {
        let text = text.trim_matches(is_space_char);
        match text.as_bytes().first()? {
            b'n' => Some(Self::Null),
            b't' => Some(Self::Bool(true)),
            b'f' => Some(Self::Bool(false)),
            b'"' if 2 <= text.len() && text.ends_with('"') => Some(Self::Text(RawText(&text[1..text.len() - 1]))),
            b'[' => Some(Self::Array(text)),
            b'{' => Some(Self::Object(text)),
            b'-' | b'0'..=b'9' => Some(Self::Number(text)),
            _ => None,
        }
    }
}

/// The members of an object, in order; a repeated key comes as often as it was written.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a str,
    at: usize,
}

/// Walks over the members of the object that `text` is; nothing for other values.
#[must_use]
pub fn members(text: &str) -> Members<'_> {
    Members { text, at: start_inside(text, b'{') }
}

/// Walks over the elements of the array that `text` is; nothing for other values.
#[must_use]
pub fn elements(text: &str) -> Elements<'_> {
    Elements { text, at: start_inside(text, b'[') }
}

/// Finds the member `key` of the object that `text` is; of a repeated key the last wins.
#[must_use]
pub fn member<'a>(text: &'a str, key: &str) -> Option<Value<'a>> {
    members(text).filter(|(name, _)| name.decode() == key).last().and_then(|(_, value)| Value::of(value))
}

fn start_inside(text: &str, opening: u8) -> usize {
    let at = skip_spaces(text.as_bytes(), 0);
    if text.as_bytes().get(at) == Some(&opening) { at + 1 } else { text.len() }
}

impl<'a> Iterator for Members<'a> {
    type Item = (RawText<'a>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let key_start = skip_separators(bytes, self.at);
        if bytes.get(key_start) != Some(&b'"') {
            self.at = self.text.len();
            return None;
        }
        let key_end = string_end(bytes, key_start)?;
        let colon = skip_spaces(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_spaces(bytes, colon + 1);
        let end = value_end(bytes, start)?;
        self.at = end;
        Some((RawText(self.text.get(key_start + 1..key_end - 1)?), self.text.get(start..end)?))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let start = skip_separators(bytes, self.at);
        if bytes.get(start).is_none_or(|it| *it == b']') {
            self.at = self.text.len();
            return None;
        }
        let end = value_end(bytes, start)?;
        self.at = end;
        self.text.get(start..end)
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_space_char(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn skip_spaces(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|it| is_space(*it)) {
        at += 1;
    }
    at
}

fn skip_separators(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|it| is_space(*it) || *it == b',') {
        at += 1;
    }
    at
}

/// Returns the place behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Returns the place behind the value that begins at `start`.
fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => string_end(bytes, start),
        b'{' | b'[' => container_end(bytes, start),
        _ => {
            let is_end = |it: &u8| is_space(*it) || matches!(it, b',' | b'}' | b']');
            let length = bytes[start..].iter().position(is_end).unwrap_or(bytes.len() - start);
            (0 < length).then_some(start + length)
        }
    }
}

fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Measures how deep the containers of `text` nest; the outermost is 1, a scalar 0.
#[must_use]
pub fn depth(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut deepest) = (0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => match string_end(bytes, at) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return deepest,
            },
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(escape) = rest.chars().next() else { break };
        rest = &rest[escape.len_utf8()..];
        match escape {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => rest = unescape_unicode(rest, &mut out),
            other => out.push(other),
        }
    }
    out.push_str(rest);
    out
}

/// Reads the digits behind `\u`, and of a surrogate pair the second half; returns what follows.
fn unescape_unicode<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let Some(first) = hex4(rest) else {
        out.push('\u{fffd}');
        return rest;
    };
    let after = &rest[4..];
    if let Some(c) = char::from_u32(first) {
        out.push(c);
        return after;
    }
    let second = after.strip_prefix("\\u").and_then(hex4).filter(|it| (0xdc00..0xe000).contains(it));
    match second {
        Some(second) if first < 0xdc00 => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            &after[6..]
        }
        _ => {
            out.push('\u{fffd}');
            after
        }
    }
}

fn hex4(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Appends `text` as a JSON string with its quotes.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[(c as usize) >> 4]));
                out.push(char::from(HEX[(c as usize) & 15]));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn walks_over_members_of_every_kind() {
        let text = r#" { "a" : 1 , "b":"x\"}", "c":[1,{"d":2}],"e":{"f":null}, "g":true,"h":null } "#;
        let found: Vec<_> = members(text).map(|(key, value)| (key.decode().into_owned(), value)).collect();
        let expected = [
            ("a", "1"),
            ("b", r#""x\"}""#),
            ("c", r#"[1,{"d":2}]"#),
            ("e", r#"{"f":null}"#),
            ("g", "true"),
            ("h", "null"),
        ];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn the_last_of_a_repeated_key_wins() {
        assert_eq!(member(r#"{"a":1,"a":2}"#, "a"), Some(Value::Number("2")));
        assert_eq!(member(r#"{"a":1}"#, "b"), None);
    }

    #[test]
    fn walks_over_elements() {
        let found: Vec<_> = elements(r#"[ "a,b" , [1,2], {"c":"]"} ,4 ]"#).collect();
        assert_eq!(found, [r#""a,b""#, "[1,2]", r#"{"c":"]"}"#, "4"]);
        assert_eq!(elements("[]").count(), 0);
        assert_eq!(elements("{}").count(), 0);
    }

    #[test]
    fn resolves_escapes() {
        for (raw, expected) in [
            ("plain", "plain"),
            (r"a\nb", "a\nb"),
            (r#"q\"q"#, "q\"q"),
            (r"\u00fcn\u00EF", "ünï"),
            (r"\ud83d\ude00", "😀"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00x", "\u{fffd}x"),
            (r"\/", "/"),
        ] {
            assert_eq!(RawText(raw).decode(), expected, "{raw}");
        }
    }

    #[test]
    fn measures_depth() {
        for (text, expected) in [("1", 0), ("{}", 1), (r#"{"a":[{"b":"{{["}]}"#, 3), ("[[[]]]", 3)] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in r#"[\{\}\[\]"\\,:a1u ]{0,60}"#) {
            let _ = (members(&text).count(), elements(&text).count(), depth(&text), RawText(&text).decode());
        }

        #[test]
        fn what_is_pushed_is_decoded_again(text in ".{0,40}") {
            let mut out = String::new();
            push_text(&mut out, &text);
            prop_assert_eq!(RawText(&out[1..out.len() - 1]).decode(), text);
        }
    }
}
