//! A collection of vectors that is not part of the repository: run when `BARTIZAN_DATA` names its folder.

mod support;

use std::fs::File;
use std::path::Path;

use serde_json::Value as Json;
use sigma::document::{Document, parse_single};
use sigma::routing::{LogSource, Routing};
use sigma::rule_set::RuleSet;
use sigma::scratch::Scratch;
use support::JsonEvent;

fn answer(detection: &str, root: &Json) -> Json {
    let Ok(rule) = parse_single("case.yml", detection) else { return Json::from("reject") };
    let (set, _) = RuleSet::compile([Document::Rule(Box::new(rule))]);
    let event = JsonEvent { root, names: set.field_names() };
    let mut matched = Vec::new();
    set.evaluate(&event, LogSource::default(), Routing::None, &mut Scratch::new(), &mut matched);
    Json::from(!matched.is_empty())
}

#[test]
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "the vectors lie outside; a skip must be seen")]
fn answers_every_outside_vector_as_expected() {
    let Ok(folder) = std::env::var("BARTIZAN_DATA") else {
        eprintln!("skipped: BARTIZAN_DATA is not set");
        return;
    };
    let file = File::open(Path::new(&folder).join("sigma/cases.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_reader(file).unwrap();
    assert!(!cases.is_empty());
    let is_wrong = |case: &&Json| answer(case["detection"].as_str().unwrap(), &case["event"]) != case["expected"];
    let wrong: Vec<_> = cases.iter().filter(is_wrong).map(|it| &it["name"]).collect();
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:?}", wrong.len(), cases.len());
}
