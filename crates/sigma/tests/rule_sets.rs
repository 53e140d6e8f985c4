//! Files of documents: what is refused and where, versions, correlations, routing, explanations.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use sigma::correlation::Count;
use sigma::document::{Document, parse};
use sigma::header::{Level, Status};
use sigma::routing::{LogSource, Routing};
use sigma::rule_set::{RuleIndex, RuleSet};
use sigma::scratch::Scratch;
use support::JsonEvent;

const BASE: &str = "\
title: Base
name: base
logsource:
  category: webserver
detection:
  refused:
    status: 401
  any:
    status|exists: true
  condition: refused
";

const COUNTED: &str = "\
title: Counted
name: counted
correlation:
  type: event_count
  rules: [base]
  group-by: [ip]
  timespan: 60s
  condition:
    gte: 5
";

fn compile(text: &str) -> (RuleSet, Vec<String>) {
    let (documents, mut errors) = parse("dir/file.yml", text);
    let (set, refused) = RuleSet::compile(documents);
    errors.extend(refused);
    (set, errors.iter().map(ToString::to_string).collect())
}

/// Checks that `text` is refused with exactly this complaint.
#[track_caller]
fn refuses(text: &str, complaint: &str) {
    assert_eq!(compile(text).1, [format!("dir/file.yml:{complaint}")], "{text}");
}

fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

fn matched(set: &RuleSet, event: &str, source: LogSource<'_>, routing: Routing) -> Vec<String> {
    let root = serde_json::from_str(event).expect("the test wrote JSON");
    let event = JsonEvent { root: &root, names: set.field_names() };
    let mut matched = Vec::new();
    set.evaluate(&event, source, routing, &mut Scratch::new(), &mut matched);
    matched.iter().map(|it| set.rule(*it).expect("a rule of this set").header.key().to_owned()).collect()
}

#[test]
fn keeps_names_words_and_custom_attributes() {
    let text = "title: T\nid: 5d1a3c1e-7b61-4a53-9b44-3a6a1a7b0f01\nstatus: test\nlevel: high\ndescription: D\n\
        tags: [attack.t1110]\nfalsepositives: None\nsimulation: {x: 1}\nauthor: A\n\
        logsource: {product: p, definition: see, team: t}\n\
        bartizan: {type: ty, details: '{count} by {entity}', confidence: 100, lateness: 120s}\n\
        detection: {s: {A: 1}, condition: s}\n";
    let (documents, errors) = parse("dir/file.yml", text);
    assert!(errors.is_empty(), "{errors:?}");
    let Document::Rule(rule) = &documents[0] else { panic!("a rule") };
    let header = &rule.header;
    assert_eq!(header.key(), "5d1a3c1e-7b61-4a53-9b44-3a6a1a7b0f01");
    assert_eq!((header.status, header.level), (Some(Status::Test), Some(Level::High)));
    assert_eq!((&header.tags[..], &header.false_positives[..]), (&["attack.t1110".into()][..], &["None".into()][..]));
    assert_eq!(
        header.attributes.iter().map(|(key, _)| key.text.as_str()).collect::<Vec<_>>(),
        ["simulation", "author"]
    );
    assert_eq!(rule.source.custom.len(), 2);
    assert_eq!((header.extension.confidence, header.extension.lateness), (Some(100), Some(Duration::from_secs(120))));
}

#[test]
fn the_key_is_the_name_else_the_id_else_the_file() {
    let key = |text: &str| parse("dir/file.yml", text).0[0].key().to_owned();
    assert_eq!(key(BASE), "base");
    assert_eq!(key(&with(BASE, "name: base\n", "")), "file");
}

