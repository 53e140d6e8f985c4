//! An alert as JSON text: what a row of the store holds, and what a message carries until it is sent.
//!
//! A member that is not known is passed over, and one that an earlier version did not write has a value that says
//! nothing, so that versions may read one another's text.

use std::net::IpAddr;

use model::alert::{Alert, AlertStatus};
use model::entity::{Entity, EntityKind};
use model::id::{AlertId, EventId};
use model::severity::Severity;
use model::time::Timestamp;
use serde_json::{Map, Value, json};

/// Writes an alert, all of it.
#[must_use]
pub fn encode(alert: &Alert) -> String {
    value_of(alert).to_string()
}

/// Reads what [`encode`] wrote; `None` when it is something else.
#[must_use]
pub fn decode(text: &str) -> Option<Alert> {
    let value: Value = serde_json::from_str(text).ok()?;
    alert_of(value.as_object()?)
}

pub(crate) fn value_of(alert: &Alert) -> Value {
    let evidence: Vec<String> = alert.evidence.iter().map(ToString::to_string).collect();
    let entity = json!([alert.entity.kind.as_str(), alert.entity.value]);
    let members = [
        ("id", alert.id.to_string().into()),
        ("rule_id", alert.rule_id.as_str().into()),
        ("rule_version", alert.rule_version.as_str().into()),
        ("title", alert.title.as_str().into()),
        ("kind", alert.kind.as_str().into()),
        ("severity", alert.severity.as_str().into()),
        ("confidence", alert.confidence.into()),
        ("status", alert.status.as_str().into()),
        ("entity", entity),
        ("client_ip", alert.client_ip.map(|it| it.to_string()).into()),
        ("dst_ip", alert.dst_ip.map(|it| it.to_string()).into()),
        ("count", alert.count.into()),
        ("first_seen", alert.first_seen.0.into()),
        ("last_seen", alert.last_seen.0.into()),
        ("window_start", alert.window_start.0.into()),
        ("timestamp", alert.timestamp.0.into()),
        ("details", alert.details.as_str().into()),
        ("reason", alert.reason.as_str().into()),
        ("description", alert.description.as_str().into()),
        ("detector", alert.detector.as_str().into()),
        ("source", alert.source.as_str().into()),
        ("country", alert.country.as_deref().into()),
        ("user", alert.user.as_deref().into()),
        ("matched", alert.matched.iter().map(|(field, value)| json!([field, value])).collect()),
        ("evidence", evidence.into()),
        ("event", alert.event.as_str().into()),
        ("synthetic", alert.synthetic.into()),
        ("incarnation", alert.incarnation.into()),
    ];
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

pub(crate) fn alert_of(body: &Map<String, Value>) -> Option<Alert> {
    let word = |key: &str| body.get(key).and_then(Value::as_str);
    let text = |key: &str| word(key).unwrap_or_default().to_owned();
    let time = |key: &str| body.get(key).and_then(Value::as_i64).map(Timestamp);
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    Some(Alert {
        id: AlertId::from_text(word("id")?)?,
        rule_id: text("rule_id"),
        rule_version: text("rule_version"),
        title: text("title"),
        kind: text("kind"),
        severity: Severity::from_word(word("severity")?)?,
        confidence: number("confidence").and_then(|it| u8::try_from(it).ok()).unwrap_or_default(),
        status: AlertStatus::from_word(word("status")?)?,
        entity: entity_of(body.get("entity")?)?,
        client_ip: address_of(word("client_ip"))?,
        dst_ip: address_of(word("dst_ip"))?,
        count: number("count")?,
        first_seen: time("first_seen")?,
        last_seen: time("last_seen")?,
        window_start: time("window_start")?,
        timestamp: time("timestamp")?,
        details: text("details"),
        reason: text("reason"),
        description: text("description"),
        detector: text("detector"),
        source: text("source"),
        country: word("country").map(str::to_owned),
        user: word("user").map(str::to_owned),
        matched: list(body, "matched").map(pair_of).collect::<Option<_>>()?,
        evidence: list(body, "evidence").map(|it| EventId::from_text(it.as_str()?)).collect::<Option<_>>()?,
        event: text("event"),
        synthetic: body.get("synthetic").and_then(Value::as_bool).unwrap_or_default(),
        incarnation: number("incarnation")?,
    })
}

fn list<'a>(body: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    body.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn entity_of(value: &Value) -> Option<Entity> {
    let (kind, value) = pair_of(value)?;
    Some(Entity { kind: EntityKind::from_word(&kind)?, value })
}

fn pair_of(value: &Value) -> Option<(String, String)> {
    Some((value.get(0)?.as_str()?.to_owned(), value.get(1)?.as_str()?.to_owned()))
}

/// Reads an address that may be missing; `None` when it is there and is none.
fn address_of(text: Option<&str>) -> Option<Option<IpAddr>> {
    text.map_or(Some(None), |it| it.parse().ok().map(Some))
}
