//! Rules of our own, loaded and run: what matches, where, and what it scores.

use attack::request::{Header, Request};
use proptest::prelude::*;
use seclang::detectors::Plain;
use seclang::evaluate::Scratch;
use seclang::load::{self, Refused};
use seclang::outcome::Outcome;
use seclang::rule_set::RuleSet;
use seclang::settings::{Exclusion, RuleSelector, Settings};

fn load(rules: &str, settings: &Settings) -> (RuleSet, Vec<Refused>) {
    let data = |name: &str| (name == "names.data").then(|| "# names\nalpha\nBeta\n".to_owned());
    load::load(&[("own.conf", rules)], &data, settings)
}

fn run(set: &RuleSet, request: &Request) -> Outcome {
    let mut outcome = Outcome::default();
    set.evaluate(request, Some([127, 0, 0, 1].into()), &Plain, &mut Scratch::default(), &mut outcome);
    outcome
}

fn get(target: &str) -> Request<'_> {
    Request {
        method: "GET",
        target: target.as_bytes(),
        version: "HTTP/1.1",
        has_all_headers: true,
        ..Request::default()
    }
}

/// The matches as `id target`, separated by commas.
fn shown(outcome: &Outcome) -> String {
    outcome.matches.iter().map(|it| format!("{} {}", it.id, it.target)).collect::<Vec<_>>().join(",")
}

#[track_caller]
fn check(rules: &str, request: &Request, expected: &str) {
    let (set, refused) = load(rules, &Settings::default());
    assert_eq!(refused, []);
    assert_eq!(shown(&run(&set, request)), expected);
}

#[track_caller]
fn check_body(rules: &str, content_type: &str, body: &str, expected: &str) {
    let headers = [Header { name: "Content-Type", value: content_type.as_bytes() }];
    let request = Request { method: "POST", headers: &headers, body: body.as_bytes(), ..get("/form") };
    check(rules, &request, expected);
}

#[test]
fn looks_at_the_parts_that_a_rule_names() {
    let rule = |targets: &str| format!("SecRule {targets} \"@rx evil\" \"id:1,phase:1,t:none,t:lowercase\"");
    let headers =
        [Header { name: "User-Agent", value: b"Evil/1" }, Header { name: "Cookie", value: b"a=evil; evil=b" }];
    let request = Request { headers: &headers, ..get("/evil/evil.txt?x=%65vil&EVIL=1") };
    check(&rule("ARGS"), &request, "1 ARGS:x");
    check(&rule("ARGS_NAMES"), &request, "1 ARGS_NAMES:EVIL");
    check(&rule("ARGS|!ARGS:x"), &request, "");
    check(&rule("REQUEST_HEADERS"), &request, "1 REQUEST_HEADERS:User-Agent,1 REQUEST_HEADERS:Cookie");
    check(&rule("REQUEST_HEADERS|!REQUEST_HEADERS:/^cook/"), &request, "1 REQUEST_HEADERS:User-Agent");
    check(&rule("REQUEST_HEADERS:user-agent"), &request, "1 REQUEST_HEADERS:User-Agent");
    check(&rule("REQUEST_COOKIES"), &request, "1 REQUEST_COOKIES:a");
    check(&rule("REQUEST_COOKIES_NAMES"), &request, "1 REQUEST_COOKIES_NAMES:evil");
    check(&rule("REQUEST_BASENAME|REQUEST_FILENAME"), &request, "1 REQUEST_BASENAME,1 REQUEST_FILENAME");
    check(&rule("QUERY_STRING"), &request, "1 QUERY_STRING");
    check(&rule("REQUEST_LINE|REQUEST_METHOD"), &request, "1 REQUEST_LINE");
}