#[test]
fn refuses_rules_with_place_and_reason() {
    refuses(&with(BASE, "title: Base\n", ""), "1:1: the title is missing");
    refuses(&with(BASE, "Base", &"x".repeat(257)), "1:8: the title is longer than 256 characters");
    refuses(
        &with(BASE, "  category: webserver", "  x: y"),
        "4:3: the logsource names neither product nor category nor service",
    );
    refuses(
        &with(BASE, "condition: refused", "condition: refused and nosuch"),
        "10:26: there is no selection `nosuch`",
    );
    refuses(
        &with(BASE, "condition: refused", "condition: 'refused | count() > 5'"),
        "10:23: pipes are not supported: write a correlation",
    );
    refuses(&with(BASE, "  condition: refused\n", ""), "6:3: the condition is missing");
    refuses(&with(BASE, "  any:", "  timeframe: 5m\n  any:"), "8:3: `timeframe` is not supported: write a correlation");
    refuses(&with(BASE, "status: 401", "status|foo: 401"), "7:5: the modifier `foo` is unknown");
    refuses(&with(BASE, "name: base", "level: terrible"), "2:8: `terrible` is no level");
    refuses(&with(BASE, "name: base", "id: 7"), "2:5: the id `7` is no UUID");
    refuses(&with(BASE, "name: base", "bartizan: {colour: red}"), "2:12: the key `colour` of `bartizan` is unknown");
    refuses(
        &with(BASE, "name: base", "bartizan: {confidence: 101}"),
        "2:24: `confidence` must be a whole number from 0 to 100",
    );
    refuses(&with(BASE, "name: base", "bartizan: {reset: any}"), "2:12: `reset` belongs to correlations");
    refuses(&with(BASE, "name: base", "action: global"), "2:1: `action` is not supported: write each rule whole");
    refuses("title: F\nfilter:\n  rules: [x]\n", "2:1: filters are not supported");
    refuses("title: F\n", "1:1: the document has neither `detection` nor `correlation`");
    refuses("- a\n", "1:1: a document must be a map, not a list");
    assert!(compile("a: [1\n").1[0].starts_with("dir/file.yml:2:1: this is no YAML"));
}

#[test]
fn refuses_correlations_with_place_and_reason() {
    let refuses = |from: &str, to: &str, complaint: &str| {
        refuses(&format!("{BASE}---\n{}", with(COUNTED, from, to)), complaint);
    };
    refuses("event_count", "temporal", "15:9: the correlation type `temporal` is not supported");
    refuses("[base]", "[other]", "16:11: there is no rule `other`");
    refuses("[base]", "[counted]", "16:11: `counted` is a correlation: chains are not supported");
    refuses("[base]", "[]", "16:10: the list of rules is empty");
    refuses("60s", "0s", "18:13: the timespan must be above zero");
    refuses("60s", "60", "18:13: `60` is no duration: write a number and one of s, m, h, d, w, M, y");
    for operator in ["lt", "lte", "eq", "neq"] {
        let complaint = format!(
            "20:5: the operator `{operator}` is not supported in a correlation: a further event can undo it, so that an \
             alert would depend on what has come so far; write `gt` or `gte`"
        );
        refuses("gte: 5", &format!("{operator}: 5"), &complaint);
    }
    refuses("gte: 5", "about: 5", "20:5: the operator `about` is unknown");
    refuses("gte: 5", "gte: 5\n    lte: 9", "21:5: a condition with two operators is not supported");
    refuses("gte: 5", "gte: 0", "20:10: the condition must ask for at least one");
    refuses("gte: 5", "gte: five", "20:10: the condition takes a whole number");
    refuses("gte: 5", "gte: 5\n    field: x", "21:12: `event_count` takes no field");
    refuses("event_count", "value_count", "15:9: `value_count` needs a `field` in its condition");
    refuses("  timespan", "  aliases: {}\n  timespan", "18:3: `aliases` are not supported");
    refuses("  timespan", "  colour: red\n  timespan", "18:3: the key `colour` of `correlation` is unknown");
    refuses("name: counted", "bartizan: {reset: any}", "13:19: `reset` needs `lateness: 0s`");
    refuses("name: counted", "bartizan: {reset: any, lateness: 1s}", "13:19: `reset` needs `lateness: 0s`");
    refuses("name: counted", "bartizan: {reset: x, lateness: 0s}", "13:19: the rule `base` has no selection `x`");
}

#[test]
fn refuses_a_name_that_is_taken_and_keeps_the_first() {
    let (set, errors) = compile(&format!("{BASE}---\n{BASE}"));
    assert_eq!(
        (set.rules().len(), errors),
        (1, vec!["dir/file.yml:12:1: another document is called `base` already".to_owned()])
    );
}

#[test]
fn a_correlation_finds_its_rules_and_fields() {
    let text = format!(
        "{}---\n{BASE}",
        with(COUNTED, "event_count", "value_count").replace("gte: 5", "gt: 5\n    field: path")
    );
    let (set, errors) = compile(&text);
    assert!(errors.is_empty(), "{errors:?}");
    let found = &set.correlations()[0];
    let name = |it: sigma::event::FieldId| set.field_names()[it.0 as usize].as_str();
    assert_eq!((&found.rules[..], found.correlation.at_least), (&[RuleIndex(0)][..], 6));
    assert_eq!((name(found.group_by[0]), found.field.map(name)), ("ip", Some("path")));
    assert_eq!(
        (&found.correlation.count, found.correlation.timespan),
        (&Count::Values("path".into()), Duration::from_secs(60))
    );
}

