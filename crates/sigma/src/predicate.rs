//! One question to one field: is it this text, this number, in this network.

use std::cmp::Ordering;

use regex::Regex;

use crate::cidr::Cidr;
use crate::number::Number;
use crate::pattern::{self, Pattern, Token};
use crate::time_part::TimePart;

/// Whom a predicate asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The field of this name.
    Field(String),
    /// Every text of the event.
    Anywhere,
}

/// A question and whom it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Predicate {
    pub(crate) subject: Subject,
    pub(crate) test: Test,
}

/// What a predicate asks.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// The field is missing or null.
    Null,
    /// The field is present.
    Exists,
    Text {
        pattern: Pattern,
        canonical: String,
        is_cased: bool,
    },
    Number {
        number: Number,
        text: String,
    },
    Compare {
        comparison: Comparison,
        number: Number,
        text: String,
    },
    Regex(Regex),
    Cidr(Cidr),
    TimePart {
        part: TimePart,
        number: i128,
    },
    FieldRef {
        other: String,
        place: Place,
        is_cased: bool,
    },
}

/// Which side of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Lt,
    Lte,
    Gt,
    Gte,
}

/// Where in one field the value of another must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Whole,
    Start,
    End,
    Inside,
}

/// What kind of value an event's field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Null,
    Bool,
    Number,
    Text,
}

/// A value of an event as predicates see it: its text as it is, and folded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) kind: ValueKind,
    pub(crate) raw: &'a str,
    pub(crate) folded: &'a str,
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
        }
    }
}

impl Test {
    /// Builds the test of a text with wildcards.
    pub(crate) fn text(tokens: &[Token], is_cased: bool) -> Self {
        Self::Text {
            pattern: Pattern::new(tokens, is_cased),
            canonical: pattern::canonical(tokens, is_cased),
            is_cased,
        }
    }

    /// Whether one value passes. Null passes no test but [`Self::Null`]; presence and references are not
    /// questions to one value and answer false here.
    pub(crate) fn holds(&self, value: Seen<'_>) -> bool {
        if value.kind == ValueKind::Null {
            return matches!(self, Self::Null);
        }
        match self {
            Self::Text { pattern, is_cased, .. } => pattern.matches(if *is_cased { value.raw } else { value.folded }),
            Self::Number { number, text } => {
                value.folded == *text
                    || (value.kind == ValueKind::Number
                        && Number::parse(value.raw).is_some_and(|it| it.equals(*number)))
            }
            Self::Compare { comparison, number, .. } => Number::parse(value.raw)
                .filter(|_| value.kind != ValueKind::Bool)
                .and_then(|it| it.order(*number))
                .is_some_and(|it| comparison.holds(it)),
            Self::Regex(regex) => regex.is_match(value.raw),
            Self::Cidr(cidr) => cidr.holds(value.raw),
            Self::TimePart { part, number } => part.of(value.raw) == Some(*number),
            Self::Null | Self::Exists | Self::FieldRef { .. } => false,
        }
    }

    /// The test as text: equal for equal tests, different for different ones.
    pub(crate) fn canonical(&self) -> String {
        let case = |is_cased: &bool| if *is_cased { "cased" } else { "folded" };
        match self {
            Self::Null => "null".to_owned(),
            Self::Exists => "exists".to_owned(),
            Self::Text { canonical, is_cased, .. } => format!("text {} {canonical:?}", case(is_cased)),
            Self::Number { text, .. } => format!("number {text}"),
            Self::Compare { comparison, text, .. } => format!("{comparison:?} {text}"),
            Self::Regex(regex) => format!("re {:?}", regex.as_str()),
            Self::Cidr(cidr) => format!("cidr {}", cidr.canonical()),
            Self::TimePart { part, number } => format!("{} {number}", part.as_str()),
            Self::FieldRef { other, place, is_cased } => format!("ref {place:?} {} {other:?}", case(is_cased)),
        }
    }

    /// How dear an answer is, in arbitrary units: cheap questions are asked first.
    pub(crate) const fn cost(&self) -> u32 {
        match self {
            Self::Null | Self::Exists => 1,
            Self::Number { .. } | Self::Text { pattern: Pattern::Equals(_), .. } => 2,
            Self::Text { pattern: Pattern::StartsWith(_) | Pattern::EndsWith(_), .. } => 3,
            Self::Compare { .. } | Self::Cidr(_) | Self::TimePart { .. } | Self::FieldRef { .. } => 4,
            Self::Text { pattern: Pattern::Contains(_), .. } => 8,
            Self::Text { pattern: Pattern::Wildcard(_), .. } => 12,
            Self::Regex(_) => 40,
        }
    }
}

impl Place {
    /// Whether `part` stands in `whole` at this place.
    pub(crate) fn holds(self, whole: &str, part: &str) -> bool {
        match self {
            Self::Whole => whole == part,
            Self::Start => whole.starts_with(part),
            Self::End => whole.ends_with(part),
            Self::Inside => whole.contains(part),
        }
    }
}
