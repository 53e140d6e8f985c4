//! What one detection matches and what it does not, over JSON events.

mod support;

use sigma::document::{Document, parse_single};
use sigma::routing::{LogSource, Routing};
use sigma::rule_set::RuleSet;
use sigma::scratch::Scratch;
use support::JsonEvent;

fn matches(detection: &str, event: &str) -> Result<bool, String> {
    let rule = parse_single("test.yml", detection).map_err(|it| it.to_string())?;
    let (set, errors) = RuleSet::compile([Document::Rule(Box::new(rule))]);
    assert!(errors.is_empty(), "{errors:?}");
    let root = serde_json::from_str(event).expect("the test wrote JSON");
    let event = JsonEvent { root: &root, names: set.field_names() };
    let mut matched = Vec::new();
    set.evaluate(&event, LogSource::default(), Routing::Strict, &mut Scratch::new(), &mut matched);
    Ok(!matched.is_empty())
}

/// Checks the item `key: value` as the only one of a rule.
#[track_caller]
fn check(item: &str, matching: &[&str], others: &[&str]) {
    check_detection(&format!("sel:\n  {item}\ncondition: sel\n"), matching, others);
}

#[track_caller]
fn check_detection(detection: &str, matching: &[&str], others: &[&str]) {
    for (events, expected) in [(matching, true), (others, false)] {
        for event in events {
            assert_eq!(matches(detection, event), Ok(expected), "{detection}\n{event}");
        }
    }
}

#[track_caller]
fn refuses(item: &str, reason: &str) {
    let error = matches(&format!("sel:\n  {item}\ncondition: sel\n"), "{}").expect_err("it is refused");
    assert!(error.contains(reason), "{error}");
}

