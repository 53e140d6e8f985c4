//! What the routes of the other edges take and answer. Their tables name these schemas; here is only what clients
//! may rely on, so none of them forbids further members.

use serde_json::{Value, json};

use super::{count, option, text, time, to};

/// The schemas, by name.
pub(super) fn named() -> Vec<(&'static str, Value)> {
    vec![
        ("Event", event()),
        ("EventBatch", event_batch()),
        ("EventsTaken", events_answer(&["received", "accepted", "duplicate", "rejected"])),
        ("EventsRefused", events_answer(&["type", "title", "status"])),
        ("AccessLog", access_log()),
        ("LogTaken", open(&["status", "message"], &[("status", word("success")), ("message", text())])),
        (
            "LogRefused",
            open(&["status", "message"], &[("status", word("fail")), ("message", text()), ("errors", faults())]),
        ),
        ("IngestEvent", ingest_event()),
        ("IngestTaken", ingest_taken()),
        ("IngestRefused", ingest_refused()),
        ("IngestOverloaded", open(&["detail"], &[("detail", text())])),
        ("LoginLink", open(&["token", "path"], &[("token", text()), ("path", text()), ("valid_seconds", count())])),
        ("Key", key()),
        ("Keys", open(&["items"], &[("items", json!({"type": "array", "items": to("Key")}))])),
        ("NewKey", new_key()),
        ("NewException", new_exception()),
        ("ProposedException", proposed_exception()),
        ("Destinations", list_of(destination())),
        ("Sources", list_of(source())),
        ("Forwards", list_of(forward())),
        ("Tried", tried()),
        ("Deliveries", list_of(delivery())),
        ("DeliveryReplay", delivery_replay()),
        ("DeliveriesReplayed", open(&["replayed"], &[("replayed", count())])),
        ("MadeKey", open(&["name", "scope", "key"], &[("name", text()), ("scope", scope()), ("key", text())])),
    ]
}

fn source() -> Value {
    let error = open(&["reason", "at"], &[("reason", text()), ("at", time())]);
    open(
        &["name", "type", "broker", "queue", "connected", "connects", "received", "acknowledged"],
        &[
            ("name", described(text(), "The name of the input.")),
            ("type", word("rabbitmq")),
            ("broker", described(text(), "Where it is, without secrets.")),
            ("queue", text()),
            ("exchange", option()),
            ("connected", json!({"type": "boolean"})),
            ("since", described(option(), "Since when it is connected, or is not.")),
            ("connects", count()),
            ("waiting", described(json!({"type": "boolean"}), "Whether it waits until there is room.")),
            ("received", described(count(), "Messages since the process began.")),
            ("redelivered", described(count(), "Of them those that were on their way before, as the broker says.")),
            ("acknowledged", count()),
            ("replies", count()),
            ("last_error", json!({"oneOf": [error, {"type": "null"}]})),
        ],
    )
}

fn forward() -> Value {
    let trouble = open(&["reason", "since"], &[("reason", text()), ("since", time())]);
    open(
        &["name", "what", "target", "published", "unrouted", "lost", "behind"],
        &[
            ("name", text()),
            ("what", json!({"type": "string", "enum": ["logs", "anormal"]})),
            ("target", described(text(), "The broker and the exchange, without secrets.")),
            ("published", described(count(), "Messages that the broker confirmed since the process began.")),
            ("unrouted", described(count(), "Of them those that no queue took.")),
            ("lost", described(count(), "Records that the log kept no longer when they were to be read.")),
            ("behind", described(count(), "Records of the log that are still to be read.")),
            ("trouble", json!({"oneOf": [trouble, {"type": "null"}]})),
        ],
    )
}

fn new_exception() -> Value {
    open(
        &["event"],
        &[
            ("event", described(text(), "The id of the event whose findings are to be hidden.")),
            ("finding", described(option(), "A family or a check: only what it found.")),
            ("place", described(option(), "Only what was found there; `any`: wherever it stands.")),
            ("path_prefix", described(option(), "A folder in place of the path of the request.")),
            ("reason", option()),
            ("save", json!({"type": "boolean"})),
        ],
    )
}

fn proposed_exception() -> Value {
    open(
        &["exceptions", "toml", "events", "is_all", "hides", "silences", "samples", "saved"],
        &[
            ("exceptions", json!({"type": "array", "items": {"type": "object"}})),
            ("toml", described(text(), "The same as `rules.toml` has it.")),
            ("events", described(count(), "How many kept events were looked at.")),
            ("is_all", json!({"type": "boolean"})),
            ("hides", described(count(), "In how many others it would have left something out.")),
            ("silences", described(count(), "How many of those would be no attack any more.")),
            (
                "samples",
                described(json!({"type": "array", "items": {"type": "object"}}), "The newest of them, at most ten."),
            ),
            ("file", option()),
            ("saved", json!({"type": "boolean"})),
        ],
    )
}

/// An object that has the members `required`, and may have others than the `members` described.
fn open(required: &[&str], members: &[(&str, Value)]) -> Value {
    let mut object = json!({"type": "object", "required": required, "properties": {}});
    for (name, schema) in members {
        object["properties"][*name] = schema.clone();
    }
    object
}

fn list_of(item: Value) -> Value {
    open(&["items"], &[("items", json!({"type": "array", "items": item}))])
}

