//! One member of a JSON object, read as the type that a field needs.

use std::borrow::Cow;
use std::net::IpAddr;

use model::entity::parse_ip;
use model::json::Value;
use model::time::Timestamp;

use crate::refusal::Refusal;
use crate::times;

const NO_ADDRESS: &str = "which is no IPv4 or IPv6 address";
const NO_STATUS: &str = "which is no HTTP status; give a whole number from 100 to 599";
const NO_TEXT: &str = "which is no text; give a string";
const NO_RFC3339: &str = "which is no RFC 3339 time such as `2026-11-20T20:14:38Z`";
const NO_TIME: &str = "which is no RFC 3339 time such as `2026-11-20T20:14:38Z` and no epoch number";

/// One member of an object that has been validated.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    /// Its name, escapes resolved.
    pub(crate) name: Cow<'a, str>,
    /// Its value as JSON text.
    pub(crate) raw: &'a str,
}

impl<'a> Member<'a> {
    /// Joins a name and a value.
    pub(crate) fn new(name: impl Into<Cow<'a, str>>, raw: &'a str) -> Self {
        Self { name: name.into(), raw }
    }

    /// The value.
    pub(crate) fn value(&self) -> Value<'a> {
        Value::of(self.raw).unwrap_or(Value::Null)
    }

    /// Whether the value is `null`, which counts as absent.
    pub(crate) fn is_null(&self) -> bool {
        self.raw == "null"
    }

    /// Refuses the value; `why` ends the sentence "`name` is `value`, ...".
    pub(crate) fn refuse(&self, why: &str) -> Refusal {
        Refusal::bad_field(&self.name, self.raw, why)
    }

    /// Reads a string.
    pub(crate) fn text(&self) -> Result<Cow<'a, str>, Refusal> {
        self.as_text().ok_or_else(|| self.refuse(NO_TEXT))
    }

    /// Reads a string if the value is one.
    pub(crate) fn as_text(&self) -> Option<Cow<'a, str>> {
        match self.value() {
            Value::Text(text) => Some(text.decode()),
            _ => None,
        }
    }

    /// Reads a string, a number as it was written, or a truth value as its word.
    pub(crate) fn scalar(&self) -> Result<Cow<'a, str>, Refusal> {
        self.as_scalar().ok_or_else(|| self.refuse("which is no text; give a string or a number"))
    }

    /// Like [`Self::scalar`], `None` for anything else.
    pub(crate) fn as_scalar(&self) -> Option<Cow<'a, str>> {
        match self.value() {
            Value::Text(text) => Some(text.decode()),
            Value::Number(_) | Value::Bool(_) => Some(Cow::Borrowed(self.raw)),
            _ => None,
        }
    }

    /// Reads an id: a string or a number. An empty text is none.
    pub(crate) fn as_id(&self) -> Option<Cow<'a, str>> {
        match self.value() {
            Value::Text(text) => Some(text.decode()).filter(|it| !it.is_empty()),
            Value::Number(number) => Some(Cow::Borrowed(number)),
            _ => None,
        }
    }

    /// Reads an address.
    pub(crate) fn address(&self) -> Result<IpAddr, Refusal> {
        self.as_text().and_then(|it| parse_ip(&it)).ok_or_else(|| self.refuse(NO_ADDRESS))
    }

    /// Reads an HTTP status that is a whole number.
    pub(crate) fn status_number(&self) -> Result<u16, Refusal> {
        match self.value() {
            Value::Number(digits) => status_of(digits).ok_or_else(|| self.refuse(NO_STATUS)),
            _ => Err(self.refuse(NO_STATUS)),
        }
    }

    /// Reads an HTTP status that is a whole number or a text of digits.
    pub(crate) fn status(&self) -> Result<u16, Refusal> {
        self.as_status().ok_or_else(|| self.refuse(NO_STATUS))
    }

    /// Like [`Self::status`], `None` for anything else.
    pub(crate) fn as_status(&self) -> Option<u16> {
        match self.value() {
            Value::Number(digits) => status_of(digits),
            Value::Text(text) => status_of(&text.decode()),
            _ => None,
        }
    }

    /// Reads an RFC 3339 time.
    pub(crate) fn rfc3339(&self) -> Result<Timestamp, Refusal> {
        self.as_text().and_then(|it| Timestamp::from_rfc3339(&it)).ok_or_else(|| self.refuse(NO_RFC3339))
    }

    /// Reads an RFC 3339 time or an epoch number.
    pub(crate) fn time(&self) -> Result<Timestamp, Refusal> {
        let time = match self.value() {
            Value::Text(text) => Timestamp::from_rfc3339(&text.decode()),
            Value::Number(number) => Timestamp::from_epoch_text(number),
            _ => None,
        };
        time.ok_or_else(|| self.refuse(NO_TIME))
    }

    /// Reads an epoch number, or a time in any of the spellings of [`times::lenient`].
    pub(crate) fn lenient_time(&self) -> Result<Timestamp, Refusal> {
        let time = match self.value() {
            Value::Text(text) => times::lenient(&text.decode()),
            Value::Number(number) => Timestamp::from_epoch_text(number),
            _ => None,
        };
        time.ok_or_else(|| self.refuse(NO_TIME))
    }
}

/// Reads three digits from 100 to 599.
pub(crate) fn status_of(digits: &str) -> Option<u16> {
    let is_number = digits.len() == 3 && digits.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().filter(|it| (100..=599).contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_status(raw: &str, as_number: Option<u16>, as_any: Option<u16>) {
        let member = Member::new("status_code", raw);
        assert_eq!((member.status_number().ok(), member.status().ok()), (as_number, as_any), "{raw}");
    }

    #[test]
    fn takes_a_status_from_100_to_599() {
        for (raw, status) in [("100", 100), ("200", 200), ("599", 599)] {
            check_status(raw, Some(status), Some(status));
        }
        check_status("\"401\"", None, Some(401));
        for raw in
            ["0", "99", "600", "-401", "1e30", "401.5", "401.0", "[]", "{}", "true", "\"abc\"", "\"+40\"", "null"]
        {
            check_status(raw, None, None);
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_quotes_the_value() {
        let refusal = Member::new("client_ip", "\"300.1.1.1\"").address().unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("client_ip"));
        assert_eq!(refusal.value.as_deref(), Some("\"300.1.1.1\""));
        assert_eq!(refusal.message, "`client_ip` is `\"300.1.1.1\"`, which is no IPv4 or IPv6 address");
    }

    #[test]
    fn an_address_is_a_text() {
        for raw in ["\"256.1.1.1\"", "\"1.2.3\"", "\"::gg\"", "\"localhost\"", "\"\"", "16909060", "true", "[]", "{}"] {
            assert!(Member::new("ip", raw).address().is_err(), "{raw}");
        }
        assert_eq!(Member::new("ip", "\"2001:DB8::0:A1\"").address().unwrap().to_string(), "2001:db8::a1");
    }
}
