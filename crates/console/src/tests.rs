//! Every route, called on a real store and a real log: what it answers is what it declares.

mod bounds;
mod hostile;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::openapi::{openapi, route_faults};
use crate::routes;
use crate::state::Console;
use crate::status::Status;
use backends::log::Log;
use backends::log::embedded::files::Folder;
use backends::log::embedded::{EmbeddedLog, Settings};
use backends::store::sqlite::SqliteStore;
use backends::store::{Commit, Lease, Store};
use decision::admission::Brakes;
use hyper::{HeaderMap, Method};
use model::alert::{Alert, AlertStatus};
use model::entity::Entity;
use model::id::AlertId;
use model::intake::{Quarantined, Submission};
use model::place::PartitionId;
use model::severity::Severity;
use model::time::Timestamp;
use normalize::forms::event;
use normalize::reading::{Ids, Reading};
use pipeline::admitter::{Admitter, AdmitterParts};
use pipeline::ingest::Ingest;
use pipeline::ledger::Ledger;
use serde_json::{Value, json};
use web::answer::Answer;
use web::route::{Caller, Found, Request, Route, find};

/// 2026-11-20T12:00:00Z.
const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

struct Bench {
    routes: Vec<Route>,
    state: Arc<Console>,
    store: Arc<SqliteStore>,
    ingest: Arc<Ingest>,
    ledger: Arc<Ledger>,
    lease: Mutex<Lease>,
    called: Mutex<BTreeSet<(String, &'static str)>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log_folder = folder.path().join("events");
        std::fs::create_dir(&log_folder).unwrap();
        let files = Arc::new(Folder::new(log_folder));
        let settings = Settings { segment_bytes: 1 << 20, ..Settings::default() };
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(files, settings).unwrap());
        let store = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
        let ledger = Arc::new(Ledger::default());
        let (ingest, _) = Ingest::start(log.clone(), ledger.clone()).unwrap();
        let status = || Status { late: 3, ..Status::default() };
        let admitter = Admitter::open(AdmitterParts {
            store: store.clone(),
            board: Arc::default(),
            progress: Arc::default(),
            brakes: Brakes::default(),
            spared: Vec::new(),
            spares_local: true,
            find_crawler: Arc::new(|_| None),
            on_decided: Arc::new(|_| {}),
        });
        let admitter = Arc::new(admitter.unwrap());
        let state = Console::new(store.clone(), log, ledger.clone(), ingest.clone(), admitter, Arc::new(status));
        let routes = routes(state.clone());
        state.describe(&routes);
        let lease = Mutex::new(store.acquire(PartitionId(0)).unwrap());
        Self { routes, state, store, ingest, ledger, lease, called: Mutex::default(), _folder: folder }
    }

    /// Calls a route as the listener would, and checks the answer against what the route declares.
    #[track_caller]
    fn call(&self, method: Method, target: &str, body: &str) -> impl Future<Output = Answer> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Found::Route(route, parameters) = find(&self.routes, &method, path) else { panic!("no route {target}") };
        self.called.lock().unwrap().insert((route.method.to_string(), route.path));
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            peer: "127.0.0.1:1".parse().unwrap(),
            caller: Caller::Anonymous,
            parameters,
            id: "test".into(),
        };
        let (route, answer) = (route.clone(), (route.handler)(request));
        async move {
            let answer = answer.await;
            assert_eq!(route_faults(&route, &answer), Vec::<String>::new(), "{:?}", answer.body);
            answer
        }
    }

    async fn get(&self, target: &str) -> (u16, Value) {
        let answer = self.call(Method::GET, target, "").await;
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
    }

    async fn is_refused(&self, target: &str) -> bool {
        let (status, body) = self.get(target).await;
        status == 400 && (body["status"] == "fail" && body["message"].is_string() || body["errors"].is_array())
    }

    fn raise(&self, alerts: &[Alert]) {
        let lease = *self.lease.lock().unwrap();
        let commit = Commit { lease, to: lease.position, alerts, outbox: &[], proposals: &[], now: NOON };
        self.store.commit(&commit).unwrap();
    }

    async fn send(&self, texts: &[String]) -> Vec<String> {
        let mut submission = Submission { input: "door".into(), ..Submission::default() };
        let reading = Reading { input: "door", received: Some(NOON), now: NOON, synthetic: false, ids: Ids::New };
        for (index, text) in texts.iter().enumerate() {
            event::read(text.as_bytes(), index as u64, &reading, &mut submission.events.bytes).unwrap();
            submission.events.close();
        }
        self.ingest.submit(submission).await.unwrap().ids.iter().map(ToString::to_string).collect()
    }
}

