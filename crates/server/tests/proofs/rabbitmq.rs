//! RabbitMQ in and out, against the real one and with a client that is not ours: the contracts of the systems, and that
//! nothing is lost or counted twice, whatever is cut or killed.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::rabbitmq::{Broker, TlsWay, Way};
use crate::support::server::{Server, Start, command, new_folder, run};
use crate::support::tls::fixture;

/// How long something may take; far more than promised, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a state that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A finding as the gateway of system 000 publishes it.
pub(crate) fn anormal(number: usize) -> String {
    json!({
        "Id": null, "ServiceName": "API.Gateway", "Ip": format!("203.0.113.{}", number % 250), "EventType": 12,
        "Severity": 1, "Description": format!("finding {number}"), "OccurredAt": "2026-11-20T20:14:38.1234567Z",
        "RequestId": null, "Method": "GET", "Path": "/wp-admin", "StatusCode": null, "UserAgent": "curl",
        "Request": "{\"url\":\"/wp-admin\"}",
    })
    .to_string()
}

/// A log as system 004 publishes it.
pub(crate) fn log(status: u16, address: &str) -> String {
    json!({
        "timestamp": "2026-11-20T10:00:00Z", "client_ip": address, "endpoint": "/login", "method": "POST",
        "status_code": status,
    })
    .to_string()
}

fn configure(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("bartizan.toml");
    fs::write(&path, text).unwrap();
    path
}

/// How to start a server with this configuration; the folder must live as long.
pub(crate) fn start(folder: &Path, text: &str) -> Start {
    Start { config: Some(configure(folder, text)), ..Start::on(&folder.join("data")) }
}

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn wait<T>(start: &Start, what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} does not come: {}", start.tail());
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until the ledger of an input says so many were received; it must add up.
#[track_caller]
pub(crate) fn wait_received(server: &Server, start: &Start, input: &str, received: u64) -> Value {
    let counts = wait(start, &format!("{received} of {input}"), || {
        let counts = server.get("/v1/ledger")["inputs"][input].clone();
        (received <= counts["received"].as_u64().unwrap_or_default()).then_some(counts)
    });
    let number = |name: &str| counts[name].as_u64().unwrap();
    let sum = number("stored") + number("duplicate") + number("rejected") + number("quarantined");
    assert_eq!(number("received"), sum, "{counts}");
    counts
}

/// The source of this name, as it is listed.
pub(crate) fn source(server: &Server, name: &str) -> Value {
    let listed = server.get("/v1/sources");
    let found = listed["items"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    found.unwrap_or_default()
}

#[track_caller]
pub(crate) fn wait_connected(server: &Server, start: &Start, name: &str) -> Value {
    wait(start, &format!("the connection of {name}"), || {
        Some(source(server, name)).filter(|it| it["connected"] == true)
    })
}

/// How many messages the queue holds once nobody reads it.
#[track_caller]
pub(crate) fn left(broker: &Broker, queue: &str) -> u64 {
    broker.ask("count", &json!({"queue": queue})).as_u64().unwrap()
}

pub(crate) fn messages(queue: &str, range: std::ops::Range<usize>) -> Value {
    let message = |it| json!({"key": queue, "id": format!("{queue}-{it}"), "body": anormal(it)});
    json!({"messages": range.map(message).collect::<Vec<_>>()})
}

#[test]
fn findings_are_read_from_the_queue_of_others_and_poison_is_kept() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let (queue, bind) = ("anormal.events.queue", [["anormal.events", "anormal.event"]]);
    let start = start(
        folder.path(),
        &format!("[inputs.gateway-a]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\n", broker.address),
    );
    let server = start.must();
    // The queue is not ours to make: it is waited for.
    let error = wait(&start, "a complaint", || {
        source(&server, "gateway-a")["last_error"]["reason"].as_str().map(str::to_owned)
    });
    assert!(error.contains("NOT_FOUND - no queue 'anormal.events.queue'"), "{error}");
    broker.ask(
        "declare",
        &json!({
            "exchanges": [{"name": "anormal.events", "kind": "direct"}], "queues": [{"name": queue, "bind": bind}],
        }),
    );
    let send = |bodies: &[String]| {
        let message = |it: &String| json!({"exchange": "anormal.events", "key": "anormal.event", "body": it});
        broker.ask("publish", &json!({"messages": bodies.iter().map(message).collect::<Vec<_>>()}));
    };
    send(&[anormal(1), "{\"poison".to_owned(), anormal(2), String::new(), anormal(3).replace("\"Ip\"", "\"No\"")]);
    let counts = wait_received(&server, &start, "gateway-a", 5);
    assert_eq!((&counts["stored"], &counts["quarantined"]), (&2.into(), &3.into()));
    let kept = server.get("/v1/quarantine");
    let places: Vec<_> = kept["items"].as_array().unwrap().iter().map(|it| it["place"].as_str().unwrap()).collect();
    assert!(places.iter().all(|it| it.starts_with("queue anormal.events.queue:delivery ")), "{places:?}");
    let state =
        wait(&start, "the acknowledgement", || Some(source(&server, "gateway-a")).filter(|it| it["acknowledged"] == 5));
    assert!(!state.to_string().contains("test-only"), "{state}");
    let metrics = String::from_utf8(server.call("GET", "/metrics", "").body).unwrap();
    assert!(metrics.contains("bartizan_source_acknowledged_total{input=\"gateway-a\"} 5"), "{metrics}");
    assert_eq!(server.get("/v1/events?entity=203.0.113.1")["items"].as_array().unwrap().len(), 1);
    server.stop();
    assert_eq!(left(&broker, queue), 0);
}

