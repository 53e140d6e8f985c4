//! Parts of a timestamp as it is written: no conversion between time zones.

/// Which part of a timestamp a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl TimePart {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Reads this part of `text`: `YYYY-MM-DD`, and for hour and minute `T` or a space and `HH:MM`.
    ///
    /// `None` when the text is no such timestamp. The week is the ISO 8601 week, `1..=53`.
    pub(crate) fn of(self, text: &str) -> Option<i128> {
        let bytes = text.as_bytes();
        let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
        let is_date = bytes[4] == b'-' && bytes[7] == b'-' && (1..=12).contains(&month);
        if !is_date || !(1..=days_in_month(year, month)).contains(&day) {
            return None;
        }
        Some(i128::from(match self {
            Self::Year => year,
            Self::Month => month,
            Self::Day => day,
            Self::Week => iso_week(year, month, day),
            Self::Hour => clock(bytes)?.0,
            Self::Minute => clock(bytes)?.1,
        }))
    }
}

fn clock(bytes: &[u8]) -> Option<(i64, i64)> {
    let (hour, minute) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?);
    let is_clock = matches!(bytes[10], b'T' | b't' | b' ') && bytes[13] == b':' && hour < 24 && minute < 60;
    is_clock.then_some((hour, minute))
}

fn digits(bytes: &[u8], start: usize, length: usize) -> Option<i64> {
    let digits = bytes.get(start..start + length)?;
    digits.iter().try_fold(0, |sum, it| it.is_ascii_digit().then(|| sum * 10 + i64::from(it - b'0')))
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The ISO 8601 week: weeks begin on Monday, the first is the one with the year's first Thursday.
fn iso_week(year: i64, month: i64, day: i64) -> i64 {
    let ordinal = (1..month).map(|it| days_in_month(year, it)).sum::<i64>() + day;
    let week = (ordinal - weekday(year, ordinal) + 10) / 7;
    if week < 1 {
        return weeks_in_year(year - 1);
    }
    if weeks_in_year(year) < week { 1 } else { week }
}

/// The day of the week, Monday 1 to Sunday 7, of the `ordinal`th day of `year`.
const fn weekday(year: i64, ordinal: i64) -> i64 {
    let before = year - 1;
    let days = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) + ordinal;
    (days - 1).rem_euclid(7) + 1
}

fn weeks_in_year(year: i64) -> i64 {
    let first = weekday(year, 1);
    if first == 4 || (first == 3 && is_leap(year)) { 53 } else { 52 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(part: TimePart, text: &str, expected: Option<i128>) {
        assert_eq!(part.of(text), expected, "{part:?} of {text}");
    }

    #[test]
    fn reads_each_part_as_it_is_written() {
        let text = "2024-05-06T03:04:05.678+09:00";
        for (part, expected) in [
            (TimePart::Minute, 4),
            (TimePart::Hour, 3),
            (TimePart::Day, 6),
            (TimePart::Week, 19),
            (TimePart::Month, 5),
            (TimePart::Year, 2024),
        ] {
            check(part, text, Some(expected));
        }
        check(TimePart::Hour, "2024-05-06 23:59", Some(23));
        check(TimePart::Day, "2024-05-06", Some(6));
        check(TimePart::Hour, "2024-05-06", None);
    }

    #[test]
    fn weeks_follow_iso_8601_over_the_turn_of_the_year() {
        for (text, expected) in [
            ("2021-01-03", 53),
            ("2021-01-04", 1),
            ("2020-12-31", 53),
            ("2018-12-31", 1),
            ("2016-01-03", 53),
            ("2016-01-04", 1),
            ("2023-01-01", 52),
        ] {
            check(TimePart::Week, text, Some(expected));
        }
    }

    #[test]
    fn other_texts_have_no_part() {
        for text in
            ["", "x", "2024-13-01", "2023-02-29", "2024-00-01", "2024/05/06", "20240506", "1714964645", "äöüäöüäöü"]
        {
            check(TimePart::Day, text, None);
        }
        check(TimePart::Hour, "2024-05-06T24:00", None);
        check(TimePart::Minute, "2024-05-06T23:60", None);
    }
}
