//! `bartizan rules`: checks files, and tries one rule on one event.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use detection::engine::source_of;
use detection::fields::{Accessors, EventFields, MemberIndex};
use detection::rules::EngineSettings;
use model::event::{EventView, EventWriter, Original};
use model::id::EventId;
use normalize::forms;
use normalize::reading::{Ids, Reading};
use pipeline::ingest::now;
use serde_json::json;
use sigma::document::{Document, parse_single};
use sigma::routing::Routing;
use sigma::rule_set::RuleSet;
use sigma::scratch::Scratch;

use super::flags::Flags;
use crate::failure::{FAILED, Failure};
use crate::ruleset::Selection;
use crate::terminal;

const HELP: &str = "\
Checks Sigma rules.

  bartizan rules check [DIR]... [--output text|json]     loads and compiles everything; exit 1 when one is refused
  bartizan rules eval --rule FILE [--output text|json]   one rule on one JSON event on stdin, read as `POST /v1/events` would

Without a folder `check` takes the shipped rules.
";

/// The size of a page of memory on the machines that we build for.
const PAGE_BYTES: u64 = 4096;

/// Runs `bartizan rules`.
pub(crate) fn rules(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut rule = None;
    let flags = Flags::read(arguments, HELP, |name, rest| {
        if name == "rule" {
            rule = Some(PathBuf::from(rest.value()?));
        }
        Ok(name == "rule")
    })?;
    let Some(flags) = flags else { return Ok(0) };
    match (flags.values.split_first(), rule) {
        (Some((word, folders)), None) if word == "check" => check(&flags, folders),
        (Some((word, [])), Some(rule)) if word == "eval" => eval(&flags, &rule),
        _ => Err(Failure::usage(HELP)),
    }
}

fn check(flags: &Flags, folders: &[String]) -> Result<u8, Failure> {
    let started = Instant::now();
    let selection = Selection {
        has_shipped: folders.is_empty(),
        folders: folders.iter().map(PathBuf::from).collect(),
        rules_config: None,
        rules_config_later: None,
        settings: EngineSettings::default(),
    };
    let mut sources = selection.read()?;
    if !folders.is_empty() {
        sources.told.clear();
    }
    let (rules, errors, _) = sources.compile();
    let loaded = rules.rules.len() + rules.correlations.len();
    let seconds = started.elapsed().as_secs_f64();
    let resident = resident_bytes();
    if flags.is_json {
        let refused: Vec<_> = errors
            .iter()
            .map(|it| json!({"file": it.file, "line": it.line, "column": it.column, "reason": it.reason}))
            .collect();
        terminal::print(&format!(
            "{}\n",
            json!({"loaded": loaded, "refused": refused, "seconds": seconds, "bytes_resident": resident})
        ))?;
    } else {
        let mut out: String = errors.iter().map(|it| format!("{}\n", terminal::line(&it.to_string()))).collect();
        out.push_str(&format!("{loaded} loaded, {} refused in {seconds:.2} s\n", errors.len()));
        terminal::print(&out)?;
    }
    Ok(if errors.is_empty() { 0 } else { FAILED })
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok().and_then(|it| it.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

fn eval(flags: &Flags, path: &PathBuf) -> Result<u8, Failure> {
    let unusable = |it: std::io::Error| Failure::unusable(format!("`{}` cannot be read: {it}", path.display()));
    let text = fs::read_to_string(path).map_err(unusable)?;
    let mut event = String::new();
    std::io::stdin().read_to_string(&mut event).map_err(|it| Failure::usage(format!("stdin is no text: {it}")))?;
    if !serde_json::from_str::<serde_json::Value>(&event).is_ok_and(|it| it.is_object()) {
        return Err(Failure::usage("stdin must hold one event, a JSON object"));
    }
    let rule = match parse_single(&path.display().to_string(), &text) {
        Ok(rule) => rule,
        Err(error) => return told(flags, false, Some(&error.to_string())),
    };
    let (set, errors) = RuleSet::compile([Document::Rule(Box::new(rule))]);
    if let Some(error) = errors.first() {
        return told(flags, false, Some(&error.to_string()));
    }
    match matches(&set, event.trim()) {
        Some(is_matched) => told(flags, is_matched, None),
        None => Err(Failure::usage("the event cannot be read")),
    }
}

/// Whether any rule of `set` matches `event`, a JSON object; `None` when it cannot be read.
fn matches(set: &RuleSet, event: &str) -> Option<bool> {
    let bytes = encoded(event);
    let view = EventView::of(&bytes)?;
    let (accessors, mut index, mut matched) = (Accessors::of(set.field_names()), MemberIndex::default(), Vec::new());
    let fields = EventFields::new(&view, &accessors, &mut index);
    set.evaluate(&fields, source_of(&view), Routing::None, &mut Scratch::new(), &mut matched);
    Some(!matched.is_empty())
}

/// The event as a sender's would be taken; one that would be refused, as it is.
fn encoded(event: &str) -> Vec<u8> {
    let now = now();
    let reading = Reading { input: "stdin", received: None, now, synthetic: false, ids: Ids::New };
    let mut bytes = Vec::new();
    if forms::event::read(event.as_bytes(), 0, &reading, &mut bytes).is_err() {
        bytes.clear();
        EventWriter::new(&mut bytes, EventId::default(), now, None, 0).original(Original::Json(event));
    }
    bytes
}

fn told(flags: &Flags, matched: bool, reason: Option<&str>) -> Result<u8, Failure> {
    let text = match (flags.is_json, reason) {
        (true, None) => json!({"matched": matched}).to_string(),
        (true, Some(reason)) => json!({"matched": false, "reason": reason}).to_string(),
        (false, None) => if matched { "matched" } else { "not matched" }.to_owned(),
        (false, Some(reason)) => format!("refused: {}", terminal::line(reason)),
    };
    terminal::print(&format!("{text}\n"))?;
    Ok(if reason.is_some() { FAILED } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(detection: &str, event: &str, expected: bool) {
        let text =
            format!("title: t\nlogsource:\n  category: webserver\ndetection:\n  a:\n    {detection}\n  condition: a\n");
        let rule = parse_single("t.yml", &text).unwrap();
        let (set, errors) = RuleSet::compile([Document::Rule(Box::new(rule))]);
        assert!(errors.is_empty());
        assert_eq!(matches(&set, event), Some(expected), "{detection}: {event}");
    }

    #[test]
    fn fields_are_found_as_in_an_event_that_was_sent() {
        let event = r#"{"client_ip":"203.0.113.7","path":"/admin/x?id=1","status_code":401,"custom":"kept"}"#;
        for detection in
            ["cs-uri-stem: /admin/x", "cs-uri-query: id=1", "c-ip: 203.0.113.7", "sc-status: 401", "custom: kept"]
        {
            check(detection, event, true);
        }
        check("cs-uri-stem: /other", event, false);
        // What would be refused is matched as it is.
        check("status_code: none", r#"{"status_code":"none"}"#, true);
    }
}