#[test]
fn reads_the_forms_of_bodies() {
    let rule =
        "SecRule ARGS|ARGS_NAMES|FILES|XML:/*|XML://@*|MULTIPART_PART_HEADERS \"@contains evil\" \"id:1,phase:2\"";
    check_body(rule, "application/x-www-form-urlencoded", "a=%65vil&b=c", "1 ARGS:a");
    check_body(rule, "application/json", "{\"a\":{\"b\":[1,\"\\u0065vil\"]}}", "1 ARGS:json.a.b.1");
    check_body(rule, "application/json", "{\"evil\":null, broken", "1 ARGS_NAMES:json.evil");
    check_body(rule, "text/xml", "<a b='evil'>no<![CDATA[evil]]></a>", "1 XML:/*,1 XML://@*");
    let part = "--x\r\nContent-Disposition: form-data; name=\"n\"; filename=\"evil.sh\"\r\n\r\nevil\r\n--x--\r\n";
    let expected = "1 FILES:n,1 MULTIPART_PART_HEADERS:n";
    check_body(rule, "multipart/form-data; boundary=x", part, expected);
    check_body(rule, "text/plain", "evil", "");
}

#[test]
fn undoes_encodings_one_after_the_other_and_between() {
    let chain = "t:none,t:urlDecodeUni,t:htmlEntityDecode";
    check(&format!("SecRule ARGS \"@streq <\" \"id:1,phase:2,{chain}\""), &get("/?a=%2526lt;"), "1 ARGS:a");
    // What is there only before the last step is seen with `multiMatch`.
    let request = get("/?a=%26amp%3Blt;");
    check(&format!("SecRule ARGS \"@rx amp\" \"id:1,phase:2,{chain}\""), &request, "");
    check(&format!("SecRule ARGS \"@rx amp\" \"id:1,phase:2,{chain},multiMatch\""), &request, "1 ARGS:a");
}

#[test]
fn looks_for_phrases_of_files_and_addresses() {
    check("SecRule ARGS \"@pmFromFile names.data\" \"id:1,phase:2\"", &get("/?a=xBETAx&b=c"), "1 ARGS:a");
    check("SecRule REMOTE_ADDR \"@ipMatch 127.0.0.0/8\" \"id:1,phase:1\"", &get("/"), "1 REMOTE_ADDR");
    check("SecRule ARGS \"@validateByteRange 32-126\" \"id:1,phase:2\"", &get("/?a=%01&b=c"), "1 ARGS:a");
    check("SecRule ARGS \"@validateUtf8Encoding\" \"id:1,phase:2\"", &get("/?a=%ff&b=%c3%a4"), "1 ARGS:a");
    check("SecRule ARGS \"@detectSQLi\" \"id:1,phase:2\"", &get("/?a=1%27+or+1=1--&b=O'Brien"), "1 ARGS:a");
    check("SecRule ARGS \"@detectXSS\" \"id:1,phase:2\"", &get("/?a=<svg/onload=f()>&b=a<b"), "1 ARGS:a");
    check("SecRule &ARGS \"@gt 1\" \"id:1,phase:2\"", &get("/?a=1&b=2"), "1 ARGS");
    check("SecRule ARGS \"!@within a b\" \"id:1,phase:2\"", &get("/?x=a&y=c"), "1 ARGS:y");
}

#[test]
fn a_chain_needs_every_link_and_hands_its_finds_on() {
    let rules = "SecRule ARGS \"@rx ^(\\w+)=(\\w+)$\" \"id:1,phase:2,capture,chain,msg:'%{TX.1} in %{MATCHED_VAR_NAME}'\"\n\
                 SecRule TX:1 \"@streq %{TX.2}\" \"chain\"\n\
                 SecRule MATCHED_VARS|ARGS \"@rx =\" \"t:none\"";
    check(rules, &get("/?a=1=1"), "1 ARGS:a");
    check(rules, &get("/?a=1=2"), "");
    let (set, _) = load(rules, &Settings::default());
    assert_eq!(run(&set, &get("/?a=1=1")).matches[0].message, "1 in ARGS:a");
}

#[test]
fn skips_to_markers_and_switches_rules_off() {
    let rules = "SecRule ARGS:skip \"@eq 1\" \"id:1,phase:2,nolog,skipAfter:END\"\n\
                 SecRule ARGS:off \"@eq 1\" \"id:2,phase:1,nolog,ctl:ruleRemoveByTag=mine,ctl:ruleRemoveTargetById=4;ARGS:x\"\n\
                 SecRule ARGS:x \"@rx e\" \"id:3,phase:2,tag:'mine'\"\n\
                 SecMarker END\n\
                 SecRule ARGS \"@rx e\" \"id:4,phase:2\"";
    check(rules, &get("/?x=e"), "3 ARGS:x,4 ARGS:x");
    check(rules, &get("/?x=e&skip=1"), "4 ARGS:x");
    check(rules, &get("/?x=e&y=e&off=1"), "4 ARGS:y");
}

