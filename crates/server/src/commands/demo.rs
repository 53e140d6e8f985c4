//! The traffic of `bartizan demo`: quiet users, and attackers of several kinds, each marked synthetic.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use model::intake::{Events, Submission};
use model::time::Timestamp;
use normalize::forms;
use normalize::reading::{Ids, Reading};
use pipeline::ingest::{Ingest, now};
use serde_json::{Value, json};
use sources::files::stop::Stop;

/// The input under which the traffic is found in the ledger.
const INPUT: &str = "demo";
/// How often events are made.
const EVERY: Duration = Duration::from_millis(250);
/// After how many turns the attackers come again, from other addresses.
const ROUND: u64 = 240;
const PAGES: [&str; 8] =
    ["/", "/products", "/products/42", "/cart", "/about", "/assets/app.js", "/assets/app.css", "/search?q=lamp"];
const PROBED: [&str; 6] =
    ["/.env", "/wp-admin/setup.php", "/phpmyadmin/", "/actuator/health", "/admin", "/swagger/index.html"];

/// Feeds `ingest` until `stop`.
pub(crate) fn spawn(ingest: Arc<Ingest>, stop: Stop) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut turn = 0;
        while !stop.is_said_within(EVERY) {
            let records = turn_of(turn, now());
            let submission = Submission { input: Arc::from(INPUT), events: encode(&records), ..Submission::default() };
            if let Err(error) = ingest.submit_blocking(submission) {
                tracing::warn!(reason = %error, "A turn of the demo was not taken");
            }
            turn += 1;
        }
    })
}

fn encode(records: &[Value]) -> Events {
    let now = now();
    let reading = Reading { input: INPUT, received: Some(now), now, synthetic: true, ids: Ids::New };
    let mut events = Events::default();
    for (place, record) in records.iter().enumerate() {
        if forms::event::read(record.to_string().as_bytes(), place as u64, &reading, &mut events.bytes).is_ok() {
            events.close();
        }
    }
    events
}

/// The records of one turn: what they are is written in `label`.
fn turn_of(turn: u64, now: Timestamp) -> Vec<Value> {
    let (round, step) = (turn / ROUND, turn % ROUND);
    let attacker = |kind: u64| format!("203.0.113.{}", (round * 8 + kind) % 250 + 1);
    let log = |label: &str, ip: &str, method: &str, path: &str, status: u64, ago_ms: u64| {
        let time = now.minus(Duration::from_millis(ago_ms)).to_string();
        json!({"time": time, "client_ip": ip, "method": method, "path": path, "status_code": status, "source": "demo-shop",
               "user_agent": "Mozilla/5.0 (demo)", "label": label})
    };
    let quiet = |number: u64| {
        let user = (turn * 7 + number * 13) % 40;
        log("quiet", &format!("198.51.100.{}", user + 1), "GET", PAGES[((turn + number * 3) % 8) as usize], 200, number)
    };
    let mut records: Vec<Value> = (0..3).map(quiet).collect();
    match step {
        4..=11 => records.push(log("brute-force", &attacker(0), "POST", "/account/login", 401, 0)),
        16..=25 => {
            let ip = attacker(1);
            records
                .extend((0..3).map(|it| log("scan", &ip, "GET", &format!("/backup-{}.zip", step * 3 + it), 404, it)));
            if step == 20 {
                records.extend(PROBED.iter().map(|it| log("scan", &ip, "GET", it, 404, 0)));
            }
        }
        30 => {
            let message = "query failed near: id=1' UNION SELECT login, password FROM users --";
            records.push(json!({"timestamp": now.to_string(), "source": "demo-db", "ip": attacker(2), "message": message, "label": "injection"}));
        }
        36..=43 => {
            let ip = attacker(3);
            records.extend((0..20).map(|it| log("flood", &ip, "GET", "/search?q=a", 200, it * 10)));
        }
        _ => {}
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_an_event_and_synthetic() {
        for turn in 0..ROUND {
            let records = turn_of(turn, now());
            let events = encode(&records);
            assert_eq!(events.len(), records.len(), "turn {turn}");
            let is_synthetic = |it: &[u8]| {
                model::event::EventView::of(it).is_some_and(|it| it.flags.has(model::event::EventFlags::SYNTHETIC))
            };
            assert!(events.iter().all(is_synthetic));
        }
    }
}
