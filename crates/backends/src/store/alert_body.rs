//! The alert as JSON text, as it lies in the column `body`.
//!
//! A member that is not known is passed over, and one that an earlier version did not write has a value that says
//! nothing, so that versions may read one another's rows.

use serde_json::Value;

use super::unite::Counted;
use crate::store::alert_text::{alert_of, value_of};

/// Encodes an alert with what its earlier incarnations counted.
pub(crate) fn encode(counted: &Counted) -> String {
    let mut body = value_of(&counted.last);
    if let Some(earlier) = &counted.earlier {
        body["earlier"] = value_of(earlier);
    }
    body.to_string()
}

/// Reads what [`encode`] wrote; `None` when it is something else.
pub(crate) fn decode(text: &str) -> Option<Counted> {
    let value: Value = serde_json::from_str(text).ok()?;
    let earlier = match value.get("earlier") {
        Some(earlier) => Some(alert_of(earlier.as_object()?)?),
        None => None,
    };
    Some(Counted { earlier, last: alert_of(value.as_object()?)? })
}

#[cfg(test)]
mod tests {
    use model::alert::Alert;
    use model::id::EventId;
    use model::time::Timestamp;

    use super::super::conformance::alert;
    use super::*;

    fn counted() -> Counted {
        let last = Alert {
            country: Some("日本".into()),
            matched: vec![("a\0b".into(), "\"'; --\u{1f600}".into())],
            evidence: vec![EventId(u128::MAX), EventId(1)],
            count: u64::MAX,
            incarnation: u64::MAX,
            first_seen: Timestamp(i64::MIN),
            dst_ip: Some("::ffff:1.2.3.4".parse().unwrap()),
            ..alert(7)
        };
        Counted { earlier: Some(alert(6)), last }
    }

    #[test]
    fn reads_back_what_it_wrote() {
        assert_eq!(decode(&encode(&counted())), Some(counted()));
        let plain = Counted { earlier: None, last: alert(0) };
        assert_eq!(decode(&encode(&plain)), Some(plain));
    }

    #[test]
    fn passes_over_members_of_a_later_version() {
        let text = encode(&counted()).replacen('{', r#"{"later":{"x":[1]},"#, 1);
        assert_eq!(decode(&text), Some(counted()));
    }

    #[test]
    fn what_is_no_alert_is_none_and_no_panic() {
        for text in ["", "{", "[]", "{}", "7", r#"{"id":"x"}"#, r#"{"id":7,"evidence":7}"#] {
            assert_eq!(decode(text), None, "{text}");
        }
        let text = encode(&counted());
        assert_eq!(decode(&text.replace("medium", "terrible")), None);
        assert_eq!(decode(&text.replace("::ffff:1.2.3.4", "nowhere")), None);
    }
}
