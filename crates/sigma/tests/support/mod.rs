//! A JSON document as an event, in the slow and obvious way.

use serde_json::Value as Json;
use sigma::event::{FieldId, Fields, Value};

/// An event over a JSON object, for one rule set's field names.
pub(crate) struct JsonEvent<'a> {
    /// The object.
    pub(crate) root: &'a Json,
    /// The names of the fields.
    pub(crate) names: &'a [String],
}

impl Fields for JsonEvent<'_> {
    fn visit(&self, field: FieldId, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let Some(found) = lookup(self.root, &self.names[field.0 as usize]) else { return false };
        show(found, see);
        true
    }

    fn visit_texts(&self, see: &mut dyn FnMut(&str) -> bool) -> bool {
        texts(self.root, see)
    }
}

fn lookup<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    json.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        lookup(json.get(first)?, rest)
    })
}

fn show(json: &Json, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    match json {
        Json::Null => see(Value::Null),
        Json::Bool(it) => see(Value::Bool(*it)),
        Json::Number(it) => match it.as_i64() {
            Some(it) => see(Value::Integer(it)),
            None => see(Value::Number(&it.to_string())),
        },
        Json::String(it) => see(Value::Text(it)),
        Json::Array(them) => them.iter().any(|it| show(it, see)),
        Json::Object(_) => false,
    }
}

fn texts(json: &Json, see: &mut dyn FnMut(&str) -> bool) -> bool {
    match json {
        Json::String(it) => see(it),
        Json::Array(them) => them.iter().any(|it| texts(it, see)),
        Json::Object(them) => them.values().any(|it| texts(it, see)),
        _ => false,
    }
}
