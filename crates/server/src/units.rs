//! Sizes, times and rates as people write them: `256MiB`, `90s`, `500/s`.

use std::time::Duration;

/// Reads a size in bytes: a number with `B`, `KiB`, `MiB`, `GiB`, `TiB`, or none for bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1_u64 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads a duration: a number with `ms`, `s`, `m`, `h`, `d` or `w`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads a rate in requests a second: `500/s`, `30/m`.
pub(crate) fn rate(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once('/')?;
    let number: f64 = number.parse().ok().filter(|it: &f64| it.is_finite() && 0.0 < *it)?;
    match unit {
        "s" => Some(number),
        "m" => Some(number / 60.0),
        "h" => Some(number / 3600.0),
        _ => None,
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_times_and_rates() {
        assert_eq!((size("256MiB"), size("7"), size("1GB"), size("MiB")), (Some(256 << 20), Some(7), None, None));
        assert_eq!(
            (duration("90s"), duration("15m"), duration("7")),
            (Some(Duration::from_secs(90)), Some(Duration::from_secs(900)), None)
        );
        assert_eq!((rate("500/s"), rate("60/m"), rate("0/s"), rate("5")), (Some(500.0), Some(1.0), None, None));
    }
}
