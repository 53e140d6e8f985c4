//! The client against real sockets that misbehave.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::guard::{Guard, Range};
use crate::resolve::{Resolve, Resolved, System};

const TIMES: Times = Times { connect: Duration::from_secs(2), answer: Duration::from_millis(400) };

fn client() -> Arc<Client> {
    let guard = Guard::new(vec![Range::parse("127.0.0.0/8").expect("it is one")]);
    Client::new(Dialer::new(guard, Arc::new(System), None), TIMES)
}

/// A receiver that reads a request and answers each with what `answer` writes; returns its address and how many
/// connections there were.
async fn receiver<F, A>(answer: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> A + Send + Sync + 'static,
    A: Future<Output = Option<TcpStream>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    let connections = Arc::new(AtomicUsize::new(0));
    let (counted, answer) = (connections.clone(), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = answer.clone();
            tokio::spawn(async move {
                while read_request(&mut stream).await.is_ok() {
                    match answer(stream).await {
                        Some(next) => stream = next,
                        None => return,
                    }
                }
            });
        }
    });
    (address, connections)
}

async fn read_request(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\nbody") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn post(client: &Client, address: SocketAddr) -> Result<Reply, SendError> {
    let target = Target::parse(&format!("http://{address}/hook")).expect("it is one");
    client.post(&target, &[], Bytes::from_static(b"body")).await
}

async fn written(mut stream: TcpStream, text: &'static str) -> Option<TcpStream> {
    stream.write_all(text.as_bytes()).await.ok()?;
    Some(stream)
}

