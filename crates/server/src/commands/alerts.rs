//! `bartizan alerts`, `bartizan why` and `bartizan export`.

use hyper::Method;
use lexopt::prelude::*;
use model::alert::AlertStatus;
use serde_json::{Value, json};
use web::query::encode;

use super::{except, flags::Flags, request};
use crate::client::Client;
use crate::failure::Failure;
use crate::terminal;

const ALERTS_HELP: &str = "\
Shows the newest alerts, and says what is to become of them.

  bartizan alerts [--data DIR] [--limit 50] [--type T] [--severity LEVEL] [--client-ip A] [--user U] [--source S]
                  [--country C] [--hours N] [--from TIME] [--to TIME] [--output text|json]
  bartizan alerts ack ID... [--data DIR] [--note TEXT]        somebody has seen it
  bartizan alerts close ID... [--data DIR] [--note TEXT]      it is over; after 90 days (`store.keep_closed`) it is removed
  bartizan alerts reopen ID... [--data DIR] [--note TEXT]     it is new again

The first six digits of an id or more are enough. `bartizan why ID` shows who did what.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";
const WHY_HELP: &str = "\
Says what an alert rests on: what fired, on which fields, with which evidence. Or what the gateway did with a request,
and why: its id is on the page that a blocked client sees, and in `X-Request-Id`.

  bartizan why ALERT|REQUEST [--data DIR]

The first six digits of an alert's id or more are enough.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";
const EXPORT_HELP: &str = "\
Writes every alert to stdout.

  bartizan export alerts [--data DIR] [--format ndjson|csv] [--canonical]

`--canonical`: NDJSON, sorted by id, keys sorted, only what does not depend on when it ran.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";
/// The flags that are filters of the list.
const FILTERS: [&str; 11] =
    ["limit", "type", "severity", "criticality", "client-ip", "user", "source", "country", "hours", "from", "to"];
/// How many events of an alert are shown.
const EVIDENCE_SHOWN: usize = 20;

