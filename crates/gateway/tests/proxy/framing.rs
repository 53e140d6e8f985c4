//! What must not pass: requests that two servers would read differently, and clients that take their time.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{Does, Running, field, read_all, start, status, upstream};

async fn check_refused(running: &Running, request: &str, expected: u16, check: &str, number: usize) {
    let answer = running.ask(request).await;
    assert_eq!(status(&answer), expected, "{request:?}: {answer}");
    let event = running.events(number).await.remove(number - 1);
    assert_eq!(event.json["http.findings"], serde_json::json!([format!("protocol/{check}")]), "{request:?}");
    assert_eq!((event.json["http.action"].as_str(), Some(event.id)), (Some("refuse"), field(&answer, "x-request-id")));
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_never_reach_the_upstream() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        (
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
            "length-and-encoding",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{smuggled}"),
            "length-and-encoding",
        ),
        (format!("{post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n{smuggled}"), "length-twice"),
        (
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{smuggled}"),
            "encoding-twice",
        ),
        (format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"), "header-name"),
        (format!("{post}X: a\r\n Content-Length: 44\r\n\r\n{smuggled}"), "folded-line"),
        (format!("{post}X: a\nContent-Length: 44\r\n\r\n{smuggled}"), "line-end"),
        (format!("{post}Content-Length: +44\r\n\r\n{smuggled}"), "length"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "host"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "host"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "host"),
        ("GET / HTTP/1.1\r\nHost: a:80:80\r\nConnection: close\r\n\r\n".to_owned(), "host"),
        ("GET http://x@a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "host"),
        (
            format!(
                "{post}Content-Type: text/plain\r\nContent-Type: a/b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            "type-twice",
        ),
        ("REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "method"),
        ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "target"),
    ];
    for (number, (request, check)) in cases.iter().enumerate() {
        check_refused(&running, request, 400, check, number + 1).await;
    }
    assert_eq!(*upstream.connections.lock().unwrap(), 0);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    check_refused(&running, &large, 431, "head-size", cases.len() + 1).await;
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: x\r\n".repeat(101));
    check_refused(&running, &many, 431, "header-count", cases.len() + 2).await;
}

#[tokio::test]
async fn the_request_before_a_refused_one_is_answered_first() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let good = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = running.ask(&format!("{good}GET / HTTP/1.1\nHost: a\n\n")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains("HTTP/1.1 400 Bad Request"), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_that_lies_is_400_and_its_connection_ends() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = running.ask(&format!("{post}5\nhello\n0\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(!answer.contains("smuggled"));
    assert_eq!(*upstream.connections.lock().unwrap(), 0);
}

#[tokio::test]
async fn tunnels_and_traces_are_not_served() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |_| {}).await;
    let answer = running.ask("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 405);
}

#[tokio::test]
async fn slow_heads_end_and_silent_connections_too() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| {
        settings.times.head = Duration::from_millis(200);
        settings.times.keep_alive = Duration::from_millis(300);
    })
    .await;
    assert_eq!(read_all(&mut running.connect().await).await, "", "a silent connection");

    let mut drip = running.connect().await;
    for byte in b"GET" {
        drip.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let answer = read_all(&mut drip).await;
    assert_eq!(status(&answer), 408, "{answer}");

    let mut idle = running.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_all(&mut idle).await), 200, "a connection without a next request");
}

#[tokio::test]
async fn a_slow_body_ends() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.times.idle = Duration::from_millis(100)).await;
    let answer = running.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello").await;
    assert_eq!(status(&answer), 408, "{answer}");
}
