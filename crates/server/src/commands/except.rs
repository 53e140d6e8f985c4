//! `bartizan except`: makes an exception to inspection from an alarm.

use hyper::Method;
use lexopt::prelude::*;
use serde_json::{Value, json};
use web::query::encode;

use super::alerts;
use super::flags::Flags;
use super::request::original_of;
use crate::client::Client;
use crate::failure::Failure;
use crate::terminal;

const HELP: &str = "\
Makes an exception from an alarm: hides what HTTP inspection found, where it found it. Shows the exception and what else it
would have hidden in the events that are kept; writes nothing without --save.

  bartizan except ALERT|REQUEST [--data DIR] [--finding NAME] [--place PLACE] [--path PREFIX] [--reason TEXT] [--save]
                  [--output text|json]

  --finding NAME   only what this family or check found, as in xss or xss/markup-tag
  --place PLACE    only what was found there, as in 'query argument q'; `any`: wherever it stands in the request
  --path PREFIX    this path and all below it; else the path of the request, exactly
  --save           writes it to rules.toml; a running server takes it within two seconds

What the OWASP Core Rule Set found has no exception here: the lines for `crs_exclude` are printed, without a preview.

ALERT: the first six digits of its id or more; what was found in its first event counts. REQUEST: the id of a request through
the gateway, as on the page that a blocked client sees.

The data folder is --data DIR, else what the configuration says, else ./bartizan-data. It works while a server runs on it
and while none does.
";

