//! The schemas of those who pull decisions, and of what is blocked.

use serde_json::{Value, json};

use super::{count, object, option, page, sometimes, text, time};

pub(super) fn named() -> Vec<(&'static str, Value)> {
    let words = |words: &[&str]| json!({"type": "string", "enum": words});
    let number = || json!({"type": ["number", "null"], "minimum": 0});
    let block = object([
        ("id", count()),
        ("ip", text()),
        ("scope", words(&["ip", "range"])),
        ("value", text()),
        ("type", words(&["ban", "throttle", "captcha"])),
        ("origin", words(&["rule", "risk", "manual", "import", "peer"])),
        ("reason", text()),
        ("created_at", time()),
        ("expires_at", time()),
        ("ttl", count()),
    ]);
    let bouncer = object([
        ("name", text()),
        ("address", text()),
        ("agent", text()),
        ("kind", words(&["crowdsec", "crowdsec-live", "list", "stream", "nftables"])),
        ("state", words(&["pulls", "silent"])),
        ("first_at", time()),
        ("last_at", time()),
        ("age_seconds", count()),
        ("interval_seconds", number()),
        ("pulls", count()),
        ("behind", count()),
        ("lag_seconds", number()),
        ("reported", json!({"type": ["object", "null"]})),
        ("warning", option()),
    ]);
    vec![
        ("Block", block),
        ("BlockPage", sometimes(page("Block"), "total", count())),
        ("Bouncer", bouncer),
        ("BouncerPage", page("Bouncer")),
    ]
}