#[test]
fn logs_are_published_with_their_status_and_read_with_every_status() {
    let Some(broker) = Broker::find() else { return };
    let folders = [new_folder(), new_folder()];
    let exchange = "api-security-logs";
    broker.ask(
        "declare",
        &json!({
            "exchanges": [{"name": exchange, "kind": "direct"}],
            "queues": [{"name": "theirs-of-404", "bind": [[exchange, "404"]]}],
        }),
    );
    let broker_and_exchange = format!("type = \"rabbitmq\"\nurl = \"{}\"\nexchange = \"{exchange}\"\n", broker.address);
    let input = format!("[inputs.api]\n{broker_and_exchange}keys = [\"100-599\"]\nformat = \"logs\"\n");
    let forward = format!("[forward.api]\n{broker_and_exchange}what = \"logs\"\n");
    // One process that does both would read what it writes.
    let both = configure(folders[0].path(), &(input.clone() + &forward));
    let check = command(&["config", "check", "--config", both.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(64), "{said}");
    assert!(said.contains("`inputs.api` reads the exchange that is published to"), "{said}");

    let (reading, writing) = (start(folders[0].path(), &input), start(folders[1].path(), &forward));
    let (reader, writer) = (reading.must(), writing.must());
    wait_connected(&reader, &reading, "api");
    let statuses = [401, 401, 401, 401, 401, 403, 404, 429, 200, 302];
    for status in statuses {
        assert_eq!(writer.call("POST", "/logs", &log(status, "198.51.100.9")).status, 200);
    }
    let counts = wait_received(&reader, &reading, "api", statuses.len() as u64);
    assert_eq!(counts["stored"], statuses.len());
    let theirs = broker.ask("take", &json!({"queue": "theirs-of-404", "count": 1}));
    assert_eq!((&theirs[0]["key"], &theirs[0]["mode"], &theirs[0]["type"]), (&"404".into(), &2.into(), &"log".into()));
    let body: Value = serde_json::from_str(theirs[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, serde_json::from_str::<Value>(&log(404, "198.51.100.9")).unwrap());
    // Both see the attack.
    assert!(reader.canonical_export().contains("198.51.100.9") && writer.canonical_export().contains("198.51.100.9"));
    let state = writer.get("/v1/forwards")["items"][0].clone();
    assert_eq!((&state["published"], &state["unrouted"]), (&statuses.len().into(), &0.into()));
    // Stopped and started, it goes on where it was.
    writer.stop();
    let writer = writing.must();
    assert_eq!(writer.call("POST", "/logs", &log(200, "198.51.100.10")).status, 200);
    let counts = wait_received(&reader, &reading, "api", statuses.len() as u64 + 1);
    assert_eq!(counts["received"], statuses.len() + 1, "{counts}");
    reader.stop();
    writer.stop();
}

#[test]
fn sixty_four_callers_at_once_are_answered_each_with_its_own() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let queue = "cloudtrail_events";
    // As system 003 makes it: it does not outlive the broker.
    broker.ask("declare", &json!({"queues": [{"name": queue, "durable": false}]}));
    let text = format!(
        "[inputs.trail]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\nformat = \"ingest\"\nreplies = true\n",
        broker.address
    );
    let start = start(folder.path(), &text);
    let server = start.must();
    wait_connected(&server, &start, "trail");
    let good = json!({
        "RequestID": "r", "EventID": "THE-ID", "RoleID": "role", "EventType": "ConsoleLogin",
        "EventTimestamp": "2026-11-20T20:14:38Z", "AffectedAssets": ["a,b", "NULL"],
    });
    let bad = json!({"EventID": "THE-ID"});
    let bodies: Vec<_> = (0..64).map(|it| if it % 2 == 0 { good.to_string() } else { bad.to_string() }).collect();
    let answers =
        broker.ask("call", &json!({"queue": queue, "replies": "response_cloudtrail_events", "bodies": bodies}));
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 64);
    for answer in answers {
        let is_good = answer["sent"].as_str().expect("the correlation id is one that was sent").contains("RoleID");
        let expected = if is_good { (202, "queued") } else { (400, "Invalid data") };
        let told = (answer["answer"]["status_code"].as_u64(), answer["answer"]["response_msg"].as_str());
        assert_eq!(told, (Some(expected.0), Some(expected.1)), "{answer}");
    }
    let counts = wait_received(&server, &start, "trail", 64);
    assert_eq!((&counts["stored"], &counts["quarantined"]), (&32.into(), &32.into()));
    server.stop();
    assert_eq!((left(&broker, queue), left(&broker, "response_cloudtrail_events")), (0, 0));
}

