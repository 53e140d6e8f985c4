//! What the modes do with attacks, as the real inspection finds them; and what is done when events are lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway::route::Mode;
use gateway::settings::{Fail, Settings};
use tokio::io::AsyncWriteExt;

use crate::support::{Does, Running, SOON, field, read_all, start, status, upstream};

/// Targets and bodies that no inspection may miss.
const ATTACKS: [(&str, &str, &str); 3] = [
    ("GET", "/a?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20", ""),
    ("GET", "/a?file=..%2f..%2f..%2f..%2fetc%2fpasswd", ""),
    ("POST", "/a", "name=%3Cscript%3Ealert(document.cookie)%3C%2Fscript%3E"),
];

async fn with_mode(mode: Mode) -> (Running, crate::support::Upstream) {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.policy.routes[0].mode = mode).await;
    (running, upstream)
}

async fn attack(running: &Running, (method, target, body): (&str, &str, &str), fields: &str) -> String {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len())
    };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n");
    running.ask(&format!("{head}User-Agent: Mozilla/5.0\r\n{fields}{length}\r\n{body}")).await
}

#[tokio::test]
async fn an_attack_is_blocked_with_an_id_that_its_event_has() {
    let (running, upstream) = with_mode(Mode::Block).await;
    for (number, case) in ATTACKS.into_iter().enumerate() {
        let answer = attack(&running, case, "").await;
        let id = field(&answer, "x-request-id").unwrap();
        assert!(status(&answer) == 403 && answer.contains(&format!("<code>{id}</code>")), "{case:?}: {answer}");
        let event = running.events(number + 1).await.pop().unwrap();
        assert_eq!((event.id, event.status, event.is_finding), (id, Some(403), false));
        assert_eq!(event.json["http.action"], "block");
        assert!(event.json["http.attack_score"].as_u64().is_some_and(|it| 5 <= it), "{}", event.json);
        assert!(event.json["http.findings"].is_array() && event.json["http.evidence"].is_array(), "{}", event.json);
    }
    assert_eq!(*upstream.connections.lock().unwrap(), 0);
    let json = attack(&running, ATTACKS[0], "Accept: application/json\r\n").await;
    let body: serde_json::Value = serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["status"], body["request_id"].as_str()), (&403.into(), field(&json, "x-request-id").as_deref()));
}

#[tokio::test]
async fn what_only_looks_like_an_attack_passes() {
    let (running, _upstream) = with_mode(Mode::Block).await;
    for target in ["/select-plan", "/people?name=O%27Brien", "/search?q=drop+me+a+line+--+thanks", "/a;b?x=1;y=2"] {
        assert_eq!(status(&running.get(target, "").await), 200, "{target}");
    }
}

#[tokio::test]
async fn a_throttled_attack_is_told_when_to_come_again() {
    let (running, _upstream) = with_mode(Mode::Throttle).await;
    let answer = attack(&running, ATTACKS[0], "").await;
    assert_eq!((status(&answer), field(&answer, "retry-after").as_deref()), (429, Some("1")));
    assert_eq!(running.events(1).await[0].json["http.action"], "throttle");
}

#[tokio::test]
async fn an_observed_attack_arrives_and_is_told_of() {
    let (running, _upstream) = with_mode(Mode::Observe).await;
    let answer = attack(&running, ATTACKS[2], "").await;
    assert!(status(&answer) == 200 && answer.ends_with(ATTACKS[2].2), "{answer}");
    let counts = running.gateway.counts();
    assert_eq!(counts.requests.iter().find(|it| it.0 == "observe"), Some(&("observe", 1)));
    assert_eq!((counts.inspections, counts.upstreams_up, counts.upstreams_down), (1, 1, 0));
    assert!(!counts.inspection_time.is_zero());
    let event = running.events(1).await.remove(0);
    assert_eq!((&event.json["http.action"], &event.json["http.families"][0]), (&"observe".into(), &"xss".into()));
}

