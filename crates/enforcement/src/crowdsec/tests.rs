//! What a client of the CrowdSec local API is told.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backends::store::sqlite::SqliteStore;
use decision::board::Board;
use model::decision::{Basis, Decision, DecisionId, Ended, Measure, Origin, Standing};
use model::network::Network;
use serde_json::Value;
use web::route::{Caller, Found, find};

use super::*;
use crate::edge::Settings;

/// A noon.
const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

struct Bench {
    _folder: tempfile::TempDir,
    edge: Arc<Enforcement>,
    board: Arc<Board>,
    clock: Arc<AtomicI64>,
    runtime: tokio::runtime::Runtime,
}

fn ban(id: u64, text: &str, seconds: u64) -> Decision {
    let target = Network::parse(text).map_or_else(|| Target::User(text.to_owned()), Target::Network);
    Decision {
        id: DecisionId(id),
        target,
        measure: Measure::Ban,
        origin: Origin::Rule,
        reason: "Brute force attack".to_owned(),
        basis: Basis { rule_id: "bruteforce".to_owned(), ..Basis::default() },
        actor: "rule bruteforce".to_owned(),
        created_at: NOON,
        expires_at: NOON.plus(Duration::from_secs(seconds)),
        standing: Standing::InForce,
        ended: None,
        is_synthetic: false,
        changed: id,
    }
}

impl Bench {
    fn with(decisions: &[Decision]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("store")).unwrap());
        let clock = Arc::new(AtomicI64::new(NOON.0));
        let telling = clock.clone();
        let board = Arc::new(Board::default());
        board.apply(decisions, NOON);
        let edge = Enforcement::open(
            board.clone(),
            store,
            Arc::new(move || Timestamp(telling.load(Ordering::Relaxed))),
            Settings { expands_ranges: true },
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { _folder: folder, edge: edge.unwrap(), board, clock, runtime }
    }

    fn at(&self, seconds: u64) -> Timestamp {
        let now = NOON.plus(Duration::from_secs(seconds));
        self.clock.store(now.0, Ordering::Relaxed);
        now
    }

    fn ask(&self, method: &str, target: &str, agent: &str, peer: &str, body: &str) -> Answer {
        let routes = routes(&self.edge);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method: hyper::Method = method.parse().unwrap();
        let Found::Route(route, parameters) = find(&routes, &method, path) else { return nothing() };
        let mut headers = hyper::HeaderMap::new();
        headers.insert("user-agent", agent.parse().unwrap());
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            peer: peer.parse().unwrap(),
            caller: Caller::Key("edge".into()),
            parameters,
            id: "1".into(),
        };
        self.runtime.block_on((route.handler)(request))
    }

    /// The whole body of an answer that went out.
    fn get_as(&self, target: &str, agent: &str, peer: &str) -> String {
        let answer = self.ask("GET", target, agent, peer, "");
        assert_eq!(answer.status, 200, "{target}");
        let body = whole(&answer);
        answer.sent.iter().for_each(Sent::tell);
        body
    }

    fn get(&self, target: &str) -> String {
        self.get_as(target, "test", "192.0.2.200:1")
    }
}