#[test]
fn alerts_and_decisions_reach_every_queue_of_a_fanout() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let exchange = "security.integration";
    broker.ask("declare", &json!({"exchanges": [{"name": exchange, "kind": "fanout"}]}));
    let text = format!(
        "[notify.integration]\ntype = \"rabbitmq\"\nurl = \"{}\"\nexchange = \"{exchange}\"\ndecisions = true\n",
        broker.address
    );
    let start = start(folder.path(), &text);
    let server = start.must();
    let attack = format!("[{}]", vec![log(401, "203.0.113.77"); 5].join(","));
    assert_eq!(server.call("POST", "/v1/events", &attack).status, 202);
    // Nobody is bound yet: the broker gives the message back, and it waits.
    wait(&start, "a returned message", || {
        let waiting = server.get("/v1/deliveries");
        waiting.to_string().contains("no queue is bound").then_some(())
    });
    let queues = ["integrationQueue", "integrationQueue-2"];
    let bound = queues.map(|it| json!({"name": it, "bind": [[exchange, ""]]}));
    broker.ask("declare", &json!({"queues": bound}));
    let data = start.data.to_str().unwrap();
    run(&["decisions", "add", "--data", data, "--ip", "203.0.113.78", "--reason", "by hand"]);
    let mut told = queues.map(|it| {
        let mut taken = broker.ask("take", &json!({"queue": it, "count": 2})).as_array().unwrap().clone();
        taken.sort_by_key(|it| it["id"].to_string());
        taken
    });
    assert_eq!(told[0], told[1]);
    let kinds: Vec<_> = told[0]
        .iter_mut()
        .map(|it| {
            let body: Value = serde_json::from_str(it["body"].as_str().unwrap()).unwrap();
            assert_eq!((&body["id"], &it["mode"], &it["type"]), (&it["id"], &2.into(), &"alert.raised".into()));
            body["data"]["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(kinds.contains(&"bruteforce".to_owned()) && kinds.contains(&"decision".to_owned()), "{kinds:?}");
    // Whoever reads can act on a range, and hears of its end.
    run(&["decisions", "add", "--data", data, "--range", "203.0.113.0/24", "--for", "1h", "--reason", "by hand"]);
    run(&["decisions", "remove", "--data", data, "--range", "203.0.113.0/24", "--reason", "a mistake"]);
    for queue in queues {
        let told = broker.ask("take", &json!({"queue": queue, "count": 2}));
        let read = |it: usize| serde_json::from_str::<Value>(told[it]["body"].as_str().unwrap()).unwrap();
        let [first, last] = [0, 1].map(read);
        assert_eq!((&first["type"], &last["type"]), (&"alert.raised".into(), &"decision.ended".into()), "{told}");
        assert_eq!(told[1]["type"], "decision.ended");
        let [first, last] = [first, last].map(|it| it["data"]["decision"].clone());
        assert_eq!((&first["value"], &first["scope"]), (&"203.0.113.0/24".into(), &"range".into()));
        let left = first["ttl_s"].as_u64().unwrap();
        assert!(3500 < left && left <= 3600 && last["ttl_s"] == 0 && first["id"] == last["id"], "{first} {last}");
    }
    server.stop();
    assert_eq!(queues.map(|it| left(&broker, it)), [0, 0]);
}

#[test]
fn messages_that_no_queue_takes_keep_none_back_that_one_takes() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let (exchange, queue) = ("some-are-bound", "of-decisions");
    broker.ask(
        "declare",
        &json!({
            "exchanges": [{"name": exchange, "kind": "direct"}],
            "queues": [{"name": queue, "bind": [[exchange, "decision"]]}],
        }),
    );
    let text = format!(
        "[notify.some]\ntype = \"rabbitmq\"\nurl = \"{}\"\nexchange = \"{exchange}\"\ndecisions = true\n",
        broker.address
    );
    let start = start(folder.path(), &text);
    let server = start.must();
    for number in 0..20 {
        let attack = format!("[{}]", vec![log(401, &format!("203.0.113.{number}")); 5].join(","));
        assert_eq!(server.call("POST", "/v1/events", &attack).status, 202);
    }
    wait(&start, "twenty returned messages", || {
        let metrics = String::from_utf8(server.call("GET", "/metrics", "").body).unwrap();
        let failed = metrics.lines().find_map(|it| {
            it.strip_prefix("bartizan_notify_failed_attempts_total{destination=\"some\"} ")?.parse::<u64>().ok()
        });
        (20 <= failed?).then_some(())
    });
    let data = start.data.to_str().unwrap();
    let began = Instant::now();
    run(&["decisions", "add", "--data", data, "--ip", "203.0.113.99", "--reason", "by hand"]);
    let told = broker.ask("take", &json!({"queue": queue, "count": 1}));
    assert_eq!(told[0]["key"], "decision", "{told}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.stop();
}

#[test]
fn whatever_is_cut_every_message_is_one_event() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let (queue, count) = ("cut", 2000);
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    let way = Way::to(&broker);
    let text = format!(
        "[inputs.cut]\ntype = \"rabbitmq\"\nurl = \"{}?heartbeat=2\"\nqueue = \"{queue}\"\nprefetch = 50\n",
        broker.through(way.port)
    );
    let start = start(folder.path(), &text);
    let server = start.must();
    wait_connected(&server, &start, "cut");
    let publishing = broker.ask_beside("publish", messages(queue, 0..count));
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(250));
        way.cut();
        wait_connected(&server, &start, "cut");
    }
    publishing.join().unwrap();
    wait(&start, "the last message", || (server.get("/v1/ledger")["inputs"]["cut"]["stored"] == count).then_some(()));
    // Silent for longer than two heartbeats: the broker and we agree that it is alive, and what comes then is taken.
    let connects = wait_connected(&server, &start, "cut")["connects"].clone();
    thread::sleep(Duration::from_secs(6));
    assert_eq!(source(&server, "cut")["connects"], connects);
    // A way that swallows everything is noticed without being told.
    way.fall_silent(true);
    wait(&start, "the missing heartbeat", || (source(&server, "cut")["connected"] == false).then_some(()));
    way.fall_silent(false);
    way.cut();
    broker.ask("publish", &messages(queue, 0..count + 1));
    wait(&start, "all of them again", || {
        let counts = &server.get("/v1/ledger")["inputs"]["cut"];
        (counts["stored"] == count + 1 && (count as u64) <= counts["duplicate"].as_u64()?).then_some(())
    });
    server.stop();
    assert_eq!(left(&broker, queue), 0);
}