#[test]
fn adds_up_scores_for_each_value_and_blocks_at_the_threshold() {
    let rules = "SecAction \"id:1,phase:1,nolog,setvar:tx.five=5\"\n\
                 SecRule ARGS \"@rx e\" \"id:2,phase:2,block,severity:'CRITICAL',setvar:'tx.blocking_inbound_anomaly_score=+%{tx.five}'\"\n\
                 SecRule TX:BLOCKING_INBOUND_ANOMALY_SCORE \"@ge %{tx.inbound_anomaly_score_threshold}\" \"id:3,phase:2,deny\"";
    let settings = Settings { anomaly_threshold: Some(10), ..Settings::default() };
    let (set, _) = load(rules, &settings);
    let outcome = run(&set, &get("/?a=e"));
    assert_eq!((outcome.anomaly_score, outcome.is_blocked), (5, false));
    let outcome = run(&set, &get("/?a=e&b=e"));
    assert_eq!((outcome.anomaly_score, outcome.is_blocked), (10, true));
}

#[test]
fn leaves_out_what_is_above_the_paranoia_level() {
    let rules = "SecRule ARGS \"@rx e\" \"id:1,phase:2,tag:'paranoia-level/1'\"\n\
                 SecRule ARGS \"@rx e\" \"id:2,phase:2,tag:'paranoia-level/3'\"";
    let ids = |level| {
        let (set, refused) = load(rules, &Settings { paranoia_level: level, ..Settings::default() });
        assert!(refused.is_empty());
        (set.ids().collect::<Vec<_>>(), set.left_out())
    };
    assert_eq!(ids(None), (vec![1], 1));
    assert_eq!(ids(Some(2)), (vec![1], 1));
    assert_eq!(ids(Some(3)), (vec![1, 2], 0));
}

#[test]
fn an_exclusion_hides_the_alarm_it_was_made_from_and_no_other() {
    let rules = "SecRule ARGS|REQUEST_HEADERS \"@rx evil\" \"id:7,phase:2,tag:'attack-x',msg:'Evil found'\"";
    let request = get("/?q=evil&r=evil");
    let (set, _) = load(rules, &Settings::default());
    let alarm = run(&set, &request).matches.remove(0);
    let check = |selector: RuleSelector, target: Option<&str>, expected: &str| {
        let exclusion = Exclusion { rules: selector, target: target.map(str::to_owned) };
        let (set, refused) = load(rules, &Settings { exclusions: vec![exclusion], ..Settings::default() });
        assert_eq!(refused, []);
        assert_eq!(shown(&run(&set, &request)), expected);
    };
    check(RuleSelector::Ids(alarm.id..=alarm.id), Some(&alarm.target), "7 ARGS:r");
    check(RuleSelector::Tag(alarm.tags[0].to_string()), Some(&alarm.target), "7 ARGS:r");
    check(RuleSelector::Message("Evil".to_owned()), Some("ARGS:/^[qr]$/"), "");
    check(RuleSelector::Ids(1..=9), None, "");
    let lost = Exclusion { rules: RuleSelector::Ids(8..=8), target: None };
    let (_, refused) = load(rules, &Settings { exclusions: vec![lost], ..Settings::default() });
    assert_eq!(refused.len(), 1, "an exclusion that does nothing is told");
}

#[test]
fn directives_change_rules_before_them() {
    let rules = "SecRule ARGS \"@rx e\" \"id:1,phase:2\"\n\
                 SecRule ARGS \"@rx e\" \"id:2,phase:2,tag:'gone'\"\n\
                 SecRule ARGS:a \"@rx e\" \"id:3,phase:2\"\n\
                 SecRuleUpdateTargetById 1 \"!ARGS:a\"\n\
                 SecRuleUpdateTargetById 3 \"ARGS:b\"\n\
                 SecRuleRemoveByTag gone";
    check(rules, &get("/?a=e&b=e"), "1 ARGS:b,3 ARGS:a,3 ARGS:b");
}

