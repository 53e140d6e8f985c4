//! Numbers that compare by value: whole ones exactly up to 128 bits, others as 64-bit floats.

use std::cmp::Ordering;

/// A number of a rule or of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    /// Reads a decimal number as JSON and YAML write it; a leading `+` is taken too. `None` for anything else.
    ///
    /// Whole numbers beyond 128 bits lose digits and become floats.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !is_decimal(text) {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        text.parse().ok().filter(|it: &f64| it.is_finite()).map(Self::Float)
    }

    /// Compares by value; every pair has an order, since no number here is infinite or no number.
    pub(crate) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Float(b)) => Some(order_whole_and_float(a, b)),
            (Self::Float(a), Self::Whole(b)) => Some(order_whole_and_float(b, a).reverse()),
        }
    }

    pub(crate) fn equals(self, other: Self) -> bool {
        self.order(other) == Some(Ordering::Equal)
    }
}

/// Compares exactly: the whole part first, then what the float has behind its point.
fn order_whole_and_float(whole: i128, float: f64) -> Ordering {
    // 2^127: from here on a float is beyond every whole number, below it the cast is exact.
    const LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if LIMIT <= float {
        return Ordering::Less;
    }
    if float < -LIMIT {
        return Ordering::Greater;
    }
    let floor = float.floor();
    whole.cmp(&(floor as i128)).then(if floor < float { Ordering::Less } else { Ordering::Equal })
}

fn is_decimal(text: &str) -> bool {
    let bytes = text.as_bytes();
    let unsigned = bytes.strip_prefix(b"-").or(bytes.strip_prefix(b"+")).unwrap_or(bytes);
    let starts_well = match unsigned {
        [b'.', second, ..] => second.is_ascii_digit(),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    starts_well && unsigned.iter().all(|it| matches!(it, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use Ordering::{Equal, Greater, Less};

    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, expected: Ordering) {
        let (a, b) = (Number::parse(a).unwrap(), Number::parse(b).unwrap());
        assert_eq!((a.order(b), b.order(a)), (Some(expected), Some(expected.reverse())));
    }

    #[test]
    fn compares_by_value() {
        check("1", "1.0", Equal);
        check("1e3", "1000", Equal);
        check("-1.5", "-1", Less);
        check("-1.5", "-2", Greater);
        check("0.1", "0", Greater);
        check(".5", "0.5", Equal);
        check("+7", "7", Equal);
    }

    #[test]
    fn is_exact_beyond_the_floats() {
        check("9007199254740993", "9007199254740992", Greater);
        check("18446744073709551615", "18446744073709551614", Greater);
        check("9007199254740993", "9007199254740992.0", Greater);
        check("1", "1e300", Less);
        check("1", "-1e300", Greater);
    }

    #[test]
    fn refuses_what_is_no_decimal_number() {
        for text in ["", "-", "abc", "inf", "nan", "NaN", "0x17", "1 ", " 1", "1_000", "1e999", "1-2", ".", "e5"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }
}