/// Runs `bartizan alerts`.
pub(crate) fn alerts(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut query = Vec::new();
    let mut note = None;
    let flags = Flags::read(arguments, ALERTS_HELP, |name, rest| {
        if name == "note" {
            note = Some(rest.value()?.string()?);
            return Ok(true);
        }
        let is_known = FILTERS.contains(&name);
        if is_known {
            query.push(format!("{}={}", name.replace('-', "_"), encode(&rest.value()?.string()?)));
        }
        Ok(is_known)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    let status = match words.first() {
        None if note.is_none() => return list(&flags, &query),
        Some(&"ack") => AlertStatus::Acknowledged,
        Some(&"close") => AlertStatus::Closed,
        Some(&"reopen") => AlertStatus::New,
        _ => return Err(Failure::usage(ALERTS_HELP)),
    };
    if words.len() < 2 || !query.is_empty() {
        return Err(Failure::usage(ALERTS_HELP));
    }
    change(&flags, &words[1..], status, note.as_deref().unwrap_or_default())
}

fn list(flags: &Flags, query: &[String]) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.get(&format!("/v1/alerts?{}", query.join("&")))?.expect_success();
    client.finish();
    let reply = reply?;
    if flags.is_json {
        terminal::print(&format!("{}\n", String::from_utf8_lossy(&reply.body)))?;
        return Ok(0);
    }
    let items = reply.json()["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        terminal::print("No alerts.\n")?;
        return Ok(0);
    }
    let row = |it: &Value| {
        let text = |name: &str| terminal::line(it[name].as_str().unwrap_or("-"));
        let entity = terminal::line(it["entity"]["value"].as_str().unwrap_or("-"));
        let count = it["count"].to_string();
        vec![text("last_seen"), text("severity"), text("status"), entity, count, text("title"), text("id")]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    let head = ["LAST SEEN", "SEVERITY", "STATUS", "WHO", "COUNT", "WHAT", "ID"];
    terminal::print(&terminal::table(&head, &rows))?;
    Ok(0)
}

/// Gives alerts a status, one after the other; one that cannot be changed does not keep the others from it.
fn change(flags: &Flags, ids: &[&str], status: AlertStatus, note: &str) -> Result<u8, Failure> {
    let client = flags.client()?;
    let changed: Vec<_> = ids.iter().map(|id| change_one(&client, id, status, note)).collect();
    client.finish();
    let (mut alerts, mut refused) = (Vec::new(), Vec::new());
    for (id, alert) in ids.iter().zip(changed) {
        match alert {
            Ok(alert) => alerts.push(alert),
            Err(failure) => refused.push((terminal::line(id), failure)),
        }
    }
    if flags.is_json {
        terminal::print(&format!("{}\n", json!({"items": alerts})))?;
    } else {
        for alert in &alerts {
            let text = |name: &str| terminal::line(alert[name].as_str().unwrap_or("-"));
            terminal::print(&format!("{}  {}: {}\n", text("id"), text("title"), text("status")))?;
        }
    }
    let Some((last, failure)) = refused.pop() else { return Ok(0) };
    refused.iter().for_each(|(id, failure)| terminal::complain(&format!("`{id}`: {}", failure.message)));
    Err(Failure { message: format!("`{last}`: {}", failure.message), ..failure })
}

fn change_one(client: &Client, id: &str, status: AlertStatus, note: &str) -> Result<Value, Failure> {
    let body = json!({"status": status.as_str(), "note": note}).to_string();
    let reply = client.call(Method::POST, &format!("/v1/alerts/{}", encode(id)), &body)?;
    Ok(reply.expect_success()?.json())
}

/// Runs `bartizan why`.
pub(crate) fn why(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(flags) = Flags::read(arguments, WHY_HELP, |_, _| Ok(false))? else { return Ok(0) };
    let id = flags.value("alert or request")?.to_owned();
    let client = flags.client()?;
    let told = explain(&client, &id, &flags);
    client.finish();
    terminal::print(&told?)?;
    Ok(0)
}

fn explain(client: &Client, id: &str, flags: &Flags) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/alerts/{}", encode(id)))?;
    if matches!(reply.status, 404 | 400) {
        return request::explain(client, id, flags)?.ok_or_else(|| missing(id));
    }
    let reply = reply.expect_success()?;
    if flags.is_json {
        return Ok(format!("{}\n", String::from_utf8_lossy(&reply.body)));
    }
    let alert = reply.json();
    let text = |name: &str| terminal::line(alert[name].as_str().unwrap_or("-"));
    let mut out = format!("{} ({}, {} % sure)\n", text("title"), text("severity"), alert["confidence"]);
    out.push_str(&format!(
        "  who       {}: {}\n",
        terminal::line(alert["entity"]["kind"].as_str().unwrap_or("-")),
        terminal::line(alert["entity"]["value"].as_str().unwrap_or("-"))
    ));
    out.push_str(&format!("  what      {}\n", text("details")));
    let events = terminal::counted(alert["count"].as_u64().unwrap_or_default(), "event");
    out.push_str(&format!("  when      {} to {}, {events}\n", text("first_seen"), text("last_seen")));
    out.push_str(&format!(
        "  rule      {} (version {}): {}\n",
        text("rule_id"),
        text("rule_version"),
        text("description")
    ));
    if let Some(matched) = alert["matched"].as_object().filter(|it| !it.is_empty()) {
        out.push_str("  because of these fields of the first event\n");
        for (name, value) in matched {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            out.push_str(&format!("    {} = {}\n", terminal::line(name), terminal::line(&value)));
        }
    }
    let evidence = alert["evidence"].as_array().cloned().unwrap_or_default();
    out.push_str(&format!("  evidence, {} of {events}\n", evidence.len().min(EVIDENCE_SHOWN)));
    for id in evidence.iter().filter_map(Value::as_str).take(EVIDENCE_SHOWN) {
        out.push_str(&format!("    {}\n", event_line(client, id)?));
    }
    out.push_str(&life_of(&alert));
    if rests_on_inspection(&alert) {
        out.push_str(&except::hint(alert["id"].as_str().unwrap_or(id), flags));
    }
    Ok(out)
}

/// The failure of whoever names an alert or a request that there is not.
pub(super) fn missing(id: &str) -> Failure {
    Failure::failed(format!(
        "there is no alert and no kept request `{}`; `bartizan alerts` lists the newest alerts",
        terminal::line(id)
    ))
}

/// Whether what raised an alert asked inspection for findings.
fn rests_on_inspection(alert: &Value) -> bool {
    let asked = ["http.attack_score", "http.families", "http.findings", "http.evidence"];
    alert["matched"].as_object().is_some_and(|it| asked.iter().any(|name| it.contains_key(*name)))
}

/// What people did with an alert, a line each.
fn life_of(alert: &Value) -> String {
    let text = |it: &Value, name: &str| terminal::line(it[name].as_str().unwrap_or("-"));
    let mut out = format!("  status    {}\n", text(alert, "status"));
    for change in alert["history"].as_array().into_iter().flatten() {
        let note = match text(change, "note") {
            note if note.is_empty() => note,
            note => format!(": {note}"),
        };
        let (at, actor) = (text(change, "at"), text(change, "actor"));
        out.push_str(&format!("    {at}  {actor}: {} to {}{note}\n", text(change, "from"), text(change, "to")));
    }
    out
}

/// One event in a line.
fn event_line(client: &Client, id: &str) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/events/{}", encode(id)))?;
    if reply.status != 200 {
        return Ok(format!("{}  (no longer kept)", terminal::line(id)));
    }
    let event = reply.json();
    let mut parts = vec![terminal::line(id), terminal::line(event["time"].as_str().unwrap_or("-"))];
    for name in ["client_ip", "user", "method", "path", "status_code", "message"] {
        match &event[name] {
            Value::Null => {}
            Value::String(it) => parts.push(terminal::line(&it.chars().take(120).collect::<String>())),
            other => parts.push(other.to_string()),
        }
    }
    Ok(parts.join("  "))
}

/// Runs `bartizan export`.
pub(crate) fn export(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut format = "ndjson".to_owned();
    let mut is_canonical = false;
    let flags = Flags::read(arguments, EXPORT_HELP, |name, rest| {
        match name {
            "format" => format = rest.value()?.string()?,
            "canonical" => is_canonical = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    if flags.value("thing to export: alerts")? != "alerts" {
        return Err(Failure::usage(EXPORT_HELP));
    }
    if !matches!(format.as_str(), "ndjson" | "csv") {
        return Err(Failure::usage(format!("`--format` is `{format}`, and must be ndjson or csv")));
    }
    if is_canonical {
        format = "canonical".to_owned();
    }
    let client = flags.client()?;
    let written = client.stream(&format!("/v1/export/alerts?format={format}"), &mut terminal::write);
    client.finish();
    written.map(|()| 0)
}
