//! From the request to the block: the gateway, detection, the decision, and the explanation by the id of the request.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::{Start, new_folder, run};

/// Who attacks.
const ATTACKER: &str = "203.0.113.77";
/// How long a decision may take to be enforced.
const ENFORCED_WITHIN: Duration = Duration::from_secs(30);

/// A site whose login always fails; returns its port.
fn site() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        let status = if head.starts_with(b"GET /login ") { "401 Unauthorized" } else { "200 OK" };
                        let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
                        head.clear();
                    }
                }
            });
        }
    });
    port
}

/// A port at which nobody listens, for now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The whole answer to a GET by `client` through the gateway at `port`.
fn get(port: u16, path: &str, client: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nX-Forwarded-For: {client}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

#[test]
fn five_failed_logins_block_their_address_and_nobody_else() {
    let (folder, outside) = (new_folder(), new_folder());
    let (site, port) = (site(), free_port());
    let config = outside.path().join("bartizan.toml");
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:{port}\"\nupstream = [\"http://127.0.0.1:{site}\"]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [gateway.enforce]\nbruteforce = \"block 1h\"\n"
    );
    fs::write(&config, text).unwrap();
    let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
    let server = start.must();

    (0..5).for_each(|_| assert_eq!(status(&get(port, "/login", ATTACKER)), "401"));
    let started = Instant::now();
    let blocked = loop {
        let answer = get(port, "/shop", ATTACKER);
        if status(&answer) == "403" {
            break answer;
        }
        assert!(started.elapsed() < ENFORCED_WITHIN, "the address is not blocked: {answer}: {}", start.tail());
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status(&get(port, "/shop", "203.0.113.78")), "200");

    let id = blocked.split("x-request-id: ").nth(1).and_then(|it| it.split("\r\n").next()).expect("an id");
    let data = start.data.to_str().unwrap();
    let mut told = String::new();
    while !told.contains("`bruteforce`") {
        assert!(started.elapsed() < ENFORCED_WITHIN, "the request is not explained: {told}");
        if server.call("GET", &format!("/v1/events/{id}"), "").status == 200 {
            told = run(&["why", id, "--data", data]);
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(told.contains("it was blocked"), "{told}");
}

/// The whole answer to a form that is posted through the gateway at `port`.
fn post(port: u16, path: &str, form: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nUser-Agent: t\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_blocked_request_passes_once_it_is_excepted_and_its_neighbours_do_not() {
    const SCRIPT: &str = "%3Cscript%3Ealert(1)%3C/script%3E";
    let (folder, outside) = (new_folder(), new_folder());
    let (site, port) = (site(), free_port());
    let config = outside.path().join("bartizan.toml");
    let gateway = format!(
        "[gateway]\nlisten = \"127.0.0.1:{port}\"\nupstream = [\"http://127.0.0.1:{site}\"]\nmode = \"block\"\n"
    );
    fs::write(&config, gateway).unwrap();
    let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
    let server = start.must();

    let blocked = post(port, "/editor", &format!("html={SCRIPT}"));
    assert_eq!(status(&blocked), "403");
    let id = blocked.split("x-request-id: ").nth(1).and_then(|it| it.split("\r\n").next()).expect("an id");
    let started = Instant::now();
    while server.call("GET", &format!("/v1/events/{id}"), "").status != 200 {
        assert!(started.elapsed() < ENFORCED_WITHIN, "the request is not told of");
        thread::sleep(Duration::from_millis(10));
    }
    let data = start.data.to_str().unwrap();
    let why = run(&["why", id, "--data", data]);
    assert!(why.contains(&format!("bartizan except {id} --data ")), "{why}");
    let made = run(&["except", id, "--data", data, "--save"]);
    assert!(made.contains("place = \"body field `html`\"\nhost = \"shop\"\npath = \"/editor\"\n"), "{made}");
    assert!(made.contains("it would have hidden nothing else.\n"), "{made}");
    assert!(outside.path().join("rules.toml").exists());

    while status(&post(port, "/editor", &format!("html={SCRIPT}"))) != "200" {
        assert!(started.elapsed() < ENFORCED_WITHIN, "the exception is not in force: {}", start.tail());
        thread::sleep(Duration::from_millis(50));
    }
    for (path, form) in [
        ("/editor", format!("title={SCRIPT}")),
        ("/editor/x", format!("html={SCRIPT}")),
        ("/editor", "html=1%27%20union%20select%201,2--%20".to_owned()),
    ] {
        assert_eq!(status(&post(port, path, &form)), "403", "{path} {form}");
    }
}
