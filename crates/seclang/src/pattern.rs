//! Patterns: regular expressions as rules write them.
//!
//! Rules are written for PCRE, whose look-around and back references have no place in a matcher that must be linear. What
//! the Core Rule Set uses is the common part, but for the spelling of a few characters, which is changed here.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;

use crate::needs::Needs;

/// The longest pattern, in bytes. The longest of the Core Rule Set has 12 kB.
const PATTERN_BYTES_MAX: usize = 128 * 1024;
/// The most memory that one compiled pattern may take, in bytes. The largest of the Core Rule Set takes about a tenth.
const COMPILED_BYTES_MAX: usize = 32 << 20;

/// A pattern, ready to search, and what a text must have so that it can match.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// The pattern.
    pub(crate) regex: Regex,
    /// What every match holds.
    pub(crate) needs: Needs,
}

impl Pattern {
    /// Compiles the argument of `@rx`: bytes, not characters; a dot takes line ends, `$` is the very end.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it, in a sentence without its beginning.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if PATTERN_BYTES_MAX < text.len() {
            return Err(format!("a pattern longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let text = respell(text);
        let regex = RegexBuilder::new(&text)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| format!("a pattern that cannot be compiled: {}", last_line(&error.to_string())))?;
        let needs = parse(&text).map_or_else(Needs::default, |it| Needs::of(&it));
        Ok(Self { regex, needs })
    }
}

fn parse(text: &str) -> Option<Hir> {
    let mut builder = regex_syntax::ParserBuilder::new();
    builder.unicode(false).utf8(false).dot_matches_new_line(true).build().parse(text).ok()
}

/// The last line of a message that may show the whole pattern in the lines before.
fn last_line(message: &str) -> &str {
    message.lines().last().unwrap_or(message).trim_start_matches("error: ")
}

/// Writes a pattern as our engine spells it: `\x{ff}` as `\xff`, `\Z` as `\z`, and in brackets `[`, `&`, `~` and `-` so
/// that they do not begin a nested class or an operation on classes.
fn respell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_in_class = false;
    while let Some(character) = rest.chars().next() {
        let length = if is_in_class { in_class(rest, &mut out) } else { outside(rest, &mut out) };
        if character == '[' && !is_in_class {
            is_in_class = true;
        } else if character == ']' && is_in_class {
            is_in_class = false;
        }
        rest = &rest[length..];
    }
    out
}

/// Writes what stands at the beginning of `rest`, outside of brackets, and returns its length.
fn outside(rest: &str, out: &mut String) -> usize {
    if rest.starts_with('\\') {
        return escape(rest, out);
    }
    if !rest.starts_with('[') {
        return push_first(rest, out);
    }
    // A closing bracket that comes first is a member.
    let opening = ["[^]", "[]", "[^", "["].into_iter().find(|it| rest.starts_with(*it)).unwrap_or("[");
    out.push_str(opening.strip_suffix(']').unwrap_or(opening));
    if opening.ends_with(']') {
        out.push_str("\\]");
    }
    opening.len()
}

/// Writes what stands at the beginning of `rest`, within brackets, and returns its length.
fn in_class(rest: &str, out: &mut String) -> usize {
    if rest.starts_with('\\') {
        return escape(rest, out);
    }
    if rest.starts_with("[:")
        && let Some(end) = rest.find(":]")
        && rest[2..end].bytes().all(|it| it.is_ascii_lowercase() || it == b'^')
    {
        out.push_str(&rest[..end + 2]);
        return end + 2;
    }
    if rest.starts_with(['[', '&', '~']) || rest.starts_with("--") {
        out.push('\\');
    }
    push_first(rest, out)
}

/// Writes the escape at the beginning of `rest`, and returns its length.
fn escape(rest: &str, out: &mut String) -> usize {
    if let Some(digits) = rest.strip_prefix("\\x{").and_then(|it| it.split_once('}')).map(|it| it.0)
        && let Ok(value) = u8::from_str_radix(digits, 16)
    {
        out.push_str(&format!("\\x{value:02x}"));
        return digits.len() + 4;
    }
    let Some(escaped) = rest[1..].chars().next() else {
        out.push('\\');
        return 1;
    };
    match escaped {
        'Z' => out.push_str("\\z"),
        'h' => out.push_str("[ \\t]"),
        'e' => out.push_str("\\x1b"),
        // Our engine gives these a meaning of their own or refuses them.
        '<' | '>' => out.push(escaped),
        it if !it.is_ascii() => out.push(it),
        it => out.extend(['\\', it]),
    }
    1 + escaped.len_utf8()
}

fn push_first(rest: &str, out: &mut String) -> usize {
    let Some(first) = rest.chars().next() else { return 0 };
    out.push(first);
    first.len_utf8()
}

#[cfg(test)]
mod tests {
    use super::{Pattern, respell};

    #[track_caller]
    fn check(pattern: &str, matching: &[&[u8]], other: &[&[u8]]) {
        let pattern = Pattern::compile(pattern).unwrap();
        for text in matching {
            assert!(pattern.regex.is_match(text), "{}", text.escape_ascii());
        }
        for text in other {
            assert!(!pattern.regex.is_match(text), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn reads_the_spellings_of_pcre() {
        check(r"\x{bc}[^\x{be}]", &[b"\xbca"], &[b"\xbc\xbe", b"a"]);
        check(r"[[:digit:]&&~~--/[]", &[b"[", b"&", b"~", b"-", b"7"], &[b"a"]);
        check(r"[]a][^]]", &[b"]a", b"a["], &[b"]]"]);
        check(r"][^\]]+$", &[b"]a"], &[b"]]"]);
        check(r"a.b", &[b"a\nb", b"a\xffb"], &[b"ab"]);
        check(r"a$", &[b"ba"], &[b"a\n", b"a\nb"]);
        check(r"\<a\>\/\#", &[b"<a>/#"], &[b"a/#"]);
    }

    #[test]
    fn refuses_what_cannot_be_linear() {
        for pattern in ["(?=a)b", r"(a)\1", "(", "a{1000}{1000}{1000}"] {
            let refusal = Pattern::compile(pattern).unwrap_err();
            assert!(refusal.starts_with("a pattern that cannot be compiled: ") && !refusal.contains('\n'), "{refusal}");
        }
        assert!(Pattern::compile(&"a".repeat(200_000)).is_err());
    }

    #[test]
    fn leaves_what_it_need_not_change() {
        for pattern in [r"^(?i)up[\s\x0b]+\.(?:a|b)*?$", r"\W{4}\b", ""] {
            assert_eq!(respell(pattern), pattern);
        }
    }
}
