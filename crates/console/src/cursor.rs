//! The cursors of lists: opaque for clients, versioned, and read strictly.

use backends::store::AlertCursor;
use model::id::AlertId;
use model::place::Sequence;
use model::time::Timestamp;

/// What a cursor of alerts begins with; another form of it begins otherwise.
const ALERTS: &str = "a1-";
/// What a cursor of events begins with.
const EVENTS: &str = "e1-";
/// The hexadecimal digits of 64 bits.
const DIGITS: usize = 16;

/// Writes a place in the list of alerts.
pub(crate) fn of_alert(cursor: AlertCursor) -> String {
    format!("{ALERTS}{:016x}{}", cursor.last_seen.0, cursor.id)
}

/// Reads what [`of_alert`] wrote.
pub(crate) fn alert(text: &str) -> Option<AlertCursor> {
    let (time, id) = text.strip_prefix(ALERTS)?.split_at_checked(DIGITS)?;
    Some(AlertCursor { last_seen: Timestamp(number(time)? as i64), id: AlertId::from_text(id)? })
}

/// Writes a place among the events of the log.
pub(crate) fn of_event(before: Sequence) -> String {
    format!("{EVENTS}{:016x}", before.0)
}

/// Reads what [`of_event`] wrote.
pub(crate) fn event(text: &str) -> Option<Sequence> {
    number(text.strip_prefix(EVENTS)?).map(Sequence)
}

fn number(digits: &str) -> Option<u64> {
    let is_hex = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_it_did_not_write() {
        let whole = of_alert(AlertCursor { last_seen: Timestamp(-5), id: AlertId(9) });
        for text in
            ["", "garbage", "\0", "../../etc/passwd", "999999999999999999999999", "a1-", "e1-", "e1-+00000000000000a"]
        {
            assert_eq!((alert(text), event(text)), (None, None), "{text}");
        }
        assert!(alert(&whole[..whole.len() - 1]).is_none() && alert(&format!("{whole}0")).is_none());
        assert!(alert(&whole.replacen("a1", "a2", 1)).is_none() && event(&whole).is_none());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(time in any::<i64>(), id in any::<u128>(), sequence in any::<u64>()) {
            let cursor = AlertCursor { last_seen: Timestamp(time), id: AlertId(id) };
            prop_assert_eq!(alert(&of_alert(cursor)), Some(cursor));
            prop_assert_eq!(event(&of_event(Sequence(sequence))), Some(Sequence(sequence)));
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,60}") {
            let _ = (alert(&text), event(&text), alert(&format!("a1-{text}")), event(&format!("e1-{text}")));
        }
    }
}
