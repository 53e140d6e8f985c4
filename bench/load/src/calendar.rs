//! Days and times of the two forms that are sent: RFC 3339 and the access log's.

use std::fmt::Write;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECONDS: i64 = 86_400;

/// Returns year, month (`1..=12`) and day of a number of days since 1970.
///
/// Source: the proleptic Gregorian calendar, counted in eras of 400 years from 1 March.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Returns the days since 1970 of a date.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Appends a time in milliseconds since 1970 as RFC 3339.
pub(crate) fn push_rfc3339(out: &mut String, unix_ms: i64) {
    let seconds = unix_ms.div_euclid(1_000);
    let ((year, month, day), rest) = (date_of(seconds.div_euclid(DAY_SECONDS)), seconds.rem_euclid(DAY_SECONDS));
    push_digits(out, year, 4);
    for (mark, value) in [('-', month), ('-', day), ('T', rest / 3_600), (':', rest / 60 % 60), (':', rest % 60)] {
        out.push(mark);
        push_digits(out, value, 2);
    }
    out.push('.');
    push_digits(out, unix_ms.rem_euclid(1_000), 3);
    out.push('Z');
}

/// Appends a time in seconds since 1970 as the access log writes it, in UTC.
pub(crate) fn push_access(out: &mut String, seconds: i64) {
    let ((year, month, day), rest) = (date_of(seconds.div_euclid(DAY_SECONDS)), seconds.rem_euclid(DAY_SECONDS));
    let month = MONTHS[(month - 1) as usize];
    // Writing to a string cannot fail.
    let _ = write!(out, "{day:02}/{month}/{year:04}:{:02}:{:02}:{:02} +0000", rest / 3_600, rest / 60 % 60, rest % 60);
}

/// Reads `17/May/2015:10:05:03 +0000`, in UTC only; seconds since 1970.
pub(crate) fn read_access(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let month = 1 + MONTHS.iter().position(|it| text.get(3..6) == Some(it))? as i64;
    let days = days_of(number(7, 11)?, month, number(0, 2)?);
    Some(days * DAY_SECONDS + number(12, 14)? * 3_600 + number(15, 17)? * 60 + number(18, 20)?)
}

fn push_digits(out: &mut String, value: i64, width: u32) {
    for place in (0..width).rev() {
        out.push(char::from(b'0' + (value / 10_i64.pow(place) % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(access: &str, rfc3339: &str) {
        let seconds = read_access(access).expect("a time of an access log");
        let (mut as_access, mut as_rfc3339) = (String::new(), String::new());
        push_access(&mut as_access, seconds);
        push_rfc3339(&mut as_rfc3339, seconds * 1_000);
        assert_eq!((as_access.as_str(), as_rfc3339.as_str()), (access, rfc3339));
    }

    #[test]
    fn both_forms_tell_the_same_time() {
        check("17/May/2015:10:05:03 +0000", "2015-05-17T10:05:03.000Z");
        check("29/Feb/2024:23:59:59 +0000", "2024-02-29T23:59:59.000Z");
        check("01/Mar/2023:00:00:00 +0000", "2023-03-01T00:00:00.000Z");
        check("31/Dec/1999:12:00:00 +0000", "1999-12-31T12:00:00.000Z");
    }

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-200_000..200_000).step_by(37) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
    }
}