#[test]
fn a_queue_that_is_deleted_is_read_again_once_it_is_there() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let queue = "comes-and-goes";
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    let text = format!("[inputs.it]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\n", broker.address);
    let start = start(folder.path(), &text);
    let server = start.must();
    wait_connected(&server, &start, "it");
    broker.ask("delete", &json!({"queue": queue}));
    wait(&start, "the end of the subscription", || (source(&server, "it")["connected"] == false).then_some(()));
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    broker.ask("publish", &messages(queue, 0..3));
    wait_received(&server, &start, "it", 3);
    server.stop();
    assert_eq!(left(&broker, queue), 0);
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_nothing_is_doubled() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let (queue, count) = ("killed", 2000);
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    let text = format!(
        "[inputs.killed]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\nprefetch = 20\n",
        broker.address
    );
    let start = start(folder.path(), &text);
    let publishing = broker.ask_beside("publish", messages(queue, 0..count));
    let cycles = if std::env::var("BARTIZAN_LONG").is_ok() { 100 } else { 6 };
    for cycle in 0..cycles {
        start.live(Duration::from_millis(900 + 37 * (cycle % 11)), |_| ());
    }
    publishing.join().unwrap();
    let server = start.must();
    wait(&start, "the last message", || {
        (server.get("/v1/ledger")["inputs"]["killed"]["stored"] == count).then_some(())
    });
    wait(&start, "an empty queue", || {
        (source(&server, "killed")["connected"] == true && left(&broker, queue) == 0).then_some(())
    });
    let counts = server.settled_ledger()["inputs"]["killed"].clone();
    assert_eq!((&counts["stored"], &counts["quarantined"]), (&count.into(), &0.into()), "{counts}");
    server.stop();
    assert_eq!(left(&broker, queue), 0);
}

