//! What the modes do with attacks, as the real inspection finds them; and what is done when events are lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway::route::Mode;
use gateway::settings::{Fail, Settings};

use crate::support::{Does, Running, SOON, field, start, status, upstream};

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
