//! Data folders of every format that was ever released are opened, by every command, and their alerts are found.
//!
//! `fixtures/format-N/data` is such a folder, `fixtures/format-N/alerts.ndjson` what `export alerts` said of it then.
//! A folder here is never changed: the tests work on copies.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let is_format = |it: &PathBuf| it.file_name().unwrap().to_string_lossy().starts_with("format-");
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).filter(is_format).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// A copy of a fixture, and the folder to run commands in.
struct Copied {
    folder: TempDir,
    expected: Vec<Value>,
}

impl Copied {
    fn of(fixture: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture.join("data"), &folder.path().join("data"));
        let expected = fs::read_to_string(fixture.join("alerts.ndjson")).unwrap();
        Self { folder, expected: expected.lines().map(|it| serde_json::from_str(it).unwrap()).collect() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
        command.current_dir(self.folder.path()).args(arguments).args(["--data", "data"]);
        for (name, _) in std::env::vars().filter(|it| it.0.starts_with("BARTIZAN_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command that must succeed; returns its stdout.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{arguments:?}: {status}\n{stdout}\n{stderr}");
        stdout.into_owned()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).unwrap()
    }

    /// Starts a server over the folder, waits until it serves, and stops it.
    fn serve(&self) {
        self.serve_while(|| ());
    }

    /// The same, and calls `work` in between.
    fn serve_while<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut command = self.command(&["up", "--listen", "127.0.0.1:0"]);
        let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(lines.any(|it| it.unwrap().contains("listening on http://")), "the server did not start");
        let done = work();
        kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
        assert!(server.wait().unwrap().success());
        done
    }

    /// The alerts as they are exported hold everything that they held when the folder was made.
    #[track_caller]
    fn check_alerts(&self) {
        let exported = self.run(&["export", "alerts"]);
        let found: Vec<Value> = exported.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(found.len(), self.expected.len());
        for (found, expected) in found.iter().zip(&self.expected) {
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(&found[key], value, "`{key}` of {}", expected["id"]);
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn every_command_opens_every_format() {
    for fixture in fixtures() {
        let copied = Copied::of(&fixture);
        copied.check_alerts();
        let listed = copied.json(&["alerts", "--output", "json"]);
        assert_eq!(listed["items"].as_array().unwrap().len(), copied.expected.len());
        for alert in &copied.expected {
            let why = copied.run(&["why", alert["id"].as_str().unwrap()]);
            let evidence = alert["evidence"].as_array().unwrap();
            assert!(!evidence.is_empty());
            for id in evidence {
                assert!(why.contains(id.as_str().unwrap()), "{why}");
            }
        }
        let quarantined = copied.run(&["quarantine", "list"]);
        let id = quarantined.lines().nth(1).and_then(|it| it.split_whitespace().next()).expect("there is a record");
        assert!(copied.run(&["quarantine", "show", id]).contains("this is no line of a log"));
        assert!(copied.run(&["key", "list"]).contains("shop"));
        assert!(copied.run(&["export", "alerts", "--format", "csv"]).lines().count() > copied.expected.len());
        copied.run(&["login-link"]);
        assert_eq!(copied.json(&["fsck", "--output", "json"])["healthy"], true);
    }
}

#[test]
fn a_server_goes_on_with_every_format() {
    for fixture in fixtures() {
        let copied = Copied::of(&fixture);
        copied.serve();
        copied.check_alerts();
        assert_eq!(copied.json(&["fsck", "--output", "json"])["healthy"], true);
        // Without its snapshot and its indexes it says the same.
        fs::remove_file(copied.folder.path().join("data/snapshots/p0.snap")).unwrap();
        for entry in fs::read_dir(copied.folder.path().join("data/events")).unwrap().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|it| it == "idx") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        copied.serve();
        copied.check_alerts();
    }
}

/// Flips a bit of the last byte that was written to the newest segment.
fn flip_the_end(events: &Path) {
    let names = fs::read_dir(events).unwrap().map(|it| it.unwrap().path());
    let newest = names.filter(|it| it.extension().is_some_and(|it| it == "seg")).max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.iter().rposition(|it| *it != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(newest, bytes).unwrap();
}

#[test]
fn a_damaged_end_that_detection_had_read_is_found_and_survived() {
    for fixture in fixtures() {
        let copied = Copied::of(&fixture);
        copied.serve();
        flip_the_end(&copied.folder.path().join("data/events"));
        let checked = copied.command(&["fsck", "--output", "json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!((checked.status.code(), &report["healthy"]), (Some(1), &Value::Bool(false)), "{report}");
        assert!(report["records_lost"].as_u64().is_some_and(|it| 0 < it), "{report}");
        copied.serve();
    }
}

#[test]
fn an_alert_of_every_format_can_be_closed_and_opened_again() {
    for fixture in fixtures() {
        let copied = Copied::of(&fixture);
        let id = copied.expected[0]["id"].as_str().unwrap();
        let short = &id[..12];
        assert!(copied.run(&["alerts", "close", short, "--note", "our own scanner"]).contains(": closed"));
        let why = copied.run(&["why", short]);
        assert!(why.contains("command: new to closed: our own scanner"), "{why}");
        let opened = copied.json(&["alerts", "reopen", short, id, "--output", "json"]);
        assert_eq!(opened["items"][1]["status"], "new");
        assert_eq!(copied.json(&["why", id, "--output", "json"])["history"].as_array().unwrap().len(), 2);
        let output = copied.command(&["alerts", "ack", "ffffffffffff", short]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), false));
        assert!(String::from_utf8_lossy(&output.stderr).contains("`ffffffffffff`: there is no such alert"));
        for wrong in [&["alerts", "close"][..], &["alerts", "burn", id], &["alerts", "--note", "x"]] {
            assert_eq!(copied.command(wrong).output().unwrap().status.code(), Some(64), "{wrong:?}");
        }
    }
}

#[test]
fn a_running_server_is_asked_and_says_the_same() {
    for fixture in fixtures() {
        let copied = Copied::of(&fixture);
        let commands: [&[&str]; 3] =
            [&["export", "alerts"], &["export", "alerts", "--canonical"], &["export", "alerts", "--format", "csv"]];
        let run_all = || commands.map(|it| copied.run(it));
        let without = run_all();
        assert_eq!(copied.serve_while(run_all), without);
        let id = copied.expected[0]["id"].as_str().unwrap();
        copied.serve_while(|| copied.run(&["alerts", "ack", &id[..8]]));
        assert_eq!(copied.json(&["why", id, "--output", "json"])["status"], "acknowledged");
    }
}
