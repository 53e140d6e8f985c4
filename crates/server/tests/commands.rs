//! What commands do with input that is damaged, unknown or too long, against the binary itself.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Six failed logins of an address within a minute.
fn sshd_log() -> String {
    let line = |second: u32| {
        format!("Nov 20 10:00:0{second} host-1 sshd[7]: Failed password for root from 192.0.2.1 port 1 ssh2\n")
    };
    (0..6).map(line).collect()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
    command.current_dir(folder).args(arguments);
    for (name, _) in std::env::vars().filter(|it| it.0.starts_with("BARTIZAN_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command; returns its exit code, stdout and stderr.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(folder, arguments).output().unwrap();
    let text = |it: Vec<u8>| String::from_utf8_lossy(&it).into_owned();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Starts a server on `data`, waits until it serves, and stops it; returns what it said of itself.
fn serve(folder: &Path, data: &str) -> Vec<String> {
    let mut command = command(folder, &["up", "--data", data, "--listen", "127.0.0.1:0"]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(server.stdout.take().unwrap()).lines() {
        said.push(line.unwrap());
        if said.last().unwrap().contains("listening on ") {
            kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
        }
    }
    assert!(server.wait().unwrap().success(), "{said:?}");
    said
}

#[test]
fn a_file_that_is_cut_does_not_keep_a_scan_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ssh.log"), sshd_log()).unwrap();
    // The head of a gzip stream, and a block that ends in the middle.
    fs::write(folder.path().join("cut.gz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c]).unwrap();
    for files in [["cut.gz", "ssh.log"], ["ssh.log", "cut.gz"], ["missing.log", "ssh.log"]] {
        let (code, out, complaints) = run(folder.path(), &[&["scan"][..], &files].concat());
        assert_eq!(code, 74, "{files:?}: {complaints}");
        assert!(out.contains("192.0.2.1"), "{files:?}: {out}");
        assert!(complaints.contains("cannot be read") && complaints.contains("6 events"), "{complaints}");
        let (code, out, _) = run(folder.path(), &[&["scan", "--output", "json"][..], &files].concat());
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &report["events"], report["alerts"].as_array().unwrap().len()), (74, &6.into(), 1));
        assert_eq!(report["unread"].as_array().unwrap().len(), 1);
    }
    assert_eq!(run(folder.path(), &["scan", "ssh.log"]).0, 0);
    let (code, out, _) = run(folder.path(), &["scan", "missing.log", "."]);
    assert_eq!((code, out.as_str()), (74, ""));
}

#[test]
fn a_server_starts_though_its_url_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // As on a full disk, the file cannot be made: a folder stands in its place.
    fs::create_dir_all(folder.path().join("data/url/inner")).unwrap();
    assert!(serve(folder.path(), "data").iter().any(|it| it.contains("/login/")));
    assert!(!folder.path().join("data/url.tmp").exists());
}

#[test]
fn what_a_command_cannot_do_is_said_and_exits_with_no_success() {
    let folder = tempfile::tempdir().unwrap();
    serve(folder.path(), "data");
    let (code, out, complaints) = run(folder.path(), &["quarantine", "replay", "99", "--data", "data"]);
    assert_eq!(code, 1, "{out}{complaints}");
    assert!(out.starts_with("0 records taken") && complaints.contains("has the id `99`"), "{out}{complaints}");
    let (code, out, _) = run(folder.path(), &["quarantine", "replay", "99", "--data", "data", "--output", "json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["unknown"][0].as_u64()), (1, Some(99)));
    let make = ["key", "create", "--data", "data", "--name", "shop", "--scope", "ingest", "--for", "0d"];
    let (code, out, complaints) = run(folder.path(), &make);
    assert_eq!((code, out.as_str()), (64, ""), "{complaints}");
    assert!(complaints.contains("`for` must be a time"), "{complaints}");
    let note = "n".repeat(2001);
    let (code, _, complaints) = run(folder.path(), &["alerts", "ack", "abcdef", "--note", &note, "--data", "data"]);
    assert_ne!(code, 0);
    assert!(complaints.contains("`note`") && complaints.contains("2000"), "{complaints}");
}

/// Answers each request with `head` and `body`; returns the address.
fn answering(head: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                asked.push(byte[0]);
            }
            assert!(asked.starts_with(b"GET /list.json HTTP/1.1\r\n"));
            // A client that has seen enough hangs up.
            let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    format!("http://{address}/list.json")
}

/// Fetches the list of crawlers from `url` into the folder.
fn fetch(folder: &Path, url: &str) -> (i32, String, String) {
    fs::write(folder.join("bartizan.toml"), format!("[data]\ncrawlers_url = \"{url}\"\n")).unwrap();
    run(folder, &["data", "fetch", "crawlers", "--data", "data"])
}

#[test]
fn a_list_is_fetched_shown_and_kept_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let list = br#"[{"pattern":"Thingy","instances":[]},{"pattern":"("}]"#;
    for (head, body, complaint) in [
        ("302 Found\r\nLocation: http://127.0.0.1:1/", list.to_vec(), "status 302"),
        ("404 Not Found", Vec::new(), "status 404"),
        ("200 OK", b"<html>".to_vec(), "no list of objects"),
        ("200 OK", b"[]".to_vec(), "no pattern of it can be used"),
        ("200 OK", vec![b' '; (8 << 20) + 1], "larger than"),
    ] {
        let (code, out, complaints) = fetch(folder.path(), &answering(head, body));
        assert_eq!(code, 1, "{head}: {out}");
        assert!(complaints.contains(complaint), "{head}: {complaints}");
        assert!(!folder.path().join("data").exists(), "{head}");
    }
    let url = answering("200 OK", list.to_vec());
    let (code, out, complaints) = fetch(folder.path(), &url);
    assert_eq!(code, 0, "{complaints}");
    for text in [url.as_str(), "licence  MIT", "size     53 bytes", "sha-256  ", "2 patterns, 1 left out"] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let digest = out.lines().find_map(|it| it.strip_prefix("sha-256  ")).unwrap();
    let kept: Value =
        serde_json::from_slice(&fs::read(folder.path().join("data/lists/crawlers.json")).unwrap()).unwrap();
    assert_eq!((kept["sha256"].as_str(), kept["licence"].as_str()), (Some(digest), Some("MIT")));
    let (code, out, _) = run(folder.path(), &["data", "list", "--data", "data"]);
    assert!(code == 0 && out.contains(digest) && out.contains(&url), "{out}");
    let (code, _, complaints) = fetch(folder.path(), "http://lists.example/list.json");
    assert!(code == 64 && complaints.contains("data.crawlers_url"), "{complaints}");
    let (code, _, complaints) = run(folder.path(), &["data", "fetch", "others", "--data", "data"]);
    assert!(code == 64 && complaints.contains("there is no list `others`"), "{complaints}");
}

#[test]
fn a_spoofable_input_that_is_none_is_refused_and_the_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |names: &str| {
        let text = format!(
            "[server]\ndata = \"data\"\n[inputs]\nwatch = [\"/var/log/a.log\"]\n[decisions]\nspoofable_inputs = [{names}]\n"
        );
        fs::write(folder.path().join("bartizan.toml"), text).unwrap();
        let (code, _, complaint) = run(folder.path(), &["config", "check"]);
        (code, complaint)
    };
    assert_eq!(check("\"anonymous\", \"/var/log/a.log\"").0, 0);
    for is_there in [false, true] {
        let (code, complaint) = check("\"anonymus\"");
        assert_eq!(code, 64, "{complaint}");
        assert!(complaint.contains("`anonymus`") && complaint.contains("/var/log/a.log, "), "{complaint}");
        if !is_there {
            let (code, _, complaint) =
                run(folder.path(), &["key", "create", "--name", "edge", "--scope", "ingest", "--data", "new"]);
            assert_eq!(code, 74, "{complaint}");
            serve(folder.path(), "data");
            run(folder.path(), &["key", "create", "--name", "edge", "--scope", "ingest", "--data", "data"]);
        }
    }
    assert_eq!(check("\"edge\"").0, 0);
}
