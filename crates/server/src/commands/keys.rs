//! `bartizan key` and `bartizan login-link`.

use hyper::Method;
use lexopt::ValueExt;
use serde_json::json;
use web::query::encode;

use super::flags::Flags;
use crate::failure::Failure;
use crate::terminal;

const HELP: &str = "\
Makes, lists and revokes access keys.

  bartizan key create [--data DIR] --name NAME --scope ingest|read|bouncer|metrics|admin [--rate 500/s] [--for 90d]
  bartizan key list [--data DIR]
  bartizan key revoke NAME [--data DIR]

A key is printed once, when it is made; --for 90d lets it expire, --rate 500/s limits it. What a scope opens:

  ingest   sending events
  read     reading alerts, events, the ledger and quarantine
  metrics  reading /metrics
  bouncer  pulling decisions: the listener for bouncers, lists, the stream of changes
  admin    everything, and the page

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";

const LINK_HELP: &str = "\
Prints a link that opens the page in a browser: valid for ten minutes, once.

  bartizan login-link [--data DIR]

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";

/// Runs `bartizan key`.
pub(crate) fn key(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut made = serde_json::Map::new();
    let flags = Flags::read(arguments, HELP, |name, rest| {
        if !matches!(name, "name" | "scope" | "rate" | "for") {
            return Ok(false);
        }
        made.insert(name.to_owned(), rest.value()?.string()?.into());
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create"] => {
            for name in ["name", "scope"] {
                if !made.contains_key(name) {
                    return Err(Failure::usage(format!("`--{name}` is missing\n\n{HELP}")));
                }
            }
            create(&flags, &json!(made).to_string())
        }
        ["list"] => list(&flags),
        ["revoke", name] => revoke(&flags, name),
        _ => Err(Failure::usage(HELP)),
    }
}

fn create(flags: &Flags, body: &str) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.call(Method::POST, "/v1/keys", body)?.expect_success();
    client.finish();
    let reply = reply?.json();
    let text =
        if flags.is_json { format!("{reply}\n") } else { format!("{}\n", reply["key"].as_str().unwrap_or_default()) };
    terminal::print(&text)?;
    Ok(0)
}

fn list(flags: &Flags) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.get("/v1/keys")?.expect_success();
    client.finish();
    let reply = reply?.json();
    if flags.is_json {
        terminal::print(&format!("{reply}\n"))?;
        return Ok(0);
    }
    let cell = |key: &serde_json::Value, name: &str| match &key[name] {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(it) => terminal::line(it),
        other => other.to_string(),
    };
    let names = ["name", "scope", "rate_per_second", "created_at", "expires_at", "last_used_at"];
    let keys = reply["items"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = keys.iter().map(|key| names.iter().map(|it| cell(key, it)).collect()).collect();
    terminal::print(&terminal::table(&["NAME", "SCOPE", "RATE/S", "MADE", "EXPIRES", "LAST USED"], &rows))?;
    Ok(0)
}

fn revoke(flags: &Flags, name: &str) -> Result<u8, Failure> {
    let client = flags.client()?;
    let reply = client.call(Method::DELETE, &format!("/v1/keys/{}", encode(name)), "")?.expect_success();
    client.finish();
    reply?;
    terminal::print(&format!("revoked {}\n", terminal::line(name)))?;
    Ok(0)
}

/// Runs `bartizan login-link`.
pub(crate) fn login_link(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(flags) = Flags::read(arguments, LINK_HELP, |_, _| Ok(false))? else { return Ok(0) };
    flags.no_values()?;
    let config = flags.config()?;
    let client = flags.client()?;
    let reply = client.call(Method::POST, "/v1/login-links", "")?.expect_success();
    client.finish();
    let reply = reply?.json();
    let path = reply["path"].as_str().unwrap_or_default();
    let listen = std::fs::read_to_string(config.data.join("url")).unwrap_or_default();
    let base = if listen.trim().is_empty() { format!("http://{}", config.listen) } else { listen.trim().to_owned() };
    terminal::print(&format!("{base}{path}\n"))?;
    Ok(0)
}
