//! The bare handler: reads a body and answers the same bytes every time, on the HTTP stack and settings of the product.
//!
//! The settings are those of `crates/server/src/http/listener.rs`; whoever changes them there changes them here.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};

use crate::arguments::Arguments;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
const STREAMS_MAX: u32 = 100;

/// Answers until it is killed.
///
/// # Errors
///
/// The answer cannot be read, or the address cannot be listened on.
pub(crate) async fn run(arguments: &Arguments) -> Result<String, String> {
    let path: String = arguments.need("answer")?;
    let answer = std::fs::read(&path).map_err(|it| format!("`{path}` cannot be read: {it}"))?;
    let kind: HeaderValue = arguments.need("type")?;
    let address: SocketAddr = arguments.need("listen")?;
    let listener = TcpListener::bind(address).await.map_err(|it| format!("`{address}` cannot be used: {it}"))?;
    let bound = listener.local_addr().map_err(|it| format!("the address is unknown: {it}"))?;
    println!("listening on http://{bound}");
    std::io::stdout().flush().map_err(|it| format!("stdout is gone: {it}"))?;
    let answer = Bytes::from(answer);
    loop {
        let (stream, _) = listener.accept().await.map_err(|it| format!("a connection cannot be accepted: {it}"))?;
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, answer.clone(), kind.clone()));
    }
}

async fn serve(stream: TcpStream, answer: Bytes, kind: HeaderValue) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(Duration::from_secs(20));
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, kind) = (answer.clone(), kind.clone());
        async move {
            // A body that breaks off ends the connection by itself.
            let _ = request.into_body().collect().await;
            let mut response = Response::new(Full::new(answer));
            response.headers_mut().insert(CONTENT_TYPE, kind);
            Ok::<_, Infallible>(response)
        }
    });
    // How a connection ended is its sender's business.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}