fn whole(answer: &Answer) -> String {
    let mut body = answer.body.to_vec();
    if let Some(stream) = &answer.stream {
        stream
            .run(&mut |piece| {
                body.extend_from_slice(&piece);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
    String::from_utf8(body).unwrap()
}

/// The values in `deleted` and in `new`, with how long the latter last.
fn told(body: &str) -> (Vec<String>, Vec<String>) {
    let body: Value = serde_json::from_str(body).unwrap();
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
    let mut deleted: Vec<_> = list("deleted").iter().map(|it| text(it, "value")).collect();
    let mut new: Vec<_> =
        list("new").iter().map(|it| format!("{} {}", text(it, "value"), text(it, "duration"))).collect();
    deleted.sort();
    new.sort();
    (deleted, new)
}

#[track_caller]
fn check(body: &str, deleted: &[&str], new: &[&str]) {
    let told = told(body);
    assert_eq!(
        (told.0, told.1),
        (deleted.iter().map(|it| it.to_string()).collect(), new.iter().map(|it| it.to_string()).collect())
    );
}

#[test]
fn the_bytes_are_those_that_stock_bouncers_read() {
    let bench = Bench::with(&[]);
    assert_eq!(bench.get("/v1/decisions/stream?startup=true"), r#"{"deleted":null,"new":null}"#);
    assert_eq!(bench.get("/v1/decisions/stream?"), r#"{"deleted":null,"new":null}"#);
    assert_eq!(bench.get("/v1/decisions?ip=203.0.113.7"), "null");
    bench.board.apply(&[ban(7, "203.0.113.7", 14_370)], NOON);
    let decision = r#"{"duration":"3h59m30s","id":7,"origin":"rule","scenario":"bartizan/bruteforce","scope":"Ip","type":"ban","value":"203.0.113.7","uuid":"00000000-0000-8000-8000-000000000007"}"#;
    assert_eq!(bench.get("/v1/decisions/stream?"), format!(r#"{{"deleted":null,"new":[{decision}]}}"#));
    assert_eq!(bench.get("/v1/decisions?ip=203.0.113.7"), format!("[{decision}]"));
}

#[test]
fn changes_are_told_once_and_what_ended_for_two_seconds_again() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 600), ban(2, "203.0.113.8", 10)]);
    check(&bench.get("/v1/decisions/stream?startup=true"), &[], &["203.0.113.7 10m0s", "203.0.113.8 10s"]);
    bench.at(5);
    check(&bench.get("/v1/decisions/stream"), &[], &[]);
    bench.at(11);
    check(&bench.get("/v1/decisions/stream"), &["203.0.113.8"], &[]);
    bench.at(12);
    check(&bench.get("/v1/decisions/stream"), &["203.0.113.8"], &[]);
    bench.at(20);
    check(&bench.get("/v1/decisions/stream"), &[], &[]);
    let ended = Ended { at: bench.at(21), actor: "anna".into(), reason: "a mistake".into() };
    let decision = Decision { ended: Some(ended), changed: 3, ..ban(1, "203.0.113.7", 600) };
    bench.board.apply(&[decision], bench.edge.now());
    let body = bench.get("/v1/decisions/stream");
    check(&body, &["203.0.113.7"], &[]);
    assert!(body.contains(r#""duration":"-1s""#), "{body}");
}

#[test]
fn a_time_of_zero_is_never_served_as_new() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 10)]);
    bench.clock.fetch_add(9_000_000_000, Ordering::Relaxed);
    check(&bench.get("/v1/decisions/stream?startup=true"), &[], &["203.0.113.7 1s"]);
    bench.clock.fetch_add(1, Ordering::Relaxed);
    check(&bench.get("/v1/decisions/stream?startup=true"), &[], &[]);
    assert_eq!(bench.get("/v1/decisions?ip=203.0.113.7"), "null");
}

#[test]
fn a_pull_that_did_not_go_out_moves_nothing_and_neither_does_a_head() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 600)]);
    bench.get("/v1/decisions/stream?startup=true");
    bench.board.apply(&[ban(2, "203.0.113.8", 600)], NOON);
    // The service drops what would be told when a body breaks off, and for HEAD.
    drop(bench.ask("GET", "/v1/decisions/stream", "test", "192.0.2.200:1", ""));
    drop(bench.ask("HEAD", "/v1/decisions/stream", "test", "192.0.2.200:1", ""));
    check(&bench.get("/v1/decisions/stream"), &[], &["203.0.113.8 10m0s"]);
    check(&bench.get("/v1/decisions/stream"), &[], &[]);
}

#[test]
fn a_key_of_two_addresses_has_two_cursors_and_another_connection_hears_the_last_answer_again() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 600)]);
    for peer in ["192.0.2.1:5", "192.0.2.2:5"] {
        bench.get_as("/v1/decisions/stream?startup=true", "test", peer);
    }
    bench.board.apply(&[ban(2, "203.0.113.8", 600)], NOON);
    let get = |peer: &str| bench.get_as("/v1/decisions/stream", "test", peer);
    check(&get("192.0.2.1:5"), &[], &["203.0.113.8 10m0s"]);
    check(&get("192.0.2.1:5"), &[], &[]);
    check(&get("192.0.2.2:5"), &[], &["203.0.113.8 10m0s"]);
    check(&get("192.0.2.2:6"), &[], &["203.0.113.8 10m0s"]);
    check(&get("192.0.2.2:6"), &[], &[]);
}

#[test]
fn cursors_survive_a_restart() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 600)]);
    bench.get("/v1/decisions/stream?startup=true");
    bench.edge.pullers.note().unwrap();
    bench.board.apply(&[ban(2, "203.0.113.8", 600)], NOON);
    let clock = bench.edge.clock.clone();
    let again = Enforcement::open(bench.board.clone(), bench.edge.store.clone(), clock, bench.edge.settings).unwrap();
    let bench = Bench { edge: again, ..bench };
    check(&bench.get("/v1/decisions/stream"), &[], &["203.0.113.8 10m0s"]);
}

