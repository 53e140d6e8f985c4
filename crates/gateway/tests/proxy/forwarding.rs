//! What passes: requests, bodies, streams, tunnels; and what becomes of a request when the upstream is not well.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{Does, SOON, field, nobody, read_all, read_until, start, status, trust_loopback, upstream};

#[tokio::test]
async fn a_request_arrives_with_its_host_its_id_and_who_asked() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let answer = running
        .get("/a?b=c", "X-Forwarded-For: 192.0.2.1\r\nX_Real_IP: 192.0.2.1\r\nKeep-Alive: 5\r\nTE: trailers\r\n")
        .await;
    assert_eq!((status(&answer), field(&answer, "x-up").as_deref()), (200, Some("1")), "{answer}");
    let seen = answer.split_once("\r\n\r\n").unwrap().1.to_lowercase();
    assert!(seen.starts_with("get /a?b=c http/1.1\r\n"), "{seen}");
    let id = field(&answer, "x-request-id").unwrap();
    for expected in [
        "host: shop.example\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: shop.example\r\n",
        &format!("x-request-id: {id}\r\n"),
    ] {
        assert!(seen.contains(expected), "`{expected}` is missing in {seen}");
    }
    assert!(!seen.contains("192.0.2.1") && !seen.contains("keep-alive") && !seen.contains("te:"), "{seen}");
}

#[tokio::test]
async fn a_trusted_proxy_says_who_asked() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], trust_loopback).await;
    let answer = running.get("/", "X-Forwarded-For: 192.0.2.66, 2001:db8::7\r\nX-Forwarded-Proto: https\r\n").await;
    assert!(answer.contains("x-forwarded-for: 192.0.2.66, 2001:db8::7, 127.0.0.1\r\n"), "{answer}");
    assert!(
        answer.contains("x-real-ip: 2001:db8::7\r\n") && answer.contains("x-forwarded-proto: https\r\n"),
        "{answer}"
    );
    assert_eq!(running.events(1).await[0].client, "2001:db8::7");
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_whole() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let answer = running.ask(&format!("{post}Content-Length: 5\r\n\r\nhello")).await;
    assert!(answer.contains("content-length: 5\r\n") && answer.ends_with("hello"), "{answer}");
    let answer = running.ask(&format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
    assert!(answer.ends_with("hello"), "all of it was at hand, so its length is known: {answer}");
    let chunk = "y".repeat(70_000);
    let answer = running.ask(&format!("{post}Transfer-Encoding: chunked\r\n\r\n11170\r\n{chunk}\r\n0\r\n\r\n")).await;
    assert!(answer.contains("transfer-encoding: chunked") && answer.ends_with("\r\n0\r\n\r\n"), "{}", answer.len());
    let large = "x".repeat(300_000);
    let answer = running.ask(&format!("{post}Content-Length: 300000\r\n\r\n{large}")).await;
    assert!(answer.ends_with(&large));
    let events = running.events(4).await;
    let sizes: Vec<_> = events.iter().map(|it| it.json["http.request_bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [5, 5, 70_000, 300_000]);
}

#[tokio::test]
async fn connections_on_both_sides_serve_many_requests() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut stream = running.connect().await;
    for number in 0..5 {
        stream.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        read_until(&mut stream, &format!("GET /{number} HTTP/1.1\r\n")).await;
        read_until(&mut stream, "\r\n\r\n").await;
    }
    assert_eq!(*upstream.connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn an_answer_is_streamed_and_not_gathered() {
    let upstream = upstream(Does::Stream).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    read_until(&mut stream, "first\r\n").await;
    upstream.go_on.send_replace(true);
    assert!(read_all(&mut stream).await.ends_with("second\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_body_is_streamed_once_its_beginning_was_inspected() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.policy.body_bytes = 4).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\nConnection: close\r\n\r\n1234")
        .await
        .unwrap();
    let reached = tokio::time::timeout(SOON, async {
        while *upstream.connections.lock().unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await.expect("the request must go on before its body has ended");
    stream.write_all(b"5678").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("12345678"));
    assert_eq!(running.events(1).await[0].json["http.body_inspected"], 4);
}

#[tokio::test]
async fn a_websocket_is_passed_through() {
    let upstream = upstream(Does::Switch).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut stream = running.connect().await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    // Bytes of the tunnel may come before its answer; they must not be taken for a request.
    stream.write_all(format!("{upgrade}early\n").as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert_eq!(status(&head), 101, "{head}");
    assert_eq!(read_until(&mut stream, "early\n").await, "early\n");
    stream.write_all(b"\0\xffping\n").await.unwrap();
    assert!(read_until(&mut stream, "ping\n").await.ends_with("ping\n"));
    assert_eq!(running.events(1).await[0].status, Some(101));
}

#[tokio::test]
async fn after_a_refused_upgrade_the_connection_goes_on() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    for protocol in ["websocket", "h2c"] {
        let mut stream = running.connect().await;
        let upgrade = format!("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        let echoed = read_until(&mut stream, "GET /ws HTTP/1.1\r\n").await;
        assert_eq!(status(&echoed), 200);
        let seen = read_until(&mut stream, "\r\n\r\n").await;
        assert_eq!(seen.contains("upgrade: websocket"), protocol == "websocket", "{seen}");
        assert!(!seen.contains("h2c"), "{seen}");
        stream.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut stream).await.contains("GET /next"));
    }
}

#[tokio::test]
async fn a_dead_upstream_is_502_and_a_slow_one_504() {
    let silent = upstream(Does::Silent).await;
    let dead = start(&[nobody().await], |_| {}).await;
    let slow = start(&[silent.address], |settings| settings.times.answer = Duration::from_millis(50)).await;
    for (running, expected) in [(&dead, 502), (&slow, 504)] {
        let answer = running.get("/", "").await;
        assert_eq!(status(&answer), expected);
        let event = running.events(1).await.remove(0);
        assert_eq!((event.status, Some(event.id)), (Some(expected), field(&answer, "x-request-id")));
    }
}

#[tokio::test]
async fn the_other_upstream_serves_when_one_is_dead() {
    let well = upstream(Does::Echo).await;
    let running = start(&[nobody().await, well.address], |_| {}).await;
    for _ in 0..6 {
        assert_eq!(status(&running.get("/", "").await), 200);
    }
}

#[tokio::test]
async fn a_request_that_may_be_sent_twice_outlives_its_connection() {
    let upstream = upstream(Does::DieSecond).await;
    let running = start(&[upstream.address], |_| {}).await;
    for number in 1..=3 {
        assert_eq!(status(&running.get("/", "").await), 200, "request {number}");
    }
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    // It may have been done already: nobody but the client knows whether it may be done again.
    let answer = running.ask(post).await;
    assert_eq!(status(&answer), 502);
}

#[tokio::test]
async fn a_stop_lets_answers_end() {
    let upstream = upstream(Does::Stream).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "first\r\n").await;
    running.stop.send_replace(true);
    upstream.go_on.send_replace(true);
    assert!(read_all(&mut stream).await.ends_with("second\r\n0\r\n\r\n"));
    tokio::time::timeout(SOON, running.serving).await.expect("the gateway must end").unwrap();
}

#[tokio::test]
async fn a_client_that_sends_no_more_still_gets_its_answer() {
    let upstream = upstream(Does::Stream).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let first = read_until(&mut stream, "first\r\n").await;
    upstream.go_on.send_replace(true);
    let rest = read_all(&mut stream).await;
    assert!(status(&first) == 200 && rest.ends_with("second\r\n0\r\n\r\n"), "{first}{rest}");
}