#[tokio::test]
async fn the_threshold_of_the_route_decides() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| {
        (settings.policy.routes[0].mode, settings.policy.routes[0].threshold) = (Mode::Block, 1_000);
    })
    .await;
    assert_eq!(status(&attack(&running, ATTACKS[0], "").await), 200);
    assert_eq!(running.events(1).await[0].json["http.action"], "pass");
}

/// The status of a request after an event was lost: the sink takes nothing, and the disk has no room.
async fn status_after_a_loss(fail: Fail) -> u16 {
    let upstream = upstream(Does::Echo).await;
    let change = |settings: &mut Settings| (settings.policy.fail, settings.spill_bytes_max) = (fail, 0);
    let running = start(&[upstream.address], change).await;
    running.sink.is_down.store(true, Ordering::Relaxed);
    assert_eq!(status(&running.get("/", "").await), 200);
    let lost = async {
        while running.gateway.counts().lost == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, lost).await.expect("the event must be lost");
    status(&running.get("/", "").await)
}

#[tokio::test]
async fn while_events_are_lost_the_policy_decides() {
    assert_eq!(status_after_a_loss(Fail::Closed).await, 503);
    assert_eq!(status_after_a_loss(Fail::Open).await, 200);
}

/// The status of a POST with these fields and this body, and what its event says, where bodies that are not read are
/// treated as `unread` says.
async fn sent(running: &Running, number: usize, fields: &str, body: &[u8]) -> (u16, serde_json::Value) {
    let head = format!("POST /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{fields}\r\n");
    let mut stream = running.connect().await;
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let answer = read_all(&mut stream).await;
    (status(&answer), running.events(number).await.pop().unwrap().json)
}

#[tokio::test]
async fn bodies_that_are_not_read_are_told_of_and_refused_where_that_is_wanted() {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    for (unread, expects) in [(Fail::Open, false), (Fail::Closed, true)] {
        let upstream = upstream(Does::Echo).await;
        let running = start(&[upstream.address], |settings| {
            settings.policy.routes[0].unread = unread;
            settings.policy.body_bytes = 64;
        })
        .await;
        let long = "a=".to_owned() + &"x".repeat(63);
        let mut number = 0;
        for (fields, body, reason, refused) in [
            (FORM.to_owned(), "a=1", None, 200),
            (FORM.to_owned(), &long[..64], None, 200),
            (FORM.to_owned(), &long[..65], Some("length"), 413),
            (format!("{FORM}; charset=ibm273"), "a=1", Some("charset"), 415),
            (format!("{FORM}\r\nContent-Encoding: br"), "a=1", Some("encoding"), 415),
            (format!("{FORM}\r\nContent-Encoding: gzip"), "a=1", Some("encoding"), 415),
            (format!("{FORM}\r\nContent-Encoding: gzip"), &long[..65], Some("length"), 413),
            ("X-Other: no type".to_owned(), "\u{1}\u{2}\u{3}", None, 200),
            ("Content-Type: text/plain".to_owned(), "\u{1}\u{2}\u{3}", None, 200),
            ("Content-Type: application/x-protobuf".to_owned(), "\u{1}\u{2}\u{3}", Some("type"), 415),
            ("Content-Type: application/octet-stream".to_owned(), "a=1", Some("type"), 415),
            ("Content-Type: application/javascript".to_owned(), "a = 1", Some("type"), 415),
            ("Content-Type: image/png".to_owned(), "", None, 200),
        ] {
            let fields = format!("{fields}\r\nContent-Length: {}\r\n", body.len());
            number += 1;
            let (status, event) = sent(&running, number, &fields, body.as_bytes()).await;
            assert_eq!(event["http.body_unread"].as_str(), reason, "{fields}{event}");
            assert_eq!(status, if expects { refused } else { 200 }, "{fields}");
            let is_refused = expects && reason.is_some();
            assert_eq!(event["http.action"], if is_refused { "fail" } else { "pass" }, "{fields}");
        }
        assert_eq!(status(&running.get("/", "").await), 200);
    }
}
