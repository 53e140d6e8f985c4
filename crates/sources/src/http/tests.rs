//! Every route with every status that it answers by itself.

use std::net::SocketAddr;

use hyper::{HeaderMap, Method};
use model::intake::Receipt;
use serde_json::Value;
use web::answer::Answer;
use web::route::{Caller, Found, Request, find};

use super::*;
use crate::sink::memory::Memory;

const LOG: &str =
    r#"{"timestamp":"2026-11-20T10:00:00Z","client_ip":"192.0.2.1","endpoint":"/","method":"GET","status_code":401}"#;
const CLOUD: &str = r#"{"RequestID":"r","EventID":"e-1","RoleID":"o","EventType":"StopLogging","EventTimestamp":"2026-11-20T10:00:00Z","AffectedAssets":["a"]}"#;
const ANORMAL: &str = r#"{"ServiceName":"g","Ip":"192.0.2.1","EventType":1,"Severity":3,"Description":"d","OccurredAt":"2026-11-20T10:00:00Z"}"#;
const MESSAGE: &str = r#"{"timestamp":"2026-11-20T10:00:00Z","source":"auth","message":"hello"}"#;

struct Bench {
    sink: Arc<Memory>,
    routes: Vec<Route>,
}

impl Bench {
    fn new() -> Self {
        let sink = Arc::new(Memory::default());
        let routes = routes(sink.clone(), RecordLimits { records_max: 4 });
        Self { sink, routes }
    }

    fn failing(error: IngestError) -> Self {
        let bench = Self::new();
        bench.sink.fail_with(error);
        bench
    }

    fn post(&self, target: &str, key: Option<&str>, body: &str) -> (u16, Value, Answer) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(once::HEADER, key.parse().unwrap());
        }
        let request = Request {
            method: Method::POST,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: body.to_owned().into(),
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            caller: Caller::Key("door".into()),
            parameters: vec![],
            id: "r-1".into(),
        };
        let Found::Route(route, _) = find(&self.routes, &Method::POST, path) else { panic!("no route {path}") };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on((route.handler)(request));
        let status = answer.status.as_u16();
        assert!(route.responses.iter().any(|it| it.status == status && it.media_type == answer.media_type), "{status}");
        (status, serde_json::from_slice(&answer.body).unwrap(), answer)
    }
}

/// Sends one body to a new sink: the status and the body, as JSON, that come back, and stored and rejected after it.
#[track_caller]
fn check(target: &str, body: &str, expected: (u16, &str), counted: (usize, u64)) {
    let bench = Bench::new();
    let (status, actual, _) = bench.post(target, None, body);
    let wanted: Value = serde_json::from_str(expected.1).unwrap();
    assert_eq!((status, &actual), (expected.0, &wanted), "{body}");
    assert_eq!((bench.sink.stored(), bench.sink.rejected()), counted, "{body}");
}

/// Sends one body that is refused as one record; the answer must contain each of `words`.
#[track_caller]
fn check_refused(target: &str, body: &str, status: u16, words: &[&str]) {
    let bench = Bench::new();
    let (actual, answer, _) = bench.post(target, None, body);
    assert_eq!(actual, status, "{body}: {answer}");
    for word in words {
        assert!(answer.to_string().contains(word), "{word} in {answer}");
    }
    assert_eq!((bench.sink.stored(), bench.sink.rejected(), bench.sink.refused()), (0, 1, 0), "{body}");
}

