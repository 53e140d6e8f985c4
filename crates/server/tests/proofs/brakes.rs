//! What holds decisions of rules back, tried on the program.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::exchange;
use crate::support::server::{Server, Start, new_folder, run};

/// How long a decision may take.
const SOON: Duration = Duration::from_secs(30);

/// Sends requests of a client, all at one time: trusted ones with the key, others without one.
fn send(server: &Server, client: &str, count: usize, is_trusted: bool, time: &str) {
    let event = |number: usize| json!({"timestamp": time, "client_ip": client, "endpoint": format!("/{number}"), "method": "GET", "status_code": 200});
    if is_trusted {
        let events: Vec<Value> = (0..count).map(event).collect();
        assert_eq!(server.call("POST", "/v1/events", &json!(events).to_string()).status, 202);
        return;
    }
    for number in 0..count {
        let body = event(number).to_string();
        let request = format!(
            "POST /logs HTTP/1.1\r\nHost: bartizan\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(server.port, request.as_bytes()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Waits for a decision about a client, and returns its state and its brake.
fn decided(server: &Server, client: &str) -> (String, String) {
    let started = Instant::now();
    loop {
        let found = server.get(&format!("/v1/decisions?ip={client}&state=all"));
        if let Some(decision) = found["items"].as_array().unwrap().first() {
            let brake = decision["brake"]["name"].as_str().unwrap_or_default();
            return (decision["state"].as_str().unwrap().to_owned(), brake.to_owned());
        }
        assert!(started.elapsed() < SOON, "nothing is decided about {client}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A server in live mode that bans for one rule only and takes events from anybody; what it is told stands in `outside`.
fn live_server(folder: &TempDir, outside: &TempDir) -> Server {
    let config = outside.path().join("bartizan.toml");
    fs::write(&config, "[access]\nanonymous_ingest = \"loopback\"\n").unwrap();
    fs::write(
        outside.path().join("rules.toml"),
        "[default]\naction = \"none\"\n[rule.hightraffic]\naction = \"ban\"\n",
    )
    .unwrap();
    let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
    let server = start.must();
    run(&["decisions", "live", "--data", start.data.to_str().unwrap()]);
    server
}

#[test]
fn events_that_anybody_can_forge_block_nobody_however_they_are_mixed_with_others() {
    let folders = (new_folder(), new_folder());
    let server = live_server(&folders.0, &folders.1);
    let now = now_text();
    // The alert names the first ten and the last ten of these only.
    send(&server, "203.0.113.5", 40, true, &now);
    send(&server, "203.0.113.5", 40, false, &now);
    send(&server, "203.0.113.5", 40, true, &now);
    assert_eq!(decided(&server, "203.0.113.5"), ("held".to_owned(), "spoofable".to_owned()));
    send(&server, "203.0.113.6", 101, true, &now);
    assert_eq!(decided(&server, "203.0.113.6"), ("in_force".to_owned(), String::new()));
}

#[test]
fn clients_that_anybody_can_make_up_make_no_room_for_more_blocks() {
    let folders = (new_folder(), new_folder());
    let server = live_server(&folders.0, &folders.1);
    let now = now_text();
    // Of 400 clients two percent would be eight.
    (0..400).for_each(|it| send(&server, &format!("198.51.{}.{}", 100 + it / 200, it % 200), 1, false, &now));
    server.settled_ledger();
    for number in 1..=6 {
        let client = format!("203.0.113.{number}");
        send(&server, &client, 101, true, &now);
        let expected = if number <= 5 { ("in_force", "") } else { ("held", "share") };
        let (state, brake) = decided(&server, &client);
        assert_eq!((state.as_str(), brake.as_str()), expected, "{client}");
    }
}

#[test]
fn who_did_something_long_ago_is_not_kept_out_today() {
    let folder = new_folder();
    let start = Start::on(&folder.path().join("data"));
    let server = start.must();
    run(&["decisions", "live", "--data", start.data.to_str().unwrap()]);
    send(&server, "203.0.113.7", 150, true, "2020-01-01T12:00:00Z");
    send(&server, "203.0.113.8", 150, true, &now_text());
    assert_eq!(decided(&server, "203.0.113.8").0, "in_force");
    let alerts = server.get("/v1/alerts?client_ip=203.0.113.7");
    assert!(!alerts["items"].as_array().unwrap().is_empty(), "the old requests raise no alert");
    assert_eq!(server.get("/v1/decisions?ip=203.0.113.7&state=all")["items"], json!([]));
}

/// The present time, as logs write it.
fn now_text() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    model::time::Timestamp::from_seconds(since.as_secs().cast_signed()).unwrap().to_string()
}
