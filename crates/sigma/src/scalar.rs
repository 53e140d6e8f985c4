//! Plain scalars of YAML by their type: null, boolean, number, text.
//!
//! Source: YAML 1.2.2, section 10.3.2 (core schema). Dates and `yes`/`no` are texts.

use crate::number::Number;
use crate::yaml::{Kind, Node, Style};

/// A typed scalar.
#[derive(Clone, Debug)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// With its decimal text.
    Number(Number, String),
    Text(&'a str),
}

impl<'a> Scalar<'a> {
    /// Types a node; `None` for lists and maps. Quoted and block scalars are texts.
    pub(crate) fn of(node: &'a Node) -> Option<Self> {
        let Kind::Scalar { text, style } = &node.kind else { return None };
        if *style != Style::Plain {
            return Some(Self::Text(text));
        }
        Some(match text.as_str() {
            _ if node.is_null() => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            plain => number_of(plain).map_or(Self::Text(plain), |it| Self::Number(it, text_of(it))),
        })
    }

    /// Reads a node as a count.
    pub(crate) fn count_of(node: &Node) -> Option<u64> {
        match Scalar::of(node)? {
            Scalar::Number(Number::Whole(whole), _) => whole.try_into().ok(),
            _ => None,
        }
    }
}

fn number_of(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).ok().filter(|it| 0 <= *it).map(Number::Whole);
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    Number::parse(text)
}

fn text_of(number: Number) -> String {
    match number {
        Number::Whole(whole) => whole.to_string(),
        Number::Float(float) => float.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let node = crate::yaml::documents(&format!("- {text}\n")).remove(0).unwrap();
        let Kind::List(elements) = node.kind else { panic!("a list") };
        let actual = match Scalar::of(&elements[0]).unwrap() {
            Scalar::Null => "null".to_owned(),
            Scalar::Bool(it) => format!("bool {it}"),
            Scalar::Number(_, it) => format!("number {it}"),
            Scalar::Text(it) => format!("text {it}"),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn types_plain_scalars_and_no_others() {
        for (text, expected) in [
            ("~", "null"),
            ("", "null"),
            ("null", "null"),
            ("'null'", "text null"),
            ("TRUE", "bool true"),
            ("\"true\"", "text true"),
            ("yes", "text yes"),
            ("4688", "number 4688"),
            ("-1", "number -1"),
            ("'4688'", "text 4688"),
            ("0x17", "number 23"),
            ("0x-1", "text 0x-1"),
            ("1.50", "number 1.5"),
            ("18446744073709551616", "number 18446744073709551616"),
            ("2024-05-06", "text 2024-05-06"),
            ("10.0.0.1", "text 10.0.0.1"),
        ] {
            check(text, expected);
        }
    }
}
