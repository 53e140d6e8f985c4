//! `bartizan decisions` and `bartizan never-block`: who is kept out, by whom, and why.

use std::fs;
use std::io::Read;

use hyper::Method;
use lexopt::ValueExt;
use model::network::Network;
use serde_json::{Map, Value, json};
use web::query::encode;

use super::flags::Flags;
use crate::client::{Client, Reply};
use crate::failure::Failure;
use crate::terminal;

const HELP: &str = "\
Shows and changes who is kept out. A new installation is in dry run: rules only count what they would block, until
somebody says `live`; what a person adds is in force at once.

  bartizan decisions list [--state open|in_force|dry_run|held|all] [--ip A] [--range R] [--user U] [--rule ID]
                          [--origin rule|risk|manual|import|peer] [--limit 50]
  bartizan decisions add (--ip A | --range R | --user U) [--type ban|throttle|captcha] [--for 4h] --reason TEXT
  bartizan decisions remove (--ip A | --range R | --user U | --id ID) [--reason TEXT]
  bartizan decisions explain ID             what it rests on, and whether the same is found again from what is kept
  bartizan decisions release ID             gives one that a brake holds, or that is in dry run, into force
  bartizan decisions import FILE [--for 4h] [--type ban] --reason TEXT    a list, one address or range a line; - is stdin
  bartizan decisions export                 all that are in force, as NDJSON
  bartizan decisions report [--hours 168]   what rules would have blocked, and who that is
  bartizan decisions live | dry-run [--reason TEXT]
  bartizan decisions pause | resume [--reason TEXT]      rules decide nothing for now; what is in force stays
  bartizan decisions audit [--limit 50]     who changed what

All take --data DIR and --output text|json. What rules do is said in rules.toml; who is never blocked by
`bartizan never-block` and `[decisions] never_block`.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";
const NEVER_BLOCK_HELP: &str = "\
Keeps addresses that are never to be blocked, whoever wants it. Adding one ends every decision that hits it, at once.

  bartizan never-block list
  bartizan never-block add ADDRESS|RANGE --reason TEXT
  bartizan never-block remove ADDRESS|RANGE [--reason TEXT]

All take --data DIR and --output text|json. Loopback, private addresses, those of this host and trusted proxies are
spared without being listed here.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";
/// The flags with a value.
const VALUED: [&str; 11] = ["state", "ip", "range", "user", "rule", "origin", "limit", "type", "for", "reason", "id"];
/// How many lines of an imported list are sent at once.
const IMPORT_LINES: usize = 50_000;
/// How large an imported list may be, in bytes.
const IMPORT_BYTES_MAX: u64 = 256 << 20;
/// How many refused lines of a list are shown.
const REFUSED_SHOWN: usize = 10;

/// What was said beside the word.
type Said = Map<String, Value>;

