//! One JSON object from outside: strictly valid, within the limits, read in place.

use model::json::{self, RawText, Value};
use model::limits::{DEPTH_MAX, EVENT_BYTES_MAX, FIELD_BYTES_MAX};
use serde_json::value::RawValue;

use crate::member::Member;
use crate::refusal::{Code, Refusal};
use crate::{json_fault, quote};

/// The text of a JSON object that is valid and within the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a>(&'a str);

impl<'a> Object<'a> {
    /// Validates the record `bytes`.
    ///
    /// Strict JSON in UTF-8; numbers of any size are kept unread. An object with at least one member, of at
    /// most `EVENT_BYTES_MAX`, its texts of at most `FIELD_BYTES_MAX`, nested at most `DEPTH_MAX` deep.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if EVENT_BYTES_MAX < bytes.len() {
            let message = format!("an event of {} bytes is over the limit of {EVENT_BYTES_MAX}", bytes.len());
            return Err(Refusal::record(Code::TooLarge, message));
        }
        let text = utf8(bytes)?;
        let text = serde_json::from_str::<&RawValue>(text).map_err(|_| not_json(text))?.get();
        if !text.starts_with('{') {
            let message = format!("`{}` is no event; send a JSON object", quote::shown(text));
            return Err(Refusal::record(Code::NotAnObject, message));
        }
        let object = Self(text);
        if object.members().next().is_none() {
            let message = "an object without a field is no event; name at least one, such as `message`";
            return Err(Refusal::record(Code::Empty, message));
        }
        object.check_depth()?;
        object.check_fields()?;
        Ok(object)
    }

    /// The text of the object, without blanks around it.
    pub(crate) const fn text(self) -> &'a str {
        self.0
    }

    /// Walks over the members in order; a repeated name comes as often as it was written.
    pub(crate) fn members(self) -> impl Iterator<Item = Member<'a>> {
        json::members(self.0).map(|(name, raw)| Member::new(name.decode(), raw))
    }

    /// The object with other limits already checked, for what is inside a checked one.
    pub(crate) const fn inside(text: &'a str) -> Self {
        Self(text)
    }

    /// A walk over the whole text only where there are brackets enough for it to fail.
    fn check_depth(self) -> Result<(), Refusal> {
        let brackets = memchr::memchr2_iter(b'{', b'[', self.0.as_bytes()).take(DEPTH_MAX + 1).count();
        if brackets <= DEPTH_MAX || json::depth(self.0) <= DEPTH_MAX {
            return Ok(());
        }
        let deep = self.members().find(|it| DEPTH_MAX <= json::depth(it.raw));
        let message = format!("the event nests deeper than {DEPTH_MAX}; the outermost object is 1");
        Err(Refusal { field: deep.map(|it| it.name.into_owned()), ..Refusal::record(Code::TooDeep, message) })
    }

    fn check_fields(self) -> Result<(), Refusal> {
        if self.0.len() <= FIELD_BYTES_MAX {
            return Ok(());
        }
        match json::members(self.0).find(|(name, raw)| is_too_long(*name) || has_long_text(raw)) {
            None => Ok(()),
            Some((name, _)) => {
                let name = quote::shown(&name.decode());
                let message = format!("`{name}` has a text of over {FIELD_BYTES_MAX} bytes");
                Err(Refusal { field: Some(name), ..Refusal::record(Code::TooLarge, message) })
            }
        }
    }
}

/// Reads bytes as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("not UTF-8 at byte {}: `{}`", error.valid_up_to(), quote::shown_bytes(bytes));
        Refusal::record(Code::BadText, message)
    })
}

fn not_json(text: &str) -> Refusal {
    let place = json_fault::shown(text).map_or_else(String::new, |it| format!(" at {it}"));
    Refusal::record(Code::BadJson, format!("`{}` is not JSON{place}", quote::shown(text)))
}

fn is_too_long(text: RawText<'_>) -> bool {
    FIELD_BYTES_MAX < text.0.len() && FIELD_BYTES_MAX < text.decode().len()
}

