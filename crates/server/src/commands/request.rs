//! `bartizan why` for a request that went through the gateway: what was done with it, and why.

use serde_json::Value;
use web::query::encode;

use super::except;
use super::flags::Flags;
use crate::client::Client;
use crate::failure::Failure;
use crate::terminal;

/// Explains the request with this id; `None` when there is none, or it is no longer kept.
pub(super) fn explain(client: &Client, id: &str, flags: &Flags) -> Result<Option<String>, Failure> {
    let reply = client.get(&format!("/v1/events/{}", encode(id)))?;
    if matches!(reply.status, 404 | 400) {
        return Ok(None);
    }
    let reply = reply.expect_success()?;
    if flags.is_json {
        return Ok(Some(format!("{}\n", String::from_utf8_lossy(&reply.body))));
    }
    let event = reply.json();
    let original = original_of(&event);
    let hint = if original["http.places"].is_array() { except::hint(id, flags) } else { String::new() };
    let of_crs = except::crs_exclude(&original).map(|it| format!("\n{it}")).unwrap_or_default();
    Ok(Some(format!("{}{hint}{of_crs}", told(&event))))
}

/// What the gateway wrote beside the fields that every request has.
pub(super) fn original_of(event: &Value) -> Value {
    match &event["original"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    }
}

/// An event of the gateway in plain words.
fn told(event: &Value) -> String {
    let text = |name: &str| terminal::line(event[name].as_str().unwrap_or("-"));
    let original = original_of(event);
    let detail = |name: &str| &original[format!("http.{name}")];
    let status = event["status_code"].as_u64().map_or_else(|| "-".to_owned(), |it| it.to_string());
    let mut out = format!("{} {}, answered with {status}\n", text("method"), text("path"));
    out.push_str(&format!("  who       {}, {}\n", text("client_ip"), text("user_agent")));
    out.push_str(&format!("  where     {}\n", text("host")));
    out.push_str(&format!("  when      {}\n", text("time")));
    out.push_str(&format!("  action    {}\n", action(detail("action").as_str().unwrap_or_default())));
    if let Some(reason) = detail("decision").as_str() {
        out.push_str(&format!(
            "  because   the decision of `{}` about its address was in force\n",
            terminal::line(reason)
        ));
    }
    if let Some(score) = detail("attack_score").as_u64() {
        let bot = detail("bot_score").as_u64().unwrap_or_default();
        out.push_str(&format!("  scores    attack {score}, bot {bot}\n"));
    }
    if let Some(score) = detail("crs_score").as_u64() {
        out.push_str(&format!("  crs score {score}\n"));
    }
    let list = |name: &str| detail(name).as_array().cloned().unwrap_or_default();
    let evidence = list("evidence");
    let mut found = if evidence.is_empty() { list("findings") } else { evidence };
    found.extend(list("crs_evidence"));
    if !found.is_empty() {
        out.push_str("  found\n");
    }
    for item in found.iter().filter_map(Value::as_str) {
        out.push_str(&format!("    {}\n", terminal::line(item)));
    }
    let excepted = list("excepted");
    if !excepted.is_empty() {
        out.push_str("  found, and left out by exceptions\n");
    }
    for item in excepted.iter().filter_map(Value::as_str) {
        out.push_str(&format!("    {}\n", terminal::line(item)));
    }
    out
}

fn action(word: &str) -> &str {
    match word {
        "pass" => "it passed",
        "observe" => "it passed, since its route only observes",
        "throttle" => "it was throttled",
        "block" => "it was blocked",
        "refuse" => "it was refused: it has two readings, or is over a limit",
        "fail" => "it was turned away, since it could not be checked",
        _ => "none: it did not come through the gateway",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_blocked_request_says_what_was_found_and_hides_control_characters() {
        let event = json!({
            "method": "GET", "path": "/a\u{1b}[2J", "status_code": 403, "client_ip": "203.0.113.7", "time": "2026-11-20T12:00:00Z",
            "original": {"http.action": "block", "http.attack_score": 7, "http.bot_score": 0,
                         "http.findings": ["sqli/sql-union"], "http.evidence": ["sqli/sql-union in query argument `q`: x"],
                         "http.excepted": ["xss/markup-tag in query argument `p`: y"]},
        });
        let told = told(&event);
        assert!(told.contains("answered with 403\n") && told.contains("it was blocked\n"), "{told}");
        assert!(
            told.contains("attack 7, bot 0") && told.contains("    sqli/sql-union in query argument `q`: x\n"),
            "{told}"
        );
        assert!(
            told.ends_with("  found, and left out by exceptions\n    xss/markup-tag in query argument `p`: y\n"),
            "{told}"
        );
        assert!(!told.contains('\u{1b}'));
    }
}