/// Runs `bartizan decisions`.
pub(crate) fn decisions(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut said = Said::new();
    let flags = Flags::read(arguments, HELP, |name, rest| {
        let is_known = VALUED.contains(&name) || name == "hours";
        if is_known {
            said.insert(name.to_owned(), rest.value()?.string()?.into());
        }
        Ok(is_known)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    let allowed: &[&str] = match words.first() {
        Some(&"list") => &["state", "ip", "range", "user", "rule", "origin", "limit"],
        Some(&"add") => &["ip", "range", "user", "type", "for", "reason"],
        Some(&"remove") => &["ip", "range", "user", "id", "reason"],
        Some(&"import") => &["for", "type", "reason"],
        Some(&"release" | &"live" | &"dry-run" | &"pause" | &"resume") => &["reason"],
        Some(&"report") => &["hours"],
        Some(&"audit") => &["limit"],
        _ => &[],
    };
    if let Some(name) = said.keys().find(|it| !allowed.contains(&it.as_str())) {
        let word = words.first().map_or("", |it| it);
        return Err(Failure::usage(format!("`decisions {word}` has no option `--{name}`\n\n{HELP}")));
    }
    let run: &dyn Fn(&Client) -> Result<String, Failure> = match words.as_slice() {
        ["list"] => &|client| list(client, &said, flags.is_json),
        ["add"] => &|client| add(client, &said, flags.is_json),
        ["remove"] => &|client| remove(client, &said, flags.is_json),
        ["explain", id] => &|client| explain(client, id, flags.is_json),
        ["release", id] => &|client| release(client, id, &said, flags.is_json),
        ["import", file] => &|client| import(client, file, &said, flags.is_json),
        ["export"] => &|client| export(client),
        ["report"] => &|client| report(client, &said, flags.is_json),
        ["live"] => &|client| switch(client, json!({"mode": "live"}), &said, flags.is_json),
        ["dry-run"] => &|client| switch(client, json!({"mode": "dry_run"}), &said, flags.is_json),
        ["pause"] => &|client| switch(client, json!({"paused": true}), &said, flags.is_json),
        ["resume"] => &|client| switch(client, json!({"paused": false}), &said, flags.is_json),
        ["audit"] => &|client| audit(client, &said, flags.is_json),
        _ => return Err(Failure::usage(HELP)),
    };
    told(&flags, run)
}

/// Runs `bartizan never-block`.
pub(crate) fn never_block(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut reason = String::new();
    let flags = Flags::read(arguments, NEVER_BLOCK_HELP, |name, rest| {
        if name == "reason" {
            reason = rest.value()?.string()?;
        }
        Ok(name == "reason")
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    let (reason, is_json) = (reason.as_str(), flags.is_json);
    let run: &dyn Fn(&Client) -> Result<String, Failure> = match words.as_slice() {
        ["list"] => &|client| spared(client, is_json),
        ["add", network] => &move |client| {
            let body = json!({"network": network, "reason": reason}).to_string();
            let reply = success(client.call(Method::POST, "/v1/never-block", &body)?)?;
            let ended = reply.json()["ended"].as_array().map_or(0, Vec::len) as u64;
            let text = format!("{network} is never blocked; {} ended by it\n", terminal::counted(ended, "decision"));
            Ok(shown(&reply, is_json, || text))
        },
        ["remove", network] => &move |client| {
            let path = format!("/v1/never-block?network={}&reason={}", encode(network), encode(reason));
            let reply = success(client.call(Method::DELETE, &path, "")?)?;
            Ok(shown(&reply, is_json, || format!("{network} may be blocked again\n")))
        },
        _ => return Err(Failure::usage(NEVER_BLOCK_HELP)),
    };
    told(&flags, run)
}

fn told(flags: &Flags, run: &dyn Fn(&Client) -> Result<String, Failure>) -> Result<u8, Failure> {
    let client = flags.client()?;
    let text = run(&client);
    client.finish();
    terminal::print(&text?)?;
    Ok(0)
}

/// Fails unless it is a success: what was asked wrongly is bad usage.
fn success(reply: Reply) -> Result<Reply, Failure> {
    if reply.status == 422 {
        let detail = reply.json()["detail"].as_str().unwrap_or("a value cannot be used").to_owned();
        return Err(Failure::usage(terminal::line(&detail)));
    }
    reply.expect_success()
}

fn shown(reply: &Reply, is_json: bool, text: impl FnOnce() -> String) -> String {
    if is_json { format!("{}\n", String::from_utf8_lossy(&reply.body)) } else { text() }
}

fn text_of(value: &Value, name: &str) -> String {
    terminal::line(value[name].as_str().unwrap_or("-"))
}

fn time_of(value: &Value, name: &str) -> String {
    terminal::shown_time(value[name].as_str().unwrap_or("-"))
}

fn query_of(said: &Said) -> String {
    let pairs: Vec<String> =
        said.iter().map(|(name, value)| format!("{name}={}", encode(value.as_str().unwrap_or_default()))).collect();
    pairs.join("&")
}

fn list(client: &Client, said: &Said, is_json: bool) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/decisions?{}", query_of(said)))?.expect_success()?;
    let switches = client.get("/v1/decisions/switches")?.expect_success()?.json();
    Ok(shown(&reply, is_json, || {
        let json = reply.json();
        let items = json["items"].as_array().map_or(&[][..], Vec::as_slice);
        let mut out = state_line(&switches);
        if items.is_empty() {
            out.push_str("No decisions.\n");
            return out;
        }
        let row = |it: &Value| {
            let state = match it["brake"]["name"].as_str() {
                Some(brake) => format!("held: {brake}"),
                None => text_of(it, "state"),
            };
            let who = text_of(it, "value");
            vec![
                it["id"].to_string(),
                state,
                text_of(it, "type"),
                who,
                text_of(it, "origin"),
                time_of(it, "expires_at"),
                text_of(it, "reason"),
            ]
        };
        let rows: Vec<_> = items.iter().map(row).collect();
        out.push_str(&terminal::table(&["ID", "STATE", "TYPE", "WHO", "ORIGIN", "UNTIL", "WHY"], &rows));
        out
    }))
}

/// Says in a line whether rules are enforced.
fn state_line(switches: &Value) -> String {
    let mode = match switches["mode"].as_str() {
        Some("live") => "Live: decisions of rules are enforced.".to_owned(),
        _ => "Dry run: decisions of rules only count. `bartizan decisions report` says what they would have blocked."
            .to_owned(),
    };
    match switches["paused"].as_str() {
        Some(who) => format!("{mode} PAUSED by {}.\n", terminal::line(who)),
        None => format!("{mode}\n"),
    }
}

fn one_line(decision: &Value) -> String {
    format!(
        "{}  {} {} {} until {}: {}\n",
        decision["id"],
        text_of(decision, "state"),
        text_of(decision, "type"),
        text_of(decision, "value"),
        time_of(decision, "expires_at"),
        text_of(decision, "reason")
    )
}

fn add(client: &Client, said: &Said, is_json: bool) -> Result<String, Failure> {
    let body = Value::Object(said.clone()).to_string();
    let reply = success(client.call(Method::POST, "/v1/decisions", &body)?)?;
    Ok(shown(&reply, is_json, || one_line(&reply.json())))
}

fn remove(client: &Client, said: &Said, is_json: bool) -> Result<String, Failure> {
    let mut said = said.clone();
    let path = match said.remove("id") {
        Some(_) if said.keys().any(|it| it != "reason") => {
            return Err(Failure::usage("give one of `--ip`, `--range`, `--user` and `--id`, and only one"));
        }
        Some(id) => format!("/v1/decisions/{}?{}", encode(id.as_str().unwrap_or_default()), query_of(&said)),
        None => format!("/v1/decisions?{}", query_of(&said)),
    };
    let reply = success(client.call(Method::DELETE, &path, "")?)?;
    Ok(shown(&reply, is_json, || {
        let json = reply.json();
        match json["items"].as_array() {
            Some(items) if items.is_empty() => "Nothing was in force.\n".to_owned(),
            Some(items) => items.iter().map(one_line).collect(),
            None => one_line(&json),
        }
    }))
}

fn release(client: &Client, id: &str, said: &Said, is_json: bool) -> Result<String, Failure> {
    let path = format!("/v1/decisions/{}/release", encode(id));
    let reply = success(client.call(Method::POST, &path, &Value::Object(said.clone()).to_string())?)?;
    Ok(shown(&reply, is_json, || one_line(&reply.json())))
}

fn switch(client: &Client, body: Value, said: &Said, is_json: bool) -> Result<String, Failure> {
    let mut body = body;
    body["reason"] = said.get("reason").cloned().unwrap_or_else(|| "".into());
    let report = client.get("/v1/decisions/report")?.expect_success()?.json();
    let reply = success(client.call(Method::POST, "/v1/decisions/switches", &body.to_string())?)?;
    Ok(shown(&reply, is_json, || {
        let mut out = state_line(&reply.json());
        if body["mode"] == "live" {
            out.push_str("What was in dry run stays so; what rules find from now on is enforced. `bartizan decisions pause` stops it.\n");
            if let Some(address) = report["your_address"].as_str() {
                out.push_str(&format!(
                    "Your own address can be blocked: bartizan never-block add {address} --reason 'me'\n"
                ));
            }
        }
        out
    }))
}

/// Reads a list, one address or range a line; what begins with `#` is a comment.
fn import(client: &Client, file: &str, said: &Said, is_json: bool) -> Result<String, Failure> {
    let unreadable = |it: std::io::Error| Failure::unusable(format!("`{file}` cannot be read: {it}"));
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().take(IMPORT_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    } else {
        fs::File::open(file).and_then(|it| it.take(IMPORT_BYTES_MAX).read_to_string(&mut text)).map_err(unreadable)?;
    }
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|it| !it.1.is_empty())
        .collect();
    let (mut added, mut rejected) = (0, Vec::new());
    for chunk in lines.chunks(IMPORT_LINES) {
        let item = |it: &(usize, &str)| {
            let scope = if Network::parse(it.1).is_some_and(|it| it.single().is_none()) { "range" } else { "ip" };
            let mut item = said.clone();
            item.insert(scope.to_owned(), it.1.into());
            Value::Object(item)
        };
        let body = json!({"items": chunk.iter().map(item).collect::<Vec<_>>()}).to_string();
        let result = success(client.call(Method::POST, "/v1/decisions/import", &body)?)?.json();
        added += result["added"].as_u64().unwrap_or_default();
        for refused in result["rejected"].as_array().into_iter().flatten() {
            let at = refused["index"].as_u64().and_then(|it| chunk.get(it as usize)).map_or(0, |it| it.0);
            rejected.push(json!({"line": at, "field": refused["field"], "message": refused["message"]}));
        }
    }
    if added == 0 && !rejected.is_empty() {
        let why = text_of(&rejected[0], "message");
        return Err(Failure::usage(format!(
            "nothing of `{file}` was taken; line {}: `{}` {why}",
            rejected[0]["line"],
            text_of(&rejected[0], "field")
        )));
    }
    if is_json {
        return Ok(format!("{}\n", json!({"received": lines.len(), "added": added, "rejected": rejected})));
    }
    let mut out = format!("{} in force, {} refused\n", terminal::counted(added, "decision"), rejected.len());
    for refused in rejected.iter().take(REFUSED_SHOWN) {
        out.push_str(&format!("  line {}: {}\n", refused["line"], text_of(refused, "message")));
    }
    Ok(out)
}

fn export(client: &Client) -> Result<String, Failure> {
    let (mut out, mut cursor) = (String::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/decisions?state=in_force&limit=1000{cursor}"))?.expect_success()?.json();
        for item in page["items"].as_array().into_iter().flatten() {
            out.push_str(&format!("{item}\n"));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(out),
        }
    }
}

fn report(client: &Client, said: &Said, is_json: bool) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/decisions/report?{}", query_of(said)))?.expect_success()?;
    Ok(shown(&reply, is_json, || {
        let report = reply.json();
        let targets = report["targets"].as_u64().unwrap_or_default();
        let noun = if targets == 1 { "address" } else { "addresses" };
        let mut out = format!("In the last {} hours rules would have blocked {targets} {noun}.\n", report["hours"]);
        for (title, name) in [("by what they called themselves", "user_agents"), ("by rule", "rules")] {
            let groups = report[name].as_array().map_or(&[][..], Vec::as_slice);
            if !groups.is_empty() {
                out.push_str(&format!("  {title}\n"));
            }
            for group in groups.iter().take(10) {
                let samples: Vec<_> =
                    group["samples"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                out.push_str(&format!(
                    "    {:>6}  {}  ({})\n",
                    group["targets"],
                    text_of(group, "name"),
                    terminal::line(&samples.join(", "))
                ));
            }
        }
        for (brake, count) in report["held"].as_object().into_iter().flatten() {
            out.push_str(&format!("  {count} more were held back: {brake}\n"));
        }
        if let Some(address) = report["your_address"].as_str() {
            out.push_str(&format!(
                "Your own address can be blocked: bartizan never-block add {address} --reason 'me'\n"
            ));
        }
        if report["mode"] == "dry_run" {
            out.push_str("Somebody of yours among them: bartizan never-block add ADDRESS --reason TEXT\nTo block from now on: bartizan decisions live\n");
        }
        out
    }))
}

fn explain(client: &Client, id: &str, is_json: bool) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/decisions/{}/explain", encode(id)))?.expect_success()?;
    Ok(shown(&reply, is_json, || {
        let told = reply.json();
        let decision = &told["decision"];
        let mut out = one_line(decision);
        out.push_str(&format!(
            "  decided   {} by {} ({})\n",
            time_of(decision, "created_at"),
            text_of(decision, "actor"),
            text_of(decision, "origin")
        ));
        if let Some(brake) = decision["brake"]["reason"].as_str() {
            out.push_str(&format!("  held      {brake}\n"));
        }
        if decision["ended"].is_object() {
            let ended = &decision["ended"];
            out.push_str(&format!(
                "  ended     {} by {}: {}\n",
                time_of(ended, "at"),
                text_of(ended, "actor"),
                text_of(ended, "reason")
            ));
        }
        if let Some(alert) = decision["alert"].as_str() {
            out.push_str(&format!(
                "  alert     {} (`bartizan why {}`)\n",
                terminal::line(alert),
                terminal::line(&alert[..alert.len().min(8)])
            ));
        }
        match &told["rule"] {
            Value::Null if decision["rule_id"].is_string() => {
                out.push_str(&format!("  rule      {}, as it was then no longer kept\n", text_of(decision, "rule_id")));
            }
            Value::Null => {}
            rule => {
                let condition =
                    rule["condition"].as_str().map(|it| format!(" ({})", terminal::line(it))).unwrap_or_default();
                out.push_str(&format!(
                    "  rule      {} as it was then, version {}: {}{condition}\n",
                    text_of(rule, "id"),
                    text_of(rule, "version"),
                    text_of(rule, "title")
                ));
            }
        }
        let events = told["events"].as_array().map_or(&[][..], Vec::as_slice);
        if !events.is_empty() {
            out.push_str(&format!("  evidence, {} of {} events\n", events.len(), decision["count"]));
        }
        for event in events {
            let it = &event["event"];
            let line = if it.is_null() {
                "no longer kept".to_owned()
            } else {
                let names = ["time", "client_ip", "user", "method", "path", "status_code", "message"];
                let parts = names.iter().filter_map(|name| match &it[*name] {
                    Value::Null => None,
                    Value::String(text) => Some(terminal::line(&text.chars().take(120).collect::<String>())),
                    other => Some(other.to_string()),
                });
                parts.collect::<Vec<_>>().join("  ")
            };
            out.push_str(&format!("    {}  {line}\n", text_of(event, "id")));
        }
        match told["again"]["found"].as_str() {
            Some("same") => out.push_str("  found again from the events that are kept, with the rules of then: the same alert, the same evidence\n"),
            Some(_) => out.push_str(&format!("  not found again: {}\n", text_of(&told["again"], "reason"))),
            None => {}
        }
        out
    }))
}

fn audit(client: &Client, said: &Said, is_json: bool) -> Result<String, Failure> {
    let reply = client.get(&format!("/v1/audit?{}", query_of(said)))?.expect_success()?;
    Ok(shown(&reply, is_json, || {
        let json = reply.json();
        let row = |it: &Value| {
            vec![
                time_of(it, "at"),
                text_of(it, "actor"),
                text_of(it, "action"),
                text_of(it, "subject"),
                text_of(it, "reason"),
            ]
        };
        let rows: Vec<_> = json["items"].as_array().into_iter().flatten().map(row).collect();
        terminal::table(&["WHEN", "WHO", "WHAT", "WHOM", "WHY"], &rows)
    }))
}

fn spared(client: &Client, is_json: bool) -> Result<String, Failure> {
    let reply = client.get("/v1/never-block")?.expect_success()?;
    Ok(shown(&reply, is_json, || {
        let json = reply.json();
        let row = |it: &Value| ["network", "reason", "actor"].map(|name| text_of(it, name)).to_vec();
        let rows: Vec<_> = json["items"].as_array().into_iter().flatten().map(row).collect();
        terminal::table(&["NEVER BLOCKED", "WHY", "WHO SAID SO"], &rows)
    }))
}
