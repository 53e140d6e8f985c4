//! `bartizan alerts`, `bartizan why` and `bartizan export`.

use lexopt::prelude::*;
use serde_json::Value;
use web::query::encode;

use super::{flags::Flags, request};
use crate::client::Client;
use crate::failure::Failure;
use crate::terminal;

const ALERTS_HELP: &str = "\
Shows the newest alerts.

  bartizan alerts [--data DIR] [--limit 50] [--type T] [--severity LEVEL] [--client-ip A] [--user U] [--source S]
                  [--country C] [--hours N] [--from TIME] [--to TIME] [--output text|json]

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";
const WHY_HELP: &str = "\
Says what an alert rests on: what fired, on which fields, with which evidence. Or what the gateway did with a request,
and why: its id is on the page that a blocked client sees, and in `X-Request-Id`.

  bartizan why ALERT|REQUEST [--data DIR]

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
/// How many events of an alert are shown.
const EVIDENCE_SHOWN: usize = 20;

/// Runs `bartizan alerts`.
pub(crate) fn alerts(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut query = Vec::new();
    let flags = Flags::read(arguments, ALERTS_HELP, |name, rest| {
        let known = [
            "limit",
            "type",
            "severity",
            "criticality",
            "client-ip",
            "user",
            "source",
            "country",
            "hours",
            "from",
            "to",
        ];
        if !known.contains(&name) {
            return Ok(false);
        }
        query.push(format!("{}={}", name.replace('-', "_"), encode(&rest.value()?.string()?)));
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    flags.no_values()?;
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
        vec![text("last_seen"), text("severity"), entity, it["count"].to_string(), text("title"), text("id")]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    terminal::print(&terminal::table(&["LAST SEEN", "SEVERITY", "WHO", "COUNT", "WHAT", "ID"], &rows))?;
    Ok(0)
}

/// Runs `bartizan why`.
pub(crate) fn why(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(flags) = Flags::read(arguments, WHY_HELP, |_, _| Ok(false))? else { return Ok(0) };
    let id = flags.value("alert or request")?.to_owned();
    let client = flags.client()?;
    let told = explain(&client, &id, flags.is_json);
    client.finish();
    terminal::print(&told?)?;
    Ok(0)
}

fn explain(client: &Client, id: &str, is_json: bool) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/alerts/{}", encode(id)))?;
    if matches!(reply.status, 404 | 400) {
        let missing = || {
            Failure::failed(format!(
                "there is no alert and no kept request `{}`; `bartizan alerts` lists the newest alerts",
                terminal::line(id)
            ))
        };
        return request::explain(client, id, is_json)?.ok_or_else(missing);
    }
    let reply = reply.expect_success()?;
    if is_json {
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
    out.push_str(&format!("  when      {} to {}, {} events\n", text("first_seen"), text("last_seen"), alert["count"]));
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
    out.push_str(&format!("  evidence, {} of {} events\n", evidence.len().min(EVIDENCE_SHOWN), alert["count"]));
    for id in evidence.iter().filter_map(Value::as_str).take(EVIDENCE_SHOWN) {
        out.push_str(&format!("    {}\n", event_line(client, id)?));
    }
    Ok(out)
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
    let reply = client.get(&format!("/v1/export/alerts?format={format}"))?.expect_success();
    client.finish();
    terminal::print(&String::from_utf8_lossy(&reply?.body))?;
    Ok(0)
}
