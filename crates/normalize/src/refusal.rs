//! Why a record was not taken, in words that its sender can act on.

use std::fmt;

use crate::quote;

/// What is wrong with a record, as a word of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Not JSON.
    BadJson,
    /// JSON, but no object.
    NotAnObject,
    /// An object without a field, or a body without a record.
    Empty,
    /// A required field is not there.
    MissingField,
    /// A field has a value that it cannot have.
    BadField,
    /// None of the forms that the route tells apart.
    UnknownForm,
    /// The record or one of its fields is over a limit of `model::limits`.
    TooLarge,
    /// Nests deeper than `model::limits::DEPTH_MAX`.
    TooDeep,
    /// A line that no format reads, or that its format cannot read.
    BadLine,
    /// Not UTF-8.
    BadText,
}

impl Code {
    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::NotAnObject => "not_an_object",
            Self::Empty => "empty",
            Self::MissingField => "missing_field",
            Self::BadField => "bad_field",
            Self::UnknownForm => "unknown_form",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::BadLine => "bad_line",
            Self::BadText => "bad_text",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a record was not taken. The message reads alone and says what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What is wrong.
    pub code: Code,
    /// The field, as the sender spelled it.
    pub field: Option<String>,
    /// The refused value as JSON text; a long one as a JSON string of its beginning.
    pub value: Option<String>,
    /// The sentence for people; quotes the value, shortened and without control characters.
    pub message: String,
}

impl Refusal {
    /// Refuses a whole record.
    pub(crate) fn record(code: Code, message: impl Into<String>) -> Self {
        Self { code, field: None, value: None, message: message.into() }
    }

    /// Refuses a record for want of the field `name`.
    pub(crate) fn missing(name: &str) -> Self {
        let message = format!("`{name}` is missing");
        Self { code: Code::MissingField, field: Some(name.to_owned()), value: None, message }
    }

    /// Refuses the value `raw`, JSON text, of the field `name`; `why` ends the sentence "`name` is `value`, ...".
    pub(crate) fn bad_field(name: &str, raw: &str, why: &str) -> Self {
        let message = format!("`{name}` is `{}`, {why}", quote::shown(raw));
        let value = Some(quote::json_of_value(raw));
        Self { code: Code::BadField, field: Some(name.to_owned()), value, message }
    }
}
