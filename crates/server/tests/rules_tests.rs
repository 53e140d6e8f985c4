//! Runs the tests of the shipped rules, `rules/<product>/<rule>.test.yml`, as `rules/README.md` defines them.
//!
//! Events are made by the same readers as live ones and go through the same engine, in process. Each case runs twice:
//! alerts taken at the end, and alerts taken after every event. What comes of it must be the same.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detection::engine::{AlertChange, Engine};
use detection::rules::{EngineSettings, RuleFile, RuleSetting, RuleState, Rules};
use detection::window::table::Bounds;
use model::event::{EventView, TextField, append_text};
use model::time::Timestamp;
use normalize::formats::by_name;
use normalize::forms;
use normalize::reading::{Ids, Reading};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

/// The start of every case, a whole multiple of ten minutes: 2026-11-21T12:00:00Z.
const START: i64 = 1_795_262_400_000_000_000;
const NANOS_PER_SECOND: f64 = 1e9;

/// The keys of an event that tell the runner what to do; all others are the event's own.
const OF_RUNNER: [&str; 7] = ["seconds", "repeat", "every", "format", "line", "record", "marks"];

/// One event of a case, ready to be read; without a format it is our own.
struct Made {
    time: Timestamp,
    format: Option<&'static str>,
    record: String,
    /// What a door of ours would have written.
    marks: Vec<(TextField, String)>,
}

/// An alert as far as tests compare it.
#[derive(Debug, PartialEq)]
struct Seen {
    rule: String,
    count: u64,
    entity: String,
    severity: String,
}

#[test]
fn every_case_of_every_shipped_rule_passes() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for path in test_files() {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().replace(".test.yml", "");
        for case in list(&yaml(&text)) {
            cases += 1;
            if let Err(reason) = run(&path, &name, case) {
                failures.push(format!("{name}: {}: {reason}", case["name"].as_str().unwrap_or("(no name)")));
            }
        }
    }
    assert!(100 < cases, "only {cases} cases were found");
    assert!(failures.is_empty(), "{} of {cases} cases failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_wrong_expectation_fails() {
    let path = rules_dir().join("http/bruteforce.test.yml");
    let events = json!([{"repeat": 5, "every": "1s", "client_ip": "192.0.2.1", "status_code": 401}]);
    let case = |expect: Value| json!({"name": "a case", "events": events, "expect": expect});
    for (expect, reason) in [
        (json!([]), "nobody expected"),
        (json!([{"rule": "bruteforce", "count": 4}]), "was not raised"),
        (json!([{"rule": "bruteforce", "entity": "192.0.2.9"}]), "was not raised"),
        (json!([{"rule": "bruteforce"}, {"rule": "bruteforce"}]), "was not raised"),
        (json!([{"rule": "bruteforce", "colour": 1}]), "no key `colour`"),
    ] {
        let error = run(&path, "bruteforce", &case(expect)).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(run(&path, "bruteforce", &case(json!([{"rule": "bruteforce", "count": 5}]))), Ok(()));
}

fn rules_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

fn test_files() -> Vec<PathBuf> {
    let products = fs::read_dir(rules_dir()).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir());
    let mut found: Vec<PathBuf> = products
        .flat_map(|it| fs::read_dir(it).unwrap())
        .map(|it| it.unwrap().path())
        .filter(|it| it.to_string_lossy().ends_with(".test.yml"))
        .collect();
    found.sort();
    found
}

/// Runs one case; the error says what differs.
fn run(test_file: &Path, rule: &str, case: &Value) -> Result<(), String> {
    only_keys(case, &["name", "with", "events", "expect"])?;
    if case["name"].as_str().is_none() {
        return Err("it has no name".to_owned());
    }
    let rules = Arc::new(rules_of(test_file, rule)?);
    let mut events = Vec::new();
    for event in list(&case["events"]) {
        make(event, &case["with"], &mut events)?;
    }
    let at_the_end = alerts(&rules, &events, false)?;
    let one_by_one = alerts(&rules, &events, true)?;
    compare(&at_the_end, list(&case["expect"]))?;
    if at_the_end != one_by_one {
        return Err(format!("taken one by one the alerts are {one_by_one:?}, at the end {at_the_end:?}"));
    }
    Ok(())
}

