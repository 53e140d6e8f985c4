//! What bouncers report of themselves: what they dropped, let pass and hold.
//!
//! Numbers are of the time since the report before. Dropped and processed are added up; the others are as they were told.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use web::answer::Answer;
use web::route::Request;

use super::{answer, refusal};
use crate::edge::{Enforcement, identity_of};
use crate::pullers::Kind;

/// How many names of numbers are kept; of more the first by name.
const NAMES_MAX: usize = 20;
/// How long such a name may be, in bytes; a longer one is passed over.
const NAME_BYTES_MAX: usize = 50;
/// What is added up.
const SUMS: [&str; 2] = ["dropped", "processed"];

/// Takes a report.
pub(super) fn take(edge: &Arc<Enforcement>, request: Request) -> Answer {
    let Ok(report) = serde_json::from_slice::<Value>(&request.body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no JSON");
    };
    let Some(components) = report["remediation_components"].as_array() else {
        return refusal(StatusCode::BAD_REQUEST, "`remediation_components` is missing");
    };
    let now = edge.now();
    let (numbers, version) = (numbers_of(components), version_of(components));
    let identity = identity_of(&request, Kind::Crowdsec);
    edge.pullers.reported(&identity, now, |before| {
        let mut kept = serde_json::from_str::<Map<String, Value>>(before).unwrap_or_default();
        for (name, number) in numbers {
            let sum = if SUMS.contains(&name.as_str()) { kept.get(&name).and_then(Value::as_u64) } else { None };
            kept.insert(name, json!(sum.unwrap_or_default().saturating_add(number)));
        }
        let names: Vec<String> = kept.keys().skip(NAMES_MAX).cloned().collect();
        names.iter().for_each(|it| drop(kept.remove(it)));
        kept.insert("reported_at".to_owned(), now.to_string().into());
        kept.insert("version".to_owned(), version.into());
        Value::Object(kept).to_string()
    });
    answer(StatusCode::CREATED, "")
}

/// The numbers of a report by name, summed over everything that tells them apart.
fn numbers_of(components: &[Value]) -> BTreeMap<String, u64> {
    let mut numbers = BTreeMap::new();
    let metrics = components.iter().filter_map(|it| it["metrics"].as_array()).flatten();
    for item in metrics.filter_map(|it| it["items"].as_array()).flatten() {
        let (Some(name), Some(value)) = (item["name"].as_str(), item["value"].as_f64()) else { continue };
        if NAME_BYTES_MAX < name.len() || !value.is_finite() || value < 0.0 {
            continue;
        }
        let number = numbers.entry(name.to_owned()).or_insert(0_u64);
        // A cast of a float ends at the largest whole number.
        *number = number.saturating_add(value as u64);
    }
    numbers
}

fn version_of(components: &[Value]) -> String {
    let version = components.first().and_then(|it| it["version"].as_str()).unwrap_or_default();
    version.chars().filter(|it| !it.is_control()).take(NAME_BYTES_MAX).collect()
}
