//! A receiver of webhooks that answers as it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::LONG;

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Raw(String),
    Reset,
    Nothing,
    Half,
    Hang,
    Endless,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Raw(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))
    }

    pub(crate) fn raw(text: &str) -> Self {
        Self::Raw(text.to_owned())
    }

    pub(crate) const fn reset() -> Self {
        Self::Reset
    }

    pub(crate) const fn nothing() -> Self {
        Self::Nothing
    }

    pub(crate) const fn half() -> Self {
        Self::Half
    }

    pub(crate) const fn hang() -> Self {
        Self::Hang
    }

    pub(crate) const fn endless() -> Self {
        Self::Endless
    }
}

/// Head, body and `webhook-id` of a request.
pub(crate) type Request = (String, String, String);

pub(crate) struct Receiver {
    pub(crate) port: u16,
    taken: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    pub(crate) async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, answer) = (taken.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    while let Some(request) = read(&mut stream).await {
                        let number = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request);
                            seen.len() - 1
                        };
                        if respond(&mut stream, answer(number)).await.is_none() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, taken }
    }

    pub(crate) fn taken(&self) -> Vec<Request> {
        self.taken.lock().unwrap().clone()
    }

    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        let began = std::time::Instant::now();
        while self.taken().len() < count {
            assert!(began.elapsed() < LONG, "{} of {count} came", self.taken().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.taken()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let header = |name: &str| head.lines().find_map(|it| it.strip_prefix(name)).map(|it| it.trim().to_owned());
    let mut body = vec![0; header("content-length:")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    let id = header("webhook-id:").unwrap_or_default();
    Some((head, String::from_utf8(body).ok()?, id))
}

async fn respond(stream: &mut TcpStream, answer: Answer) -> Option<()> {
    match answer {
        Answer::Raw(text) => stream.write_all(text.as_bytes()).await.ok(),
        Answer::Reset => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-").await.ok()?;
            socket_reset(stream);
            None
        }
        Answer::Nothing => None,
        Answer::Half => {
            stream.write_all(b"HTTP/1.").await.ok()?;
            None
        }
        Answer::Hang => {
            tokio::time::sleep(LONG).await;
            None
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n").await.ok()?;
            let piece = vec![b'x'; 1 << 16];
            while stream.write_all(&piece).await.is_ok() {}
            None
        }
    }
}

/// Has the close of the connection be a reset.
fn socket_reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
