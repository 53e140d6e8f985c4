//! The schemas of the document, by name.

mod decisions;
mod elsewhere;
mod enforcement;

use serde_json::{Map, Value, json};

/// Returns all schemas.
pub(crate) fn schemas() -> Map<String, Value> {
    let named = [
        ("Severity", severity()),
        ("Entity", entity()),
        ("Alert", alert(false)),
        ("AlertFull", alert(true)),
        ("AlertWithHistory", alert_with_history()),
        ("AlertChange", alert_change()),
        ("AlertArray", json!({"type": "array", "items": to("AlertFull")})),
        ("AlertPage", page("Alert")),
        ("AnomalyArray", json!({"type": "array", "items": {"type": "object"}})),
        ("StoredEvent", stored_event()),
        ("EventPage", page("StoredEvent")),
        ("Ledger", ledger()),
        ("LedgerRow", ledger_row()),
        ("QuarantinedRecord", quarantined()),
        ("QuarantinePage", page("QuarantinedRecord")),
        ("ReplayRequest", replay_request()),
        ("ReplayResult", replay_result()),
        ("Health", health()),
        ("Failure", failure()),
        ("Problem", problem()),
    ];
    named
        .into_iter()
        .chain(elsewhere::named())
        .chain(decisions::named())
        .chain(enforcement::named())
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn to(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn option() -> Value {
    json!({"type": ["string", "null"]})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// An object all of whose `members` are there, and no others.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = members.iter().map(|it| it.0).collect();
    let required = json!(required);
    let properties: Map<String, Value> = members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

/// Adds a member that is there only sometimes.
fn sometimes(mut object: Value, name: &str, schema: Value) -> Value {
    object["properties"][name] = schema;
    object
}

fn page(item: &str) -> Value {
    object([("items", json!({"type": "array", "items": to(item)})), ("next", option())])
}

fn severity() -> Value {
    json!({"type": "string", "enum": model::severity::Severity::ALL.map(|it| it.as_str())})
}

fn entity() -> Value {
    object([("kind", text()), ("value", text())])
}

fn alert(is_full: bool) -> Value {
    let confidence = json!({"type": "integer", "minimum": 0, "maximum": 100});
    let mut alert = object([
        ("id", text()),
        ("rule_id", text()),
        ("rule_version", text()),
        ("title", text()),
        ("type", text()),
        ("severity", to("Severity")),
        ("confidence", confidence),
        ("status", alert_status()),
        ("entity", to("Entity")),
        ("client_ip", option()),
        ("dst_ip", option()),
        ("count", count()),
        ("first_seen", time()),
        ("last_seen", time()),
        ("window_start", time()),
        ("timestamp", time()),
        ("details", text()),
        ("reason", text()),
        ("description", text()),
        ("detector", text()),
        ("source", text()),
        ("country", option()),
        ("user", option()),
        ("matched", json!({"type": "object", "additionalProperties": text()})),
        ("evidence", json!({"type": "array", "items": text()})),
        ("synthetic", json!({"type": "boolean"})),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    if is_full {
        alert = sometimes(alert, "src_ip", option());
        alert = sometimes(alert, "event", json!({"type": ["object", "null"]}));
    }
    sometimes(alert, "evidence_total", count())
}

fn alert_status() -> Value {
    json!({"type": "string", "enum": model::alert::AlertStatus::ALL.map(|it| it.as_str())})
}

fn alert_with_history() -> Value {
    let change =
        object([("at", time()), ("actor", text()), ("from", alert_status()), ("to", alert_status()), ("note", text())]);
    let mut alert = alert(false);
    alert["properties"]["history"] = json!({"type": "array", "items": change});
    if let Some(required) = alert["required"].as_array_mut() {
        required.push("history".into());
    }
    alert
}

fn alert_change() -> Value {
    sometimes(object([("status", alert_status())]), "note", json!({"type": ["string", "null"], "maxLength": 2000}))
}

/// The fields that are always there; which others there are depends on the event.
fn stored_event() -> Value {
    let mut event = object([
        ("id", text()),
        ("time", time()),
        ("source", text()),
        ("received", json!({"type": ["string", "null"], "format": "date-time"})),
        ("input", text()),
        ("entity", to("Entity")),
        ("synthetic", json!({"type": "boolean"})),
        ("original", json!({"type": ["object", "string", "null"]})),
    ]);
    event["additionalProperties"] = Value::Bool(true);
    for name in ["client_ip", "user", "host", "method", "path", "user_agent", "message", "format"] {
        event = sometimes(event, name, text());
    }
    let event = sometimes(event, "status_code", json!({"type": "integer", "minimum": 100, "maximum": 599}));
    sometimes(event, "fields", json!({"type": "object", "additionalProperties": text()}))
}

fn ledger_row() -> Value {
    object([
        ("received", count()),
        ("stored", count()),
        ("duplicate", count()),
        ("rejected", count()),
        ("quarantined", count()),
        ("lag_events", count()),
        ("lag_seconds", json!({"type": "number", "minimum": 0, "description": "How long the oldest of them waits."})),
    ])
}

fn ledger() -> Value {
    object([
        ("total", to("LedgerRow")),
        ("inputs", json!({"type": "object", "additionalProperties": to("LedgerRow")})),
        ("refused_requests", count()),
        ("late", count()),
        ("ahead", count()),
        ("pending_windows", count()),
    ])
}

fn quarantined() -> Value {
    object([
        ("id", count()),
        ("input", text()),
        ("place", text()),
        ("format", text()),
        ("reason", text()),
        ("received", time()),
        ("record", text()),
        ("record_bytes", json!({"type": ["integer", "null"], "minimum": 0})),
        ("kept_bytes", count()),
        ("is_whole", json!({"type": "boolean"})),
        ("is_cut", json!({"type": "boolean"})),
    ])
}

fn replay_request() -> Value {
    json!({
        "type": "object",
        "description": "Either `ids` or `all`.",
        "properties": {"ids": {"type": "array", "items": count()}, "all": {"type": "boolean", "const": true}},
        "additionalProperties": false,
    })
}

fn replay_result() -> Value {
    let unreadable = object([("id", count()), ("reason", text())]);
    object([
        ("taken", count()),
        ("duplicate", count()),
        ("unreadable", json!({"type": "array", "items": unreadable})),
        ("unreadable_total", count()),
        ("unknown", json!({"type": "array", "items": count()})),
        ("remaining", count()),
    ])
}

fn health() -> Value {
    let copied = object([
        ("copied", count()),
        ("heard_at", json!({"type": ["string", "null"], "format": "date-time"})),
        ("age_seconds", json!({"type": ["integer", "null"]})),
        ("enforced", json!({"type": "boolean"})),
    ]);
    let health = object([
        ("system_status", json!({"type": "string", "enum": ["idle", "system_failure"]})),
        ("db_status", json!({"type": "string", "enum": ["Connected", "Disconnected"]})),
        ("last_sync", json!({"type": ["string", "null"]})),
        ("last_success", json!({"type": ["string", "null"]})),
        ("last_event_time", json!({"type": ["string", "null"], "format": "date-time"})),
        ("last_error", option()),
        ("version", text()),
    ]);
    sometimes(health, "gateway_decisions", copied)
}

fn failure() -> Value {
    object([("status", json!({"type": "string", "enum": ["fail"]})), ("message", text())])
}

/// Source: RFC 9457, section 3.
fn problem() -> Value {
    let title = text();
    let status = json!({"type": "integer", "minimum": 400, "maximum": 599});
    let problem = object([("type", text()), ("title", title), ("status", status), ("detail", text())]);
    let fault = object([("field", text()), ("message", text())]);
    sometimes(problem, "errors", json!({"type": "array", "items": fault}))
}
