//! The same events give the same alerts, byte for byte: in one batch or many, slowly or at once, out of order as far as
//! the lateness allows, with the process killed in between, and read from a file.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::checks::{check_ledger, check_same_alerts};
use crate::support::corpus::{BASE_MS, access_log, message, stamp};
use crate::support::random::Random;
use crate::support::sender::Sent;
use crate::support::server::{Server, Start, new_folder, run};

const SEED: u64 = 20_261_122;
const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3_600_000;
/// How far an event may be moved; well below the lateness of 120 s.
const SHUFFLED_MS: u64 = 30_000;
/// How long an address whose clock jumps is silent around the jump: longer than events are moved.
const SILENCE_MS: i64 = 60_000;
/// How many events the flood has; more than a window keeps.
const FLOOD: i64 = 1500;
/// How many requests of everyday there are.
const EVERYDAY: usize = 2500;
/// 1970-01-01 and 2099-12-31, in milliseconds.
const FAR_MS: [i64; 2] = [10 * SECOND_MS, 4_102_358_400_000];

/// An event and when it arrives, in milliseconds since 1970.
#[derive(Clone)]
struct Arrival {
    at_ms: i64,
    is_ahead: bool,
    event: Sent,
}

/// Collects arrivals and gives them ids.
#[derive(Default)]
struct Corpus(Vec<Arrival>);

impl Corpus {
    fn id(&self) -> String {
        format!("d-{:06}", self.0.len())
    }

    /// A request that arrives when it happened, but for `clock_ms`, by which its clock is wrong.
    fn request(&mut self, at_ms: i64, clock_ms: i64, address: &str, status: u64, path: &str) {
        let event = access_log(&self.id(), at_ms + clock_ms, address, status, path);
        self.0.push(Arrival { at_ms, is_ahead: false, event });
    }

    fn message(&mut self, at_ms: i64, address: &str, text: &str) {
        let event = message(&self.id(), at_ms, address, text);
        self.0.push(Arrival { at_ms, is_ahead: false, event });
    }

    /// Requests of 1970 and of 2099: of an address of their own, and of one that has newer events.
    fn far_times(&mut self) {
        for (address, at_ms) in [("203.0.113.70", BASE_MS), ("203.0.113.3", BASE_MS + 900 * SECOND_MS)] {
            for far_ms in FAR_MS {
                for number in 0..7 {
                    let ms = far_ms + number * SECOND_MS;
                    let event = access_log(&self.id(), ms, address, 401, "/.env");
                    self.0.push(Arrival { at_ms, is_ahead: BASE_MS < far_ms, event });
                }
            }
        }
    }

    /// Refused passwords of a clock that is set forward by an hour, and then back again.
    fn jumps(&mut self) {
        let mut at_ms = BASE_MS;
        for clock_ms in [0, HOUR_MS, 0, -HOUR_MS, HOUR_MS] {
            for number in 0..20 {
                at_ms += 2 * SECOND_MS;
                self.request(at_ms, clock_ms, "203.0.113.80", 401, "/login");
                self.request(at_ms, clock_ms, "203.0.113.81", 200, &format!("/jump/{number}"));
            }
            at_ms += SILENCE_MS;
        }
    }

    fn attacks(&mut self, random: &mut Random) {
        for number in 0..FLOOD {
            self.request(BASE_MS + 300 * SECOND_MS + number * 37, 0, "203.0.113.90", 200, "/");
        }
        for attack in 0..30_u64 {
            let address = format!("203.0.113.{}", 10 + attack % 12);
            let mut at_ms = BASE_MS + random.between(0, 3_000_000).cast_signed();
            for _ in 0..random.between(3, 14) {
                at_ms += random.between(500, 14_000).cast_signed();
                self.request(at_ms, 0, &address, 401, "/login");
            }
        }
        for number in 0..70 {
            let path = format!("/secret/{}", number % 45);
            self.request(BASE_MS + 700 * SECOND_MS + number * 1100, 0, "203.0.113.91", 404, &path);
        }
        for text in
            ["Failed login for admin", "id=1 UNION SELECT password", "curl http://example.org", "user logged in"]
        {
            for _ in 0..20 {
                let at_ms = BASE_MS + random.between(0, 600_000).cast_signed();
                self.message(at_ms, &format!("203.0.113.{}", random.between(100, 104)), text);
            }
        }
    }

    fn everyday(&mut self, random: &mut Random) {
        for _ in 0..EVERYDAY {
            let at_ms = BASE_MS + random.between(0, 3_000_000).cast_signed();
            let address = format!("203.0.113.{}", random.between(1, 9));
            let status = [200, 200, 200, 304, 404, 401, 500][random.between(0, 7) as usize];
            // Several events of one instant: their order must not matter either.
            let at_ms = at_ms - at_ms % 500;
            self.request(at_ms, 0, &address, status, &format!("/page/{}", random.between(0, 30)));
        }
    }
}

/// The corpus in the order of arrival.
fn corpus() -> Vec<Arrival> {
    let (mut corpus, mut random) = (Corpus::default(), Random(SEED));
    corpus.far_times();
    corpus.jumps();
    corpus.attacks(&mut random);
    corpus.everyday(&mut random);
    corpus.0.sort_by_key(|it| it.at_ms);
    corpus.0
}