#[test]
fn only_what_bouncers_know_is_served_unless_they_ask() {
    let throttle = Decision { measure: Measure::Throttle, ..ban(4, "203.0.113.9", 60) };
    let manual = Decision { origin: Origin::Manual, basis: Basis::default(), ..ban(5, "2001:db8::7", 60) };
    let decisions = [ban(1, "203.0.113.7", 60), ban(2, "198.51.100.0/24", 60), ban(3, "anna", 60), throttle, manual];
    let bench = Bench::with(&decisions);
    let all = ["198.51.100.0/24 1m0s", "2001:db8::7 1m0s", "203.0.113.7 1m0s"];
    for (query, expected) in [
        ("", &all[..]),
        ("&community_pull=true&x", &all[..]),
        ("&scopes=ip", &all[1..]),
        ("&scopes=Range", &all[..1]),
        ("&scopes=user", &["anna 1m0s"]),
        ("&scopes=username", &["anna 1m0s"]),
        ("&scopes=country", &[]),
        ("&origins=manual", &all[1..2]),
        ("&origins=manual,rule", &all[..]),
        ("&type=throttle", &["203.0.113.9 1m0s"]),
        ("&scenarios_containing=BRUTEFORCE", &[all[0], all[2]]),
        ("&scenarios_not_containing=bruteforce,xyz", &all[1..2]),
    ] {
        check(&bench.get(&format!("/v1/decisions/stream?startup=true{query}")), &[], expected);
    }
}

#[test]
fn questions_are_answered_as_there() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 60), ban(2, "198.51.100.0/24", 60), ban(3, "anna", 60)]);
    for (query, expected) in [
        ("ip=198.51.100.9", vec![2]),
        ("ip=198.51.100.9&contains=false", vec![]),
        ("ip=203.0.113.7&type=captcha", vec![]),
        ("range=198.51.100.0/25", vec![2]),
        ("range=198.51.100.0/25&contains=false", vec![]),
        ("range=198.51.0.0/16&contains=false", vec![2]),
        ("scope=User&value=anna", vec![3]),
        ("value=203.0.113.7", vec![1]),
        ("", vec![1, 2]),
        ("limit=1", vec![1]),
        ("limit=1&offset=1", vec![2]),
        ("offset=2", vec![]),
    ] {
        let body: Value = serde_json::from_str(&bench.get(&format!("/v1/decisions?{query}"))).unwrap();
        let ids: Vec<u64> = body.as_array().into_iter().flatten().map(|it| it["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(body.is_null(), expected.is_empty(), "{query}");
    }
    for query in ["ip=notanip", "range=x", "limit=x"] {
        let answer = bench.ask("GET", &format!("/v1/decisions?{query}"), "test", "192.0.2.1:1", "");
        assert_eq!(answer.status, 400, "{query}");
        assert!(serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].is_string());
    }
}

