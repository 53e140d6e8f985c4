//! A point in time: nanoseconds since 1970 in UTC.
//!
//! Reads RFC 3339 and epoch numbers, writes RFC 3339 with `Z`. Knows no clock: `now` is always an argument.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Nanoseconds since 1970-01-01T00:00:00Z; the years 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A calendar day and a time of it, as a log writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, `0..=9999`.
    pub year: i64,
    /// The month, `1..=12`.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// The hour, `0..=23`.
    pub hour: u8,
    /// The minute, `0..=59`.
    pub minute: u8,
    /// The second, `0..=60`; 60 is a leap second.
    pub second: u8,
    /// The fraction of the second in nanoseconds.
    pub nanos: u32,
}

/// How far a local time is ahead of UTC, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset(pub i32);

impl Civil {
    /// Returns the instant that this reading of a clock `offset` ahead of UTC names.
    ///
    /// A leap second is read as the last instant of its minute. `None` for a day or time that does
    /// not exist, and for years that nanoseconds in 64 bits cannot hold.
    #[must_use]
    pub fn at(self, offset: UtcOffset) -> Option<Timestamp> {
        let is_date =
            (1..=12).contains(&self.month) && 1 <= self.day && self.day <= days_in_month(self.year, self.month);
        if !is_date || 23 < self.hour || 59 < self.minute || 60 < self.second {
            return None;
        }
        let (second, nanos) = if self.second == 60 { (59, 999_999_999) } else { (self.second, self.nanos) };
        let seconds = days_from_civil(self.year, self.month, self.day) * SECONDS_PER_DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(second)
            - i64::from(offset.0);
        seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(i64::from(nanos)).map(Timestamp)
    }
}

/// Counts days from 1970-01-01 in the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]; same source, `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

fn days_in_month(year: i64, month: u8) -> u8 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Timestamp {
    /// The first instant that can be told.
    pub const MIN: Self = Self(i64::MIN);

    /// Reads RFC 3339 with any offset and any number of fraction digits (beyond nine they are cut).
    ///
    /// Source: RFC 3339, section 5.6; `T` and `Z` in either case, a space for `T` as its note allows.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't' | b' ') {
            return None;
        }
        if bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
            return None;
        }
        let mut civil = Civil {
            year: i64::from(number(&bytes[0..4])?),
            month: number(&bytes[5..7])? as u8,
            day: number(&bytes[8..10])? as u8,
            hour: number(&bytes[11..13])? as u8,
            minute: number(&bytes[14..16])? as u8,
            second: number(&bytes[17..19])? as u8,
            nanos: 0,
        };
        let mut rest = &bytes[19..];
        if let [b'.', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|it| it.is_ascii_digit()).count();
            civil.nanos = nanos_of_fraction(&fraction[..digits])?;
            rest = &fraction[digits..];
        }
        civil.at(offset_of(rest)?)
    }

    /// Reads an epoch number: seconds, milliseconds, microseconds or nanoseconds, told apart by size.
    ///
    /// Below 10^11 seconds (the year 5138), below 10^14 milliseconds, below 10^17 microseconds. `None` when it
    /// is no number or outside what can be told. Decimal text, so that nothing is lost in a float.
    #[must_use]
    pub fn from_epoch_text(text: &str) -> Option<Self> {
        let (is_negative, magnitude) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        if whole.is_empty() || 19 < whole.len() || !whole.bytes().chain(fraction.bytes()).all(|it| it.is_ascii_digit())
        {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let nanos_per_unit = unit_of_epoch(whole);
        let nanos_of_rest = i64::from(nanos_of_fraction_or_zero(fraction)?) / (NANOS_PER_SECOND / nanos_per_unit);
        let nanos = whole.checked_mul(nanos_per_unit)?.checked_add(nanos_of_rest)?;
        Some(Self(if is_negative { -nanos } else { nanos }))
    }

    /// Makes the time `seconds` after the epoch, if it can be told.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(NANOS_PER_SECOND).map(Self)
    }

    /// Makes the time `micros` after the epoch, if it can be told.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        micros.checked_mul(1000).map(Self)
    }

    /// Returns the nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Returns the time `duration` later; at the end of time it stays there.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }

    /// Returns the time `duration` earlier; at the beginning of time it stays there.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(duration)))
    }

    /// Returns how long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the calendar reading in UTC.
    #[must_use]
    pub fn civil(self) -> Civil {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        Civil {
            year,
            month,
            day,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            nanos: self.0.rem_euclid(NANOS_PER_SECOND) as u32,
        }
    }
}