/// Whether a text inside `raw` is over the limit. Nested at most `DEPTH_MAX` deep, since that is checked before.
fn has_long_text(raw: &str) -> bool {
    if raw.len() <= FIELD_BYTES_MAX {
        return false;
    }
    match Value::of(raw) {
        Some(Value::Text(text)) => is_too_long(text),
        Some(Value::Array(_)) => json::elements(raw).any(has_long_text),
        Some(Value::Object(_)) => json::members(raw).any(|(name, raw)| is_too_long(name) || has_long_text(raw)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: impl AsRef<[u8]>, expected: Result<(), (Code, Option<&str>)>) {
        let bytes = bytes.as_ref();
        let actual = Object::parse(bytes).map(|_| ()).map_err(|it| (it.code, it.field));
        let expected = expected.map_err(|(code, field)| (code, field.map(str::to_owned)));
        assert_eq!(actual, expected, "{}", quote::shown_bytes(bytes));
    }

    fn nested(depth: usize) -> String {
        format!(r#"{{"n":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    }

    #[test]
    fn takes_objects_only() {
        check(" {\"a\":1}\r\n", Ok(()));
        check("\u{feff}{\"a\":1}", Ok(()));
        for text in ["[]", "null", "17", "\"x\"", "[{\"a\":1}]"] {
            check(text, Err((Code::NotAnObject, None)));
        }
        check("{}", Err((Code::Empty, None)));
        check(" { } ", Err((Code::Empty, None)));
    }

    #[test]
    fn refuses_what_is_not_strictly_json() {
        for text in [
            "",
            "{",
            "nothing",
            "{\"a\":1}{}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":1.}",
            "{\"a\":NaN}",
            "{\"a\":0x10}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\q\"}",
            "{'a':1}",
            "{\"a\":1,}",
        ] {
            check(text, Err((Code::BadJson, None)));
        }
    }

    #[test]
    fn a_refusal_says_where_in_words_of_ours() {
        let refused = |text: &str| Object::parse(text.as_bytes()).unwrap_err().message;
        assert_eq!(
            refused("{\"a\":1,\n\"b\"=2}"),
            "`{\"a\":1,\\n\"b\"=2}` is not JSON at line 2, column 4: expected `:`, found `=`"
        );
        assert_eq!(refused(""), "`` is not JSON at line 1, column 1: expected a value, found the end");
    }

    #[test]
    fn refuses_bytes_that_are_no_text() {
        for junk in [&b"\xff\xfe"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"] {
            check([b"{\"a\":\"", junk, b"\"}"].concat(), Err((Code::BadText, None)));
        }
    }

    #[test]
    fn keeps_numbers_of_any_size_and_lone_surrogates() {
        for text in [r#"{"n":1e400}"#, r#"{"n":99999999999999999999999999}"#, r#"{"n":"\ud83d"}"#] {
            check(text, Ok(()));
            assert_eq!(Object::parse(text.as_bytes()).unwrap().text(), text);
        }
    }

    #[test]
    fn takes_depth_64_and_refuses_65() {
        check(nested(64), Ok(()));
        check(nested(65), Err((Code::TooDeep, Some("n"))));
        check(nested(100_000), Err((Code::TooDeep, Some("n"))));
        check(format!(r#"{{"a":[{}{{}}]}}"#, "{},".repeat(100)), Ok(()));
    }

    #[test]
    fn takes_the_longest_field_and_refuses_the_next() {
        let long = |bytes: usize| format!(r#"{{"note":"{}"}}"#, "a".repeat(bytes));
        check(long(FIELD_BYTES_MAX), Ok(()));
        check(long(FIELD_BYTES_MAX + 1), Err((Code::TooLarge, Some("note"))));
        let within = |bytes: usize| format!(r#"{{"o":{{"l":["{}"]}}}}"#, "a".repeat(bytes));
        check(within(FIELD_BYTES_MAX), Ok(()));
        check(within(FIELD_BYTES_MAX + 1), Err((Code::TooLarge, Some("o"))));
        let escaped = |letters: usize| format!(r#"{{"escaped":"{}"}}"#, r"\u00e9".repeat(letters));
        check(escaped(FIELD_BYTES_MAX / 2), Ok(()));
        check(escaped(FIELD_BYTES_MAX / 2 + 1), Err((Code::TooLarge, Some("escaped"))));
    }

    #[test]
    fn takes_the_largest_event_and_refuses_the_next() {
        let sized = |bytes: usize| {
            let fields = (0..4).map(|it| format!(r#""f{it}":"{}","#, "a".repeat(60_000))).collect::<String>();
            let rest = bytes - fields.len() - r#"{"g":""}"#.len();
            format!(r#"{{{fields}"g":"{}"}}"#, "a".repeat(rest))
        };
        assert_eq!(sized(EVENT_BYTES_MAX).len(), EVENT_BYTES_MAX);
        check(sized(EVENT_BYTES_MAX), Ok(()));
        check(sized(EVENT_BYTES_MAX + 1), Err((Code::TooLarge, None)));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Object::parse(&bytes);
        }
    }
}