/// The same events, each moved by up to [`SHUFFLED_MS`].
fn shuffled(mut arrivals: Vec<Arrival>, seed: u64) -> Vec<Arrival> {
    let mut random = Random(seed);
    arrivals.sort_by_cached_key(|it| it.at_ms + random.between(0, SHUFFLED_MS).cast_signed());
    arrivals
}

/// Splits events into batches of a size that `size` gives anew for each.
fn batches(arrivals: &[Arrival], mut size: impl FnMut() -> usize) -> Vec<String> {
    let (mut bodies, mut rest) = (Vec::new(), arrivals);
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(size().min(rest.len()));
        bodies.push(ndjson(batch));
        rest = behind;
    }
    bodies
}

fn ndjson(arrivals: &[Arrival]) -> String {
    arrivals.iter().map(|it| format!("{}\n", it.event.body)).collect()
}

#[track_caller]
fn send(server: &Server, body: &str) {
    let reply = server.call("POST", "/v1/events", body);
    assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
}

/// Sends the bodies with `before` each to a server of their own; returns the canonical export.
fn export_of(bodies: &[String], mut before: impl FnMut(usize)) -> String {
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    for (number, body) in bodies.iter().enumerate() {
        before(number);
        send(&server, body);
    }
    check_ledger(&server.settled_ledger(), corpus().len());
    server.canonical_export()
}

fn export_of_one_batch() -> String {
    export_of(&[ndjson(&corpus())], |_| {})
}

/// What every other run is compared with.
static EXPECTED: LazyLock<String> = LazyLock::new(export_of_one_batch);

#[test]
fn the_size_of_batches_changes_nothing() {
    for rule in ["bruteforce", "hightraffic", "http-distinct-paths", "message-brute-force", "http-sensitive-path"] {
        assert!(EXPECTED.contains(&format!(r#""rule_id":"{rule}""#)), "the corpus does not make `{rule}` fire");
    }
    let mut random = Random(SEED + 1);
    let small = batches(&corpus(), || random.between(1, 51) as usize);
    check_same_alerts(&export_of(&small, |_| {}), &EXPECTED, "batches of 1 to 50");
    check_same_alerts(&export_of_one_batch(), &EXPECTED, "the same again");
}

#[test]
fn the_order_of_arrival_changes_nothing_within_the_lateness() {
    for seed in 1..=3 {
        let bodies = batches(&shuffled(corpus(), seed), || 100);
        check_same_alerts(&export_of(&bodies, |_| {}), &EXPECTED, &format!("shuffled, seed {seed}"));
    }
}

#[test]
fn the_pace_changes_nothing() {
    let bodies = batches(&corpus(), || 60);
    let slowly = export_of(&bodies, |number| {
        // Now and then long enough for everything to be stored in between.
        let pause_ms = if number % 20 == 19 { 600 } else { 20 };
        thread::sleep(Duration::from_millis(pause_ms));
    });
    check_same_alerts(&slowly, &EXPECTED, "slowly");
}

#[test]
fn kills_in_between_change_nothing() {
    let folder = new_folder();
    let start = Start::on(&folder.path().join("data"));
    let bodies = batches(&corpus(), || 40);
    let mut server = start.must();
    for (number, body) in bodies.iter().enumerate() {
        send(&server, body);
        if (1..=3).any(|it| number == it * bodies.len() / 4) {
            server.kill();
            server = start.must();
            send(&server, body);
        }
    }
    check_ledger(&server.settled_ledger(), corpus().len());
    check_same_alerts(&server.canonical_export(), &EXPECTED, "three kills");
}

#[test]
fn a_scan_of_the_file_finds_the_same_alerts() {
    let folder = new_folder();
    let path = folder.path().join("corpus.ndjson");
    let present: Vec<_> = corpus().into_iter().filter(|it| !it.is_ahead).collect();
    fs::write(&path, ndjson(&present)).unwrap();
    let scanned = run(&["scan", "--output", "ndjson", path.to_str().unwrap()]);
    let (found, expected) = (outlines(&scanned), outlines(&EXPECTED));
    let (extra, lacking): (Vec<_>, Vec<_>) =
        (found.difference(&expected).collect(), expected.difference(&found).collect());
    assert!(extra.is_empty() && lacking.is_empty(), "only by scan: {extra:#?}; only by the server: {lacking:#?}");
}

/// Rule, entity, window and count of alerts on events that are not ahead.
fn outlines(alerts: &str) -> BTreeSet<String> {
    let last = Value::from(stamp(BASE_MS + 24 * HOUR_MS));
    let outline = |line: &str| {
        let alert: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let is_ahead = alert["rule_id"] == "bartizan-clock-ahead" || last.as_str() < alert["first_seen"].as_str();
        let entity = alert["entity"]["value"].clone();
        (!is_ahead).then(|| format!("{} {entity} {} {}", alert["rule_id"], alert["window_start"], alert["count"]))
    };
    alerts.lines().filter_map(outline).collect()
}