/// Returns `duration` in nanoseconds, at most what 64 bits hold (292 years).
#[must_use]
pub fn nanos_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The nanoseconds of the unit in which a number of this size counts.
fn unit_of_epoch(whole: i64) -> i64 {
    match whole {
        0..100_000_000_000 => NANOS_PER_SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    }
}

/// Reads a run of ASCII digits; `None` for anything else.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(digit - b'0'))?;
    }
    (!digits.is_empty()).then_some(value)
}

fn nanos_of_fraction(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let kept = &digits[..digits.len().min(9)];
    Some(number(kept)? * 10_u32.pow(9 - kept.len() as u32))
}

fn nanos_of_fraction_or_zero(digits: &str) -> Option<u32> {
    if digits.is_empty() { Some(0) } else { nanos_of_fraction(digits.as_bytes()) }
}

fn offset_of(text: &[u8]) -> Option<UtcOffset> {
    match text {
        [b'Z' | b'z'] => Some(UtcOffset(0)),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if 23 < hours || 59 < minutes {
                return None;
            }
            let seconds = (hours * 3600 + minutes * 60) as i32;
            Some(UtcOffset(if *sign == b'-' { -seconds } else { seconds }))
        }
        _ => None,
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC with as many of 0, 3, 6 or 9 fraction digits as the time needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second, nanos } = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match nanos {
            0 => {}
            _ if nanos % 1_000_000 == 0 => write!(f, ".{:03}", nanos / 1_000_000)?,
            _ if nanos % 1000 == 0 => write!(f, ".{:06}", nanos / 1000)?,
            _ => write!(f, ".{nanos:09}")?,
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Timestamp::from_rfc3339(text).map(|it| it.to_string()), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn reads_every_offset_and_fraction() {
        check("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z"));
        check("2026-11-20T13:59:59.5+02:00", Some("2026-11-20T11:59:59.500Z"));
        check("2026-11-20T20:14:38.1234567Z", Some("2026-11-20T20:14:38.123456700Z"));
        check("2026-01-01T00:00:00.123456789123Z", Some("2026-01-01T00:00:00.123456789Z"));
        check("2024-02-29t23:00:00-00:00", Some("2024-02-29T23:00:00Z"));
        check("1969-12-31T23:59:59.999Z", Some("1969-12-31T23:59:59.999Z"));
    }

    #[test]
    fn reads_a_leap_second_as_the_last_instant_of_its_minute() {
        check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59.999999999Z"));
        check("2017-01-01T05:29:60.25+05:30", Some("2016-12-31T23:59:59.999999999Z"));
        check("2016-12-31T23:59:61Z", None);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T25:00:00Z",
            "2026-01-01T10:61:00Z",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:00+2:00",
            "2023-02-29T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-01-01T10:00:00+24:00",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn tells_the_unit_of_an_epoch_number_by_its_size() {
        for (text, expected) in [
            ("1700000000", Some("2023-11-14T22:13:20Z")),
            ("1700000000.25", Some("2023-11-14T22:13:20.250Z")),
            ("1700000000123", Some("2023-11-14T22:13:20.123Z")),
            ("1700000000123456", Some("2023-11-14T22:13:20.123456Z")),
            ("1700000000123456789", Some("2023-11-14T22:13:20.123456789Z")),
            ("-1", Some("1969-12-31T23:59:59Z")),
            ("1e400", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(
                Timestamp::from_epoch_text(text).map(|it| it.to_string()),
                expected.map(str::to_owned),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in any::<i64>()) {
            let time = Timestamp(nanos);
            let year = time.civil().year;
            prop_assert!((1677..=2262).contains(&year));
            prop_assert_eq!(Timestamp::from_rfc3339(&time.to_string()).map(|it| it.0), Some(nanos));
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,40}") {
            let _ = (Timestamp::from_rfc3339(&text), Timestamp::from_epoch_text(&text));
        }
    }
}
