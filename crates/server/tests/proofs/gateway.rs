//! From the request to the block: the gateway, detection, the decision, and the explanation by the id of the request.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::server::{Server, Start, new_folder, run};

/// Who attacks.
const ATTACKER: &str = "203.0.113.77";
/// How long a decision may take to be enforced, and a changed file to be seen.
const ENFORCED_WITHIN: Duration = Duration::from_secs(30);
/// What our own inspection finds.
const ATTACK: &str = "/a?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20";
/// A rule in the language of the Core Rule Set.
const RULE: &str =
    "SecRule ARGS \"@streq moon\" \"id:101,phase:2,deny,msg:'Moon',tag:'attack-moon',severity:'CRITICAL'\"\n";

/// A site whose login always fails; returns its port.
pub(crate) fn site() -> u16 {
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
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The whole answer to a GET by `client` through the gateway at `port`.
pub(crate) fn get(port: u16, path: &str, client: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nX-Forwarded-For: {client}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

#[test]
fn five_failed_logins_block_their_address_and_nobody_else() {
    let (folder, outside) = (new_folder(), new_folder());
    let (site, port) = (site(), free_port());
    let config = outside.path().join("bartizan.toml");
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:{port}\"\nupstream = [\"http://127.0.0.1:{site}\"]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [decisions]\nshare_min = 7\n"
    );
    fs::write(&config, text).unwrap();
    fs::write(outside.path().join("rules.toml"), "[rule.bruteforce]\naction = \"ban\"\nfor = \"1h\"\n").unwrap();
    let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
    let server = start.must();
    let data = start.data.to_str().unwrap();
    run(&["decisions", "live", "--data", data]);

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

/// A server with a gateway in front of a site.
struct Site {
    server: Server,
    start: Start,
    port: u16,
    site: u16,
    _folders: [TempDir; 2],
}

impl Site {
    /// Starts it with these lines in the section of the gateway.
    fn new(lines: impl FnOnce(&Path) -> String) -> Self {
        let (folder, outside) = (new_folder(), new_folder());
        let (site, port) = (site(), free_port());
        let config = outside.path().join("bartizan.toml");
        let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
        write_config(&start, port, site, &lines(outside.path()));
        let server = start.must();
        Self { server, start, port, site, _folders: [folder, outside] }
    }

    /// Changes the lines while it runs.
    fn change(&self, lines: &str) {
        write_config(&self.start, self.port, self.site, lines);
    }

    /// Waits until the attack is answered with this status; every request beside it must pass.
    fn wait_for(&self, target: &str, expected: &str) {
        let started = Instant::now();
        while status(&get(self.port, target, ATTACKER)) != expected {
            assert!(started.elapsed() < ENFORCED_WITHIN, "{target} is not {expected}: {}", self.start.tail());
            assert_eq!(status(&get(self.port, "/shop", ATTACKER)), "200");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until stderr holds a text.
    fn wait_for_log(&self, text: &str) {
        let started = Instant::now();
        while !self.start.tail().contains(text) {
            assert!(started.elapsed() < ENFORCED_WITHIN, "no `{text}` in {}", self.start.tail());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn write_config(start: &Start, port: u16, site: u16, lines: &str) {
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:{port}\"\nupstream = [\"http://127.0.0.1:{site}\"]\ntrusted_proxies = [\"127.0.0.1\"]\n{lines}\n"
    );
    let config = start.config.as_ref().unwrap();
    let new = config.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, config).unwrap();
}

#[test]
fn a_changed_configuration_comes_into_force_and_a_bad_one_changes_nothing() {
    let site = Site::new(|_| "mode = \"observe\"".to_owned());
    assert_eq!(status(&get(site.port, ATTACK, ATTACKER)), "200");
    site.change("mode = \"block\"\nconnections = 500");
    site.wait_for(ATTACK, "403");
    site.wait_for_log("gateway.connections");
    site.change("mode = \"deny\"");
    site.wait_for_log("the former stays in force");
    assert_eq!(status(&get(site.port, ATTACK, ATTACKER)), "403");
    site.change("mode = \"throttle\"");
    site.wait_for(ATTACK, "429");
}

#[test]
fn the_core_rule_set_of_the_user_blocks_and_an_exclusion_lets_pass() {
    let site = Site::new(|folder| {
        fs::write(folder.join("own.conf"), RULE).unwrap();
        format!("mode = \"block\"\ncrs = \"{}\"", folder.display())
    });
    let answer = get(site.port, "/a?q=moon", ATTACKER);
    assert_eq!(status(&answer), "403", "{answer}");
    let metrics = site.server.call("GET", "/metrics", "");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("bartizan_gateway_requests_total{action=\"block\"} 1\n"), "{metrics}");
    let folder = site.start.config.as_ref().unwrap().parent().unwrap().display().to_string();
    site.change(&format!("mode = \"block\"\ncrs = \"{folder}\"\ncrs_exclude = [\"101 ARGS:q\"]"));
    site.wait_for("/a?q=moon", "200");
    assert_eq!(status(&get(site.port, "/a?other=moon", ATTACKER)), "403");
}

#[test]
fn a_stop_loses_no_event_of_a_request_that_was_answered() {
    let site = Site::new(|_| String::new());
    (0..200).for_each(|it| assert_eq!(status(&get(site.port, &format!("/{it}"), ATTACKER)), "200"));
    let Site { server, start, _folders, .. } = site;
    server.stop();
    let server = start.must();
    let page = server.get(&format!("/v1/events?entity={ATTACKER}&limit=1000"));
    assert_eq!(page["items"].as_array().unwrap().len(), 200);
}

/// Asks over TLS, believing only the certificate of that name; `None` when it is another.
fn get_over_tls(port: u16, name: &str) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(&format!("{name}.crt"))).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), server).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap());
    stream.write_all(b"GET /shop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    // A peer that closes without saying so is the end, too.
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls-for-tests-only").join(name)
}

