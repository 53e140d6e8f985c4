//! What one client may hold: memory, connections, time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::route::Mode;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Does, SOON, read_all, start, status, trust_loopback, upstream};

/// An answer that no buffer on the way has room for, in bytes.
const LARGE: usize = 128 << 20;
/// What the buffers on the way may hold, of ours and of the kernel's four sockets, in bytes.
const HELD_MAX: usize = 24 << 20;

#[tokio::test]
async fn who_does_not_read_an_answer_does_not_fill_the_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let running = start(&[listener.local_addr().unwrap()], |_| {}).await;
    let count = written.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        while let Ok(bytes @ 1..) = stream.write(&[b'x'; 1 << 16]).await {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
    });
    let mut client = running.connect().await;
    client.write_all(b"GET /large HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    let mut before = 0;
    // It is over once nothing more is taken.
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = written.load(Ordering::Relaxed);
        if 0 < now && now == before {
            break;
        }
        before = now;
    }
    assert!(before < HELD_MAX, "{before} bytes were taken for a client that reads none");
}

/// Short times, so that a test need not wait long.
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn who_says_nothing_over_http_2_is_let_go() {
    /// The preface, then an empty frame of settings. Source: RFC 9113, sections 3.4 and 6.5.
    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| {
        (settings.times.head, settings.times.keep_alive) = (SHORT, SHORT);
    })
    .await;
    for beginning in [&b"PRI"[..], GREETING] {
        let mut client = running.connect().await;
        client.write_all(beginning).await.unwrap();
        read_all(&mut client).await;
    }
}

#[tokio::test]
async fn a_body_that_drips_is_not_waited_for() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.times.idle = SHORT).await;
    for (kind, expected) in [("text/plain", 408), ("image/png", 400)] {
        let mut client = running.connect().await;
        let head =
            format!("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Type: {kind}\r\nContent-Length: 5000\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut read, mut write) = client.into_split();
        let dripping = tokio::spawn(async move {
            while write.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        });
        let mut answer = vec![0; 12];
        timeout(SOON, read.read_exact(&mut answer)).await.expect("it is told to go").unwrap();
        assert_eq!(status(&String::from_utf8(answer).unwrap()), expected, "{kind}");
        dripping.abort();
    }
}

#[tokio::test]
async fn one_address_has_its_share_of_the_connections_and_a_trusted_proxy_more() {
    let upstream = upstream(Does::Echo).await;
    for is_proxy in [false, true] {
        let running = start(&[upstream.address], |settings| {
            settings.connections_per_address = 2;
            if is_proxy {
                trust_loopback(settings);
            }
        })
        .await;
        let held = (running.connect().await, running.connect().await);
        let answer = running.connect_and_get().await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), is_proxy, "{answer}");
        drop(held);
        let freed = timeout(SOON, async { while !running.connect_and_get().await.starts_with("HTTP/1.1 200") {} });
        freed.await.expect("a connection that ended makes room");
    }
}

#[tokio::test]
async fn who_is_blocked_in_the_middle_of_an_upload_reads_why() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.policy.routes[0].mode = Mode::Block).await;
    let length = 700 << 10;
    let attack = "/?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20";
    let bad = format!("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\nContent-Length: 1\r\n\r\n");
    let blocked = format!("POST {attack} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n\r\n");
    for (head, expected) in [(blocked, 403), (bad, 400)] {
        let mut client = running.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        // The whole body is sent before the answer is looked at, as many clients do.
        for _ in 0..length / 1024 {
            client.write_all(&[b'x'; 1024]).await.expect("the connection is not reset");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        timeout(SOON, client.read_to_string(&mut answer)).await.unwrap().expect("the answer is not lost");
        assert!(status(&answer) == expected && answer.contains("<code>"), "{answer}");
    }
}

/// An upstream that sends without end, and says when it is let go.
async fn endless() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (told, let_go)) = (listener.local_addr().unwrap(), mpsc::channel(8));
    tokio::spawn(async move {
        loop {
            let (mut stream, told) = (listener.accept().await.unwrap().0, told.clone());
            tokio::spawn(async move {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
                let _ = told.send(()).await;
            });
        }
    });
    (address, let_go)
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_let_go_and_so_is_its_upstream() {
    let (address, mut let_go) = endless().await;
    let running = start(&[address], |settings| settings.times.idle = SHORT).await;
    let mut client = running.connect().await;
    client.write_all(b"GET /large HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    timeout(SOON, let_go.recv()).await.expect("the upstream is let go");
    assert_eq!(running.events(1).await[0].json["http.broken_off"], true);
}

#[tokio::test]
async fn a_window_that_stays_closed_ends_its_stream_and_no_other() {
    for window in [0, 10, 100_000] {
        let (address, mut let_go) = endless().await;
        let running = start(&[address], |settings| settings.times.idle = SHORT).await;
        let stream = TokioIo::new(running.connect().await);
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .initial_connection_window_size(1 << 20)
            .handshake(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = |path: &str| {
            let uri = format!("http://shop.example{path}");
            hyper::Request::get(uri).body(Full::new(bytes::Bytes::new())).unwrap()
        };
        // What is not read opens no window.
        let mut answer = sender.send_request(request("/large")).await.unwrap();
        timeout(SOON, let_go.recv()).await.expect("the upstream is let go");
        assert_eq!(running.events(1).await[0].json["http.broken_off"], true, "{window}");
        let broken = timeout(SOON, async { while let Some(Ok(_)) = answer.frame().await {} });
        broken.await.expect("the stream is reset");
        assert_eq!(sender.send_request(request("/next")).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn who_reads_slowly_over_http_2_gets_all_of_it() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.times.idle = SHORT).await;
    let stream = TokioIo::new(running.connect().await);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(16_384).initial_connection_window_size(1 << 20);
    let (mut sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let sent = bytes::Bytes::from(vec![b'x'; 300_000]);
    let request = hyper::Request::post("http://shop.example/").body(Full::new(sent)).unwrap();
    let mut answer = sender.send_request(request).await.unwrap();
    let mut bytes = 0;
    while let Some(frame) = timeout(SOON, answer.frame()).await.unwrap() {
        bytes += frame.expect("the answer is whole").data_ref().map_or(0, bytes::Bytes::len);
        tokio::time::sleep(SHORT / 4).await;
    }
    assert!(300_000 < bytes, "{bytes}");
}
