//! The schemas of decisions.

use serde_json::{Value, json};

use super::{count, object, option, page, sometimes, text, time, to};

pub(super) fn named() -> Vec<(&'static str, Value)> {
    let reason = || json!({"type": "string", "maxLength": 1000});
    let strings = || json!({"type": "array", "items": text()});
    let words = |words: &[&str]| json!({"type": "string", "enum": words});
    let maybe = |schema: Value| json!({"anyOf": [schema, {"type": "null"}]});
    let brake = object([("name", text()), ("reason", text())]);
    let ended = object([("at", time()), ("actor", text()), ("reason", text())]);
    let decision = object([
        ("id", count()),
        ("scope", words(&["ip", "range", "user"])),
        ("value", text()),
        ("type", words(&["ban", "throttle", "captcha"])),
        ("state", words(&["in_force", "dry_run", "held", "expired", "ended"])),
        ("origin", words(&["rule", "risk", "manual", "import", "peer"])),
        ("reason", text()),
        ("created_at", time()),
        ("expires_at", time()),
        ("actor", text()),
        ("brake", maybe(brake)),
        ("ended", maybe(ended)),
        ("alert", option()),
        ("rule_id", option()),
        ("rule_version", option()),
        ("count", count()),
        ("evidence", strings()),
        ("user_agent", option()),
        ("synthetic", json!({"type": "boolean"})),
    ]);
    let mut new_decision = object([("reason", reason())]);
    for (name, schema) in [
        ("ip", text()),
        ("range", text()),
        ("user", text()),
        ("type", words(&["ban", "throttle", "captcha"])),
        ("for", text()),
        ("origin", words(&["manual", "import"])),
    ] {
        new_decision = sometimes(new_decision, name, schema);
    }
    let rejected = object([("index", count()), ("field", text()), ("message", text())]);
    let group = object([("name", text()), ("targets", count()), ("samples", strings())]);
    let groups = json!({"type": "array", "items": group});
    let report = object([
        ("hours", count()),
        ("mode", words(&["dry_run", "live"])),
        ("targets", count()),
        ("decisions", count()),
        ("rules", groups.clone()),
        ("user_agents", groups),
        ("held", json!({"type": "object", "additionalProperties": count()})),
        ("your_address", option()),
    ]);
    let switches = object([
        ("mode", words(&["dry_run", "live"])),
        ("paused", option()),
        ("in_force", count()),
        ("changed", count()),
    ]);
    let new_switches = sometimes(
        sometimes(sometimes(object([]), "mode", words(&["dry_run", "live"])), "paused", json!({"type": "boolean"})),
        "reason",
        reason(),
    );
    let entry = object([("network", text()), ("reason", text()), ("actor", text()), ("created_at", option())]);
    let line = object([
        ("number", count()),
        ("at", time()),
        ("actor", text()),
        ("action", text()),
        ("subject", text()),
        ("reason", text()),
    ]);
    vec![
        ("Decision", decision),
        ("DecisionPage", page("Decision")),
        (
            "DecisionExplained",
            object([
                ("decision", to("Decision")),
                ("rule", json!({"type": ["object", "null"]})),
                (
                    "events",
                    json!({"type": "array", "items": object([("id", text()), ("event", json!({"type": ["object", "null"]}))])}),
                ),
                ("again", json!({"type": ["object", "null"]})),
            ]),
        ),
        ("DecisionItems", object([("items", json!({"type": "array", "items": to("Decision")}))])),
        ("NewDecision", new_decision),
        ("DecisionImport", object([("items", json!({"type": "array", "items": to("NewDecision")}))])),
        (
            "ImportResult",
            object([
                ("received", count()),
                ("added", count()),
                ("rejected", json!({"type": "array", "items": rejected})),
            ]),
        ),
        ("DecisionReport", report),
        ("DecisionSwitches", switches),
        ("NewSwitches", new_switches),
        ("Reason", sometimes(object([]), "reason", reason())),
        ("NeverBlockEntry", sometimes(entry, "ended", json!({"type": "array", "items": count()}))),
        ("NeverBlock", object([("items", json!({"type": "array", "items": to("NeverBlockEntry")}))])),
        ("NewNeverBlock", object([("network", text()), ("reason", reason())])),
        ("Removed", object([("network", text())])),
        ("AuditLine", line),
        ("AuditPage", page("AuditLine")),
    ]
}
