//! The Core Rule Set beside our own inspection, with rules of our own in its language.

use gateway::crs::Crs;
use gateway::route::{Mode, RouteSettings};
use gateway::settings::Settings;
use seclang::settings::{Exclusion, RuleSelector};

use crate::support::{Does, Event, Running, start, status, upstream};

/// Two rules that add to the score, and one that looks at it, as in the Core Rule Set.
const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule ARGS "@contains moon" "id:101,phase:2,block,t:lowercase,msg:'Moon in an argument',tag:'attack-moon',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+5'"
SecRule ARGS_NAMES "@streq star" "id:102,phase:2,block,msg:'Star as a name',tag:'attack-star',severity:'NOTICE',setvar:'tx.inbound_anomaly_score_pl1=+2'"
SecRule TX:INBOUND_ANOMALY_SCORE_PL1 "@ge 5" "id:949110,phase:2,deny,msg:'Too high',tag:'anomaly-evaluation'"
"#;

fn crs(exclusions: Vec<Exclusion>) -> Crs {
    let settings = seclang::settings::Settings { exclusions, ..Default::default() };
    let (set, refused) = seclang::load::load(&[("own.conf", RULES)], &|_| None, &settings);
    assert_eq!(refused, []);
    Crs::new(set, Some(5))
}

async fn with_rules(exclusions: Vec<Exclusion>) -> Running {
    let upstream = upstream(Does::Echo).await;
    let change = |settings: &mut Settings| {
        settings.policy.crs = Some(crs(exclusions));
        let route = &mut settings.policy.routes[0];
        route.mode = Mode::Block;
        let without = RouteSettings { path: "/without".to_owned(), crs: false, ..route.clone() };
        settings.policy.routes.push(without);
    };
    start(&[upstream.address], change).await
}

#[tokio::test]
async fn a_rule_that_matches_is_told_of_and_blocks_from_its_threshold_on() {
    let running = with_rules(Vec::new()).await;
    assert_eq!(status(&running.get("/?q=Full%20Moon&star=1", "").await), 403);
    let events = running.events(3).await;
    let json = &events[0].json;
    assert_eq!((&json["http.crs_rules"], &json["http.action"]), (&serde_json::json!([101, 102]), &"block".into()));
    assert_eq!(json["http.crs_evidence"][0], "101 in ARGS:q: Moon in an argument: full moon");
    assert_eq!(json["http.crs_exclude"], serde_json::json!(["101 ARGS:q", "102 ARGS_NAMES:star"]));
    let triggered = |event: &Event| {
        let json = &event.json;
        assert!(event.is_finding && json["EventType"] == 20 && json["RequestId"] == events[0].id.as_str(), "{json}");
        (json["CrsRule"].clone(), json["CrsTags"][0].clone(), json["CrsSeverity"].clone(), json["Severity"].clone())
    };
    assert_eq!(triggered(&events[1]), (101.into(), "attack-moon".into(), "CRITICAL".into(), 3.into()));
    assert_eq!(triggered(&events[2]), (102.into(), "attack-star".into(), "NOTICE".into(), 0.into()));
}

#[tokio::test]
async fn below_the_threshold_it_is_only_told_of_and_elsewhere_not_asked() {
    let running = with_rules(Vec::new()).await;
    assert_eq!(status(&running.get("/?star=1", "").await), 200);
    assert_eq!(running.events(2).await[0].json["http.action"], "pass");
    assert_eq!(status(&running.get("/without?q=moon", "").await), 200);
    assert_eq!(running.events(3).await[2].json.get("http.crs_score"), None);
    assert_eq!(status(&running.get("/?q=sun", "").await), 200);
    let json = &running.events(4).await[3].json;
    assert_eq!((json["http.crs_score"].as_u64(), json.get("http.crs_rules")), (Some(0), None));
}

/// An exclusion that is made of an alarm takes that alarm away, and no other.
async fn check_exclusion(rules: impl FnOnce(&Event) -> RuleSelector, has_target: bool) {
    let running = with_rules(Vec::new()).await;
    assert_eq!(status(&running.get("/?q=moon", "").await), 403);
    let alarm = running.events(2).await.remove(1);
    let target = has_target.then(|| alarm.json["CrsTarget"].as_str().unwrap().to_owned());
    let running = with_rules(vec![Exclusion { rules: rules(&alarm), target }]).await;
    assert_eq!(status(&running.get("/?q=moon", "").await), 200);
    assert_eq!(status(&running.get("/?other=moon", "").await), if has_target { 403 } else { 200 });
}

fn id_of(alarm: &Event) -> RuleSelector {
    let id = u32::try_from(alarm.json["CrsRule"].as_u64().unwrap()).unwrap();
    RuleSelector::Ids(id..=id)
}

#[tokio::test]
async fn an_exclusion_made_of_an_alarm_takes_it_away() {
    check_exclusion(id_of, true).await;
    check_exclusion(id_of, false).await;
    check_exclusion(|alarm| RuleSelector::Tag(alarm.json["CrsTags"][0].as_str().unwrap().to_owned()), true).await;
}
