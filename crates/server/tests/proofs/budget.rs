//! A rule that costs too much is suspended at a place in the log, an alert names it, the other rules go on, and changed rules are
//! evaluated again.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::{Server, Start, new_folder};

/// How many patterns the dear rule has; each looks at every byte of a path.
const PATTERNS: usize = 100;
/// How long the paths are that it is asked about, in bytes, and how many there are: enough to judge a rule by.
const PATH_BYTES: usize = 60_000;
const PATHS: usize = 120;
/// How many are sent at once.
const BATCH: usize = 20;
/// How long anything here may take, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(90);

fn rule(name: &str, title: &str, selections: &str, condition: &str) -> String {
    format!(
        "title: {title}\nname: {name}\nlogsource:\n  category: webserver\ndetection:\n  marked:\n    path: /{name}\n{selections}  condition: {condition}\n"
    )
}

/// A rule whose patterns never match and never give up early.
fn dear(title: &str) -> String {
    let mut patterns = String::from("  many:\n    path|re:\n");
    for number in 0..PATTERNS {
        // Nothing in it is a literal that could be looked for first.
        writeln!(patterns, "      - '[a-z]{{{}}}[^a-z0-9/]{{{}}}'", 1 + number / 5, 1 + number % 5)
            .expect("it is a text");
    }
    rule("dear", title, &patterns, "marked or many")
}

fn event(path: &str, client: usize) -> String {
    format!(r#"{{"client_ip":"198.18.4.{client}","method":"GET","path":"{path}","status_code":200}}"#)
}

fn send(server: &Server, events: &str) {
    let reply = server.call("POST", "/v1/events", events);
    assert_eq!(reply.status, 202, "{reply:?}");
}

/// Waits until this many rules are suspended.
#[track_caller]
fn wait_for_suspended(server: &Server, count: usize) {
    let (began, line) = (Instant::now(), format!("bartizan_rules_suspended {count}\n"));
    while !String::from_utf8_lossy(&server.call("GET", "/metrics", "").body).contains(&line) {
        assert!(began.elapsed() < PATIENCE, "never `{}`", line.trim());
        thread::sleep(Duration::from_millis(100));
    }
    server.settled_ledger();
}

/// Sends an event that a rule is looking for; whether the rule found it.
#[track_caller]
fn finds(server: &Server, name: &str, client: usize) -> bool {
    send(server, &event(&format!("/{name}"), client));
    server.settled_ledger();
    let alerts = server.get(&format!("/v1/alerts?type={name}"));
    let address = format!("198.18.4.{client}");
    alerts["items"].as_array().expect("it is a list").iter().any(|it| it["client_ip"] == address.as_str())
}

fn start(folder: &Path) -> Server {
    let config = folder.join("budget.toml");
    let text = format!("[rules]\nfolders = [\"{}\"]\n", folder.join("rules").display());
    fs::write(&config, text).expect("it can be written");
    Start { config: Some(config), ..Start::on(&folder.join("data")) }.must()
}

#[test]
fn a_rule_that_costs_too_much_is_suspended_and_named_until_the_rules_change() {
    let folder = new_folder();
    let rules = folder.path().join("rules");
    fs::create_dir(&rules).expect("it can be made");
    fs::write(rules.join("dear.yml"), dear("Dear")).expect("it can be written");
    fs::write(rules.join("cheap.yml"), rule("cheap", "Cheap", "", "marked")).expect("it can be written");
    let server = start(folder.path());
    assert!(finds(&server, "dear", 1) && finds(&server, "cheap", 1));

    for _ in 0..PATHS / BATCH {
        send(&server, &format!("{}\n", event(&"evil1".repeat(PATH_BYTES / 5), 2)).repeat(BATCH));
    }
    wait_for_suspended(&server, 1);
    let alerts = server.get("/v1/alerts?type=rule-suspended");
    let alarms = alerts["items"].as_array().expect("it is a list");
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!((&alarms[0]["entity"]["value"], &alarms[0]["severity"]), (&"dear".into(), &"high".into()), "{alarms:?}");
    assert!(!finds(&server, "dear", 3) && finds(&server, "cheap", 3));

    // What a replay finds is the same: the suspension has its place in the log.
    let before = server.canonical_export();
    server.kill();
    let _ = fs::remove_dir_all(folder.path().join("data/snapshots"));
    let server = start(folder.path());
    assert_eq!(server.canonical_export(), before);

    // A start takes the rules as they are; the patterns are found to be dear again, and a change of the rules frees them.
    for _ in 0..PATHS / BATCH {
        send(&server, &format!("{}\n", event(&"evil1".repeat(PATH_BYTES / 5), 2)).repeat(BATCH));
    }
    wait_for_suspended(&server, 1);
    fs::write(rules.join("dear.yml"), dear("Dear, and changed")).expect("it can be written");
    wait_for_suspended(&server, 0);
    assert!(finds(&server, "dear", 4));
    server.stop();
}
