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
use model::time::Timestamp;
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
  bartizan rules eval --rule FILE                        one rule on the JSON event on stdin

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
    let mut bytes = Vec::new();
    EventWriter::new(&mut bytes, EventId::default(), Timestamp::default(), None, 0)
        .original(Original::Json(event.trim()));
    let Some(view) = EventView::of(&bytes) else { return Err(Failure::usage("the event cannot be read")) };
    let (accessors, mut index, mut matched) = (Accessors::of(set.field_names()), MemberIndex::default(), Vec::new());
    let fields = EventFields::new(&view, &accessors, &mut index);
    set.evaluate(&fields, source_of(&view), Routing::None, &mut Scratch::new(), &mut matched);
    told(flags, !matched.is_empty(), None)
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
