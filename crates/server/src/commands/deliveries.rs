//! `bartizan deliveries`.

use hyper::Method;
use serde_json::json;
use web::query::encode;

use lexopt::ValueExt;

use super::flags::Flags;
use super::notify::text;
use crate::failure::Failure;
use crate::terminal;

const HELP: &str = "\
Shows messages that wait and dead letters, and sends dead letters again.

  bartizan deliveries list [--destination NAME] [--state waiting|dead] [--data DIR] [--output json]
  bartizan deliveries replay ID... [--data DIR]       after the destination has been mended
  bartizan deliveries replay --destination NAME [--data DIR]
  bartizan deliveries replay --all [--data DIR]

A message that is sent again has the id that it had. It works while a server runs on the data folder and while none does;
messages are sent by a running server.
";

/// Runs `bartizan deliveries`.
pub(crate) fn deliveries(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let (mut is_all, mut destination, mut state) = (false, None, None);
    let flags = Flags::read(arguments, HELP, |name, rest| {
        match name {
            "all" => is_all = true,
            "destination" => destination = Some(rest.value()?.string()?),
            "state" => state = Some(rest.value()?.string()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    match (words.as_slice(), is_all, destination) {
        (["list"], false, destination) => list(&flags, destination.as_deref(), state.as_deref()),
        (["replay"], true, None) => replay(&flags, &json!({"all": true})),
        (["replay"], false, Some(name)) => replay(&flags, &json!({"destination": name})),
        (["replay", ids @ ..], false, None) if !ids.is_empty() => replay(&flags, &json!({"ids": ids})),
        _ => Err(Failure::usage(HELP)),
    }
}

fn list(flags: &Flags, destination: Option<&str>, state: Option<&str>) -> Result<u8, Failure> {
    let mut path = "/v1/deliveries?limit=1000".to_owned();
    for (name, value) in [("destination", destination), ("state", state)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    let client = flags.client()?;
    let reply = client.get(&path)?.expect_success();
    client.finish();
    let reply = reply?.json();
    let items = reply["items"].as_array().cloned().unwrap_or_default();
    if flags.is_json {
        terminal::print(&format!("{reply}\n"))?;
    } else if items.is_empty() {
        terminal::print("No message waits, and there are no dead letters.\n")?;
    } else {
        let names = ["id", "destination", "kind", "state", "created_at", "attempts", "reason"];
        let rows: Vec<_> = items.iter().map(|it| names.map(|name| text(it, name)).to_vec()).collect();
        let head = ["ID", "DESTINATION", "KIND", "STATE", "POSTED", "ATTEMPTS", "REASON"];
        terminal::print(&terminal::table(&head, &rows))?;
    }
    Ok(0)
}

fn replay(flags: &Flags, wanted: &serde_json::Value) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.call(Method::POST, "/v1/deliveries/replay", &wanted.to_string())?.expect_success();
    client.finish();
    let reply = reply?.json();
    let count = reply["replayed"].as_u64().unwrap_or_default();
    let said = if flags.is_json {
        reply.to_string()
    } else {
        format!("{} to be sent again", terminal::counted(count, "message"))
    };
    terminal::print(&format!("{said}\n"))?;
    Ok(0)
}