fn put_pair(folder: &Path, name: &str) {
    fs::copy(fixture(&format!("{name}.key")), folder.join("site.key")).unwrap();
    fs::copy(fixture(&format!("{name}.crt")), folder.join("site.crt")).unwrap();
}

#[test]
fn a_certificate_is_exchanged_while_it_serves() {
    let site = Site::new(|folder| {
        put_pair(folder, "first");
        let folder = folder.display();
        format!("tls_cert = \"{folder}/site.crt\"\ntls_key = \"{folder}/site.key\"")
    });
    assert_eq!(get_over_tls(site.port, "first").as_deref().map(status), Some("200"));
    assert_eq!(get_over_tls(site.port, "second"), None);
    put_pair(site.start.config.as_ref().unwrap().parent().unwrap(), "second");
    let started = Instant::now();
    while get_over_tls(site.port, "second").as_deref().map(status) != Some("200") {
        assert!(started.elapsed() < ENFORCED_WITHIN, "the certificate is not exchanged: {}", site.start.tail());
        thread::sleep(Duration::from_millis(50));
    }
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

#[test]
fn whoever_is_blocked_and_goes_on_raises_nothing_and_is_not_blocked_for_longer() {
    let site = Site::new(|_| String::new());
    let data = site.start.data.to_str().unwrap();
    run(&["decisions", "live", "--data", data]);
    run(&["decisions", "add", "--ip", ATTACKER, "--for", "1h", "--reason", "a scan", "--data", data]);
    let before = site.server.get("/v1/decisions");
    // Through the gateway, and in the access log of somebody else who enforces the same decision.
    (0..120).for_each(|it| assert_eq!(status(&get(site.port, &format!("/secret/{it}"), ATTACKER)), "403"));
    let log = |client: &str| {
        for it in 0..120 {
            let event = format!(
                "{{\"client_ip\":\"{client}\",\"method\":\"GET\",\"path\":\"/secret/{it}\",\"status_code\":403,\
                 \"logsource\":{{\"category\":\"webserver\"}}}}"
            );
            assert_eq!(site.server.call("POST", "/v1/events", &event).status, 202);
        }
    };
    log(ATTACKER);
    log("203.0.113.78");
    let rules_about = |client: &str| -> Vec<String> {
        let alerts = site.server.get(&format!("/v1/alerts?client_ip={client}&limit=100"));
        let rules = alerts["items"].as_array().unwrap().iter().map(|it| it["rule_id"].as_str().unwrap().to_owned());
        rules.collect()
    };
    // The gateway hands its events over a little later.
    let started = Instant::now();
    let told = |path: &str| site.server.get(path)["items"].as_array().unwrap().len();
    while told(&format!("/v1/events?entity={ATTACKER}&limit=1000")) < 360
        || !rules_about("203.0.113.78").iter().any(|it| it == "hightraffic")
    {
        assert!(started.elapsed() < ENFORCED_WITHIN, "not all is told of: {}", site.start.tail());
        thread::sleep(Duration::from_millis(50));
    }
    site.server.settled_ledger();
    let others = rules_about("203.0.113.78");
    assert!(others.iter().any(|it| it == "http-error-burst"), "{others:?}");
    let own = rules_about(ATTACKER);
    assert!(own.iter().all(|it| it.contains("FirewallBlock")), "{own:?}");
    let after = site.server.get(&format!("/v1/decisions?ip={ATTACKER}"));
    assert_eq!(after["items"], before["items"], "nothing was added and nothing extended");
}