#[test]
fn the_other_paths_are_answered_as_there() {
    let bench = Bench::with(&[]);
    for (method, path, status, body) in [
        ("GET", "/health", 200, r#"{"status":"up"}"#),
        ("GET", "/v1/heartbeat", 200, ""),
        ("GET", "/v1/decisions/", 301, ""),
        ("GET", "/v1/decisions/stream/?startup=true", 301, ""),
        ("POST", "/v1/decisions", 404, ""),
        ("GET", "/v1/alerts", 404, ""),
    ] {
        let answer = bench.ask(method, path, "test", "192.0.2.1:1", "");
        assert_eq!((answer.status.as_u16(), whole(&answer).as_str()), (status, body), "{method} {path}");
    }
    let moved = bench.ask("GET", "/v1/decisions/stream/?startup=true", "test", "192.0.2.1:1", "");
    assert_eq!(moved.header(&LOCATION).unwrap(), "/v1/decisions/stream?startup=true");
}

#[test]
fn ranges_are_told_address_by_address_to_those_who_block_only_the_first() {
    const OLD: &str = "crowdsec-firewall-bouncer/-";
    let bench = Bench::with(&[ban(1, "198.51.100.0/30", 600), ban(2, "198.51.100.2", 60), ban(3, "10.0.0.0/8", 600)]);
    let get = |target: &str| bench.get_as(target, OLD, "192.0.2.1:1");
    check(
        &get("/v1/decisions/stream?startup=true"),
        &[],
        &["10.0.0.0/8 10m0s", "198.51.100.0 10m0s", "198.51.100.1 10m0s", "198.51.100.2 10m0s", "198.51.100.3 10m0s"],
    );
    assert_eq!(half_blocked(&bench.edge, OLD, NOON), 1);
    assert_eq!(half_blocked(&bench.edge, "other", NOON), 0);
    // Its own ban is over, that of its range is not.
    bench.at(70);
    check(&get("/v1/decisions/stream"), &[], &["198.51.100.2 8m50s"]);
    // One more of its own outlasts the range.
    bench.board.apply(&[ban(4, "198.51.100.3", 3600)], bench.at(80));
    check(&get("/v1/decisions/stream"), &[], &["198.51.100.3 58m40s"]);
    bench.at(700);
    check(
        &get("/v1/decisions/stream"),
        &["10.0.0.0/8", "198.51.100.0", "198.51.100.1", "198.51.100.2"],
        &["198.51.100.3 48m20s"],
    );
}

#[test]
fn many_ranges_cost_an_answer_no_more_than_the_decisions_that_changed() {
    const OLD: &str = "crowdsec-firewall-bouncer/-";
    let ranges: Vec<_> =
        (0..300_u64).map(|it| ban(it + 1, &format!("11.{}.{}.0/24", it / 250, it % 250), 600)).collect();
    let bench = Bench::with(&ranges);
    bench.board.apply(&[ban(301, "11.0.7.9", 3600)], NOON);
    let pieces = |target: &str| {
        let answer = bench.ask("GET", target, OLD, "192.0.2.1:1", "");
        let (mut largest, mut count) = (0, 0);
        let mut see = |piece: Bytes| {
            largest = largest.max(piece.len());
            count += piece.windows(8).filter(|it| *it == b"\"scope\":").count();
            std::ops::ControlFlow::Continue(())
        };
        answer.stream.as_ref().unwrap().run(&mut see).unwrap();
        (largest < 100_000, count)
    };
    // Each address once, made while it is sent: the answer itself holds the decisions.
    assert_eq!(pieces("/v1/decisions/stream?startup=true"), (true, 300 * 256));
    let changes = bench.board.since(None, NOON);
    let expanded = expand::expand(changes, &bench.board, Filter::of_stream(&Parameters::of("")), NOON);
    assert_eq!((expanded.added.len(), expanded.removed.len(), expanded.places()), (0, 0, (300, 301)));
    assert_eq!(expanded.in_force().count(), 300 * 256);
    assert_eq!(expanded.gone().count(), 0);
}

#[test]
fn a_long_answer_comes_in_pieces_and_is_the_same() {
    let many: Vec<_> = (0..5000_u64).map(|it| ban(it + 1, &format!("203.0.{}.{}", it / 250, it % 250), 600)).collect();
    let bench = Bench::with(&many);
    let answer = bench.ask("GET", "/v1/decisions/stream?startup=true", "test", "192.0.2.1:1", "");
    let mut pieces = 0;
    answer
        .stream
        .as_ref()
        .unwrap()
        .run(&mut |piece| {
            assert!(piece.len() < 100_000);
            pieces += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert!(10 < pieces);
    assert_eq!(told(&whole(&answer)).1.len(), 5000);
    // Who leaves in the middle is told all of it again.
    let left = answer.stream.as_ref().unwrap().run(&mut |_| std::ops::ControlFlow::Break(()));
    assert_eq!(left, Err(Broken));
}

#[test]
fn what_bouncers_report_is_added_up() {
    let bench = Bench::with(&[ban(1, "203.0.113.7", 600)]);
    bench.get_as("/v1/decisions/stream?startup=true", "test", "192.0.2.1:1");
    let report = |dropped: u64| {
        let body = json!({"remediation_components": [{"type": "firewall", "version": "v1", "metrics": [{"items": [
            {"name": "dropped", "value": dropped, "unit": "packet", "labels": {"origin": "rule"}},
            {"name": "dropped", "value": 1, "labels": {"origin": "manual"}},
            {"name": "active_decisions", "value": 3}, {"name": "odd", "value": "x"}]}]}], "log_processors": null});
        bench.ask("POST", "/v1/usage-metrics", "test", "192.0.2.1:1", &body.to_string()).status.as_u16()
    };
    assert_eq!((report(4), report(6)), (201, 201));
    let all = bench.edge.pullers.all();
    assert_eq!(all.len(), 1);
    let reported: Value = serde_json::from_str(&all[0].0.reported).unwrap();
    assert_eq!((&reported["dropped"], &reported["active_decisions"]), (&json!(12), &json!(3)));
    for body in ["", "{}", "[]", "{\"remediation_components\":1}"] {
        assert_eq!(bench.ask("POST", "/v1/usage-metrics", "test", "192.0.2.1:1", body).status, 400, "{body}");
    }
}
