//! One event for each request, with what was seen of it and of its answer.

use gateway::settings::Settings;

use crate::support::{Does, start, status, upstream};

#[tokio::test]
async fn an_event_tells_of_the_request_and_of_its_answer() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let answer = running.get("/a?b=c", "User-Agent: test/1\r\nReferer: http://here/\r\n").await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let event = running.events(1).await.remove(0);
    assert_eq!((event.method.as_str(), event.path.as_str(), event.host.as_str()), ("GET", "/a?b=c", "shop.example"));
    assert_eq!((event.status, event.response_bytes), (Some(200), Some(body.len() as u64)));
    assert_eq!((event.client.as_str(), event.is_finding), ("127.0.0.1", false));
    assert_eq!((&event.json["http.inspected"], &event.json["http.action"]), (&true.into(), &"pass".into()));
    assert!(event.json["http.latency_ms"].as_f64().is_some_and(|it| 0.0 < it));
    assert!(event.json["http.attack_score"].is_u64() && event.json["http.bot_score"].is_u64());
    assert_eq!(event.json["http.upstream"], format!("http://{}", upstream.address));
}

#[tokio::test]
async fn inspection_can_be_left_out() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings: &mut Settings| settings.policy.inspects = false).await;
    assert_eq!(status(&running.get("/", "").await), 200);
    let event = running.events(1).await.remove(0);
    assert_eq!((&event.json["http.inspected"], event.json.get("http.attack_score")), (&false.into(), None));
}

#[tokio::test]
async fn a_host_without_a_route_is_404_and_told_of() {
    let upstream = upstream(Does::Echo).await;
    let running =
        start(&[upstream.address], |settings| settings.policy.routes[0].host = Some("other.example".to_owned())).await;
    assert_eq!(status(&running.get("/", "").await), 404);
    assert_eq!(running.events(1).await[0].status, Some(404));
}

#[tokio::test]
async fn a_client_that_leaves_is_told_of() {
    let upstream = upstream(Does::Stream).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut stream = running.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    crate::support::read_until(&mut stream, "first\r\n").await;
    drop(stream);
    upstream.go_on.send_replace(true);
    let event = running.events(1).await.remove(0);
    assert_eq!(event.status, Some(200));
}
