//! What somebody sends who means harm: values at the ends of their ranges, slow and silent connections, floods, rules
//! that are traps. The answer is a clear refusal, and everybody else is served meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::http::{KEY, exchange};
use crate::support::server::{Server, Start, command, new_folder, run};
use crate::support::tls;

/// How long anything here may take, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a server with this configuration.
fn start(folder: &Path, config: &str) -> Server {
    let path = folder.join("hostile.toml");
    fs::write(&path, config).expect("it can be written");
    Start { config: Some(path), ..Start::on(&folder.join("data")) }.must()
}

/// Sends an event; it must be answered with this status, and with this code when it is refused.
#[track_caller]
fn check(server: &Server, event: &str, expected: Result<(), &str>) {
    let reply = server.call("POST", "/v1/events", event);
    let shown: String = event.chars().take(100).collect();
    let actual = match reply.status {
        202 => Ok(()),
        400 => Err(reply.json()["rejected"][0]["code"].as_str().unwrap_or_default().to_owned()),
        status => panic!("{status}: {shown}"),
    };
    assert_eq!(actual, expected.map_err(str::to_owned), "{shown}: {reply:?}");
}

#[test]
fn json_at_and_over_its_limits_is_taken_or_refused_by_name() {
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    let nested = |depth: usize| format!(r#"{{"n":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    check(&server, &nested(64), Ok(()));
    check(&server, &nested(65), Err("too_deep"));
    check(&server, &nested(120_000), Err("too_deep"));
    let long = |bytes: usize| format!(r#"{{"m":"{}"}}"#, "a".repeat(bytes));
    check(&server, &long(64 << 10), Ok(()));
    check(&server, &long((64 << 10) + 1), Err("too_large"));
    let mut many = String::from("{\"k\":0");
    for number in 0..20_000 {
        write!(many, ",\"{number}\":0").expect("it is a text");
    }
    check(&server, &format!("{many}}}"), Ok(()));
    for number in ["1e400", "-1e-400", "99999999999999999999999999999999", "0.1e-99999", "-0"] {
        check(&server, &format!(r#"{{"n":{number}}}"#), Ok(()));
    }
    for number in ["01", "1.", "NaN", "Infinity", "0x1", "+1"] {
        check(&server, &format!(r#"{{"n":{number}}}"#), Err("bad_json"));
    }
    check(&server, r#"{"m":"\ud83d"}"#, Ok(()));
    check(&server, "{\"m\":\"\u{0}\"}", Err("bad_json"));
    let bytes = [&b"{\"m\":\""[..], b"\xff\xfe", b"\"}"].concat();
    let length = bytes.len();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: {KEY}\r\nContent-Length: {length}\r\n\r\n"
    );
    let answer = exchange(server.port, &[head.as_bytes(), &bytes].concat());
    let answer = answer.expect("there is an answer");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad_text"), "{answer}");
    server.stop();
}

#[test]
fn of_a_repeated_key_the_last_wins_for_every_reader() {
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    let mut id = Value::Null;
    for second in 0..5 {
        let event = format!(
            r#"{{"time":"2026-11-20T12:00:0{second}Z","client_ip":"192.0.2.1","client_ip":"198.18.7.7","status_code":200,"status_code":401,"path":"/a","path":"/b"}}"#
        );
        id = server.call("POST", "/v1/events", &event).json()["ids"][0].clone();
    }
    server.settled_ledger();
    let alert = &server.get("/v1/alerts?type=bruteforce")["items"][0];
    assert_eq!((&alert["client_ip"], &alert["count"]), (&Value::from("198.18.7.7"), &Value::from(5)), "{alert}");
    let event = server.get(&format!("/v1/events/{}", id.as_str().expect("it was stored")));
    assert_eq!((&event["path"], &event["client_ip"]), (&Value::from("/b"), &Value::from("198.18.7.7")), "{event}");
    server.stop();
}

#[test]
fn times_and_numbers_beyond_every_range_are_refused_or_kept_and_never_a_failure() {
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    let times = [
        r#""0000-01-01T00:00:00Z""#,
        r#""9999-12-31T23:59:59.999999999Z""#,
        r#""9999999-01-01T00:00:00Z""#,
        r#""-0001-01-01T00:00:00Z""#,
        r#""2026-02-30T00:00:00Z""#,
        r#""2026-11-20T12:00:00+99:99""#,
        r#""2026-11-20T12:00:60Z""#,
        "0",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "18446744073709551616",
        "1e308",
        "1e-308",
        "253402300800",
    ];
    let fields = ["time", "timestamp", "@timestamp"];
    for time in times {
        for field in fields {
            let reply = server.call("POST", "/v1/events", &format!(r#"{{"{field}":{time},"message":"m"}}"#));
            assert!([202, 400].contains(&reply.status), "{field} {time}: {reply:?}");
        }
        let log = format!(
            r#"{{"timestamp":{time},"client_ip":"198.18.0.1","endpoint":"/","method":"GET","status_code":401}}"#
        );
        let reply = server.call("POST", "/logs", &log);
        assert!([200, 400].contains(&reply.status), "{time}: {reply:?}");
    }
    for field in ["status_code", "port", "src_port", "duration", "count", "severity"] {
        for number in ["-1", "0", "65536", "4294967296", "1e99", "-9223372036854775809", "1.5"] {
            let reply = server.call("POST", "/v1/events", &format!(r#"{{"{field}":{number},"message":"m"}}"#));
            assert!([202, 400].contains(&reply.status), "{field} {number}: {reply:?}");
        }
    }
    for query in [
        "from=9999999-01-01T00:00:00Z",
        "to=0000-00-00T00:00:00Z",
        "limit=-1",
        "limit=1001",
        "limit=99999999999999999999",
        "hours=99999999999999999999",
        "hours=-1",
        "cursor=99999999999999999999",
    ] {
        let reply = server.call("GET", &format!("/v1/alerts?{query}"), "");
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
    }
    let reply = server.call("GET", "/v1/alerts?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", "");
    assert!([200, 400].contains(&reply.status), "{reply:?}");
    assert_eq!(server.settled_ledger()["total"]["lag_events"], 0);
    server.stop();
}

#[test]
fn slow_and_silent_connections_are_ended_while_others_are_served() {
    let folder = new_folder();
    let config = "[limits]\nhead_timeout = \"1s\"\nbody_timeout = \"1s\"\n";
    let server = start(folder.path(), config);
    let begun = [
        "",
        "GET /v1/alerts HTT",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    let mut slow: Vec<(&str, TcpStream)> = Vec::new();
    for number in 0..300 {
        let text = begun[number % begun.len()];
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).expect("the server listens");
        stream.write_all(text.as_bytes()).expect("it can be sent");
        slow.push((text, stream));
    }
    let asked = Instant::now();
    assert_eq!(server.call("GET", "/healthz", "").status, 200);
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    for (text, stream) in &mut slow {
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        check_ended(stream, text);
    }
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {KEY}\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{{"
    );
    let answer = exchange(server.port, head.as_bytes()).expect("there is an answer");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    server.stop();
}

#[test]
fn slow_and_silent_connections_over_tls_are_ended_too() {
    let folder = new_folder();
    let server = start(folder.path(), &format!("[limits]\nhead_timeout = \"1s\"\n{}", tls::section()));
    let mut unspoken = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).expect("the server listens");
    for protocol in [&b"http/1.1"[..], b"h2"] {
        for text in ["", "GET /healthz HTT", "PRI * HTTP/2.0\r\n\r\nSM", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut stream = tls::connect(server.port, protocol);
            stream.write_all(text.as_bytes()).expect("it can be sent");
            stream.flush().expect("it can be sent");
            stream.sock.set_read_timeout(Some(PATIENCE)).expect("it can be set");
            check_ended(&mut stream, &format!("{} {text:?}", String::from_utf8_lossy(protocol)));
        }
    }
    unspoken.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    check_ended(&mut unspoken, "without a handshake");
    server.stop();
}

/// Reads to the end, which must come.
#[track_caller]
fn check_ended(stream: &mut impl Read, what: &str) {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) if [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&error.kind()) => {}
        Err(error) => panic!("{what:?} still stands after {PATIENCE:?}: {error}"),
    }
}

#[test]
fn who_sends_too_much_is_told_when_to_come_again_and_nobody_else_is() {
    let folder = new_folder();
    let config = "[access]\nanonymous_ingest = \"loopback\"\n[limits]\nanonymous_rate = \"2/s\"\n";
    let server = start(folder.path(), config);
    let data = folder.path().join("data");
    let data = data.to_str().expect("folders of the proofs have plain names");
    let slow = run(&["key", "create", "--data", data, "--name", "slow", "--scope", "read", "--rate", "2/s"]);
    let ask = |request: &str, header: &str| {
        let text =
            format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}Content-Length: 0\r\n\r\n");
        exchange(server.port, text.as_bytes()).expect("there is an answer")
    };
    let limited = |request: &str, header: &str| {
        let answers: Vec<String> = (0..20).map(|_| ask(request, header)).collect();
        answers.into_iter().filter(|it| it.starts_with("HTTP/1.1 429 ")).collect::<Vec<_>>()
    };
    let header = format!("X-Api-Key: {}\r\n", slow.trim());
    for refused in [limited("GET /v1/ledger", &header), limited("POST /logs", "")] {
        assert!(!refused.is_empty());
        for answer in refused {
            let answer = answer.to_lowercase();
            assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.contains("problem+json"), "{answer}");
        }
    }
    assert_eq!(limited("GET /v1/ledger", &format!("X-Api-Key: {KEY}\r\n")), Vec::<String>::new());
    server.stop();
}

fn rule(title: &str, detection: &str) -> String {
    format!("title: {title}\nname: {title}\nlogsource:\n  category: webserver\ndetection:\n{detection}  condition: s\n")
}

/// Loads a folder of rules; returns how many were loaded, and the reasons of the refused ones.
fn load(folder: &Path) -> (u64, Vec<String>) {
    let folder = folder.to_str().expect("folders of the proofs have plain names");
    let asked = Instant::now();
    let done = command(&["rules", "check", folder, "--output", "json"]).output().expect("it can be started");
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    let report: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let refused = report["refused"].as_array().expect("it is a list");
    let reasons = refused.iter().map(|it| it["reason"].as_str().unwrap_or_default().to_owned());
    (report["loaded"].as_u64().unwrap_or_default(), reasons.collect())
}

#[test]
fn rule_files_that_are_traps_are_refused_and_the_others_load() {
    let folder = new_folder();
    let rules = folder.path().join("rules");
    fs::create_dir(&rules).expect("it can be made");
    let outside = folder.path().join("outside.yml");
    fs::write(&outside, rule("outside", "  s:\n    path: /a\n")).expect("it can be written");
    symlink(&outside, rules.join("link.yml")).expect("it can be made");
    symlink(folder.path(), rules.join("all")).expect("it can be made");
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, before) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        writeln!(bomb, "{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}]")
            .expect("it is a text");
    }
    let files = [
        ("good.yml", rule("good", "  s:\n    path: /b\n"), ""),
        ("bomb.yml", bomb, "anchors are not supported"),
        ("deep.yml", format!("a: {}{}", "[".repeat(50_000), "]".repeat(50_000)), ""),
        ("large.yml", "# ".repeat(600_000), ""),
        ("tag.yml", "a: !!python/object x\n".to_owned(), "tags are not supported"),
    ];
    for (name, text, _) in &files {
        fs::write(rules.join(name), text).expect("it can be written");
    }
    let (loaded, reasons) = load(&rules);
    assert_eq!((loaded, reasons.len()), (1, files.len() - 1), "{reasons:?}");
    for (name, _, reason) in files.iter().filter(|it| !it.2.is_empty()) {
        assert!(reasons.iter().any(|it| it.contains(reason)), "{name}: {reasons:?}");
    }
}

#[test]
fn patterns_that_blow_up_elsewhere_are_refused_or_run_in_linear_time() {
    let folder = new_folder();
    for (index, (pattern, reason)) in [
        (r"(?=a)b", "look"),
        (r"(?<!a)b", "look"),
        (r"(a)\1", "backreference"),
        (r"((a{1,1000}){1,1000}){1,1000}", ""),
        (r"(", ""),
    ]
    .iter()
    .enumerate()
    {
        let rules = folder.path().join(format!("refused-{index}"));
        fs::create_dir(&rules).expect("it can be made");
        let text = rule("trap", &format!("  s:\n    path|re: '{pattern}'\n"));
        fs::write(rules.join("trap.yml"), text).expect("it can be written");
        let (loaded, reasons) = load(&rules);
        assert!(loaded == 0 && reasons.len() == 1 && reasons[0].contains(reason), "{pattern}: {reasons:?}");
    }
    let rules = folder.path().join("evil");
    fs::create_dir(&rules).expect("it can be made");
    let evil = ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a|a?)+b"];
    for (index, pattern) in evil.iter().enumerate() {
        let text = rule(&format!("evil-{index}"), &format!("  s:\n    path|re: '{pattern}'\n"));
        fs::write(rules.join(format!("evil-{index}.yml")), text).expect("it can be written");
    }
    assert_eq!(load(&rules), (evil.len() as u64, Vec::new()));
    let event = format!(r#"{{"path":"{}!"}}"#, "a".repeat(60_000));
    let file = folder.path().join("events.ndjson");
    fs::write(&file, format!("{event}\n").repeat(5)).expect("it can be written");
    let (file, rules) = (file.to_str().expect("it is plain"), rules.to_str().expect("it is plain"));
    let asked = Instant::now();
    let report = run(&["scan", "--no-shipped-rules", "--rules", rules, "--output", "json", file]);
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["events"], 5, "{report}");
}