#[test]
fn what_was_stored_and_not_acknowledged_comes_again_and_is_known() {
    let Some(broker) = Broker::find() else { return };
    for (failpoint, is_stored) in
        [("log.before_sync:4", false), ("log.after_sync:4", true), ("ingest.before_answer:4", true)]
    {
        let folder = new_folder();
        let queue = format!("at-{}", failpoint.split(':').next().unwrap());
        broker.ask("declare", &json!({"queues": [{"name": queue}]}));
        let text = format!("[inputs.at]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\n", broker.address);
        let start = start(folder.path(), &text);
        let crashing = Start { failpoint: Some(failpoint.to_owned()), ..start.clone() }.must();
        broker.ask("publish", &messages(&queue, 0..60));
        crashing.wait_for_abort(PATIENCE);
        let server = start.must();
        let counts = wait(&start, "every message", || {
            Some(server.get("/v1/ledger")["inputs"]["at"].clone()).filter(|it| it["stored"] == 60)
        });
        let again = counts["duplicate"].as_u64().unwrap();
        assert!(!is_stored || 0 < again, "{failpoint}: {counts}");
        server.stop();
        assert_eq!(left(&broker, &queue), 0, "{failpoint}");
    }
}

#[test]
fn what_is_passed_on_survives_a_kill_with_its_id() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let (exchange, queue) = ("passed-on", "passed-on-to");
    broker.ask(
        "declare",
        &json!({
            "exchanges": [{"name": exchange, "kind": "topic"}], "queues": [{"name": queue, "bind": [[exchange, "#"]]}],
        }),
    );
    let text = format!(
        "[forward.out]\ntype = \"rabbitmq\"\nurl = \"{}\"\nexchange = \"{exchange}\"\nwhat = \"logs\"\n",
        broker.address
    );
    let start = start(folder.path(), &text);
    let mut server = start.must();
    let mut sent = std::collections::BTreeSet::new();
    for cycle in 0..3 {
        for number in 0..20 {
            let address = format!("198.51.{cycle}.{number}");
            assert_eq!(server.call("POST", "/logs", &log(200, &address)).status, 200);
            sent.insert(address);
        }
        server.kill();
        server = start.must();
    }
    let mut ids = std::collections::BTreeMap::new();
    let mut told = std::collections::BTreeSet::new();
    while told.len() < sent.len() {
        let taken = broker.ask("take", &json!({"queue": queue, "count": 1}));
        let message = taken.get(0).unwrap_or_else(|| panic!("{} of {}: {}", told.len(), sent.len(), start.tail()));
        let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
        let (address, id) =
            (body["client_ip"].as_str().unwrap().to_owned(), message["id"].as_str().unwrap().to_owned());
        assert_eq!(ids.entry(address.clone()).or_insert_with(|| id.clone()), &id, "{address} came with two ids");
        told.insert(address);
    }
    assert_eq!(told, sent);
    server.stop();
}

#[test]
fn over_tls_the_certificate_is_checked() {
    let Some(broker) = Broker::find() else { return };
    let way = TlsWay::to(&broker);
    let queue = "over-tls";
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    let address = broker.through(way.port).replace("amqp://", "amqps://").replace("127.0.0.1", "localhost");
    for (certificate, is_believed) in [("second.crt", false), ("first.crt", true)] {
        let folder = new_folder();
        let text = format!(
            "[outbound]\nca = {:?}\n[inputs.tls]\ntype = \"rabbitmq\"\nurl = \"{address}\"\nqueue = \"{queue}\"\n",
            fixture(certificate)
        );
        let start = start(folder.path(), &text);
        let server = start.must();
        if is_believed {
            broker.ask("publish", &messages(queue, 0..3));
            wait_received(&server, &start, "tls", 3);
        } else {
            wait(&start, "a complaint", || Some(source(&server, "tls")).filter(|it| !it["last_error"].is_null()));
            assert_eq!(source(&server, "tls")["connects"], 0);
            assert_eq!(source(&server, "tls")["connected"], false);
        }
        server.stop();
    }
}

/// The other client must be there wherever the broker is.
#[test]
fn the_other_client_is_there() {
    if Broker::find().is_some() {
        assert!(Command::new("/usr/bin/python3").args(["-c", "import pika"]).status().unwrap().success());
    }
}
