//! A decision in force as our own API shows it.

use decision::set::Entry;
use model::time::Timestamp;
use serde_json::{Value, json};

/// A decision as JSON: what it is, why, since when, until when, and the whole seconds that are left, rounded up.
#[must_use]
pub(crate) fn entry_json(entry: &Entry, now: Timestamp) -> Value {
    json!({
        "id": entry.id.0,
        "scope": entry.target.scope(),
        "value": entry.target.to_string(),
        "type": entry.measure.as_str(),
        "origin": entry.origin.as_str(),
        "reason": &*entry.label,
        "created_at": entry.since.to_string(),
        "expires_at": entry.until.to_string(),
        "ttl": entry.until.since(now).as_millis().div_ceil(1000) as u64,
    })
}