#[test]
fn lists_what_it_does_not_understand_and_runs_the_rest() {
    let rules = "SecRule ARGS \"@rx e\" \"id:1,phase:2\"\n\
                 SecRule RESPONSE_BODY \"@rx e\" \"id:2,phase:4\"\n\
                 SecRule ARGS \"@geoLookup\" \"id:3,phase:2,chain\"\n\
                 SecRule ARGS \"@rx e\" \"t:none\"\n\
                 SecRule ARGS \"@rx (?=e)\" \"id:4,phase:2\"\n\
                 SecRule ARGS \"@rx e\" \"id:5,phase:2,skipAfter:NOWHERE\"\n\
                 SecFoo bar\n\
                 SecRule ARGS \"@rx e\" \"phase:2\"\n\
                 SecRule ARGS \"@rx e\" \"id:6,phase:2,chain\"";
    let (set, refused) = load(rules, &Settings::default());
    assert_eq!(set.ids().collect::<Vec<_>>(), [1]);
    let mut told: Vec<(u32, Option<u32>)> = refused.iter().map(|it| (it.line, it.rule)).collect();
    told.sort_unstable();
    let expected = [(2, Some(2)), (3, Some(3)), (5, Some(4)), (6, Some(5)), (7, None), (8, None), (9, Some(6))];
    assert_eq!(told, expected, "{refused:?}");
    assert!(refused.iter().any(|it| it.rule == Some(2) && it.reason == "not evaluated: response"));
}

#[test]
fn a_log_does_not_miss_header_fields_that_it_never_has() {
    let rules = "SecRule &REQUEST_HEADERS:Host \"@eq 0\" \"id:1,phase:1\"";
    check(rules, &get("/"), "1 REQUEST_HEADERS:host");
    check(rules, &Request { has_all_headers: false, ..get("/") }, "");
}

#[test]
fn says_when_a_limit_left_something_out() {
    let (set, _) = load("SecRule ARGS \"@rx e\" \"id:1,phase:2\"", &Settings::default());
    let headers = [Header { name: "Content-Type", value: b"application/x-www-form-urlencoded" }];
    let body = "a=e&".repeat(seclang::body::BODY_BYTES_MAX / 4 + 1);
    let outcome = run(&set, &Request { method: "POST", headers: &headers, body: body.as_bytes(), ..get("/") });
    assert!(outcome.is_truncated);
    assert_eq!(outcome.matches.len(), Outcome::MATCHES_MAX);
    assert!(!run(&set, &get("/?a=e")).is_truncated);
}

/// Rules of many shapes: literals, choices, signs, transformations, phrases.
const SHAPES: &str = r#"
SecRule ARGS|REQUEST_BODY "@rx (?i)ab[;c]+d?" "id:1,phase:2,t:none,t:urlDecodeUni"
SecRule ARGS "@rx ^(?:a|b;)*c$" "id:2,phase:2,t:lowercase"
SecRule ARGS "@rx (?:ab|cd){2}" "id:3,phase:2,t:none,t:removeWhitespace,t:lowercase,multiMatch"
SecRule ARGS "@rx [;%]{2}|d\+" "id:4,phase:2,t:urlDecodeUni,t:htmlEntityDecode"
SecRule ARGS "@pm abc dd ;" "id:5,phase:2,t:cmdLine"
"#;

proptest! {
    #[test]
    fn the_prefilter_loses_nothing(text in "[abcdABCD;%+& 0-9]{0,16}") {
        let (set, refused) = load(SHAPES, &Settings::default());
        prop_assert!(refused.is_empty());
        prop_assert_eq!(set.lost_by_prefilter(text.as_bytes()), Vec::<u32>::new());
    }

    #[test]
    fn no_file_and_no_request_is_a_panic(
        rules in "(SecRule|SecAction|SecMarker) [A-Z:&!|/a-z]{0,12} \"[@!a-z (\\[\\\\]{0,10}\" \"[a-z:,=%{}.'0-9]{0,20}",
        target in "/[ -~]{0,40}",
        kind in prop::sample::select(vec!["application/json", "text/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]),
        body in "[ -~\r\n]{0,80}",
    ) {
        let _ = load(&rules, &Settings::default());
        let (set, _) = load(SHAPES, &Settings::default());
        let headers = [Header { name: "Content-Type", value: kind.as_bytes() }];
        run(&set, &Request { headers: &headers, body: body.as_bytes(), ..get(&target) });
    }
}