/// Runs `bartizan except`.
pub(crate) fn except(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let (mut finding, mut place, mut path_prefix, mut reason, mut saves) = (None, None, None, None, false);
    let flags = Flags::read(arguments, HELP, |name, rest| {
        match name {
            "finding" => finding = Some(rest.value()?.string()?),
            "place" => place = Some(rest.value()?.string()?),
            "path" => path_prefix = Some(rest.value()?.string()?),
            "reason" => reason = Some(rest.value()?.string()?),
            "save" => saves = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let id = flags.value("alert or request")?;
    let client = flags.client()?;
    let made = event_of(&client, id).and_then(|(event, of)| {
        let reason = reason.unwrap_or_else(|| format!("made from {of}"));
        let body = json!({
            "event": event, "finding": finding, "place": place, "path_prefix": path_prefix, "reason": reason, "save": saves,
        });
        let kept = client.get(&format!("/v1/events/{}", encode(&event)))?.expect_success()?.json();
        let made = client.call(Method::POST, "/v1/exceptions", &body.to_string())?;
        Ok((made, original_of(&kept)))
    });
    client.finish();
    let (made, original) = made?;
    let of_crs = crs_exclude(&original);
    // Then there is nothing that an exception of ours could leave out.
    let is_of_crs_alone = made.status == 409 && of_crs.is_some() && !original["http.places"].is_array();
    let text = match (is_of_crs_alone, flags.is_json) {
        (true, true) => format!("{}\n", json!({"crs_exclude": original["http.crs_exclude"]})),
        (true, false) => of_crs.unwrap_or_default(),
        (false, true) => format!("{}\n", String::from_utf8_lossy(&made.expect_success()?.body)),
        (false, false) => {
            let of_crs = of_crs.map(|it| format!("\n{it}")).unwrap_or_default();
            format!("{}{of_crs}", told(&made.expect_success()?.json()))
        }
    };
    terminal::print(&text).map(|()| 0)
}

/// The event that an id leads to, and what the id is of: the first one of an alert, or a request itself.
fn event_of(client: &Client, id: &str) -> Result<(String, String), Failure> {
    let reply = client.get(&format!("/v1/alerts/{}", encode(id)))?;
    if matches!(reply.status, 404 | 400) {
        if matches!(client.get(&format!("/v1/events/{}", encode(id)))?.status, 404 | 400) {
            return Err(alerts::missing(id));
        }
        return Ok((id.to_owned(), format!("request {id}")));
    }
    let alert = reply.expect_success()?.json();
    let shown = alert["id"].as_str().unwrap_or(id);
    let gone = || Failure::failed(format!("the events of alert `{}` are no longer kept", terminal::line(shown)));
    let event = alert["evidence"][0].as_str().ok_or_else(gone)?;
    Ok((event.to_owned(), format!("alert {shown}")))
}

/// What the server says, in plain words.
fn told(made: &Value) -> String {
    let number = |name: &str| made[name].as_u64().unwrap_or_default();
    let mut out = String::new();
    for line in made["toml"].as_str().unwrap_or_default().lines() {
        out.push_str(&format!("{}\n", terminal::line(line)));
    }
    let which = if made["is_all"].as_bool() == Some(true) { "all that are kept" } else { "the newest, there are more" };
    out.push_str(&format!("\nOver {} ({which}) ", terminal::counted(number("events"), "event")));
    match number("hides") {
        0 => out.push_str("it would have hidden nothing else.\n"),
        hides => {
            let others = if hides == 1 { "1 other".to_owned() } else { format!("{hides} others") };
            out.push_str(&format!(
                "it would have hidden something in {others}; {} of them would be no attack any more.\n",
                number("silences")
            ));
        }
    }
    for sample in made["samples"].as_array().into_iter().flatten() {
        out.push_str(&sample_line(sample));
    }
    let file = terminal::line(made["file"].as_str().unwrap_or("rules.toml"));
    out.push_str(&match made["saved"].as_bool() {
        Some(true) => format!("\nSaved in {file}\n"),
        _ => format!("\nNot saved. With --save it goes to {file}\n"),
    });
    out
}

fn sample_line(sample: &Value) -> String {
    let parts = ["time", "client_ip", "method", "path"].map(|it| terminal::line(sample[it].as_str().unwrap_or("-")));
    let found = sample["findings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let found: String = found.map(|it| format!("      {}\n", terminal::line(it))).collect();
    format!("    {}\n{found}", parts.join("  "))
}

/// The last lines of an explanation that rests on inspection: the command that would make an exception.
pub(super) fn hint(id: &str, flags: &Flags) -> String {
    format!(
        "  except    if this is no attack: bartizan except {}{}\n            (shows what else that would hide; --save keeps it)\n",
        terminal::line(id),
        flags.data_words()
    )
}

/// What to add to the configuration so that the Core Rule Set lets a request pass; `None` when it found nothing.
pub(super) fn crs_exclude(original: &Value) -> Option<String> {
    let list = original["http.crs_exclude"].as_array()?;
    let lines = list.iter().filter_map(Value::as_str);
    // A text of JSON is one of TOML.
    let lines: String = lines.map(|it| format!("    {},\n", terminal::line(&Value::from(it).to_string()))).collect();
    Some(format!(
        "The Core Rule Set found something. If it is no attack, add what applies to [gateway] in the configuration:\n\n\
         crs_exclude = [\n{lines}]\n\n\
         A rule does not look there any more, on any path. --save does not write this; a running gateway takes it within two seconds.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_core_rule_set_found_has_lines_for_the_configuration() {
        let shown = crs_exclude(&json!({"http.crs_exclude": ["942100 ARGS:q", "920350 REQUEST_HEADERS:host"]}));
        let shown = shown.expect("there is something");
        let list = "crs_exclude = [\n    \"942100 ARGS:q\",\n    \"920350 REQUEST_HEADERS:host\",\n]\n";
        assert!(shown.contains(list) && list.parse::<toml::Table>().is_ok(), "{shown}");
        assert_eq!(crs_exclude(&json!({"http.findings": ["sqli"]})), None);
    }

    #[test]
    fn a_proposal_says_what_else_it_would_hide_and_hides_control_characters() {
        let mut made = json!({
            "toml": "[[exception]]\nfinding = \"sqli\"\n", "events": 12, "is_all": true, "hides": 1, "silences": 1, "file": "/a/rules.toml",
            "samples": [{"time": "T", "client_ip": null, "method": "GET", "path": "/\u{1b}[2J", "findings": ["sqli/sql-union in path: x"]}],
            "saved": false,
        });
        let shown = told(&made);
        assert!(
            shown.starts_with("[[exception]]\nfinding = \"sqli\"\n\nOver 12 events (all that are kept) "),
            "{shown}"
        );
        assert!(
            shown.contains("something in 1 other; 1 of them would be no attack any more.\n    T  -  GET  /"),
            "{shown}"
        );
        assert!(
            shown.ends_with("      sqli/sql-union in path: x\n\nNot saved. With --save it goes to /a/rules.toml\n"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'));
        made["hides"] = 0.into();
        made["is_all"] = false.into();
        made["saved"] = true.into();
        let shown = told(&made);
        assert!(shown.contains("(the newest, there are more) it would have hidden nothing else.\n"), "{shown}");
        assert!(shown.ends_with("Saved in /a/rules.toml\n"), "{shown}");
    }
}