#[test]
fn rules_of_a_correlation_are_silent_unless_one_generates() {
    let raises = |correlations: &str| compile(&format!("{BASE}---\n{correlations}")).0.rules()[0].raises_alerts;
    let generating = with(COUNTED, "name: counted", "name: generating\ngenerate: true");
    let inner = with(COUNTED, "  timespan", "  generate: true\n  timespan");
    assert!(raises(""));
    assert!(!raises(COUNTED));
    assert!(raises(&generating) && raises(&inner));
    assert!(raises(&format!("{COUNTED}---\n{generating}")));
    assert!(!raises(&with(COUNTED, "[base]", "[base, other]")), "a refused correlation sets nothing free");
}

#[test]
fn a_version_changes_with_what_is_detected_only() {
    let text = format!("{BASE}---\n{COUNTED}");
    let versions = |text: &str| {
        let (set, errors) = compile(text);
        assert!(errors.is_empty(), "{errors:?}");
        (set.rules()[0].version.clone(), set.correlations()[0].version.clone())
    };
    let (rule, correlation) = versions(&text);
    assert!(rule.len() == 16 && rule.bytes().all(|it| it.is_ascii_hexdigit()) && rule != correlation);
    for (from, to) in [
        ("title: Base", "title: Other\nlevel: high\ntags: [a.b]\nbartizan: {type: t, details: d, confidence: 1}"),
        ("  refused:", "  # a comment\n  refused:"),
        ("webserver", "WebServer"),
        ("title: Counted", "title: Other\ndescription: d"),
    ] {
        assert_eq!(versions(&with(&text, from, to)), (rule.clone(), correlation.clone()), "{to}");
    }
    for (from, to) in
        [("401", "403"), ("401", "'401'"), ("webserver", "proxy"), ("condition: refused", "condition: not refused")]
    {
        let changed = versions(&with(&text, from, to));
        assert!(changed.0 != rule && changed.1 != correlation, "{to}");
    }
    for (from, to) in [
        ("gte: 5", "gte: 6"),
        ("60s", "61s"),
        ("[ip]", "[user]"),
        ("name: counted", "name: counted\nbartizan: {lateness: 0s}"),
        ("name: counted", "name: counted\nbartizan: {lateness: 0s, reset: any}"),
    ] {
        let changed = versions(&with(&text, from, to));
        assert!(changed.0 == rule && changed.1 != correlation, "{to}");
    }
    assert_eq!(versions(&with(&text, "gte: 5", "gt: 4")).1, correlation);
}

