//! What one client may hold: memory, connections, time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::start;

/// An answer that no buffer on the way has room for, in bytes.
const LARGE: usize = 128 << 20;
/// What the buffers on the way may hold, of ours and of the kernel's four sockets, in bytes.
const HELD_MAX: usize = 24 << 20;

#[tokio::test]
async fn who_does_not_read_an_answer_does_not_fill_the_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let running = start(&[listener.local_addr().unwrap()], |_| {}).await;
    let count = written.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        while let Ok(bytes @ 1..) = stream.write(&[b'x'; 1 << 16]).await {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
    });
    let mut client = running.connect().await;
    client.write_all(b"GET /large HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    let mut before = 0;
    // It is over once nothing more is taken.
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = written.load(Ordering::Relaxed);
        if 0 < now && now == before {
            break;
        }
        before = now;
    }
    assert!(before < HELD_MAX, "{before} bytes were taken for a client that reads none");
}
