//! `bartizan notify`.

use hyper::Method;
use serde_json::Value;
use web::query::encode;

use super::flags::Flags;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::terminal;

const HELP: &str = "\
Shows who is told of alerts, and tries a destination out.

  bartizan notify list [--data DIR] [--output json]
  bartizan notify test DESTINATION [--data DIR]       sends a message that tells of nothing; shows status and time

Destinations are the sections [notify.NAME] of the configuration; the variable SLACK_WEBHOOK_URL alone makes one. While a
server runs on the data folder, it is asked and its configuration counts.
";

/// Runs `bartizan notify`.
pub(crate) fn notify(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(flags) = Flags::read(arguments, HELP, |_, _| Ok(false))? else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    let config = flags.config()?;
    if !Folder::is_held(&config.data)? {
        // Nobody else says what is wrong with the settings.
        config.notify.notifier()?;
    }
    match words.as_slice() {
        ["list"] => list(&flags),
        ["test", name] => test(&flags, name),
        _ => Err(Failure::usage(HELP)),
    }
}

fn list(flags: &Flags) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.get("/v1/notify")?.expect_success();
    client.finish();
    let reply = reply?.json();
    let items = reply["items"].as_array().cloned().unwrap_or_default();
    if flags.is_json {
        terminal::print(&format!("{reply}\n"))?;
    } else if items.is_empty() {
        terminal::print("Nobody is told of alerts: there is no section [notify.NAME] and no SLACK_WEBHOOK_URL.\n")?;
    } else {
        let names = ["name", "type", "target", "min_severity", "waiting", "dead", "reason"];
        let rows: Vec<_> = items.iter().map(|it| names.map(|name| text(it, name)).to_vec()).collect();
        let head = ["NAME", "TYPE", "TARGET", "FROM", "WAITING", "DEAD", "LAST FAILURE"];
        terminal::print(&terminal::table(&head, &rows))?;
    }
    Ok(0)
}

fn test(flags: &Flags, name: &str) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.call(Method::POST, &format!("/v1/notify/{}/test", encode(name)), "")?.expect_success();
    client.finish();
    let tried = reply?.json();
    if flags.is_json {
        terminal::print(&format!("{tried}\n"))?;
    } else {
        let word = if tried["sent"] == true { "sent" } else { "not sent" };
        terminal::print(&format!("{word}: {}, after {} ms\n", text(&tried, "status"), text(&tried, "latency_ms")))?;
    }
    Ok(u8::from(tried["sent"] != true))
}

/// A value in a table.
pub(super) fn text(entry: &Value, name: &str) -> String {
    match &entry[name] {
        Value::String(it) => terminal::line(it),
        other => other.to_string(),
    }
}
