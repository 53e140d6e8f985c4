use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const TIMES: Times =
    Times { head: Duration::from_secs(10), keep_alive: Duration::from_secs(60), write: Duration::from_secs(60) };

/// What passes of `sent`, in pieces of `piece` bytes; and the check of the refusal, or the error.
async fn passed(sent: &[u8], piece: usize) -> (Vec<u8>, Option<&'static str>, Option<String>) {
    let (mut client, server) = duplex(1 << 20);
    let link = Arc::new(Link::default());
    let mut guard = Guard::new(server, link.clone(), TIMES);
    let sent = sent.to_vec();
    let sending = tokio::spawn(async move {
        for part in sent.chunks(piece) {
            if client.write_all(part).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let mut out = Vec::new();
    // After a refusal nothing more comes, and no end either.
    let read = tokio::time::timeout(Duration::from_millis(200), guard.read_to_end(&mut out)).await;
    let error = read.ok().and_then(Result::err).map(|it| it.to_string());
    drop(guard);
    sending.await.unwrap();
    (out, link.take_refusal().map(|it| it.check), error)
}

async fn check_passes(sent: &str) {
    for piece in [1, 7, 100_000] {
        let (out, refusal, error) = passed(sent.as_bytes(), piece).await;
        assert_eq!((String::from_utf8_lossy(&out).as_ref(), refusal, error), (sent, None, None));
    }
}

async fn check_refused(first: &str, second: &str, check: &str) {
    for piece in [1, 7, 100_000] {
        let (out, refusal, _) = passed(format!("{first}{second}").as_bytes(), piece).await;
        assert_eq!(refusal, Some(check), "{second:?}");
        let out = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(out.strip_prefix(first), Some(std::str::from_utf8(IN_PLACE).unwrap()), "{second:?}");
    }
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn messages_one_behind_the_other_pass_unchanged() {
    check_passes(GET).await;
    check_passes(&GET.repeat(3)).await;
    check_passes(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{GET}")).await;
    check_passes(&format!("{CHUNKED}5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n{GET}")).await;
    check_passes(&format!("{CHUNKED}0\r\nX-Sum: 1\r\n\r\n{GET}")).await;
    check_passes(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}", "b".repeat(100_000))).await;
}

#[tokio::test]
async fn an_empty_line_before_a_request_is_left_out() {
    let (out, refusal, _) = passed(format!("\r\n{GET}\r\n{GET}").as_bytes(), 100_000).await;
    assert_eq!((String::from_utf8_lossy(&out).as_ref(), refusal), (GET.repeat(2).as_str(), None));
}

#[tokio::test]
async fn a_refused_head_is_replaced_and_nothing_behind_it_passes() {
    let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    check_refused("", smuggled, "length-and-encoding").await;
    check_refused(GET, smuggled, "length-and-encoding").await;
    check_refused(GET, "GET / HTTP/1.1\nHost: a\n\n", "line-end").await;
    check_refused(GET, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "line-end").await;
    check_refused(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "XGET / HTTP/9\r\nHost: a\r\n\r\n",
        "version",
    )
    .await;
}

#[tokio::test]
async fn a_head_may_have_64_kib_and_no_byte_more() {
    let of = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    check_passes(&of(HEAD_BYTES_MAX)).await;
    check_refused("", &of(HEAD_BYTES_MAX + 2), "head-size").await;
}

#[tokio::test]
async fn a_chunked_body_that_lies_ends_the_connection() {
    for body in
        ["5\r\nhello!\r\n", "5\nhello", "x\r\n", "\r\n", "-5\r\n", "5 \r\nhello", "0x5\r\n", "0\r\nno-field\r\n\r\n"]
    {
        let (_, refusal, error) = passed(format!("{CHUNKED}{body}").as_bytes(), 100_000).await;
        assert!(refusal.is_none() && error.is_some(), "{body:?}");
    }
    let (_, _, error) = passed(format!("{CHUNKED}1000000000000000\r\n").as_bytes(), 100_000).await;
    assert!(error.is_some(), "16 digits");
}

#[tokio::test]
async fn what_follows_a_request_for_another_protocol_waits_for_the_answer() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (after, expected) in [(After::Tunnel, Some("\0raw\n")), (After::Request, None)] {
        let (mut client, server) = duplex(1 << 10);
        let link = Arc::new(Link::default());
        let mut guard = Guard::new(server, link.clone(), TIMES);
        client.write_all(format!("{upgrade}\0raw\n").as_bytes()).await.unwrap();
        let mut head = vec![0; upgrade.len()];
        guard.read_exact(&mut head).await.unwrap();
        assert_eq!(head, upgrade.as_bytes());
        let mut rest = vec![0; 64];
        let waited = tokio::time::timeout(Duration::from_millis(10), guard.read(&mut rest)).await;
        assert!(waited.is_err(), "nothing may pass before the answer");
        link.go_on(after);
        let bytes = guard.read(&mut rest).await.unwrap();
        match expected {
            Some(text) => assert_eq!(&rest[..bytes], text.as_bytes()),
            None => assert!(link.take_refusal().is_some()),
        }
    }
}
