//! A search engine that is who it says, and somebody who only says so.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::resolver::{self, PTR, Reply, reverse};
use crate::support::server::{Server, Start, command, new_folder, run};

/// How long the server may take for what it does by itself.
const SOON: Duration = Duration::from_secs(30);
/// Belongs to the operator.
const REAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// Has a name that says so, which leads elsewhere.
const FORGED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// Has no name.
const NAMELESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 11);
/// Nobody can say what name it has.
const UNKNOWN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 12);
const NAME: &str = "crawl-9.googlebot.com";

/// Answers as a resolver does on a bad day: what does not fit is to be asked again, and somebody guesses in between.
fn answer(name: &str, kind: u16) -> Reply {
    let addresses = |it| Box::new(Reply::Addresses(vec![it]));
    if kind != PTR {
        return if name == NAME { Reply::Guessed(addresses(FORGED), addresses(REAL)) } else { Reply::Silence };
    }
    match name {
        it if it == reverse(REAL.into()) => Reply::Truncated(Box::new(Reply::Names(vec![NAME]))),
        it if it == reverse(FORGED.into()) => Reply::Names(vec![NAME]),
        it if it == reverse(NAMELESS.into()) => Reply::NoName,
        _ => Reply::Fails,
    }
}

/// Sends a request of an access log; returns what the doors said of it.
fn send(server: &Server, client: Ipv4Addr, number: usize) -> Value {
    let event = json!({
        "client_ip": client.to_string(), "method": "GET", "path": format!("/page/{number}"), "status_code": 200,
        "user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "logsource": {"category": "webserver"},
    });
    let reply = server.call("POST", "/v1/events", &event.to_string());
    assert_eq!(reply.status, 202, "{reply:?}");
    let id = reply.json()["ids"][0].as_str().unwrap().to_owned();
    server.get(&format!("/v1/events/{id}"))["fields"].clone()
}

/// Sends requests until the doors say this of one.
fn send_until(server: &Server, client: Ipv4Addr, expected: &Value) {
    let started = Instant::now();
    while send(server, client, 0) != *expected {
        assert!(started.elapsed() < SOON, "the doors do not say {expected} of {client}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn rules_about(server: &Server, client: Ipv4Addr) -> Vec<String> {
    let alerts = server.get(&format!("/v1/alerts?client_ip={client}&limit=100"));
    alerts["items"].as_array().unwrap().iter().map(|it| it["rule_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_verified_crawler_is_neither_counted_nor_blocked_and_a_false_one_is() {
    let (folder, outside) = (new_folder(), new_folder());
    let resolver = resolver::start(Arc::new(answer));
    let config = outside.path().join("bartizan.toml");
    fs::write(&config, format!("[crawlers]\nresolver = \"{resolver}\"\n")).unwrap();
    let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
    let server = start.must();
    let data = start.data.to_str().unwrap();
    let real = REAL.to_string();
    let ban = ["decisions", "add", "--ip", &real, "--for", "1h", "--reason", "too many requests", "--data", data];
    // Before anybody asked, an address is as good as any other.
    run(&ban);
    assert_eq!(server.get("/v1/decisions")["items"].as_array().unwrap().len(), 1);

    send_until(&server, REAL, &json!({"http.verified_crawler": "googlebot"}));
    send_until(&server, FORGED, &json!({"http.false_crawler": "googlebot"}));
    send_until(&server, NAMELESS, &json!({"http.false_crawler": "googlebot"}));
    assert_eq!(send(&server, UNKNOWN, 0), Value::Null);
    let started = Instant::now();
    loop {
        let decision = server.get("/v1/decisions/1");
        if decision["ended"].is_object() {
            assert!(decision.to_string().contains("a verified crawler (googlebot)"), "{decision}");
            break;
        }
        assert!(started.elapsed() < SOON, "the crawler is not let go: {decision}");
        thread::sleep(Duration::from_millis(50));
    }
    let refused = command(&ban).output().unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && complaint.contains("a verified crawler (googlebot)"), "{complaint}");

    for number in 0..120 {
        send(&server, REAL, number);
        send(&server, FORGED, number);
    }
    server.settled_ledger();
    let forged = rules_about(&server, FORGED);
    for rule in ["hightraffic", "http-false-crawler"] {
        assert!(forged.iter().any(|it| it == rule), "{forged:?}");
    }
    assert_eq!(send(&server, UNKNOWN, 0), Value::Null, "whom nobody can name is neither");
    let real = rules_about(&server, REAL);
    assert!(real.is_empty(), "{real:?}");
}

#[test]
fn a_fetched_list_says_who_is_a_crawler_from_the_next_start_on() {
    let folder = new_folder();
    let start = Start::on(&folder.path().join("data"));
    let content = "[{\"pattern\":\"Thingy\"},{\"pattern\":\"^Other[0-9]+$\"}]";
    let sha256: String = Sha256::digest(content).iter().map(|it| format!("{it:02x}")).collect();
    let list = json!({
        "url": "https://lists.example/a.json", "licence": "MIT", "fetched_at": "2026-11-21T12:00:00Z", "sha256": sha256,
        "content": content,
    });
    let lists = start.data.join("lists");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("crawlers.json"), list.to_string()).unwrap();
    let server = start.must();
    for (agent, expected) in [
        ("Mozilla/5.0 Thingy/1", json!({"http.client": "crawler"})),
        ("Other17", json!({"http.client": "crawler"})),
        ("Mozilla/5.0 Firefox/105.0", Value::Null),
        ("sqlmap/1.7 Thingy", Value::Null),
    ] {
        let event = json!({
            "client_ip": "198.51.100.9", "method": "GET", "path": "/", "status_code": 200, "user_agent": agent,
            "http.client": "browser", "logsource": {"category": "webserver"},
        });
        let reply = server.call("POST", "/v1/events", &event.to_string());
        let id = reply.json()["ids"][0].as_str().unwrap().to_owned();
        assert_eq!(server.get(&format!("/v1/events/{id}"))["fields"], expected, "{agent}");
    }
}