fn alert(number: u64) -> Alert {
    let address = format!("198.18.0.{}", number % 250 + 1).parse().unwrap();
    let at = |seconds: u64| Timestamp(NOON.0 + seconds as i64 * 1_000_000_000);
    Alert {
        id: AlertId(u128::from(number)),
        rule_id: "bruteforce".into(),
        rule_version: "v1".into(),
        title: "Brute force attack".into(),
        kind: "bruteforce".into(),
        severity: if number.is_multiple_of(2) { Severity::High } else { Severity::Medium },
        confidence: 80,
        status: AlertStatus::New,
        entity: Entity::of_ip(address),
        client_ip: Some(address),
        dst_ip: None,
        count: 5,
        first_seen: at(number * 60),
        last_seen: at(number * 60 + 4),
        window_start: at(number * 60),
        timestamp: at(number * 60 + 4),
        details: "5 responses 401 in 60 s".into(),
        reason: "5 or more".into(),
        description: "Somebody tries passwords.".into(),
        detector: "threshold".into(),
        source: "shop".into(),
        country: Some("DE".into()),
        user: Some("carol".into()),
        matched: vec![("status_code".into(), "401".into())],
        evidence: Vec::new(),
        event: "{\"message\":null}".into(),
        synthetic: false,
        incarnation: 0,
    }
}

fn ids_of(items: &Value) -> Vec<String> {
    items.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

/// The numbers of the samples, newest first, as ids.
fn ids(numbers: impl DoubleEndedIterator<Item = u64>) -> Vec<String> {
    numbers.rev().map(|it| AlertId(u128::from(it)).to_string()).collect()
}

#[tokio::test]
async fn the_bare_list_has_ten_newest_and_links_on_with_its_filters() {
    let bench = Bench::new();
    bench.raise(&(1..=12).map(alert).collect::<Vec<_>>());
    assert_eq!(ids_of(&bench.get("/alerts").await.1), ids(3..=12));
    let (mut walked, mut target) = (Vec::new(), Some("/alerts?type=bruteforce&limit=5&source=shop".to_owned()));
    while let Some(here) = target {
        let answer = bench.call(Method::GET, &here, "").await;
        walked.extend(ids_of(&serde_json::from_slice(&answer.body).unwrap()));
        let link = answer.header(&hyper::header::LINK).map(|it| it.to_str().unwrap().to_owned());
        target = link.map(|it| it.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned());
        let keeps =
            |it: &String| it.contains("type=bruteforce") && it.contains("limit=5") && it.contains("source=shop");
        assert!(target.as_ref().is_none_or(keeps), "{target:?}");
    }
    assert_eq!(walked, ids(1..=12));
}

#[tokio::test]
async fn the_pages_of_v1_give_everything_once_and_end() {
    let bench = Bench::new();
    bench.raise(&(1..=5).map(alert).collect::<Vec<_>>());
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, body) = bench.get(&format!("/v1/alerts?limit=2{cursor}")).await;
        walked.extend(ids_of(&body["items"]));
        let Some(next) = body["next"].as_str() else { break };
        // What comes in between does not shift the pages.
        bench.raise(&[alert(100 + walked.len() as u64)]);
        cursor = format!("&cursor={}", web::query::encode(next));
    }
    assert_eq!(walked, ids(1..=5));
}

#[tokio::test]
async fn filters_hold_and_injections_are_data() {
    let bench = Bench::new();
    bench.raise(&[alert(1), alert(2)]);
    let number = async |query: &str| bench.get(&format!("/alerts?{query}")).await.1.as_array().unwrap().len();
    for (query, expected) in [
        ("severity=high", 1),
        ("criticality=HIGH", 1),
        ("user=carol", 2),
        ("user=nobody", 0),
        ("country=DE", 2),
        ("client_ip=198.18.0.2", 1),
        ("client_ip=203.0.113.254", 0),
        ("type=hightraffic", 0),
        ("from=2026-11-20T12:02:00Z", 1),
        ("to=2026-11-20T12:01:00Z", 0),
        ("to=2026-11-20T12:01:00.001Z", 1),
        ("hours=8760", 2),
    ] {
        assert_eq!(number(query).await, expected, "{query}");
    }
    for name in ["user", "country", "source", "type"] {
        for text in ["' OR '1'='1", "x'; DROP TABLE alerts;--", "%", "_", "\0", "*", "\") OR 1=1 --"] {
            assert_eq!(number(&format!("{name}={}", web::query::encode(text))).await, 0, "{name}={text:?}");
        }
    }
}

