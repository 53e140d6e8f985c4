//! Secrets are nowhere but where they belong: they are sent in every place that takes something, and looked for in
//! everything that the program says.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::{KEY, exchange};
use crate::support::rabbitmq::Broker;
use crate::support::server::{Server, Start, command, new_folder, run};

/// What every secret of this proof begins with.
const CANARY: &str = "cAnArY";
/// What stands in events. Who may read is shown events as evidence; nobody else is, and no log, metric or count tells of it.
const CONTENT: &str = "cOnTeNt";

/// Sends a request with these headers and this body; returns the whole answer.
fn send(port: u16, request: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    exchange(port, text.as_bytes()).unwrap_or_else(|error| panic!("{request}: {error}"))
}

#[track_caller]
fn check_clean(what: &str, text: &str) {
    for secret in [CANARY, KEY] {
        assert!(!text.contains(secret), "{what} holds a secret: {text}");
    }
}

/// Every route that takes a request, with a body that its handler gets to see.
const REQUESTS: [(&str, &str); 12] = [
    ("GET /v1/alerts", ""),
    ("GET /metrics", ""),
    ("GET /nothing", ""),
    ("PUT /v1/alerts", ""),
    ("POST /logs", "{}"),
    ("POST /ingest", "{}"),
    ("POST /v1/events", "{}"),
    ("POST /login", "key=cAnArY-of-the-form"),
    ("POST /logout", ""),
    ("GET /login/cAnArY-of-a-link", ""),
    ("POST /v1/keys", r#"{"name":"x","scope":"cAnArY-of-a-body"}"#),
    ("POST /v1/quarantine/replay", r#"{"all":"cAnArY-of-a-body"}"#),
];

/// Sends secrets in headers, right and wrong ones beside each other, to everything.
fn tell_secrets(server: &Server) {
    let own = format!("Authorization: Bearer {KEY}\r\n");
    for headers in [
        "Authorization: Bearer cAnArY-of-a-bearer\r\n",
        "Authorization: cAnArY-of-no-scheme\r\n",
        "Authorization: Basic Y0FuQXJZOmNBbkFyWQ==\r\n",
        "X-Api-Key: cAnArY-of-a-key\r\n",
        "Cookie: bartizan_session=cAnArY-of-a-session; other=cAnArY-of-a-cookie\r\n",
        "Idempotency-Key: cAnArY-once\r\nX-Other: cAnArY-of-a-header\r\nProxy-Authorization: cAnArY\r\n",
        "Content-Encoding: gzip\r\nX-Forwarded-For: cAnArY\r\n",
    ] {
        for (request, body) in REQUESTS {
            for own in ["", own.as_str()] {
                let answer = send(server.port, request, &format!("{own}{headers}"), body);
                check_clean(&format!("the answer to {request} with {headers:?}"), &answer);
            }
        }
    }
}

/// Sends records that nobody can read, and events with secrets in them.
fn tell_events(server: &Server) {
    let own = format!("Authorization: Bearer {KEY}\r\n");
    for body in [r#"{"password":"cOnTeNt-in-an-event","message":"m"}"#, r#"{"cOnTeNt":"#, "cOnTeNt", "\u{1}"] {
        send(server.port, "POST /v1/events", &own, body);
    }
    for second in 0..6 {
        let body = format!(
            r#"{{"timestamp":"2026-11-20T12:00:0{second}Z","client_ip":"198.18.9.9","endpoint":"/login","method":"POST","status_code":401,"password":"cOnTeNt-in-a-log"}}"#
        );
        send(server.port, "POST /logs", &own, &body);
    }
}

#[test]
fn secrets_of_headers_and_bodies_are_in_no_answer_log_metric_export_or_list() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let start = Start { log: Some("debug"), ..Start::on(&data) };
    let server = start.must();
    let shown = data.to_str().expect("folders of the proofs have plain names");
    let made = run(&["key", "create", "--data", shown, "--name", "reader", "--scope", "read"]);
    tell_secrets(&server);
    tell_events(&server);
    server.settled_ledger();
    let own = format!("Authorization: Bearer {KEY}\r\n");
    let mut said = vec![];
    for path in ["/metrics", "/health", "/v1/ledger", "/v1/keys", "/openapi.json", "/v1/quarantine", "/v1/alerts"] {
        let answer = send(server.port, &format!("GET {path}"), &own, "");
        assert!(!answer.contains(CONTENT), "{path} tells of an event: {answer}");
        said.push((path.to_owned(), answer));
    }
    for path in ["/alerts", "/v1/events"] {
        said.push((path.to_owned(), send(server.port, &format!("GET {path}"), &own, "")));
    }
    for format in ["ndjson", "csv", "canonical"] {
        let export = send(server.port, &format!("GET /v1/export/alerts?format={format}"), &own, "");
        assert!(export.contains("198.18.9.9"), "{format}: {export}");
        said.push((format!("the export as {format}"), export));
    }
    said.push(("`quarantine list`".into(), run(&["quarantine", "list", "--data", shown])));
    said.push(("`key list`".into(), run(&["key", "list", "--data", shown])));
    server.stop();
    let log = fs::read_to_string(start.complaints()).expect("it is text");
    assert!(!log.contains(CONTENT), "the log tells of an event: {log}");
    said.push(("the log".into(), log));
    for (what, text) in said {
        check_clean(&what, &text);
        assert!(!text.contains(made.trim()), "{what} holds a key");
    }
}

/// `text` as a list of numbers, as bytes are shown where nobody thinks of it.
fn as_bytes(text: &str) -> String {
    text.bytes().map(|it| it.to_string()).collect::<Vec<_>>().join(", ")
}

#[test]
fn neither_passwords_nor_messages_of_a_broker_are_in_the_log_whatever_is_logged() {
    let Some(broker) = Broker::find() else { return };
    let exchange = "secrets-of-a-broker";
    broker.ask("declare", &serde_json::json!({"exchanges": [{"name": exchange, "kind": "direct"}]}));
    let (_, rest) = broker.address.rsplit_once('@').expect("it has a user");
    let folder = new_folder();
    let config = folder.path().join("bartizan.toml");
    let section = |kind: &str, name: &str, url: &str, what: &str| {
        format!("[{kind}.{name}]\ntype = \"rabbitmq\"\nurl = \"{url}\"\n{what}\n")
    };
    let given_back = format!("exchange = \"{exchange}\"\ndecisions = true");
    let wrong = format!("amqp://nobody:cAnArY-of-a-broker@{rest}");
    let text = section("notify", "given-back", &broker.address, &given_back)
        + &section("inputs", "refused", &wrong, "queue = \"none\"");
    fs::write(&config, text).expect("it can be written");
    let start = Start {
        log: Some("trace,lapin=trace,lapin::io_loop=trace"),
        config: Some(config),
        ..Start::on(&folder.path().join("data"))
    };
    let server = start.must();
    let data = start.data.to_str().expect("folders of the proofs have plain names");
    run(&["decisions", "add", "--data", data, "--ip", "198.18.9.10", "--reason", "cAnArY-of-a-message"]);
    let began = Instant::now();
    while !(server.get("/v1/deliveries").to_string().contains("no queue is bound")
        && server.get("/v1/sources").to_string().contains("ACCESS_REFUSED"))
    {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", server.get("/v1/sources"));
        thread::sleep(Duration::from_millis(100));
    }
    server.stop();
    let log = fs::read_to_string(start.complaints()).expect("it is text");
    assert!(!log.contains(&as_bytes(CANARY)) && !log.contains("lapin"), "the log tells of what is sent to a broker");
    // What a decision is for is ours to say; what is sent to a broker is not.
    assert!(!log.contains("cAnArY-of-a-broker"), "the log has a password");
}

#[test]
fn secrets_of_the_configuration_are_in_no_complaint_and_not_shown() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let data = data.to_str().expect("folders of the proofs have plain names");
    let config = folder.path().join("bartizan.toml");
    let path = config.to_str().expect("folders of the proofs have plain names");
    let address = "postgres://user:cAnArY@localhost/db";
    for (text, is_right) in [
        // A server would wait for that database for ever.
        (format!("[store]\nurl = \"{address}\"\n"), true),
        (format!("[log]\nurl = \"{address}\"\n"), false),
        (format!("[limits]\nurl = \"{address}\"\n"), false),
        (format!("[store]\nurl = \"{address}\n"), false),
        (format!("[store]\nurl = [\"{address}\"]\n"), false),
        ("[server]\ndata = \"x\"\n[store]\npassword = \"cAnArY\"\n".to_owned(), false),
        ("[server]\n".to_owned(), true),
    ] {
        fs::write(&config, &text).expect("it can be written");
        for arguments in [
            &["config", "check", "--config", path][..],
            &["config", "show", "--config", path],
            &["up", "--data", data, "--listen", "127.0.0.1:0", "--config", path],
        ] {
            if is_right && arguments[0] == "up" {
                continue;
            }
            let done = command(arguments).output().expect("the program can be started");
            let said = [done.stdout, done.stderr].concat();
            check_clean(&format!("{arguments:?} of {text:?}"), &String::from_utf8_lossy(&said));
        }
    }
    let told = command(&["config", "show"]).env("BARTIZAN_STORE__URL", address).output();
    let told = told.expect("the program can be started");
    check_clean("config show", &String::from_utf8_lossy(&[told.stdout, told.stderr].concat()));
}