/// Compiles the one file of the rule; whatever its state is by default, here it is on.
fn rules_of(test_file: &Path, rule: &str) -> Result<Rules, String> {
    let path = test_file.with_file_name(format!("{rule}.yml"));
    let text = fs::read_to_string(&path).map_err(|it| format!("{}: {it}", path.display()))?;
    let file = RuleFile { name: path.display().to_string(), text };
    let on = RuleSetting { state: Some(RuleState::On), severity: None };
    let told = BTreeMap::from([(rule.to_owned(), on)]);
    let (rules, errors) = Rules::compile(&[file], &told, EngineSettings::default());
    if let Some(error) = errors.first() {
        return Err(error.to_string());
    }
    let is_there = rules.rules.iter().chain(&rules.correlations).any(|it| it.id == rule);
    if is_there { Ok(rules) } else { Err(format!("the file holds no rule `{rule}`")) }
}

/// Makes the repetitions of one event of a case.
fn make(event: &Value, with: &Value, out: &mut Vec<Made>) -> Result<(), String> {
    let mut members = with.as_object().cloned().unwrap_or_default();
    members.extend(event.as_object().ok_or("an event is no map")?.clone());
    let seconds = members.get("seconds").map_or(Some(0.0), Value::as_f64).ok_or("`seconds` is no number")?;
    let repeat = members.get("repeat").map_or(Some(1), Value::as_u64).ok_or("`repeat` is no whole number")?;
    let every = nanos_of(members.get("every").and_then(Value::as_str).unwrap_or("0s"))?;
    for n in 0..repeat {
        let time = START + (seconds * NANOS_PER_SECOND).round() as i64 + n as i64 * every;
        out.push(make_one(&members, Timestamp(time), n)?);
    }
    Ok(())
}

fn make_one(members: &Map<String, Value>, time: Timestamp, n: u64) -> Result<Made, String> {
    let fill = |value: &Value| filled(value, n, &time.to_string());
    let (format, record) = match members.get("format").and_then(Value::as_str) {
        None => {
            let own = members.iter().filter(|it| !OF_RUNNER.contains(&it.0.as_str()));
            let mut own: Map<String, Value> = own.map(|(name, value)| (name.clone(), fill(value))).collect();
            own.insert("time".to_owned(), json!(time.to_string()));
            (None, Value::Object(own).to_string())
        }
        Some("sshd") => {
            let line = fill(members.get("line").ok_or("there is no `line`")?);
            (Some("sshd"), line.as_str().ok_or("`line` is no text")?.to_owned())
        }
        Some("cloudtrail") => {
            let mut record = fill(members.get("record").ok_or("there is no `record`")?);
            let members = record.as_object_mut().ok_or("`record` is no map")?;
            members.insert("eventTime".to_owned(), json!(time.to_string()));
            members.insert("eventID".to_owned(), json!(format!("{}-{n}", time.0)));
            (Some("cloudtrail"), record.to_string())
        }
        Some(other) => return Err(format!("there is no format `{other}` in these tests")),
    };
    Ok(Made { time, format, record, marks: marks_of(members)? })
}

fn marks_of(members: &Map<String, Value>) -> Result<Vec<(TextField, String)>, String> {
    let told = members.get("marks").and_then(Value::as_object).into_iter().flatten();
    let mark = |(name, value): (&String, &Value)| {
        let field = TextField::MARKS.iter().find(|it| it.0 == name).ok_or(format!("there is no mark `{name}`"))?.1;
        Ok((field, value.as_str().ok_or(format!("the mark `{name}` is no text"))?.to_owned()))
    };
    told.map(mark).collect()
}

/// Fills `{n}` and `{time}` in, at any depth.
fn filled(value: &Value, n: u64, time: &str) -> Value {
    match value {
        Value::String(it) => json!(it.replace("{n}", &n.to_string()).replace("{time}", time)),
        Value::Array(them) => them.iter().map(|it| filled(it, n, time)).collect(),
        Value::Object(them) => them.iter().map(|(name, it)| (name.clone(), filled(it, n, time))).collect(),
        other => other.clone(),
    }
}

fn nanos_of(text: &str) -> Result<i64, String> {
    let wrong = || format!("`every` is `{text}`, and must be as `400ms` or `2s`");
    let (digits, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1_000_000),
        (None, Some(digits)) => (digits, 1_000_000_000),
        _ => return Err(wrong()),
    };
    digits.parse::<i64>().map(|it| it * unit).map_err(|_| wrong())
}

