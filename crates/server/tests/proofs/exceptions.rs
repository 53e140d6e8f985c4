//! From an alarm to its exception: made by one command, in force without a restart, and no wider than the alarm.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::server::{Server, Start, command, new_folder, run};

/// How long the server may take for what it does by itself.
const SOON: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const UNION: &str = "1%27%20union%20select%201,2--%20";
const OR: &str = "1%27%20or%20%271%27%3D%271";

/// Sends a request of an access log by `client` for `path`.
fn send(server: &Server, client: &str, path: &str) {
    let event = json!({"client_ip": client, "method": "GET", "path": path, "status_code": 200, "logsource": {"category": "webserver"}});
    assert_eq!(server.call("POST", "/v1/events", &event.to_string()).status, 202, "{path}");
}

/// The alert on SQL injection about `client`; waits for it.
fn alert_about(server: &Server, client: &str) -> Value {
    let started = Instant::now();
    loop {
        let alerts = server.get(&format!("/v1/alerts?client_ip={client}"));
        let found =
            alerts["items"].as_array().unwrap().iter().find(|it| it["rule_id"] == "http-sql-injection").cloned();
        if let Some(alert) = found {
            return alert;
        }
        assert!(started.elapsed() < SOON, "there is no alert about {client}: {alerts}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs `bartizan except` with JSON.
fn except(id: &str, data: &Path, more: &[&str]) -> Value {
    let arguments = [&["except", id, "--data", data.to_str().unwrap(), "--output", "json"], more].concat();
    serde_json::from_str(&run(&arguments)).unwrap()
}

#[test]
fn an_exception_from_an_alarm_hides_that_alarm_and_not_its_neighbours() {
    let folder = new_folder();
    let start = Start::on(&folder.path().join("data"));
    let data = start.data.clone();
    let server = start.must();
    let (alarm, other) = (format!("/search?q={UNION}"), format!("/search?p={UNION}"));
    send(&server, "203.0.113.1", &alarm);
    send(&server, "203.0.113.2", &alarm);
    send(&server, "203.0.113.3", &other);
    let id = alert_about(&server, "203.0.113.1")["id"].as_str().unwrap().to_owned();
    alert_about(&server, "203.0.113.3");
    let why = run(&["why", &id, "--data", data.to_str().unwrap()]);
    assert!(why.contains(&format!("bartizan except {id} --data '{}'", data.display())), "{why}");

    let proposed = except(&id, &data, &[]);
    assert_eq!((&proposed["events"], &proposed["hides"], &proposed["silences"]), (&json!(3), &json!(1), &json!(1)));
    assert_eq!((&proposed["saved"], &proposed["samples"][0]["client_ip"]), (&json!(false), &json!("203.0.113.2")));
    assert_eq!(proposed["exceptions"][0]["path"], "/search");
    assert_eq!(proposed["exceptions"][0]["place"], "query argument `q`");
    let file = data.join("rules.toml");
    assert!(!file.exists());

    let saved = except(&id, &data, &["--reason", "the search takes SQL", "--save"]);
    assert_eq!((&saved["saved"], &saved["file"]), (&json!(true), &json!(file.display().to_string())));
    assert!(fs::read_to_string(&file).unwrap().contains("reason = \"the search takes SQL\"\nby = \"command\"\n"));
    let again = command(&["except", &id, "--data", data.to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("exceptions in force cover it already"));

    wait_until_hidden(&server, &alarm);
    for (client, path) in [
        ("203.0.113.11", other.clone()),
        ("203.0.113.12", format!("/login?q={UNION}")),
        ("203.0.113.13", format!("/search?q={OR}")),
    ] {
        send(&server, client, &path);
        alert_about(&server, client);
    }

    // A bad file leaves the exception in force, and another process reads what was saved.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[[exception]]\nfinding = \"sqli/none\"\nreason = \"x\"\n")).unwrap();
    let started = Instant::now();
    while !start.tail().contains("rules.toml`, line ") {
        assert!(started.elapsed() < SOON, "{}", start.tail());
        thread::sleep(LOOK_EVERY);
    }
    wait_until_hidden(&server, &alarm);
    fs::write(&file, text).unwrap();
    server.stop();
    let neighbour = except(&id_of_alert(&data, "203.0.113.13"), &data, &[]);
    assert_eq!(neighbour["exceptions"][0]["path"], "/search");
}

/// Sends what is excepted, then a neighbour of the same address, until the alert begins with the neighbour.
fn wait_until_hidden(server: &Server, excepted: &str) {
    let started = Instant::now();
    for number in 20.. {
        let client = format!("198.51.100.{number}");
        send(server, &client, excepted);
        send(server, &client, &format!("/elsewhere?q={UNION}"));
        let alert = alert_about(server, &client);
        let alert = server.get(&format!("/v1/alerts/{}", alert["id"].as_str().unwrap()));
        let first = server.get(&format!("/v1/events/{}", alert["evidence"][0].as_str().unwrap()));
        if first["path"].as_str().unwrap().starts_with("/elsewhere") {
            return;
        }
        assert!(started.elapsed() < SOON, "the exception is not in force");
        thread::sleep(LOOK_EVERY);
    }
}

/// The id of the alert about an address, from the folder of a server that is gone.
fn id_of_alert(data: &Path, client: &str) -> String {
    let alerts = run(&["alerts", "--data", data.to_str().unwrap(), "--client-ip", client, "--output", "json"]);
    let alerts: Value = serde_json::from_str(&alerts).unwrap();
    alerts["items"][0]["id"].as_str().unwrap().to_owned()
}
