use std::collections::{BTreeMap, BTreeSet};

use model::event::EventWriter;
use model::id::EventId;

use super::*;
use crate::rules::EngineSettings;

/// Input, source, rule, title, own id: a finding of another tool about one address.
type Told<'a> = (&'a str, &'a str, &'a str, &'a str, Option<&'a str>);

fn alerts(findings: &[Told<'_>]) -> Vec<(String, String, u64)> {
    let rules = Rules::compile(&[], &BTreeMap::new(), EngineSettings::default()).0;
    let mut engine = Engine::new(Arc::new(rules), Bounds::default());
    for (at, (input, source, rule, title, own_id)) in (0..).zip(findings) {
        let mut encoded = Vec::new();
        let time = Timestamp(1_000_000_000);
        let mut writer = EventWriter::new(&mut encoded, EventId(u128::from(at)), time, Some(time), 0);
        writer.text(TextField::Input, input).text(TextField::Source, source).client_ip([203, 0, 113, 9].into());
        writer.text(TextField::FindingRule, rule).text(TextField::FindingTitle, title);
        own_id.inspect(|it| {
            writer.text(TextField::FindingId, it);
        });
        engine.process(&EventView::of(&encoded).unwrap(), at);
    }
    // What is folded survives a snapshot.
    let mut changes = Vec::new();
    engine.take(&mut changes);
    let mut encoder = Encoder::default();
    engine.encode(&mut encoder);
    let mut again = Engine::new(engine.rules().clone(), Bounds::default());
    again.decode(&mut Decoder::new(&encoder.into_bytes())).unwrap();
    assert_eq!(again.folder, engine.folder);
    let own: Vec<_> = changes.iter().filter(|it| it.note.is_none()).map(|it| it.id).collect();
    let distinct: BTreeSet<_> = own.iter().collect();
    assert_eq!(distinct.len(), own.len(), "each alert has an id of its own");
    changes.iter().map(|it| (it.info.id.clone(), it.info.title.clone(), it.counted.count)).collect()
}

#[track_caller]
fn check(findings: &[Told<'_>], expected: &[(&str, &str, u64)]) {
    let found = alerts(findings);
    let found: Vec<_> = found.iter().map(|it| (it.0.as_str(), it.1.as_str(), it.2)).collect();
    assert_eq!(found, expected);
}

#[test]
fn findings_of_one_rule_and_address_are_one_alert_for_each_input() {
    check(
        &[("a", "waf", "r", "T", None), ("a", "waf", "r", "T", None), ("b", "waf", "r", "U", None)],
        &[("waf/r", "T", 2), ("waf/r", "U", 1)],
    );
}

#[test]
fn a_slash_in_a_source_does_not_make_two_rules_one() {
    check(&[("a", "x/y", "z", "T", None), ("a", "x", "y/z", "U", None)], &[("x/y/z", "T", 1), ("x/y/z", "U", 1)]);
}

#[test]
fn findings_with_an_id_are_alerts_of_their_own_with_their_own_titles() {
    check(
        &[("a", "waf", "r", "T", Some("1")), ("a", "waf", "r", "U", Some("2"))],
        &[("waf/r", "T", 1), ("waf/r", "U", 1)],
    );
}

#[test]
fn a_sender_of_many_rules_takes_no_rule_of_another() {
    let names: Vec<String> = (0..20_000).map(|it| format!("rule-{it}")).collect();
    let findings: Vec<Told<'_>> = names.iter().map(|it| ("a", "waf", it.as_str(), it.as_str(), None)).collect();
    let found = alerts(&findings);
    assert!(found.iter().filter(|it| it.0.starts_with("waf/")).all(|it| it.0 == format!("waf/{}", it.1)));
    assert!(found.iter().any(|it| it.0 == "a/many"), "past the limit they share one alert");
}

#[test]
fn a_rule_that_is_suspended_matches_nothing_and_is_told_of_once() {
    let text = |name: &str| {
        format!(
            "title: T\nname: {name}\nlogsource:\n  category: webserver\ndetection:\n  s:\n    status_code: 200\n  condition: s\n"
        )
    };
    let files: Vec<_> = ["dear", "other"].map(|it| crate::rules::RuleFile { name: it.into(), text: text(it) }).into();
    let all = || Rules::compile(&files, &BTreeMap::new(), EngineSettings::default()).0;
    let less = || Arc::new(all().without(&["dear".to_owned(), "unknown".to_owned()].into()));
    assert_ne!(all().digest, less().digest);
    assert_eq!(all().digest, all().without(&["unknown".to_owned()].into()).digest);
    assert_eq!((all().active(), less().active()), (2, 1));

    let mut engine = Engine::new(Arc::new(all()), Bounds::default());
    let mut bytes = Vec::new();
    let time = Timestamp(1_000_000_000);
    EventWriter::new(&mut bytes, EventId(1), time, Some(time), 0).status_code(200);
    let event = EventView::of(&bytes).unwrap();
    let mut found = Vec::new();
    for (at, rules) in (0..).zip([None, Some(less()), Some(less()), Some(Arc::new(all()))]) {
        if let Some(rules) = rules {
            engine.replace_rules(rules);
        }
        engine.process(&event, at);
        let mut weighed = Vec::new();
        let rules = engine.rules().clone();
        let (mut matcher, mut matches) = (Matcher::default(), Matches::default());
        matcher.run(&rules, &event, &mut matches);
        matcher.weigh(&rules, &event, &mut |it| weighed.extend(it));
        assert_eq!(weighed.len(), rules.active(), "what is suspended costs nothing");
        let mut changes = Vec::new();
        engine.take(&mut changes);
        let mut names: Vec<_> = changes.iter().map(|it| format!("{} {}", it.info.id, it.named.entity.value)).collect();
        names.sort();
        found.push(names.iter().map(|it| it.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>());
    }
    let of = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let suspended = crate::suspended::RULE;
    assert_eq!(found, [of(&["dear", "other"]), of(&[suspended, "other"]), of(&["other"]), of(&["dear", "other"])]);
}