#[test]
fn a_good_log_is_answered_in_the_words_of_system_004() {
    check("/logs", LOG, (200, r#"{"status":"success","message":"Log received and queued."}"#), (1, 0));
}

#[test]
fn a_bad_log_hears_which_field_is_bad_and_is_counted_as_rejected() {
    check_refused("/logs", &LOG.replace("401", "99"), 400, &[r#""status":"fail""#, r#""field":"status_code""#]);
    check_refused("/logs", r#"{"client_ip":"x"}"#, 400, &["`client_ip` is", "`timestamp` is missing"]);
    for body in ["", "{", "null", "[]", "17", "not json", "{}{}"] {
        check_refused("/logs", body, 400, &[r#""errors":[{"#]);
    }
    let long = LOG.replace("\"/\"", &format!("\"{}\"", "a".repeat(300_000)));
    check_refused("/logs", &long, 400, &["too_large"]);
}

#[test]
fn each_form_of_ingest_has_its_own_answers() {
    let cloud = r#"{"status_code":202,"response_msg":"queued"}"#;
    check("/ingest", CLOUD, (202, cloud), (1, 0));
    check("/ingest?wait=0", CLOUD, (202, cloud), (1, 0));
    check("/ingest?wait=999999h", CLOUD, (202, cloud), (1, 0));
    check("/ingest", ANORMAL, (202, r#"{"status":"queued"}"#), (1, 0));
    check("/ingest", MESSAGE, (202, r#"{"status":"queued"}"#), (1, 0));
}

#[test]
fn each_form_of_ingest_has_its_own_refusals() {
    check_refused("/ingest", &CLOUD.replace("RoleID", "x"), 400, &[r#""error":"Invalid data""#, "RoleID"]);
    check_refused(
        "/ingest",
        &ANORMAL.replace("\"Ip\"", "\"x\""),
        422,
        &[r#""loc":["body","Ip"]"#, r#""type":"missing""#],
    );
    check_refused(
        "/ingest",
        &MESSAGE.replace("\"hello\"", "[1]"),
        422,
        &[r#""loc":["body","message"]"#, r#""type":"value_error""#, r#""input":[1]"#, r#""msg":"#],
    );
    check_refused("/ingest", &MESSAGE.replace("\"2026-11-20T10:00:00Z\"", "1e400"), 422, &[r#""input":"1e400""#]);
    for body in ["{}", r#"{"hello":"world"}"#] {
        check_refused("/ingest", body, 422, &["source", "EventID", "ServiceName"]);
    }
    for body in ["", "{", "[]", "null"] {
        check_refused("/ingest", body, 422, &[r#""loc":["body"]"#]);
    }
}

#[test]
fn what_cannot_be_understood_of_a_request_is_counted_as_a_refused_request() {
    let cases = [
        ("/ingest?wait=-1", None, CLOUD, 400, r#""field":"wait""#),
        ("/ingest?wait=abc", None, CLOUD, 400, "`500ms`"),
        ("/ingest?colour=red", None, CLOUD, 400, "colour"),
        ("/ingest", Some("a b"), CLOUD, 400, "Idempotency-Key"),
        ("/logs", Some("a b"), LOG, 400, "Idempotency-Key"),
        ("/v1/events", Some("a b"), LOG, 400, "Idempotency-Key"),
        ("/v1/events", None, " \n\n", 400, r#""rejected":[]"#),
        ("/v1/events", None, "{}\n{}\n{}\n{}\n{}", 413, "more than 4 records"),
        ("/v1/events", None, "[1,2,3,4,5]", 413, "more than 4 records"),
    ];
    for (target, key, body, status, word) in cases {
        let bench = Bench::new();
        let (actual, answer, _) = bench.post(target, key, body);
        assert_eq!(actual, status, "{target} {answer}");
        assert!(answer.to_string().contains(word), "{word} in {answer}");
        assert_eq!((bench.sink.submissions(), bench.sink.refused()), (0, 1), "{target} {body}");
    }
}

#[test]
fn a_batch_is_taken_whole_or_in_part() {
    let bench = Bench::new();
    let (status, answer, _) =
        bench.post("/v1/events", None, &format!("{LOG}\n{{bad\n{CLOUD}\n{{\"client_ip\":\"x\"}}\n"));
    assert_eq!((status, &answer["received"], &answer["accepted"]), (202, &4.into(), &2.into()));
    let rejected = answer["rejected"].as_array().unwrap();
    let shown: Vec<_> =
        rejected.iter().map(|it| (it["index"].as_u64(), it["code"].as_str(), it["field"].as_str())).collect();
    assert_eq!(shown, [(Some(1), Some("bad_json"), None), (Some(3), Some("bad_field"), Some("client_ip"))]);
    assert!(rejected.iter().all(|it| it["message"].is_string()));
    assert_eq!(answer["ids"].as_array().unwrap().len(), 2);
    assert_eq!((bench.sink.stored(), bench.sink.rejected(), bench.sink.refused()), (2, 2, 0));
}

#[test]
fn duplicates_are_counted_as_such() {
    let bench = Bench::new();
    bench.sink.answer_with(Receipt { stored: 0, ids: vec![], duplicate: 2, is_repeated: false });
    let (status, answer, _) = bench.post("/v1/events", None, &format!("[{CLOUD},{CLOUD}]"));
    let expected = r#"{"received":2,"accepted":0,"duplicate":2,"rejected":[],"ids":[]}"#;
    assert_eq!((status, answer), (202, serde_json::from_str(expected).unwrap()));
}

#[test]
fn a_batch_with_nothing_good_is_a_problem_with_the_same_list() {
    let bench = Bench::new();
    let (status, answer, raw) = bench.post("/v1/events", None, "{\nnothing\n5");
    assert_eq!((status, raw.media_type), (400, PROBLEM));
    assert_eq!((&answer["status"], &answer["received"], &answer["accepted"]), (&400.into(), &3.into(), &0.into()));
    let indexes: Vec<_> = answer["rejected"].as_array().unwrap().iter().map(|it| it["index"].as_u64()).collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
    assert_eq!((bench.sink.stored(), bench.sink.rejected()), (0, 3));
    for body in ["null", "\"text\"", "\0\u{1}", "{}"] {
        assert_eq!(Bench::new().post("/v1/events", None, body).0, 400, "{body}");
    }
}

#[test]
fn an_empty_array_is_nothing_done() {
    let expected = r#"{"received":0,"accepted":0,"duplicate":0,"rejected":[],"ids":[]}"#;
    check("/v1/events", "[]", (202, expected), (0, 0));
}

#[test]
fn the_largest_batch_is_taken_and_a_large_one_is_read_beside() {
    let bench = Bench::new();
    let long = format!("{{\"message\":\"{}\"}}", "a".repeat(60_000));
    let (status, answer, _) = bench.post("/v1/events", None, &[long.as_str(); 4].join("\n"));
    assert_eq!((status, &answer["accepted"]), (202, &4.into()));
}

#[test]
fn ids_are_left_out_above_1000() {
    let sink = Arc::new(Memory::default());
    let bench = Bench { routes: routes(sink.clone(), RecordLimits::default()), sink };
    for (count, has_ids) in [(1000, true), (1001, false)] {
        let (_, answer, _) = bench.post("/v1/events", None, &"{\"a\":1}\n".repeat(count));
        assert_eq!((&answer["accepted"], answer.get("ids").is_some()), (&count.into(), has_ids));
    }
}

#[test]
fn a_request_with_a_key_names_itself_and_its_events() {
    let bench = Bench::new();
    for (target, body) in [("/v1/events", LOG), ("/v1/events", LOG), ("/v1/events", ANORMAL), ("/logs", LOG)] {
        bench.post(target, Some("k-1"), body);
    }
    let named = bench.sink.names();
    assert!(named.iter().all(|it| it.as_ref().is_some_and(|it| it.key == "k-1")));
    let bodies: Vec<_> = named.iter().flatten().map(|it| it.body).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert!(bodies[0] != bodies[2] && bodies[0] != bodies[3], "another body or path is another request");
    let expected = named.iter().flatten().map(|it| model::id::EventId::of_request("door", &it.name(), 0));
    assert_eq!(bench.sink.ids(), expected.collect::<Vec<_>>());
}

#[test]
fn a_key_whose_records_are_all_refused_stays_free() {
    let bench = Bench::new();
    for target in ["/logs", "/ingest", "/v1/events"] {
        bench.post(target, Some("k-1"), "{bad");
    }
    assert_eq!(bench.sink.names(), [None, None, None]);
}

#[test]
fn an_empty_list_under_a_key_is_a_request_as_any_other() {
    let bench = Bench::new();
    assert_eq!((bench.post("/v1/events", None, "[]").0, bench.sink.submissions()), (202, 0));
    assert_eq!((bench.post("/v1/events", Some("k-1"), "[]").0, bench.sink.submissions()), (202, 1));
    let reused = Bench::failing(IngestError::KeyReused);
    assert_eq!(reused.post("/v1/events", Some("k-1"), "[]").0, 422);
}

#[test]
fn a_repeated_request_gets_the_first_answer_again() {
    let bench = Bench::new();
    let id = model::id::EventId(7);
    bench.sink.answer_with(Receipt { stored: 1, ids: vec![id], duplicate: 1, is_repeated: true });
    let (status, answer, _) = bench.post("/v1/events", Some("k-1"), &format!("{MESSAGE}\n{MESSAGE}"));
    assert_eq!((status, &answer["accepted"], &answer["duplicate"]), (202, &1.into(), &1.into()));
    assert_eq!(answer["ids"][0], id.to_string());
    assert_eq!(bench.post("/logs", Some("k-1"), LOG).0, 200);
    assert_eq!(bench.post("/ingest", Some("k-1"), CLOUD).0, 202);
}

#[test]
fn a_reused_key_is_422_in_the_words_of_the_route() {
    for (target, body, media_type, word) in [
        ("/logs", LOG, JSON, r#""status":"fail""#),
        ("/ingest", MESSAGE, JSON, r#""loc":["header","Idempotency-Key"]"#),
        ("/ingest", CLOUD, JSON, r#""error":"Invalid data""#),
        ("/v1/events", LOG, PROBLEM, r#""errors":[{"field":"Idempotency-Key""#),
    ] {
        let bench = Bench::failing(IngestError::KeyReused);
        let (status, answer, raw) = bench.post(target, Some("k-1"), body);
        assert_eq!((status, raw.media_type, bench.sink.refused()), (422, media_type, 1), "{target}");
        assert!(answer.to_string().contains(word), "{word} in {answer}");
    }
}

#[test]
fn overload_says_when_to_try_again() {
    let errors =
        [(IngestError::Overloaded("written"), "1"), (IngestError::Unwritable, "5"), (IngestError::Stopping, "1")];
    for (error, seconds) in errors {
        for (target, body) in
            [("/logs", LOG), ("/ingest", CLOUD), ("/ingest", MESSAGE), ("/v1/events", LOG), ("/logs", "{")]
        {
            let (status, answer, raw) = Bench::failing(error).post(target, None, body);
            assert_eq!(status, 503, "{target} {answer}");
            assert_eq!(raw.header(&hyper::header::RETRY_AFTER).unwrap(), seconds);
        }
    }
    let (_, answer, _) = Bench::failing(IngestError::Overloaded("written")).post("/ingest", None, MESSAGE);
    assert_eq!(answer["detail"], "Ingestion queue full");
    let (_, answer, _) = Bench::failing(IngestError::Overloaded("written")).post("/logs", None, LOG);
    assert_eq!(answer["message"], "Log received but not queued: too much is waiting to be written");
}

#[test]
fn each_route_is_documented_and_only_the_systems_need_no_key() {
    for route in Bench::new().routes {
        assert_eq!(route.permission, Permission::Ingest);
        let anonymous = if route.path == "/v1/events" { Anonymous::Never } else { Anonymous::Ingest };
        assert_eq!(route.anonymous, anonymous, "{}", route.path);
        assert!(!route.about.is_empty() && !route.body.is_empty() && !route.responses.is_empty());
    }
}
