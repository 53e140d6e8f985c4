//! From the alert to the message: nothing is lost, at most one message is sent again for each crash, dead letters are
//! kept and replayed, no secret is told.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::server::{Server, Start, new_folder, run};

/// How long a message may take; far more than promised, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// What must be found nowhere.
const CANARY: &str = "canary-8c1f";

/// A receiver of webhooks.
#[derive(Clone)]
struct Receiver {
    port: u16,
    status: Arc<AtomicU16>,
    taken: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = Self { port, status: Arc::new(AtomicU16::new(200)), taken: Arc::default() };
        let serving = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, serving) = (stream.unwrap(), serving.clone());
                thread::spawn(move || while serving.serve(&mut stream).is_some() {});
            }
        });
        receiver
    }

    /// Takes a request: its `webhook-id` and its body.
    fn serve(&self, stream: &mut TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let header = |name: &str| head.lines().find_map(|it| it.strip_prefix(name)).map(|it| it.trim().to_owned());
        let mut body = vec![0; header("content-length:")?.parse().ok()?];
        stream.read_exact(&mut body).ok()?;
        let status = self.status.load(Ordering::Relaxed);
        self.taken.lock().unwrap().push((header("webhook-id:")?, serde_json::from_slice(&body).ok()?));
        stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()
    }

    fn taken(&self) -> Vec<(String, Value)> {
        self.taken.lock().unwrap().clone()
    }

    /// How often each message came, by its id.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.taken().into_iter().for_each(|it| *counts.entry(it.0).or_default() += 1);
        counts
    }

    /// Waits until so many different messages came.
    #[track_caller]
    fn wait_for(&self, messages: usize, start: &Start) {
        let began = Instant::now();
        while self.counts().len() < messages {
            assert!(began.elapsed() < PATIENCE, "{:?}: {}", self.counts(), start.tail());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn configure(&self, folder: &Path) -> PathBuf {
        let path = folder.join("bartizan.toml");
        let text = format!(
            "[outbound]\nallow = [\"127.0.0.1\"]\n[notify.ops]\ntype = \"webhook\"\n\
             url = \"http://127.0.0.1:{}/{CANARY}\"\nsecret = \"file:{}\"\npause = \"1ms\"\n",
            self.port,
            folder.join("secret").display()
        );
        fs::write(folder.join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

/// Five failed logins of an address: an alert.
fn attack(last: u8) -> String {
    let line = |_| format!("{{\"client_ip\":\"203.0.113.{last}\",\"status_code\":401,\"path\":\"/login\"}}\n");
    (0..5).map(line).collect()
}

fn send(server: &Server, last: u8) {
    assert_eq!(server.call("POST", "/v1/events", &attack(last)).status, 202);
}

fn text(server: &Server, method: &str, path: &str) -> String {
    String::from_utf8(server.call(method, path, "").body).unwrap()
}

#[track_caller]
fn wait_until_empty(start: &Start) {
    let began = Instant::now();
    let data = start.data.to_str().unwrap();
    while !run(&["deliveries", "list", "--data", data]).contains("No message waits") {
        assert!(began.elapsed() < PATIENCE, "messages wait: {}", start.tail());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_crash_between_sending_and_marking_costs_one_message_more_and_none_less() {
    for failpoint in ["notify.after_send:1", "notify.after_send:2", "store.after_commit:1", "detect.after_commit:1"] {
        let (folder, outside) = (new_folder(), new_folder());
        let receiver = Receiver::start();
        let config = Some(receiver.configure(outside.path()));
        let start = Start { config, ..Start::on(&folder.path().join("data")) };
        let crashing = Start { failpoint: Some(failpoint.to_owned()), ..start.clone() }.must();
        crashing.call_and_end(&(attack(1) + &attack(2) + &attack(3)), PATIENCE);
        let server = start.must();
        receiver.wait_for(3, &start);
        wait_until_empty(&start);
        server.settled_ledger();
        let counts = receiver.counts();
        let repeated: usize = counts.values().map(|it| it - 1).sum();
        // Where the process ends elsewhere, the worker may have a message in its hands at that instant, sent or not.
        let least = usize::from(failpoint.starts_with("notify"));
        assert!(counts.len() == 3 && (least..=1).contains(&repeated), "{failpoint}: {counts:?}");
        let metrics = text(&server, "GET", "/metrics");
        let value = metrics.split("bartizan_notify_repeated_total{destination=\"ops\"} ").nth(1);
        let told: usize = value.and_then(|it| it.lines().next()?.parse().ok()).unwrap();
        assert!((repeated..=1).contains(&told), "{failpoint}: {told} repeated, {counts:?}");
        server.stop();
    }
}

#[test]
fn an_alert_is_told_when_it_is_raised_and_when_it_is_closed() {
    let (folder, outside) = (new_folder(), new_folder());
    let receiver = Receiver::start();
    let start = Start { config: Some(receiver.configure(outside.path())), ..Start::on(&folder.path().join("data")) };
    let server = start.must();
    send(&server, 1);
    receiver.wait_for(1, &start);
    let id = receiver.taken()[0].1["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&format!("/v1/alerts/{id}"))["client_ip"], "203.0.113.1");
    assert_eq!(server.call("POST", &format!("/v1/alerts/{id}"), "{\"status\":\"closed\"}").status, 200);
    receiver.wait_for(2, &start);
    let told: Vec<_> =
        receiver.taken().into_iter().map(|it| (it.1["type"].clone(), it.1["data"]["id"].clone())).collect();
    assert_eq!(told, [("alert.raised".into(), id.clone().into()), ("alert.closed".into(), id.into())]);
    server.stop();
}

#[test]
fn a_dead_letter_is_kept_with_its_reason_replayed_and_tells_no_secret() {
    let (folder, outside) = (new_folder(), new_folder());
    let receiver = Receiver::start();
    receiver.status.store(404, Ordering::Relaxed);
    let config = receiver.configure(outside.path());
    let start = Start { config: Some(config.clone()), ..Start::on(&folder.path().join("data")) };
    let data = start.data.to_str().unwrap();
    let server = start.must();
    send(&server, 1);
    receiver.wait_for(1, &start);
    let began = Instant::now();
    let listed = loop {
        let listed = run(&["deliveries", "list", "--state", "dead", "--data", data]);
        if listed.contains("it answered 404 Not Found") {
            break listed;
        }
        assert!(began.elapsed() < PATIENCE, "{listed}");
        thread::sleep(Duration::from_millis(50));
    };
    let told = [
        listed.clone(),
        run(&["notify", "list", "--data", data]),
        text(&server, "GET", "/v1/notify"),
        text(&server, "GET", "/v1/deliveries"),
        text(&server, "POST", "/v1/notify/ops/test"),
        text(&server, "GET", "/metrics"),
        run(&["config", "show", "--config", config.to_str().unwrap()]),
    ];
    server.stop();
    let stderr = fs::read_to_string(start.complaints()).unwrap();
    for text in told.iter().chain([&stderr]) {
        assert!(!text.contains(CANARY) && !text.contains("MfKQ9r8G"), "{text}");
    }
    // The same without a server; what waits again is sent by the next one.
    assert_eq!(run(&["deliveries", "list", "--state", "dead", "--data", data]), listed);
    assert_eq!(run(&["deliveries", "replay", "--all", "--data", data]), "1 message to be sent again\n");
    receiver.status.store(200, Ordering::Relaxed);
    let server = start.must();
    wait_until_empty(&start);
    let ids: Vec<_> = receiver.taken().into_iter().filter(|it| it.1["type"] == "alert.raised").map(|it| it.0).collect();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    server.stop();
}