#[test]
fn a_reset_is_a_selection_of_the_base_rule_and_of_its_logsource() {
    let text = format!("{BASE}---\n{}", with(COUNTED, "name: counted", "bartizan: {reset: any, lateness: 0s}"));
    let (set, errors) = compile(&text);
    assert!(errors.is_empty(), "{errors:?}");
    let resets = |event: &str, category| {
        let root = serde_json::from_str(event).expect("the test wrote JSON");
        let event = JsonEvent { root: &root, names: set.field_names() };
        let source = LogSource { category: Some(category), ..LogSource::default() };
        let (mut scratch, mut matched) = (Scratch::new(), Vec::new());
        set.evaluate(&event, source, Routing::Lenient, &mut scratch, &mut matched);
        set.resets(&set.correlations()[0], &event, source, Routing::Lenient, &mut scratch)
    };
    assert!(resets(r#"{"status":200}"#, "webserver"));
    assert!(!resets(r#"{"x":200}"#, "webserver"));
    assert!(!resets(r#"{"status":200}"#, "dns"));
}

#[test]
fn rules_meet_events_by_logsource() {
    let (set, _) = compile(BASE);
    let event = r#"{"status":401}"#;
    let source = |category| LogSource { category, ..LogSource::default() };
    for (category, routing, expected) in [
        (Some("webserver"), Routing::Strict, true),
        (None, Routing::Strict, false),
        (None, Routing::Lenient, true),
        (Some("dns"), Routing::Lenient, false),
        (Some("dns"), Routing::None, true),
    ] {
        assert_eq!(!matched(&set, event, source(category), routing).is_empty(), expected, "{category:?} {routing:?}");
    }
}

#[test]
fn one_scratch_serves_events_sources_and_rule_sets_in_turn() {
    let (one, _) = compile(BASE);
    let (other, _) = compile(&with(BASE, "401", "403"));
    let (mut scratch, mut matched) = (Scratch::new(), Vec::new());
    let mut check = |set: &RuleSet, status: u16, category: &str, expected: usize| {
        let root = serde_json::json!({ "status": status });
        let event = JsonEvent { root: &root, names: set.field_names() };
        let source = LogSource { category: Some(category), ..LogSource::default() };
        set.evaluate(&event, source, Routing::Lenient, &mut scratch, &mut matched);
        assert_eq!(matched.len(), expected, "{status} {category}");
    };
    for _ in 0..3 {
        check(&one, 401, "webserver", 1);
        check(&one, 403, "webserver", 0);
        check(&one, 401, "dns", 0);
        check(&other, 403, "webserver", 1);
        check(&other, 401, "webserver", 0);
        for number in 0..300 {
            check(&one, 401, &format!("unknown{number}"), 0);
        }
    }
}

#[test]
fn explains_by_the_fields_a_rule_looked_at() {
    let text = with(BASE, "status: 401", "status: 401\n    path|contains: admin\n    list|fieldref: gone");
    let (set, _) = compile(
        &with(&text, "condition: refused", "condition: refused or 1 of k*")
            .replace("  any:", "  k:\n    - evil\n  any:"),
    );
    let root = serde_json::json!({"status": 401, "path": "/Admin", "list": ["a", null], "other": 1});
    let event = JsonEvent { root: &root, names: set.field_names() };
    let found = set.explain(RuleIndex(0), &event);
    let mut found: Vec<_> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [("(any)", "/Admin"), ("(any)", "a"), ("list", "a"), ("list", "null"), ("path", "/Admin"), ("status", "401")]
    );
    assert!(set.explain(RuleIndex(9), &event).is_empty());
}

/// A rule of random selections over few fields and values, so that matches are common.
fn rule() -> impl Strategy<Value = String> {
    let item = (
        "[AB]",
        prop_oneof![Just(""), Just("|contains"), Just("|neq"), Just("|cased")],
        "(1|1\\.0|'1'|a|B|'a\\*'|null)",
    );
    let valid = item.prop_filter("null takes no modifier", |(_, modifier, value)| {
        value != "null" || matches!(*modifier, "" | "|neq")
    });
    let selection = valid.prop_map(|(field, modifier, value)| format!("{{'{field}{modifier}': {value}}}"));
    let condition = prop_oneof![
        Just("s and t"),
        Just("s or t"),
        Just("not s and t"),
        Just("not (s or t)"),
        Just("s and (t or not s)"),
        Just("s"),
    ];
    (selection.clone(), selection, condition)
        .prop_map(|(s, t, condition)| format!("detection:\n  s: {s}\n  t: {t}\n  condition: {condition}\n"))
}

fn event() -> impl Strategy<Value = String> {
    let value = || {
        prop_oneof![
            Just("1"),
            Just("1.0"),
            Just("\"1\""),
            Just("\"A\""),
            Just("\"ab\""),
            Just("null"),
            Just("[\"b\",1]")
        ]
    };
    let one = (value(), value()).prop_map(|(a, b)| format!("{{\"A\":{a},\"B\":{b}}}"));
    prop_oneof![one, value().prop_map(|a| format!("{{\"A\":{a}}}")), Just("{}".to_owned())]
}

proptest! {
    /// A selection that never holds, joined by `or`, takes the witness away: every rule is then evaluated, alone.
    #[test]
    fn witnesses_and_shared_answers_change_no_match(rules in proptest::collection::vec(rule(), 1..6), event in event()) {
        let head = |number: usize| format!("title: T\nname: r{number}\nlogsource: {{product: p}}\n");
        let whole: Vec<String> = rules.iter().enumerate().map(|(number, it)| head(number) + it).collect();
        let (set, errors) = compile(&whole.join("---\n"));
        prop_assert!(errors.is_empty(), "{:?}", errors);
        let together = matched(&set, &event, LogSource::default(), Routing::None);
        let mut alone = Vec::new();
        for text in &whole {
            let (head, condition) = text.trim_end().rsplit_once("condition: ").unwrap();
            let slow = format!("{head}never: {{'A|re': 'x\\z^x'}}\n  condition: ({condition}) or never\n");
            let (set, errors) = compile(&slow);
            prop_assert!(errors.is_empty(), "{:?}", errors);
            alone.extend(matched(&set, &event, LogSource::default(), Routing::None));
        }
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn no_file_is_a_panic(text in "(title: x\n|detection:\n|  s:\n|    A\\|re: '\\('\n|  condition: s\n|correlation:\n|---\n|bartizan: \\[\\{\\}\n|[a-z:|\\- \n]{0,4}){0,12}") {
        let _ = compile(&text);
    }
}
