//! `bartizan bouncers`: who pulls decisions, when, how late, and what they report.

use hyper::Method;
use serde_json::Value;
use web::query::encode;

use super::flags::Flags;
use crate::failure::Failure;
use crate::terminal;

const HELP: &str = "\
Shows who pulls decisions to block them: when last, how late the newest decision came there, what was dropped.

  bartizan bouncers [list] [--data DIR] [--output text|json]
  bartizan bouncers forget NAME [--data DIR]     the name of its key, for one that is gone for good

One that pulled in a rhythm and missed three of its pulls, and at least a minute, is silent, and raises an alert.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";

/// Runs `bartizan bouncers`.
pub(crate) fn bouncers(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(flags) = Flags::read(arguments, HELP, |_, _| Ok(false))? else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["list"] => list(&flags),
        ["forget", name] => forget(&flags, name),
        _ => Err(Failure::usage(HELP)),
    }
}

fn list(flags: &Flags) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.get("/v1/bouncers")?.expect_success();
    client.finish();
    let reply = reply?.json();
    if flags.is_json {
        terminal::print(&format!("{reply}\n"))?;
        return Ok(0);
    }
    let items = reply["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        terminal::print("Nobody pulls decisions.\n")?;
        return Ok(0);
    }
    let rows: Vec<_> = items.iter().map(row).collect();
    let head = ["NAME", "ADDRESS", "KIND", "STATE", "LAST PULL", "EVERY", "BEHIND", "LAG", "DROPPED", "CALLS ITSELF"];
    let mut out = terminal::table(&head, &rows);
    for item in items.iter().filter(|it| it["warning"].is_string()) {
        let told = [&item["name"], &item["warning"]].map(|it| terminal::line(it.as_str().unwrap_or_default()));
        out.push_str(&format!("\n{}: {}\n", told[0], told[1]));
    }
    terminal::print(&out)?;
    Ok(0)
}

fn row(item: &Value) -> Vec<String> {
    let text = |name: &str| terminal::line(item[name].as_str().unwrap_or_default());
    let seconds = |name: &str| item[name].as_f64().map_or_else(|| "-".to_owned(), |it| format!("{it:.1} s"));
    let dropped = &item["reported"]["dropped"];
    vec![
        text("name"),
        text("address"),
        text("kind"),
        text("state"),
        format!("{} s ago", item["age_seconds"]),
        seconds("interval_seconds"),
        item["behind"].to_string(),
        seconds("lag_seconds"),
        if dropped.is_null() { "-".to_owned() } else { dropped.to_string() },
        text("agent"),
    ]
}

fn forget(flags: &Flags, name: &str) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.call(Method::DELETE, &format!("/v1/bouncers/{}", encode(name)), "")?.expect_success();
    client.finish();
    reply?;
    terminal::print(&format!("forgot {}\n", terminal::line(name)))?;
    Ok(0)
}
