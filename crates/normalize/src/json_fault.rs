//! Where a text stops being JSON, and what would have done there.
//!
//! Only for texts that the parser has refused: it says that they are wrong, this says how, in words for their sender.

use crate::quote;

/// The first place at which a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    /// In bytes from the beginning; the length of the text when it ends too early.
    at: usize,
    /// What would have done, in words that follow "expected".
    expected: &'static str,
}

/// What the containers around the present place are, the innermost last: whether each is an object.
type Stack = Vec<bool>;

/// Says where `text` stops being JSON, as in "line 1, column 7: expected `,` or `}`, found `1`".
///
/// Lines and columns count from 1, columns in characters. `None` when nothing is wrong with it. Source: RFC 8259.
pub(crate) fn shown(text: &str) -> Option<String> {
    let Fault { at, expected } = fault_of(text)?;
    let before = text.get(..at)?;
    let line = before.bytes().filter(|it| *it == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |it| it.chars().count()) + 1;
    let found = match text[at..].chars().next() {
        Some(c) => format!("`{}`", quote::shown(c.encode_utf8(&mut [0; 4]))),
        None => "the end".to_owned(),
    };
    Some(format!("line {line}, column {column}: expected {expected}, found {found}"))
}

fn fault_of(text: &str) -> Option<Fault> {
    let bytes = text.as_bytes();
    let mut stack = Stack::new();
    let mut at = blanks(bytes, 0);
    loop {
        // Here begins a value.
        let opened = bytes.get(at).copied();
        at = match opened {
            Some(b'{' | b'[') => match open(bytes, at, &mut stack) {
                Ok(Some(next)) => {
                    at = next;
                    continue;
                }
                Ok(None) => blanks(bytes, at + 1) + 1,
                Err(fault) => return Some(fault),
            },
            _ => match scalar(bytes, at) {
                Ok(end) => end,
                Err(fault) => return Some(fault),
            },
        };
        // Here it has ended, and with it any number of containers.
        match next_value(bytes, at, &mut stack) {
            Ok(Some(next)) => at = next,
            Ok(None) => return None,
            Err(fault) => return Some(fault),
        }
    }
}

/// Goes into the container that begins at `at`; returns the place of its first value, or none when it is empty.
fn open(bytes: &[u8], at: usize, stack: &mut Stack) -> Result<Option<usize>, Fault> {
    let is_object = bytes[at] == b'{';
    let inside = blanks(bytes, at + 1);
    match (is_object, bytes.get(inside)) {
        (true, Some(b'}')) | (false, Some(b']')) => return Ok(None),
        (true, Some(b'"')) => {}
        (true, _) => return Err(Fault { at: inside, expected: "a name in double quotes, or `}`" }),
        (false, None) => return Err(Fault { at: inside, expected: "a value, or `]`" }),
        (false, Some(_)) => {}
    }
    stack.push(is_object);
    if is_object { name(bytes, inside).map(Some) } else { Ok(Some(inside)) }
}

/// Finds the next value behind one that ended at `at`; none at the end of the text.
fn next_value(bytes: &[u8], at: usize, stack: &mut Stack) -> Result<Option<usize>, Fault> {
    let mut at = blanks(bytes, at);
    while let Some(is_object) = stack.last().copied() {
        match (is_object, bytes.get(at)) {
            (true, Some(b'}')) | (false, Some(b']')) => {
                stack.pop();
                at = blanks(bytes, at + 1);
            }
            (true, Some(b',')) => {
                let next = blanks(bytes, at + 1);
                return match bytes.get(next) {
                    Some(b'"') => name(bytes, next).map(Some),
                    _ => Err(Fault { at: next, expected: "a name in double quotes" }),
                };
            }
            (false, Some(b',')) => return Ok(Some(blanks(bytes, at + 1))),
            (true, _) => return Err(Fault { at, expected: "`,` or `}`" }),
            (false, _) => return Err(Fault { at, expected: "`,` or `]`" }),
        }
    }
    if at == bytes.len() { Ok(None) } else { Err(Fault { at, expected: "nothing more" }) }
}

/// Passes over a name and its colon; returns the place of the value.
fn name(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let colon = blanks(bytes, text_end(bytes, at)?);
    match bytes.get(colon) {
        Some(b':') => Ok(blanks(bytes, colon + 1)),
        _ => Err(Fault { at: colon, expected: "`:`" }),
    }
}

/// Passes over a value that is no container; returns its end.
fn scalar(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at) {
        Some(b'"') => text_end(bytes, at),
        Some(b'-' | b'0'..=b'9') => number_end(bytes, at),
        Some(b't') => word_end(bytes, at, "true", "`true`"),
        Some(b'f') => word_end(bytes, at, "false", "`false`"),
        Some(b'n') => word_end(bytes, at, "null", "`null`"),
        _ => Err(Fault { at, expected: "a value" }),
    }
}

fn word_end(bytes: &[u8], at: usize, word: &str, expected: &'static str) -> Result<usize, Fault> {
    if bytes[at..].starts_with(word.as_bytes()) { Ok(at + word.len()) } else { Err(Fault { at, expected }) }
}

