//! Times as the systems wrote them, where RFC 3339 alone would refuse a good event.

use model::time::Timestamp;

/// Reads RFC 3339, or the spellings that the systems' own clients produce.
///
/// No zone at all is UTC (Python's `isoformat` of a naive time), `+00` and `+0000` are offsets, and a text of
/// digits is an epoch number.
pub(crate) fn lenient(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    Timestamp::from_rfc3339(text).or_else(|| Timestamp::from_epoch_text(text)).or_else(|| with_full_zone(text))
}

/// Completes the zone of a time that has none, or a short one.
fn with_full_zone(text: &str) -> Option<Timestamp> {
    let rest = text.get(19..)?;
    let zone_at = 19 + rest.find(['+', '-', 'Z', 'z']).unwrap_or(rest.len());
    let (reading, zone) = text.split_at(zone_at);
    let full = match zone.as_bytes() {
        [] => format!("{reading}Z"),
        [_, h1, h2] if h1.is_ascii_digit() && h2.is_ascii_digit() => format!("{text}:00"),
        [_, _, _, b'0'..=b'9', b'0'..=b'9'] => format!("{reading}{}:{}", zone.get(..3)?, zone.get(3..)?),
        _ => return None,
    };
    Timestamp::from_rfc3339(&full)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_systems_clients_write() {
        for (text, expected) in [
            ("2026-11-20T20:14:38.1234567Z", Some("2026-11-20T20:14:38.123456700Z")),
            ("2026-11-20T20:14:38+02:00", Some("2026-11-20T18:14:38Z")),
            ("2026-11-20T20:14:38.5", Some("2026-11-20T20:14:38.500Z")),
            ("2026-11-20 20:14:38", Some("2026-11-20T20:14:38Z")),
            ("2026-11-20 20:14:38.25+00", Some("2026-11-20T20:14:38.250Z")),
            ("2026-11-20 20:14:38-0130", Some("2026-11-20T21:44:38Z")),
            ("1700000000", Some("2023-11-14T22:13:20Z")),
            ("2026-11-20", None),
            ("2026-11-20T20:14:38+", None),
            ("2026-11-20T20:14:38 CET", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(lenient(text).map(|it| it.to_string()), expected.map(str::to_owned), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(2026-11-20T20:14:38)?.{0,12}") {
            let _ = lenient(&text);
        }
    }
}