#[tokio::test]
async fn bad_queries_are_refused_in_the_form_of_their_route() {
    let bench = Bench::new();
    for query in ["limit=0", "limit=1001", "colour=red", "type=a&type=b", "cursor=%00", "severity=low&criticality=high"]
    {
        for path in ["/alerts", "/v1/alerts"] {
            assert!(bench.is_refused(&format!("{path}?{query}")).await, "{path}?{query}");
        }
    }
    for target in [
        "/v1/events?cursor=garbage",
        "/v1/events?colour=red",
        "/v1/events/no-such-event?form=odd",
        "/v1/ledger?x=1",
        "/v1/quarantine?limit=0",
        "/anomalies?limit=0",
    ] {
        assert!(bench.is_refused(target).await, "{target}");
    }
}

#[tokio::test]
async fn a_kept_list_is_never_older_than_a_commit() {
    let bench = Bench::new();
    for number in 1..=20 {
        bench.raise(&[alert(number)]);
        for _ in 0..2 {
            assert_eq!(bench.get("/v1/alerts?limit=1000").await.1["items"].as_array().unwrap().len() as u64, number);
        }
    }
}

#[tokio::test]
async fn one_alert_is_found_by_its_id() {
    let bench = Bench::new();
    bench.raise(&[alert(7)]);
    let (status, body) = bench.get(&format!("/v1/alerts/{}", AlertId(7))).await;
    assert_eq!((status, &body["matched"], &body["evidence_total"]), (200, &json!({"status_code": "401"}), &json!(5)));
    for id in ["no-such-alert", "%27", "%00", "00000000000000000000000000000009"] {
        assert_eq!(bench.get(&format!("/v1/alerts/{id}")).await.0, 404, "{id}");
    }
}

