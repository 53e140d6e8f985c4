//! What docs/security.md promises of the running program, asked as a stranger on the network would.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use crate::support::http::KEY;
use crate::support::server::{Start, command, new_folder, run};
use crate::support::tls;

/// Sends a request with these headers; returns the whole answer.
fn ask(port: u16, request: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
    let text =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).expect("it can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("there is an answer");
    answer
}

#[track_caller]
fn check(port: u16, request: &str, headers: &str, status: u16) -> String {
    let answer = ask(port, request, headers);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {headers:?}: {answer}");
    answer
}

#[test]
fn nobody_comes_in_without_a_key_and_with_one_only_where_it_opens() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let server = Start::on(&data).must();
    let port = server.port;
    // `admin:admin` and `:` as HTTP Basic, an empty token, a wrong one, nothing.
    for header in [
        "",
        "Authorization: Basic YWRtaW46YWRtaW4=\r\n",
        "Authorization: Basic Og==\r\n",
        "Authorization: Bearer\r\n",
        "X-Api-Key: bz_no\r\n",
    ] {
        for request in ["GET /v1/alerts", "GET /metrics", "GET /v1/keys", "POST /v1/events", "GET /openapi.json"] {
            check(port, request, header, 401);
        }
    }
    check(port, "GET /healthz", "", 200);
    let data = data.to_str().expect("folders of the proofs have plain names");
    let opened =
        [("ingest", 400, 403, 403), ("read", 403, 200, 403), ("metrics", 403, 403, 200), ("bouncer", 403, 403, 403)];
    for (scope, events, alerts, metrics) in opened {
        let key = run(&["key", "create", "--data", data, "--name", scope, "--scope", scope]);
        let header = format!("Authorization: Bearer {}\r\n", key.trim());
        check(port, "POST /v1/events", &header, events);
        check(port, "GET /v1/alerts", &header, alerts);
        check(port, "GET /metrics", &header, metrics);
        check(port, "GET /v1/keys", &header, 403);
        run(&["key", "revoke", scope, "--data", data]);
        check(port, "GET /v1/alerts", &header, 401);
    }
    server.stop();
}

#[test]
fn answers_are_kept_by_no_cache_and_other_methods_are_refused() {
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    let key = format!("X-Api-Key: {KEY}\r\n");
    let answer = check(server.port, "GET /v1/alerts", &key, 200).to_lowercase();
    for header in ["cache-control: no-store", "x-content-type-options: nosniff", "x-request-id: "] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
    assert!(!answer.contains("access-control-allow-origin"), "{answer}");
    for method in ["TRACE", "PUT", "DELETE"] {
        assert!(check(server.port, &format!("{method} /v1/alerts"), &key, 405).to_lowercase().contains("allow: get"));
    }
    // Another site's page, with a cookie that it cannot have.
    check(server.port, "POST /logout", "Origin: http://evil\r\n", 403);
    server.stop();
}

#[test]
fn browsers_are_told_to_come_over_tls_only_where_there_is_tls() {
    const HEADER: &str = "strict-transport-security: max-age=31536000";
    let folder = new_folder();
    let config = folder.path().join("tls.toml");
    fs::write(&config, tls::section()).expect("it can be written");
    let server = Start { config: Some(config), ..Start::on(&folder.path().join("data")) }.must();
    for request in ["GET /healthz", "GET /login", "GET /v1/alerts", "GET /nothing"] {
        let answer = tls::ask(server.port, request).to_lowercase();
        assert!(answer.starts_with("http/1.1 ") && answer.contains(HEADER), "{request}: {answer}");
    }
    server.stop();
    let server = Start::on(&folder.path().join("plain")).must();
    assert!(!check(server.port, "GET /healthz", "", 200).to_lowercase().contains("strict-transport"));
    server.stop();
}

#[test]
fn the_folder_is_private_and_holds_no_key_that_opens_anything() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let server = Start::on(&data).must();
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in ["lock", "bartizan.db", "control.sock", "url"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    let made = run(&["key", "create", "--data", data.to_str().expect("it is plain"), "--name", "a", "--scope", "read"]);
    server.stop();
    for file in fs::read_dir(&data).expect("it is there").flatten().filter(|it| it.path().is_file()) {
        let bytes = fs::read(file.path()).expect("it is ours");
        for secret in [made.trim().as_bytes(), KEY.as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|it| it == secret), "{:?}", file.file_name());
        }
    }
}

#[test]
fn an_address_that_others_reach_needs_tls_or_a_proxy() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let done = command(&["up", "--data", data.to_str().expect("it is plain"), "--listen", "0.0.0.0:0"]).output();
    let done = done.expect("the program can be started");
    assert_eq!(done.status.code(), Some(64));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(complaint.contains("[tls]") && complaint.contains("behind-proxy"), "{complaint}");
    assert!(!data.exists());
}
