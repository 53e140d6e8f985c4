//! An alert as JSON, with the names that `GET /v1/alerts` has.

use serde_json::{Map, Value, json};

use crate::message::{Kind, Message};

/// Writes the message as `{"type","timestamp","id","data"}`; `data` is the alert.
///
/// Source: the Standard Webhooks specification, "Payload structure", for `type`, `timestamp` and `data`.
pub(crate) fn message(message: &Message) -> Value {
    json!({
        "type": format!("alert.{}", message.kind.as_str()),
        "timestamp": message.created_at.to_string(),
        "id": message.id.to_string(),
        "data": alert(message),
    })
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
    if message.kind == Kind::Closed { "closed" } else { message.alert.status.as_str() }
}