#[tokio::test]
async fn an_alert_gets_a_life_with_its_history() {
    let bench = Bench::new();
    let other = Alert { id: AlertId(7 << 108), ..alert(7) };
    bench.raise(&[Alert { id: AlertId(0xabcdef << 104), ..alert(7) }, other.clone()]);
    bench.raise(&[Alert { id: AlertId(other.id.0 + 1), ..other }]);
    let change = async |id: &str, body: &str| {
        let answer = bench.call(Method::POST, &format!("/v1/alerts/{id}"), body).await;
        (answer.status.as_u16(), serde_json::from_slice::<Value>(&answer.body).unwrap())
    };
    let id = AlertId(0xabcdef << 104).to_string();
    let (status, body) = change("abcdef", r#"{"status":"closed","note":"a test of ours"}"#).await;
    assert_eq!((status, &body["status"], &body["id"]), (200, &json!("closed"), &json!(id)));
    let entry = &body["history"][0];
    let expected = json!(["anonymous", "new", "closed", "a test of ours"]);
    assert_eq!(json!([entry["actor"], entry["from"], entry["to"], entry["note"]]), expected);
    assert_eq!(bench.get(&format!("/v1/alerts/{id}")).await.1, body);
    assert_eq!(change(&id, r#"{"status":"new"}"#).await.1["history"].as_array().unwrap().len(), 2);
    for (id, body, expected) in [
        ("abcdee", r#"{"status":"new"}"#, 404),
        ("no-such-alert", r#"{"status":"new"}"#, 404),
        ("000070", r#"{"status":"new"}"#, 409),
        ("abcdef", r#"{"status":"gone"}"#, 422),
        ("abcdef", r#"{"status":"new","by":"me"}"#, 422),
        ("abcdef", "closed", 400),
    ] {
        assert_eq!(change(id, body).await.0, expected, "{id} {body}");
    }
    assert_eq!(bench.get("/v1/alerts/abcdef").await.1["history"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn events_are_searched_paged_and_read_one_by_one() {
    let bench = Bench::new();
    let text = |number: u32| format!(r#"{{"client_ip":"2001:db8::a1","message":"m","number":{number}}}"#);
    let sent = bench.send(&(0..7).map(text).collect::<Vec<_>>()).await;
    bench.send(&[r#"{"user":"ann"}"#.to_owned()]).await;
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, body) = bench.get(&format!("/v1/events?entity=2001:DB8:0::A1&limit=3{cursor}")).await;
        assert!(body["items"].as_array().unwrap().len() <= 3);
        walked.extend(ids_of(&body["items"]));
        let Some(next) = body["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    walked.reverse();
    assert_eq!(walked, sent);
    let (status, body) = bench.get(&format!("/v1/events/{}", sent[2])).await;
    assert_eq!((status, &body["original"]["number"], &body["input"]), (200, &json!(2), &json!("door")));
    assert_eq!(bench.get("/v1/events/no-such-event").await.0, 404);
}

#[tokio::test]
async fn the_ledger_balances_and_tells_what_waits() {
    let bench = Bench::new();
    bench.send(&[r#"{"message":"m"}"#.to_owned()]).await;
    let rejected = Submission { input: "other".into(), rejected: 4, ..Submission::default() };
    bench.ingest.submit(rejected).await.unwrap();
    bench.ingest.count_refused_request();
    let (_, mut body) = bench.get("/v1/ledger").await;
    for place in ["/total", "/inputs/door", "/inputs/other"] {
        let row = body.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        let seconds = row.remove("lag_seconds").unwrap().as_f64().unwrap();
        assert!((0.0..60.0).contains(&seconds), "{place}: {seconds}");
    }
    let row = |received, stored, rejected, lag| json!({"received": received, "stored": stored, "duplicate": 0, "rejected": rejected, "quarantined": 0, "lag_events": lag});
    assert_eq!(body["total"], row(5, 1, 4, 1));
    assert_eq!(body["inputs"], json!({"door": row(1, 1, 0, 1), "other": row(4, 0, 4, 0)}));
    assert_eq!((&body["refused_requests"], &body["late"], &body["pending_windows"]), (&json!(1), &json!(3), &json!(0)));
}

fn unread(place: &str, record: &str) -> Quarantined {
    Quarantined {
        input: "/var/log/app.log".into(),
        place: place.into(),
        format: String::new(),
        reason: "no format reads it".into(),
        received: NOON,
        record: record.as_bytes().to_vec(),
        bytes: Some(record.len() as u64),
        synthetic: false,
    }
}

#[tokio::test]
async fn quarantine_is_listed_and_replayed_once() {
    let bench = Bench::new();
    let good = r#"198.18.4.4 - - [20/Nov/2026:11:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    let quarantined = vec![unread("offset 0", good), unread("offset 9", "nonsense"), unread("offset 18", "")];
    let submission = Submission { input: "/var/log/app.log".into(), quarantined, ..Submission::default() };
    bench.ingest.submit(submission).await.unwrap();
    let (_, body) = bench.get("/v1/quarantine").await;
    let listed: Vec<u64> = body["items"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap()).collect();
    let [empty, nonsense, readable] = listed[..] else { panic!("{body}") };
    let (_, one) = bench.get(&format!("/v1/quarantine/{nonsense}")).await;
    assert_eq!((&one["record"], &one["place"]), (&json!("nonsense"), &json!("offset 9")));

    let replay = async |body: &str| {
        let answer = bench.call(Method::POST, "/v1/quarantine/replay", body).await;
        (answer.status.as_u16(), serde_json::from_slice::<Value>(&answer.body).unwrap())
    };
    assert_eq!(replay(r#"{"ids":[]}"#).await.0, 200);
    assert_eq!(replay(r#"{"some":true}"#).await.0, 400);
    let (_, first) = replay(&format!(r#"{{"ids":[{readable},{},99]}}"#, nonsense)).await;
    assert_eq!((&first["taken"], &first["unknown"]), (&json!(1), &json!([99])));
    assert_eq!(first["unreadable"][0]["id"], json!(nonsense));
    let (_, second) = replay(r#"{"all":true}"#).await;
    let counts = ["taken", "unreadable_total", "remaining"].map(|it| second[it].as_u64().unwrap());
    assert_eq!(counts, [0, 2, 0]);
    for (id, status) in [(readable, 404), (empty, 200), (nonsense, 200)] {
        assert_eq!(bench.get(&format!("/v1/quarantine/{id}")).await.0, status);
    }
    let total = bench.ledger.book().total();
    assert_eq!((total.stored, total.quarantined, total.received()), (1, 2, 3));
    assert_eq!(bench.get("/v1/events?entity=198.18.4.4").await.1["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_whole_stays_in_quarantine_and_what_is_synthetic_stays_synthetic() {
    let bench = Bench::new();
    let line = r#"198.18.4.5 - - [20/Nov/2026:11:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    let cut = Quarantined { bytes: Some(300_000), ..unread("offset 0", line) };
    let endless = Quarantined { bytes: None, ..unread("offset 300", line) };
    let lost = Quarantined { bytes: None, ..unread("offset 600", "") };
    let demo = Quarantined { synthetic: true, ..unread("offset 900", line) };
    let quarantined = vec![cut, endless, lost, demo];
    let submission = Submission { input: "/var/log/app.log".into(), quarantined, ..Submission::default() };
    bench.ingest.submit(submission).await.unwrap();
    let answer = bench.call(Method::POST, "/v1/quarantine/replay", r#"{"all":true}"#).await;
    let replayed: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&replayed["taken"], &replayed["unreadable_total"]), (&json!(1), &json!(3)));
    let reasons: Vec<_> = replayed["unreadable"].as_array().unwrap().iter().map(|it| it["reason"].as_str()).collect();
    for (reason, expected) in reasons.iter().zip(["of 300000 bytes", "end was never seen", "nothing was kept"]) {
        assert!(reason.unwrap().contains(expected), "{reason:?}");
    }
    let total = bench.ledger.book().total();
    assert_eq!((total.stored, total.quarantined, total.received()), (1, 3, 4));
    let (_, events) = bench.get("/v1/events?entity=198.18.4.5").await;
    assert_eq!(events["items"][0]["synthetic"], json!(true));
    let (_, listed) = bench.get("/v1/quarantine").await;
    let first = &listed["items"][2];
    assert_eq!(
        json!([first["record_bytes"], first["kept_bytes"], first["is_whole"]]),
        json!([300_000, line.len(), false])
    );
}

#[tokio::test]
async fn readiness_follows_what_was_set() {
    let bench = Bench::new();
    for (is_ready, expected) in [(false, 503), (true, 200), (false, 503)] {
        bench.state.set_ready(is_ready);
        assert_eq!(bench.call(Method::GET, "/readyz", "").await.status, expected);
    }
}

#[tokio::test]
async fn every_route_answers_as_it_declares_and_is_in_the_document() {
    let bench = Bench::new();
    bench.raise(&[alert(1)]);
    for route in &bench.routes {
        let target = route.path.replace("{id}", "1");
        bench.call(route.method.clone(), &target, r#"{"all":true}"#).await;
    }
    let (_, document) = bench.get("/openapi.json").await;
    for route in &bench.routes {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["summary"], route.about, "{}", route.path);
        assert!(!route.about.is_empty() && !route.responses.is_empty(), "{} is not documented", route.path);
        for response in route.responses {
            assert!(operation["responses"][response.status.to_string()].is_object(), "{}", route.path);
        }
        assert!(route.body.is_empty() || crate::openapi::schema(route.body).is_some(), "{}", route.path);
    }
    assert_eq!(document, openapi(&bench.routes));
    assert_eq!(bench.called.lock().unwrap().len(), bench.routes.len());
}

#[tokio::test]
async fn health_and_metrics_tell_the_state() {
    let bench = Bench::new();
    let (status, health) = bench.get("/health").await;
    assert_eq!((status, &health["system_status"], &health["db_status"]), (200, &json!("idle"), &json!("Connected")));
    let answer = bench.call(Method::GET, "/metrics", "").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("\nbartizan_late_events_total 3\n"), "{text}");
}

#[tokio::test]
async fn an_asset_that_the_browser_has_is_not_sent_again() {
    let bench = Bench::new();
    let answer = bench.call(Method::GET, "/assets/console.css", "").await;
    let etag = answer.header(&hyper::header::ETAG).unwrap().clone();
    assert!(answer.header(&hyper::header::CONTENT_SECURITY_POLICY).is_some());
    let Found::Route(route, _) = find(&bench.routes, &Method::GET, "/assets/console.css") else { panic!() };
    let request = Request {
        method: Method::GET,
        path: "/assets/console.css".into(),
        query: String::new(),
        headers: HeaderMap::from_iter([(hyper::header::IF_NONE_MATCH, etag)]),
        body: bytes::Bytes::new(),
        peer: "127.0.0.1:1".parse().unwrap(),
        caller: Caller::Anonymous,
        parameters: Vec::new(),
        id: "test".into(),
    };
    let again = (route.handler)(request).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(route_faults(route, &again), Vec::<String>::new());
}
