//! An alert as JSON, with the names that `GET /v1/alerts` has, and the decision that it tells of, if it does.

use std::time::Duration;

use model::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::message::{Kind, Message, NOTICE_RULE};

/// Writes the message as `{"type","timestamp","id","data"}`; `data` is the alert. A message of a decision has `decision` beside
/// it: `{"id","scope","value","type","origin","expires_at","ttl_s"}`, where `ttl_s` is how many whole seconds are left when the
/// message is sent, rounded up; 0 once it was ended.
///
/// Source: the Standard Webhooks specification, "Payload structure", for `type`, `timestamp` and `data`.
pub(crate) fn message(message: &Message) -> Value {
    json!({
        "type": kind(message.kind),
        "timestamp": message.created_at.to_string(),
        "id": message.id.to_string(),
        "data": data(message),
    })
}

/// What kind of message, as its readers tell them apart.
pub(crate) fn kind(kind: Kind) -> String {
    let about = if kind == Kind::Ended { "decision" } else { "alert" };
    format!("{about}.{}", kind.as_str())
}

fn data(message: &Message) -> Value {
    let mut data = alert(message);
    if let Some(decision) = decision(message) {
        data["decision"] = decision;
    }
    data
}

/// The decision that a message tells of; see [`crate::message::notice_of`].
fn decision(message: &Message) -> Option<Value> {
    if message.alert.rule_id != NOTICE_RULE {
        return None;
    }
    let event: Value = serde_json::from_str(&message.alert.event).ok()?;
    let mut decision = event.get("decision")?.as_object()?.clone();
    let expires_at = Timestamp::from_rfc3339(decision.get("expires_at")?.as_str()?)?;
    let left = if message.kind.is_over() { Duration::ZERO } else { expires_at.since(message.now) };
    decision.insert("ttl_s".to_owned(), json!(left.as_millis().div_ceil(1000) as u64));
    Some(Value::Object(decision))
}

/// Writes the alert.
pub(crate) fn alert(message: &Message) -> Value {
    let alert = &message.alert;
    let matched: Map<String, Value> =
        alert.matched.iter().map(|(field, value)| (field.clone(), value.as_str().into())).collect();
    json!({
        "id": alert.id.to_string(),
        "rule_id": alert.rule_id,
        "rule_version": alert.rule_version,
        "title": alert.title,
        "type": alert.kind,
        "severity": alert.severity.as_str(),
        "confidence": alert.confidence,
        "status": status(message),
        "entity": {"kind": alert.entity.kind.as_str(), "value": alert.entity.value},
        "client_ip": alert.client_ip.map(|it| it.to_string()),
        "dst_ip": alert.dst_ip.map(|it| it.to_string()),
        "count": alert.count,
        "first_seen": alert.first_seen.to_string(),
        "last_seen": alert.last_seen.to_string(),
        "window_start": alert.window_start.to_string(),
        "timestamp": alert.timestamp.to_string(),
        "details": alert.details,
        "reason": alert.reason,
        "description": alert.description,
        "detector": alert.detector,
        "source": alert.source,
        "country": alert.country,
        "user": alert.user,
        "matched": matched,
        "evidence": alert.evidence.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "synthetic": alert.synthetic,
    })
}

/// The status at the time of the message.
fn status(message: &Message) -> &'static str {
    if message.kind.is_over() { "closed" } else { message.alert.status.as_str() }
}

#[cfg(test)]
mod tests {
    use model::decision::{Decision, Measure, Target};

    use super::*;
    use crate::channels::samples::{alert as sample, decision as banned, message as message_of};
    use crate::message::notice_of;

    #[track_caller]
    fn check(kind: Kind, decision: &Decision, expected: &Value) {
        let sent =
            Message { now: Timestamp(decision.expires_at.0 - 59_500_000_000), ..message_of(kind, notice_of(decision)) };
        let written = message(&sent);
        assert_eq!(&json!([written["type"], written["data"]["decision"]]), expected);
    }

    #[test]
    fn a_decision_can_be_acted_on() {
        let ban = banned();
        let expires_at = ban.expires_at.to_string();
        let expected = |scope: &str, value: &str, measure: &str, left: u64| json!({"id": 7, "scope": scope, "value": value, "type": measure, "origin": "rule", "expires_at": expires_at, "ttl_s": left});
        check(Kind::Raised, &ban, &json!(["alert.raised", expected("ip", "203.0.113.7", "ban", 60)]));
        check(Kind::Ended, &ban, &json!(["decision.ended", expected("ip", "203.0.113.7", "ban", 0)]));
        let about = |scope, value| Target::read(scope, value).expect("it is a target");
        let range = Decision { target: about("range", "203.0.113.0/24"), measure: Measure::Captcha, ..ban.clone() };
        check(Kind::Raised, &range, &json!(["alert.raised", expected("range", "203.0.113.0/24", "captcha", 60)]));
        let user = Decision { target: about("user", "\"anna"), ..ban };
        check(Kind::Raised, &user, &json!(["alert.raised", expected("user", "\"anna", "ban", 60)]));
    }

    #[test]
    fn an_alert_has_no_decision() {
        for event in ["{}", "{\"decision\":{\"id\":1}}", "no json"] {
            let written = message(&message_of(Kind::Raised, model::alert::Alert { event: event.into(), ..sample() }));
            assert_eq!(written["data"].get("decision"), None, "{event}");
            let notice = model::alert::Alert { event: event.into(), rule_id: NOTICE_RULE.into(), ..sample() };
            assert_eq!(message(&message_of(Kind::Raised, notice))["data"].get("decision"), None, "{event}");
        }
    }
}
