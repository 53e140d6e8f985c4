//! What attackers put into filters, cursors, ids and names: it is data, and at worst refused.

use hyper::Method;

use super::{Bench, alert};

/// Beginnings of injections into SQL, paths, headers and patterns, and texts at the ends of what is allowed.
const CORPUS: [&str; 24] = [
    "' OR '1'='1",
    "1' OR 1=1 --",
    "x'; DROP TABLE alerts;--",
    "\" OR \"\"=\"",
    "') UNION SELECT digest FROM keys --",
    "1; ATTACH DATABASE '/tmp/x' AS x; --",
    "1 AND (SELECT COUNT(*) FROM sqlite_master) > 0",
    "' AND randomblob(1000000000) --",
    "admin'/*",
    "%' ESCAPE '",
    "%",
    "_",
    "*",
    "\\",
    "\0",
    "\r\nX-Injected: 1",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "-1",
    "99999999999999999999999999999999999999",
    "\u{202e}\u{feff}\u{1F600}",
];

/// The lists with their parameters.
const LISTS: [(&str, &[&str]); 5] = [
    (
        "/alerts",
        &["type", "limit", "hours", "country", "user", "severity", "client_ip", "source", "from", "to", "cursor"],
    ),
    ("/v1/alerts", &["type", "limit", "hours", "country", "user", "criticality", "client_ip", "source", "cursor"]),
    ("/v1/events", &["entity", "from", "to", "limit", "cursor"]),
    ("/v1/quarantine", &["limit"]),
    ("/anomalies", &["limit"]),
];

#[tokio::test]
async fn injections_into_every_parameter_find_nothing_and_break_nothing() {
    let bench = Bench::new();
    bench.raise(&[alert(1), alert(2)]);
    bench.send(&[r#"{"client_ip":"198.18.0.1","message":"m"}"#.to_owned()]).await;
    for (path, names) in LISTS {
        for name in names {
            for text in CORPUS {
                let target = format!("{path}?{name}={}", web::query::encode(text));
                let (status, body) = bench.get(&target).await;
                let found = body.as_array().or(body["items"].as_array()).map(Vec::len);
                assert!(status == 400 || (status == 200 && found == Some(0)), "{target}: {status} {body}");
            }
        }
        for text in CORPUS {
            let (status, body) = bench.get(&format!("{path}?{}=1", web::query::encode(text))).await;
            assert_eq!(status, 400, "{path} {text:?}: {body}");
        }
    }
    assert_eq!(bench.get("/v1/alerts").await.1["items"].as_array().unwrap().len(), 2);
    assert_eq!(bench.get("/v1/events").await.1["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn injections_into_ids_and_bodies_find_nothing_and_break_nothing() {
    let bench = Bench::new();
    bench.raise(&[alert(1)]);
    for text in CORPUS {
        let id = web::query::encode(text);
        for path in ["/v1/alerts", "/v1/events", "/v1/quarantine"] {
            let (status, body) = bench.get(&format!("{path}/{id}")).await;
            assert!([400, 404].contains(&status), "{path}/{text:?}: {status} {body}");
        }
        let body = serde_json::json!({"status": text, "note": text}).to_string();
        assert_eq!(bench.call(Method::POST, &format!("/v1/alerts/{id}"), &body).await.status, 422, "{text:?}");
        let body = serde_json::json!({"ids": [text], "all": text}).to_string();
        assert_eq!(bench.call(Method::POST, "/v1/quarantine/replay", &body).await.status, 400, "{text:?}");
    }
    let target = format!("/v1/alerts/{}", model::id::AlertId(1));
    for note in CORPUS {
        let body = serde_json::json!({"status": "acknowledged", "note": note}).to_string();
        assert_eq!(bench.call(Method::POST, &target, &body).await.status, 200, "{note:?}");
    }
    let history = bench.get(&target).await.1["history"].as_array().unwrap().clone();
    let notes: Vec<_> = history.iter().map(|it| it["note"].as_str().unwrap()).collect();
    assert_eq!(notes, CORPUS.map(str::trim), "notes come back as they were given");
}
