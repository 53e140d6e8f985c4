//! TLS on both sides, HTTP/2 in front, certificates and policies that change, upstreams that are looked after, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::route::{Mode, RouteSettings};
use gateway::upstream::address::Address;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{
    Does, Running, SOON, acceptor, certificate, read_all, read_until, start, start_with, status, upstream,
    upstream_with,
};

/// A connection that believes only the certificate of that name.
async fn connect(running: &Running, name: &str, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate(name)).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let server = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(server, running.connect().await).await
}

#[tokio::test]
async fn a_certificate_that_changes_is_met_by_new_connections_and_breaks_none() {
    let upstream = upstream(Does::Echo).await;
    let running = start_with(&[upstream.address], Some(acceptor("first", &[])), |_| {}).await;
    let mut kept = connect(&running, "first", &[]).await.unwrap();
    running.tls.send_replace(Some(acceptor("second", &[])));
    assert!(connect(&running, "first", &[]).await.is_err());
    let mut new = connect(&running, "second", &[]).await.unwrap();
    for stream in [&mut kept, &mut new] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let answer = read_all(stream).await;
        assert!(status(&answer) == 200 && answer.contains("x-forwarded-proto: https\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_over_tls_and_its_attacks_are_found() {
    let upstream = upstream(Does::Echo).await;
    let tls = Some(acceptor("first", &["h2", "http/1.1"]));
    let running = start_with(&[upstream.address], tls, |settings| {
        settings.policy.routes[0].mode = Mode::Block;
    })
    .await;
    let stream = connect(&running, "first", &["h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (host, path, expected) in [
        ("shop.example", "/a?b=c", 200),
        ("shop.example", "/a?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20", 403),
        ("x@shop.example", "/", 400),
    ] {
        let uri = format!("https://{host}{path}");
        let request = hyper::Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = timeout(SOON, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status().as_u16(), expected, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).to_lowercase();
        assert!(expected != 200 || body.contains("host: shop.example\r\n"), "{body}");
    }
    let events = running.events(2).await;
    assert_eq!((events[0].host.as_str(), events[1].json["http.action"].as_str()), ("shop.example", Some("block")));
}

#[tokio::test]
async fn an_upstream_may_speak_tls_and_must_be_who_it_says() {
    let good = upstream_with(Does::Echo, Some(acceptor("first", &[]))).await;
    let other = upstream_with(Does::Echo, Some(acceptor("second", &[]))).await;
    for (upstream, expected) in [(&good, 200), (&other, 502)] {
        let address = Address::parse(&format!("https://localhost:{}", upstream.address.port())).unwrap();
        let running = start(&[], |settings| settings.policy.routes[0].upstreams.push(address)).await;
        let answer = running.get("/", "").await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_well_is_left_out() {
    let (well, sick) = (upstream(Does::Echo).await, upstream(Does::Sick).await);
    let running = start(&[sick.address, well.address], |settings| {
        (settings.health_path, settings.health_every) = (Some("/well".to_owned()), Duration::from_millis(20));
    })
    .await;
    let left_out = async {
        let mut row = 0;
        while row < 6 {
            row = if status(&running.get("/", "").await) == 200 { row + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, left_out).await.expect("the sick one must be left out");
}

#[tokio::test]
async fn a_policy_that_changes_fails_no_request_and_keeps_connections() {
    let (old, new) = (upstream(Does::Echo).await, upstream(Does::Echo).await);
    let running = start(&[old.address], |_| {}).await;
    let mut stream = running.connect().await;
    let route = running.policy.routes[0].clone();
    for round in 0..50 {
        let mut policy = running.policy.clone();
        policy.routes[0].threshold = 5 + round;
        policy.routes.push(RouteSettings { path: format!("/{round}"), mode: Mode::Block, ..route.clone() });
        running.gateway.change(policy, None);
        let target = format!("/{round}?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20");
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "</html>\n").await;
        assert_eq!(status(&answer), 403, "{answer}");
        assert_eq!(status(&running.get("/", "").await), 200);
    }
    assert_eq!(*old.connections.lock().unwrap(), 1, "the kept connection serves on");
    let mut policy = running.policy.clone();
    policy.routes[0].upstreams = vec![Address::parse(&format!("http://{}", new.address)).unwrap()];
    running.gateway.change(policy, None);
    assert_eq!((status(&running.get("/", "").await), *new.connections.lock().unwrap()), (200, 1));
}

#[tokio::test]
async fn a_policy_that_changes_under_load_fails_no_request() {
    let upstream = upstream(Does::Echo).await;
    let running = Arc::new(start(&[upstream.address], |_| {}).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (running, is_over) = (running.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while count < 20 || !is_over.load(Ordering::Relaxed) {
                    assert_eq!(status(&running.get("/a?b=c", "").await), 200);
                    count += 1;
                }
            })
        })
        .collect();
    for round in 0..100 {
        let mut policy = running.policy.clone();
        policy.routes[0].threshold = 5 + round;
        policy.inspects = round % 2 == 0;
        running.gateway.change(policy, None);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        timeout(SOON, client).await.expect("it must end").unwrap();
    }
}

#[tokio::test]
async fn a_stop_lets_answers_end_and_hands_over_every_event() {
    let upstream = upstream(Does::Stream).await;
    let running = start(&[upstream.address], |_| {}).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = running.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut stream, "first\r\n").await;
        streams.push(stream);
    }
    running.stop.send_replace(true);
    upstream.go_on.send_replace(true);
    for stream in &mut streams {
        assert!(read_all(stream).await.ends_with("second\r\n0\r\n\r\n"));
    }
    timeout(SOON, running.serving).await.expect("it must end").unwrap();
    timeout(SOON, running.recording).await.expect("it must end").unwrap();
    let counts = running.gateway.counts();
    assert_eq!((counts.recorded, counts.lost), (20, 0));
    assert_eq!(running.sink.count(), 20);
    assert!(TcpStream::connect(running.address).await.is_err());
}