#[tokio::test]
async fn an_answer_is_read_and_the_connection_used_again() {
    let (address, connections) = receiver(|it| written(it, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).await;
    let client = client();
    for _ in 0..5 {
        let reply = post(&client, address).await.expect("it answers");
        assert_eq!((reply.status, &reply.body[..], reply.is_cut), (200, &b"ok"[..], false));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_closed_connection_is_replaced() {
    let (address, connections) = receiver(|it| async {
        written(it, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        None
    })
    .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(post(&client, address).await.expect("it answers").status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let (address, connections) = receiver(|it| {
        written(it, "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    assert_eq!(post(&client(), address).await.expect("it answers").status, 302);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_wait_is_read_and_bounded() {
    for (header, expected) in [
        ("7", Some(7)),
        ("999999999", Some(3600)),
        ("soon", None),
        ("-1", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(header));
        assert_eq!(retry_after_of(&headers), expected.map(Duration::from_secs), "{header}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let (address, _) = receiver(|mut it| async move {
        it.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n").await.ok()?;
        let piece = vec![b'x'; 1 << 16];
        while it.write_all(&piece).await.is_ok() {}
        None
    })
    .await;
    let reply = post(&client(), address).await.expect("it answers");
    assert_eq!((reply.status, reply.body.len(), reply.is_cut), (200, ANSWER_BYTES_MAX, true));
}

#[tokio::test]
async fn the_largest_answer_is_whole_and_one_more_is_cut() {
    for (length, is_cut) in [(ANSWER_BYTES_MAX, false), (ANSWER_BYTES_MAX + 1, true)] {
        let (address, _) = receiver(move |mut it| async move {
            it.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await.ok()?;
            it.write_all(&vec![b'x'; length]).await.ok()?;
            Some(it)
        })
        .await;
        let reply = post(&client(), address).await.expect("it answers");
        assert_eq!((reply.body.len(), reply.is_cut), (ANSWER_BYTES_MAX, is_cut));
    }
}

#[tokio::test]
async fn whoever_never_answers_costs_no_more_than_the_time() {
    let (address, _) = receiver(|it| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(it);
        None
    })
    .await;
    let began = Instant::now();
    assert!(matches!(post(&client(), address).await, Err(SendError::Timeout(_))));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_byte_a_second_is_an_answer_that_does_not_come() {
    let (address, _) = receiver(|mut it| async move {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
            it.write_all(&[*byte]).await.ok()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some(it)
    })
    .await;
    assert!(matches!(post(&client(), address).await, Err(SendError::Timeout(_))));
}

#[tokio::test]
async fn a_slow_body_does_not_undo_the_status() {
    let (address, _) = receiver(|mut it| async move {
        it.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nx").await.ok()?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Some(it)
    })
    .await;
    let reply = post(&client(), address).await.expect("it answers");
    assert_eq!((reply.status, &reply.body[..], reply.is_cut), (202, &b"x"[..], true));
}

#[tokio::test]
async fn what_is_no_http_and_a_reset_are_broken_connections() {
    for text in ["", "HTTP/1.1 2", "SSH-2.0-OpenSSH\r\n\r\n"] {
        let (address, _) = receiver(move |it| async move {
            written(it, text).await;
            None
        })
        .await;
        assert!(matches!(post(&client(), address).await, Err(SendError::Broken(_))), "{text}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (address, _) = receiver(|mut it| async move {
        it.write_all(b"HTTP/1.1 200 OK\r\n").await.ok()?;
        while it.write_all(b"X-Padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await.is_ok() {}
        None
    })
    .await;
    assert!(post(&client(), address).await.is_err());
}

/// Says another thing each time.
struct Rebinding(Mutex<Vec<IpAddr>>);

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolved<'a> {
        let next = self.0.lock().expect("no test panics with it").pop();
        Box::pin(async move { Ok(next.into_iter().collect()) })
    }
}

#[tokio::test]
async fn what_a_name_resolved_to_before_opens_nothing() {
    let (address, connections) =
        receiver(|it| written(it, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")).await;
    let said = ["169.254.169.254", "127.0.0.1", "10.0.0.1"].map(|it| it.parse().expect(it));
    let guard = Guard::new(vec![Range::parse("127.0.0.1").expect("it is one")]);
    let client = Client::new(Dialer::new(guard, Arc::new(Rebinding(Mutex::new(said.to_vec()))), None), TIMES);
    let target = Target::parse(&format!("http://rebinding.example:{}/", address.port())).expect("it is one");
    for expected in [None, Some(200), None] {
        let sent = client.post(&target, &[], Bytes::from_static(b"body")).await;
        match (sent, expected) {
            (Ok(reply), Some(status)) => assert_eq!(reply.status, status),
            (Err(SendError::Dial(DialError::Denied { .. })), None) => {}
            (sent, _) => panic!("{sent:?}"),
        }
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_denied_by_default() {
    let client = Client::new(Dialer::new(Guard::default(), Arc::new(System), None), TIMES);
    for host in [
        "127.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "localhost",
        "10.1.2.3",
    ] {
        let target = Target::parse(&format!("http://{host}:9/")).expect(host);
        let sent = client.post(&target, &[], Bytes::new()).await;
        assert!(matches!(sent, Err(SendError::Dial(DialError::Denied { .. }))), "{host}: {sent:?}");
    }
    // Other ways to write an address are names, which nobody resolves to what is denied.
    for host in ["0x7f.1", "2130706433", "0177.0.0.1", "127.1"] {
        let target = Target::parse(&format!("http://{host}:9/")).expect(host);
        assert!(client.post(&target, &[], Bytes::new()).await.is_err(), "{host}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_host_only() {
    let target = Target::parse("http://127.0.0.1:1/secret").expect("it is one");
    let error = client().post(&target, &[], Bytes::new()).await.expect_err("nobody listens");
    let text = error.to_string();
    assert!(text.starts_with("no connection to `127.0.0.1`: ") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn what_the_operator_writes_as_an_address_is_meant() {
    let (address, _) =
        receiver(|it| written(it, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")).await;
    let rebinding = Rebinding(Mutex::new(vec!["127.0.0.1".parse().expect("an address")]));
    let dialer = |resolver: Arc<dyn Resolve>| Dialer::new(Guard::default(), resolver, None).believing_written();
    let client = Client::new(dialer(Arc::new(System)), TIMES);
    for host in ["127.0.0.1", "localhost"] {
        let target = Target::parse(&format!("http://{host}:{}/", address.port())).expect(host);
        let reply = client.post(&target, &[], Bytes::from_static(b"body")).await;
        assert!(reply.as_ref().is_ok_and(|it| it.status == 200), "{host}: {reply:?}");
    }
    // A name that leads there is still none of the operator's addresses, and metadata services are nobody's.
    let client = Client::new(dialer(Arc::new(rebinding)), TIMES);
    for host in ["rebinding.example", "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]"] {
        let target = Target::parse(&format!("http://{host}:{}/", address.port())).expect(host);
        let sent = client.post(&target, &[], Bytes::from_static(b"body")).await;
        assert!(matches!(sent, Err(SendError::Dial(DialError::Denied { .. }))), "{host}: {sent:?}");
    }
}
