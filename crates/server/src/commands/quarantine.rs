//! `bartizan quarantine`.

use hyper::Method;
use serde_json::{Value, json};

use super::flags::Flags;
use crate::failure::{FAILED, Failure};
use crate::terminal;

const HELP: &str = "\
Shows what could not be read, and tries again.

  bartizan quarantine list [--data DIR]
  bartizan quarantine show ID [--data DIR]
  bartizan quarantine replay ID... [--data DIR]       after the format or the sender has been mended
  bartizan quarantine replay --all [--data DIR]

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";

/// Runs `bartizan quarantine`.
pub(crate) fn quarantine(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut is_all = false;
    let flags = Flags::read(arguments, HELP, |name, _| {
        is_all |= name == "all";
        Ok(name == "all")
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => list(&flags),
        ["show", id] => show(&flags, id),
        ["replay", ids @ ..] if is_all == ids.is_empty() => replay(&flags, ids, is_all),
        _ => Err(Failure::usage(HELP)),
    }
}

fn entries(flags: &Flags) -> Result<Vec<Value>, Failure> {
    let client = flags.client()?;
    let reply = client.get("/v1/quarantine?limit=1000")?.expect_success();
    client.finish();
    Ok(reply?.json()["items"].as_array().cloned().unwrap_or_default())
}

fn text(entry: &Value, name: &str) -> String {
    match &entry[name] {
        Value::String(it) => terminal::line(it),
        other => other.to_string(),
    }
}

fn list(flags: &Flags) -> Result<u8, Failure> {
    let entries = entries(flags)?;
    if flags.is_json {
        terminal::print(&format!("{}\n", json!({"items": entries})))?;
    } else if entries.is_empty() {
        terminal::print("Nothing is in quarantine.\n")?;
    } else {
        let row = |it: &Value| ["id", "received", "place", "reason"].map(|name| text(it, name)).to_vec();
        let rows: Vec<_> = entries.iter().map(row).collect();
        terminal::print(&terminal::table(&["ID", "RECEIVED", "PLACE", "REASON"], &rows))?;
    }
    Ok(0)
}

fn show(flags: &Flags, id: &str) -> Result<u8, Failure> {
    let entries = entries(flags)?;
    let Some(entry) = entries.iter().find(|it| text(it, "id") == id) else {
        return Err(Failure::failed(format!("nothing in quarantine has the id `{}`", terminal::line(id))));
    };
    if flags.is_json {
        terminal::print(&format!("{entry}\n"))?;
        return Ok(0);
    }
    let mut out = String::new();
    for name in ["id", "input", "place", "format", "received", "reason", "is_whole", "record"] {
        out.push_str(&format!("{name:<10}{}\n", text(entry, name)));
    }
    terminal::print(&out)?;
    Ok(0)
}

fn replay(flags: &Flags, ids: &[&str], is_all: bool) -> Result<u8, Failure> {
    let body = if is_all {
        json!({"all": true})
    } else {
        let numbers: Result<Vec<u64>, _> = ids.iter().map(|it| it.parse()).collect();
        json!({"ids": numbers.map_err(|_| Failure::usage("an id is a number; `bartizan quarantine list` shows them"))?})
    };
    let client = flags.client()?;
    let reply = client.call(Method::POST, "/v1/quarantine/replay", &body.to_string())?.expect_success();
    client.finish();
    let replayed = reply?.json();
    let unknown: Vec<String> = replayed["unknown"].as_array().into_iter().flatten().map(Value::to_string).collect();
    if flags.is_json {
        terminal::print(&format!("{replayed}\n"))?;
    } else {
        terminal::print(&told(&replayed))?;
        unknown.iter().for_each(|id| terminal::complain(&format!("nothing in quarantine has the id `{id}`")));
    }
    Ok(if unknown.is_empty() { 0 } else { FAILED })
}

/// What became of a replay, in lines.
fn told(replayed: &Value) -> String {
    let number = |name: &str| replayed[name].as_u64().unwrap_or_default();
    let mut out = format!(
        "{} taken, {} were there already, {} cannot be read yet\n",
        terminal::counted(number("taken"), "record"),
        number("duplicate"),
        number("unreadable_total")
    );
    for stays in replayed["unreadable"].as_array().into_iter().flatten() {
        out.push_str(&format!("  {}: {}\n", stays["id"], text(stays, "reason")));
    }
    if 0 < number("remaining") {
        out.push_str(&format!("{} remain; run it again\n", terminal::counted(number("remaining"), "record")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_told_in_words() {
        let replayed = json!({"taken": 1, "duplicate": 2, "unreadable": [{"id": 7, "reason": "no\u{1b}format"}],
            "unreadable_total": 1, "unknown": [99], "remaining": 0});
        let expected = "1 record taken, 2 were there already, 1 cannot be read yet\n  7: no\\u{1b}format\n";
        assert_eq!(told(&replayed), expected);
        assert!(told(&json!({"remaining": 5})).ends_with("5 records remain; run it again\n"));
    }
}