fn number_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let start = at + usize::from(bytes[at] == b'-');
    let mut at = match bytes.get(start) {
        Some(b'0') => start + 1,
        _ => digits_end(bytes, start)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits_end(bytes, at + 1 + sign)?;
    }
    Ok(at)
}

fn digits_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let count = bytes[at..].iter().take_while(|it| it.is_ascii_digit()).count();
    if count == 0 { Err(Fault { at, expected: "a digit" }) } else { Ok(at + count) }
}

/// Passes over the text that begins with the quote at `at`.
fn text_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut at = at + 1;
    loop {
        match bytes.get(at) {
            None => return Err(Fault { at, expected: "a closing `\"`" }),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape_end(bytes, at)?,
            Some(0..0x20) => return Err(Fault { at, expected: "no bare control character inside a text" }),
            Some(_) => at += 1,
        }
    }
}

fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = bytes[at + 2..].iter().take(4).take_while(|it| it.is_ascii_hexdigit()).count();
            let expected = "four hexadecimal digits after `\\u`";
            if digits == 4 { Ok(at + 6) } else { Err(Fault { at: at + 2 + digits, expected }) }
        }
        _ => Err(Fault { at: at + 1, expected: "one of `\"\\/bfnrtu` after a backslash" }),
    }
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|it| matches!(it, b' ' | b'\t' | b'\n' | b'\r')).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn says_where_and_what_was_expected() {
        check("", "line 1, column 1: expected a value, found the end");
        check("nothing", "line 1, column 1: expected `null`, found `n`");
        check("hello", "line 1, column 1: expected a value, found `h`");
        check("{", "line 1, column 2: expected a name in double quotes, or `}`, found the end");
        check("{'a':1}", "line 1, column 2: expected a name in double quotes, or `}`, found `'`");
        check(r#"{"a":1,}"#, "line 1, column 8: expected a name in double quotes, found `}`");
        check(r#"{"a" 1}"#, "line 1, column 6: expected `:`, found `1`");
        check(r#"{"a":}"#, "line 1, column 6: expected a value, found `}`");
        check(r#"{"a":1 "b":2}"#, "line 1, column 8: expected `,` or `}`, found `\"`");
        check("[1 2]", "line 1, column 4: expected `,` or `]`, found `2`");
        check("[", "line 1, column 2: expected a value, or `]`, found the end");
        check("[1,]", "line 1, column 4: expected a value, found `]`");
        check(r#"{"a":1}{}"#, "line 1, column 8: expected nothing more, found `{`");
    }

    #[test]
    fn knows_the_mistakes_of_numbers_and_texts() {
        check(r#"{"a":01}"#, "line 1, column 7: expected `,` or `}`, found `1`");
        check(r#"{"a":+1}"#, "line 1, column 6: expected a value, found `+`");
        check(r#"{"a":1.}"#, "line 1, column 8: expected a digit, found `}`");
        check(r#"{"a":-}"#, "line 1, column 7: expected a digit, found `}`");
        check(r#"{"a":1e+}"#, "line 1, column 9: expected a digit, found `}`");
        check(r#"{"a":NaN}"#, "line 1, column 6: expected a value, found `N`");
        check(r#"{"a":tru}"#, "line 1, column 6: expected `true`, found `t`");
        check(r#"{"a":"b}"#, "line 1, column 9: expected a closing `\"`, found the end");
        check(r#"{"a":"\q"}"#, "line 1, column 8: expected one of `\"\\/bfnrtu` after a backslash, found `q`");
        check(r#"{"a":"\u12g4"}"#, "line 1, column 11: expected four hexadecimal digits after `\\u`, found `g`");
        check(
            "{\"a\":\"\u{1}\"}",
            "line 1, column 7: expected no bare control character inside a text, found `\\u{1}`",
        );
    }

    #[test]
    fn columns_are_characters_and_lines_are_lines() {
        check("{\"ü\":1,\n \"ö\":x}", "line 2, column 6: expected a value, found `x`");
        check("{\"ü\":ß}", "line 1, column 6: expected a value, found `ß`");
    }

    #[test]
    fn deep_nesting_is_no_recursion() {
        let deep = "[".repeat(200_000);
        check(&deep, "line 1, column 200001: expected a value, or `]`, found the end");
    }

    proptest! {
        #[test]
        fn a_fault_is_found_where_the_parser_finds_one_and_nowhere_else(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\\", "\\u00e9", "\\ud83d", "u", "0", "1", "-", ".", "e", "+",
                    "true", "null", "fal", "se", " ", "\n", "\t", "\u{1}", "é", "{\"a\":", "{\"a\":1}", "[1,2]",
                ]),
                0..14,
            ),
        ) {
            let text = parts.concat();
            let is_refused = serde_json::from_str::<&RawValue>(&text).is_err();
            prop_assert_eq!(shown(&text).is_some(), is_refused, "{}: {:?}", &text, shown(&text));
        }
    }
}