fn destination() -> Value {
    let required = ["name", "type", "target", "min_severity", "waiting", "dead", "delivered", "breaker_open"];
    let flag = || json!({"type": "boolean"});
    let members = [
        ("name", text()),
        ("type", text()),
        ("target", described(text(), "Where it leads, without secrets.")),
        ("min_severity", to("Severity")),
        ("repeat_seconds", count()),
        ("include", json!({"type": "array", "items": text()})),
        ("exclude", json!({"type": "array", "items": text()})),
        ("closed", flag()),
        ("waiting", count()),
        ("oldest", json!({"type": ["string", "null"], "format": "date-time"})),
        ("dead", count()),
        ("delivered", count()),
        ("failed", count()),
        ("refused", count()),
        ("repeated", count()),
        ("breaker_open", flag()),
        ("reason", described(text(), "Why the last attempt failed; empty after a success.")),
    ];
    open(&required, &members)
}

fn tried() -> Value {
    let members = [("sent", json!({"type": "boolean"})), ("status", text()), ("latency_ms", json!({"type": "number"}))];
    open(&["sent", "status", "latency_ms"], &members)
}

fn delivery() -> Value {
    let members = [
        ("id", text()),
        ("destination", text()),
        ("kind", text()),
        ("subject", text()),
        ("state", json!({"type": "string", "enum": ["waiting", "dead"]})),
        ("created_at", time()),
        ("next_at", described(time(), "When it is tried next; for a dead letter when it died.")),
        ("attempts", count()),
        ("reason", text()),
    ];
    open(&members.each_ref().map(|it| it.0), &members)
}

fn delivery_replay() -> Value {
    let ids = json!({"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{32}$"}});
    let members = [("all", json!({"type": "boolean"})), ("destination", text()), ("ids", ids)];
    described(open(&[], &members), "One of the three: all dead letters, those of a destination, or these.")
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn word(word: &str) -> Value {
    json!({"type": "string", "enum": [word]})
}

fn scope() -> Value {
    json!({"type": "string", "enum": backends::store::Scope::ALL.map(backends::store::Scope::as_str)})
}

fn status_code() -> Value {
    json!({"type": "integer", "minimum": 100, "maximum": 599})
}

fn faults() -> Value {
    let fault = open(&["message"], &[("field", option()), ("code", text()), ("message", text())]);
    json!({"type": "array", "items": fault})
}

fn event() -> Value {
    let members = [
        ("id", described(text(), "The sender's own id: a repeated one is a duplicate.")),
        (
            "time",
            described(json!({}), "RFC 3339, or an epoch number; also `timestamp`, `@timestamp`. Else the receipt."),
        ),
        ("source", described(text(), "Where it comes from; else the name of the input.")),
        ("logsource", open(&[], &[("product", text()), ("category", text()), ("service", text())])),
        ("client_ip", described(text(), "IPv4 or IPv6; also `src_ip`, `ip`.")),
        ("user", text()),
        ("host", text()),
        ("method", text()),
        ("path", described(text(), "Also `endpoint`, `uri`.")),
        ("status_code", status_code()),
        ("user_agent", text()),
        ("message", text()),
    ];
    described(open(&[], &members), "All is optional but one field of any name; every other field is kept.")
}

fn event_batch() -> Value {
    let description = "One object, an array of them, or NDJSON (`application/x-ndjson`, or found out); gzip or zstd.";
    json!({"description": description, "anyOf": [to("Event"), {"type": "array", "items": to("Event")}]})
}

fn events_answer(required: &[&str]) -> Value {
    let rejected = open(
        &["index", "code", "message"],
        &[("index", count()), ("code", text()), ("field", option()), ("message", text())],
    );
    let members = [
        ("received", count()),
        ("accepted", count()),
        ("duplicate", count()),
        ("rejected", json!({"type": "array", "items": rejected})),
        (
            "ids",
            described(json!({"type": "array", "items": text()}), "Of the accepted, in order; left out above 1,000."),
        ),
    ];
    open(required, &members)
}

fn access_log() -> Value {
    let members = [
        ("timestamp", time()),
        ("client_ip", text()),
        ("method", text()),
        ("endpoint", text()),
        ("status_code", status_code()),
    ];
    open(&["timestamp", "client_ip", "method", "endpoint", "status_code"], &members)
}

fn ingest_event() -> Value {
    let description = "With `RequestID`, `EventID` or `RoleID` a cloud event; else with `ServiceName` an AnormalEvent; \
         else with `source` or `message` a log event.";
    described(json!({"type": "object"}), description)
}

fn ingest_taken() -> Value {
    let members = [("status", word("queued")), ("status_code", count()), ("response_msg", text())];
    described(open(&[], &members), "`status` for a log event or AnormalEvent; the other two for a cloud event.")
}

fn ingest_refused() -> Value {
    let detail = open(&["type", "loc", "msg"], &[("type", text()), ("loc", json!({"type": "array"})), ("msg", text())]);
    let members = [("error", text()), ("errors", faults()), ("detail", json!({"type": "array", "items": detail}))];
    described(open(&[], &members), "`error` and `errors` for a cloud event, else `detail`.")
}

fn new_key() -> Value {
    let members = [
        ("name", text()),
        ("scope", scope()),
        ("rate", described(text(), "As `500/s`; none: no limit.")),
        ("for", described(text(), "How long it lives, as `90d`; none: until it is revoked.")),
    ];
    open(&["name", "scope"], &members)
}

fn key() -> Value {
    let members = [
        ("name", text()),
        ("scope", scope()),
        ("rate_per_second", json!({"type": ["number", "null"]})),
        ("created_at", time()),
        ("expires_at", option()),
        (
            "last_used_at",
            described(option(), "When it was last used; `null` when never. Over restarts it is kept to the minute."),
        ),
    ];
    open(&["name", "scope", "created_at"], &members)
}