#[test]
fn texts_are_equal_without_case() {
    check(
        "A: Äpfel",
        &[r#"{"A":"ÄPFEL"}"#, r#"{"A":["x","äpfel"]}"#],
        &[r#"{"A":"Äpfelx"}"#, r#"{"a":"Äpfel"}"#, "{}"],
    );
    check("A: ''", &[r#"{"A":""}"#], &[r#"{"A":null}"#, r#"{"A":" "}"#, "{}", r#"{"A":[]}"#]);
    check("A: '*'", &[r#"{"A":""}"#, r#"{"A":1}"#], &[r#"{"A":null}"#, "{}"]);
    check("A: [x, y]", &[r#"{"A":"Y"}"#], &[r#"{"A":"z"}"#]);
    check("A|cased: AbC", &[r#"{"A":"AbC"}"#], &[r#"{"A":"abc"}"#]);
    check("A|cased|contains: bC", &[r#"{"A":"xbCx"}"#], &[r#"{"A":"xbcx"}"#]);
}

#[test]
fn contains_startswith_endswith_keep_inner_wildcards() {
    check("A|contains: b?d", &[r#"{"A":"aBCDe"}"#, r#"{"A":"bäd"}"#], &[r#"{"A":"abde"}"#]);
    check("A|startswith: ab", &[r#"{"A":"ABx"}"#, r#"{"A":"ab"}"#], &[r#"{"A":"xab"}"#]);
    check("A|endswith: \\cmd.exe", &[r#"{"A":"C:\\CMD.EXE"}"#], &[r#"{"A":"cmd.exe"}"#, r#"{"A":"\\cmd.exe.bak"}"#]);
    check("A|contains: 'x*'", &[r#"{"A":"ax"}"#], &[r#"{"A":"a"}"#]);
    check("A|contains: 68", &[r#"{"A":4688}"#, r#"{"A":"4688"}"#], &[r#"{"A":4788}"#]);
    check("A|contains|all: [foo, bar]", &[r#"{"A":"barfoo"}"#], &[r#"{"A":"bar"}"#]);
}

#[test]
fn numbers_compare_by_value_and_by_text() {
    check("A: 4688", &[r#"{"A":4688}"#, r#"{"A":"4688"}"#, r#"{"A":4688.0}"#], &[r#"{"A":46880}"#, r#"{"A":"04688"}"#]);
    check("A: '4688'", &[r#"{"A":4688}"#, r#"{"A":"4688"}"#], &[r#"{"A":4687}"#]);
    check("A: 1.5", &[r#"{"A":1.5}"#, r#"{"A":1.50}"#, r#"{"A":15e-1}"#], &[r#"{"A":1.51}"#]);
    check("A: 9007199254740993", &[r#"{"A":9007199254740993}"#], &[r#"{"A":9007199254740992}"#]);
    check("A: 18446744073709551615", &[r#"{"A":18446744073709551615}"#], &[r#"{"A":18446744073709551614}"#]);
    check("A: true", &[r#"{"A":true}"#, r#"{"A":"True"}"#], &[r#"{"A":false}"#, r#"{"A":1}"#]);
}

#[test]
fn null_is_missing_or_null() {
    check("A: null", &["{}", r#"{"A":null}"#], &[r#"{"A":""}"#, r#"{"A":0}"#]);
    check("A|exists: true", &[r#"{"A":null}"#, r#"{"A":""}"#, r#"{"A":{}}"#, r#"{"A":[]}"#], &["{}"]);
    check("A|exists: false", &["{}"], &[r#"{"A":null}"#]);
}

#[test]
fn neq_is_none_of_them_and_takes_a_missing_field() {
    check("A|neq: [x, y]", &["{}", r#"{"A":"z"}"#], &[r#"{"A":"X"}"#, r#"{"A":"y"}"#]);
    check("A|contains|neq: x", &[r#"{"A":"z"}"#], &[r#"{"A":"axb"}"#]);
}

#[test]
fn comparisons_take_numbers_and_numeric_texts() {
    check("A|lt: 10", &[r#"{"A":9}"#, r#"{"A":"9"}"#, r#"{"A":9.9}"#], &[r#"{"A":10}"#, r#"{"A":"x"}"#, "{}"]);
    check("A|lte: 10", &[r#"{"A":10}"#], &[r#"{"A":10.1}"#]);
    check("A|gt: 1.5", &[r#"{"A":1.6}"#, r#"{"A":2}"#], &[r#"{"A":1.5}"#, r#"{"A":true}"#, r#"{"A":null}"#]);
    check("A|gte: 10", &[r#"{"A":10}"#], &[r#"{"A":9}"#]);
}

#[test]
fn regular_expressions_search_with_case_and_take_flags() {
    check("A|re: b+c", &[r#"{"A":"abbcd"}"#], &[r#"{"A":"ABBC"}"#]);
    check("A|re|i: b+c", &[r#"{"A":"ABBC"}"#], &[r#"{"A":"x"}"#]);
    check("A|re|m: ^b$", &[r#"{"A":"a\nb"}"#], &[r#"{"A":"ab"}"#]);
    check("A|re|s: a.b", &[r#"{"A":"a\nb"}"#], &[r#"{"A":"ab"}"#]);
    check("A|re: a.b", &[r#"{"A":"axb"}"#], &[r#"{"A":"a\nb"}"#]);
    check("A|re|startswith: 'a|b'", &[r#"{"A":"bx"}"#], &[r#"{"A":"xb"}"#]);
    check("A|re|endswith: 'a|b'", &[r#"{"A":"xb"}"#], &[r#"{"A":"bx"}"#]);
    check("A|re: '^4\\d+$'", &[r#"{"A":4688}"#], &[r#"{"A":"x4"}"#]);
    refuses("A|re: '('", "`(` is no regular expression");
    refuses("A|re: ')('", "is no regular expression");
    refuses("A|re: 'a(?=b)'", "is no regular expression");
    refuses("A|re: '(\\w{1000}){1000}'", "is no regular expression");
}

#[test]
fn encodings_are_found_at_any_offset() {
    check("A|base64|contains: ping", &[r#"{"A":"x cGluZw== y"}"#], &[r#"{"A":"ping"}"#]);
    let offsets = [r#"{"A":"aHR0cDovL2EuYi9j"}"#, r#"{"A":"eGh0dHA6Ly9hLmIvYw=="}"#, r#"{"A":"eHlodHRwOi8vYS5iL2M="}"#];
    check("A|base64offset|contains: 'http://'", &offsets, &[r#"{"A":"http://"}"#]);
    check("A|wide|base64offset|contains: ping", &[r#"{"A":"cABpAG4AZwA="}"#], &[r#"{"A":"cGluZw=="}"#]);
    check("A|utf16be|base64offset|contains: ping", &[r#"{"A":"AHAAaQBuAGc="}"#], &[r#"{"A":"cABpAG4AZwA="}"#]);
    check("A|utf16|base64: hi", &[r#"{"A":"//5oAGkA"}"#], &[r#"{"A":"aABpAA=="}"#]);
    refuses("A|base64: 'a*b'", "wildcards cannot be encoded");
    refuses("A|contains|base64: ab", "wildcards cannot be encoded");
    refuses("A|utf16: ab", "put `base64`");
}

#[test]
fn windash_varies_dashes_before_words_only() {
    let spellings = ["-", "/", "\u{2013}", "\u{2014}", "\u{2015}"].map(|it| format!(r#"{{"A":"cmd {it}f x"}}"#));
    let spellings: Vec<&str> = spellings.iter().map(String::as_str).collect();
    check("A|windash|contains: ' -f '", &spellings, &[r#"{"A":"cmd +f x"}"#]);
    check("A|windash|contains: ' -a-b '", &[r#"{"A":"x /a-b y"}"#], &[r#"{"A":"x -a/b y"}"#]);
    check("A|contains|all|windash: [' -a ', ' -b ']", &[r#"{"A":"x /a  -b y"}"#], &[r#"{"A":"x /a y"}"#]);
    check("A|windash: '-a -b -c'", &[r#"{"A":"/a -b /c"}"#], &[r#"{"A":"a b c"}"#]);
    refuses("A|windash: '-a -b -c -d'", "`windash` varies 3 dashes, the value has 4");
}

#[test]
fn references_compare_two_fields() {
    check("A|fieldref: B", &[r#"{"A":"x","B":"X"}"#, r#"{"A":1,"B":"1"}"#], &[r#"{"A":"x","B":"y"}"#, r#"{"A":"x"}"#]);
    check("A|fieldref|cased: B", &[r#"{"A":"x","B":"x"}"#], &[r#"{"A":"x","B":"X"}"#]);
    check("A|fieldref|startswith: B", &[r#"{"A":"xy","B":"X"}"#], &[r#"{"A":"yx","B":"x"}"#]);
    check("A|fieldref|endswith: B", &[r#"{"A":"yx","B":"X"}"#], &[r#"{"A":"xy","B":"x"}"#]);
    check("A|fieldref|contains: B", &[r#"{"A":"axy","B":"X"}"#], &[r#"{"A":"y","B":"x"}"#]);
    check("A|fieldref|neq: B", &[r#"{"A":"x","B":"y"}"#, r#"{"A":"x"}"#], &[r#"{"A":"x","B":"x"}"#]);
    check("A|fieldref: B", &[], &[r#"{"A":null,"B":null}"#, "{}"]);
}

#[test]
fn networks_and_times() {
    check(
        "A|cidr: [10.0.0.0/8, 'fe80::/10']",
        &[r#"{"A":"10.2.3.4"}"#, r#"{"A":"fe80::1"}"#],
        &[r#"{"A":"11.0.0.1"}"#],
    );
    check("A|hour: 3", &[r#"{"A":"2024-05-06T03:59:05Z"}"#], &[r#"{"A":"2024-05-06T04:00:00Z"}"#, r#"{"A":3}"#]);
    check("A|week: [18, 19]", &[r#"{"A":"2024-05-06"}"#], &[r#"{"A":"2024-05-13"}"#]);
    refuses("A|cidr: 10.0.0.0/99", "is no network");
    refuses("A|hour: x", "`hour` takes a whole number");
}

#[test]
fn keywords_stand_anywhere_in_values_but_not_in_names() {
    let keywords = |text: &str| format!("sel:\n{text}\ncondition: sel\n");
    check_detection(&keywords("  - evil"), &[r#"{"a":{"b":["q","DEVILISH"]}}"#], &[r#"{"evil":"q"}"#, "{}"]);
    check_detection(&keywords("  - 4711"), &[r#"{"a":"no 4711 here"}"#], &[r#"{"a":"471"}"#]);
    check_detection(&keywords("  '|all': [foo, bar]"), &[r#"{"a":"foo","b":"bar"}"#], &[r#"{"a":"foo"}"#]);
    check_detection(&keywords("  '|re': 'b+c'"), &[r#"{"a":"xbbc"}"#], &[r#"{"a":"b"}"#]);
    check_detection("sel: evil\ncondition: sel\n", &[r#"{"a":"evil"}"#], &[r#"{"a":"e"}"#]);
    check_detection(&keywords("  - evil\n  - A: 1"), &[r#"{"a":"evil"}"#, r#"{"A":1}"#], &[r#"{"A":2}"#]);
    refuses("'|cidr': 10.0.0.0/8", "keywords are texts or regular expressions");
    refuses("'': ''", "an empty keyword would match everything");
}

#[test]
fn maps_are_and_lists_of_maps_are_or() {
    check("A: x\n  B: y", &[r#"{"A":"x","B":"y"}"#], &[r#"{"A":"x","B":"z"}"#]);
    check("- A: x\n  - B: y", &[r#"{"A":"x"}"#, r#"{"B":"y"}"#], &[r#"{"A":"y"}"#]);
    check("A|startswith: ab\n  A|endswith: yz", &[r#"{"A":"abyz"}"#], &[r#"{"A":"abz"}"#]);
    check("a.b: x", &[r#"{"a":{"b":"X"}}"#, r#"{"a.b":"x"}"#], &[r#"{"b":"x"}"#]);
}

#[test]
fn refuses_modifiers_that_are_unknown_or_out_of_place() {
    refuses("A|nosuch: 5", "test.yml:2:3: the modifier `nosuch` is unknown");
    refuses("A|expand: '%x%'", "test.yml:2:3: the modifier `expand` is not supported");
    refuses("A|contains|re: x", "the modifier `re` must be the first");
    refuses("A|cidr|contains: x", "the modifier `contains` does not apply here");
    refuses("A|i: x", "the modifier `i` does not apply here");
    refuses("A|re|cased: x", "the modifier `cased` does not apply here");
    refuses("A|: x", "the modifier `` is unknown");
    refuses("A|contains: null", "test.yml:2:15: null cannot stand here");
    refuses("A|gt: x", "test.yml:2:9: this comparison takes a number");
    refuses("A|exists: maybe", "`exists` takes true or false");
    refuses("A: []", "test.yml:2:6: the list of values is empty");
    refuses("A: [[x]]", "test.yml:2:7: a value must be a single value, not a list");
    refuses("A:\n    B: x", "a value must be a single value, not a map");
}

#[test]
fn a_condition_on_what_is_absent_holds_for_foreign_events() {
    check_detection("s:\n  A: 1\ncondition: not s\n", &[r#"{"X":1}"#], &[r#"{"A":1}"#]);
    check_detection("s:\n  A: 1\nt:\n  B: 1\ncondition: [s, t]\n", &[r#"{"B":1}"#], &[r#"{"C":1}"#]);
}