/// Reads the events as live ones and returns the alerts as they are in the end, by id.
fn alerts(rules: &Arc<Rules>, events: &[Made], is_each: bool) -> Result<Vec<Seen>, String> {
    let mut engine = Engine::new(rules.clone(), Bounds::default());
    let mut changes: Vec<AlertChange> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let mut encoded = Vec::new();
        read(event, at as u64, &mut encoded)?;
        event.marks.iter().for_each(|(field, value)| append_text(&mut encoded, *field, value));
        // A format may know lines that are no events.
        let Some(view) = EventView::of(&encoded) else { continue };
        engine.process(&view, at as u64);
        if is_each {
            engine.take(&mut changes);
        }
    }
    engine.take(&mut changes);
    let latest: BTreeMap<_, _> = changes.iter().map(|it| (it.id, seen(it))).collect();
    Ok(latest.into_values().collect())
}

fn read(event: &Made, place: u64, out: &mut Vec<u8>) -> Result<(), String> {
    let reading =
        Reading { input: "test", received: Some(event.time), now: event.time, synthetic: false, ids: Ids::New };
    let bytes = event.record.as_bytes();
    let Some(format) = event.format else {
        return forms::event::read(bytes, place, &reading, out).map_err(|it| format!("{}: {it:?}", event.record));
    };
    let format = by_name(format).ok_or("the format is gone")?;
    match (format.read)(bytes, place, &reading, out) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(format!("{}: {}", event.record, refusal.message)),
    }
}

fn seen(change: &AlertChange) -> Seen {
    Seen {
        rule: change.info.id.clone(),
        count: change.counted.count,
        entity: change.named.entity.value.clone(),
        severity: change.severity.to_string(),
    }
}

/// Holds alerts against what is expected: each expectation takes one alert, and none is left over.
fn compare(found: &[Seen], expected: &[Value]) -> Result<(), String> {
    let mut left: Vec<&Seen> = found.iter().collect();
    for wanted in expected {
        only_keys(wanted, &["rule", "count", "entity", "severity"])?;
        match left.iter().position(|it| fits(it, wanted)) {
            Some(at) => drop(left.remove(at)),
            None => return Err(format!("{wanted} was not raised; raised were {found:?}")),
        }
    }
    if left.is_empty() { Ok(()) } else { Err(format!("nobody expected {left:?}")) }
}

fn fits(seen: &Seen, wanted: &Value) -> bool {
    let text = |name: &str, actual: &str| wanted.get(name).is_none_or(|it| it.as_str() == Some(actual));
    wanted["rule"].as_str() == Some(&seen.rule)
        && text("entity", &seen.entity)
        && text("severity", &seen.severity)
        && wanted.get("count").is_none_or(|it| it.as_u64() == Some(seen.count))
}

fn only_keys(value: &Value, known: &[&str]) -> Result<(), String> {
    let members = value.as_object().ok_or("a map was expected")?;
    match members.keys().find(|it| !known.contains(&it.as_str())) {
        Some(unknown) => Err(format!("there is no key `{unknown}`")),
        None => Ok(()),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Reads one YAML document; plain scalars are typed as the core schema has it.
fn yaml(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|it| it.expect("the tests are YAML").0);
    let root = events.find(|it| !matches!(it, Event::StreamStart | Event::DocumentStart(_)));
    node(root.expect("there is a document"), &mut events)
}

fn node<'a>(event: Event<'a>, rest: &mut dyn Iterator<Item = Event<'a>>) -> Value {
    match event {
        Event::Scalar(text, style, ..) => scalar(&text, style),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match rest.next().expect("the list ends") {
                    Event::SequenceEnd => return Value::Array(items),
                    other => items.push(node(other, rest)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut members = Map::new();
            loop {
                let name = match rest.next().expect("the map ends") {
                    Event::MappingEnd => return Value::Object(members),
                    Event::Scalar(name, ..) => name.into_owned(),
                    other => panic!("a key must be a text: {other:?}"),
                };
                let value = rest.next().expect("a key has a value");
                let value = node(value, rest);
                assert!(members.insert(name.clone(), value).is_none(), "`{name}` comes twice");
            }
        }
        other => panic!("neither anchors nor aliases are understood: {other:?}"),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return json!(text);
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(it), _) => json!(it),
            (_, Ok(it)) if it.is_finite() => json!(it),
            _ => json!(text),
        },
    }
}
