//! One keep-alive connection that sends one request after the other.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long one answer may take before the run is given up.
const ANSWER: Duration = Duration::from_secs(30);

/// An open connection and what every request on it carries.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    key: Option<HeaderValue>,
}

impl Client {
    /// Connects; `key` goes with every request.
    ///
    /// # Errors
    ///
    /// Nobody answers at the address, or the key cannot be sent.
    pub(crate) async fn connect(target: SocketAddr, key: Option<&str>) -> Result<Self, String> {
        let stream = TcpStream::connect(target).await.map_err(|it| format!("`{target}` does not answer: {it}"))?;
        stream.set_nodelay(true).map_err(|it| format!("the connection cannot be set up: {it}"))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|it| format!("`{target}` speaks no HTTP: {it}"))?;
        // How it ends is told by the request that fails.
        tokio::spawn(connection);
        let header = |it: &str| HeaderValue::from_str(it).map_err(|_| format!("`{it}` cannot be sent"));
        let key = key.map(|it| header(&format!("Bearer {it}"))).transpose()?;
        Ok(Self { sender, host: header(&target.to_string())?, key })
    }

    /// Sends a request and reads its answer to the end.
    ///
    /// # Errors
    ///
    /// The connection broke, or the answer did not come in time.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        let body = match body {
            Some((kind, body)) => {
                request = request.header(CONTENT_TYPE, HeaderValue::from_static(kind));
                body
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|it| format!("`{path}` cannot be asked for: {it}"))?;
        tokio::time::timeout(ANSWER, self.exchange(request))
            .await
            .map_err(|_| format!("no answer within {ANSWER:?}"))?
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let broken = |it: hyper::Error| format!("the connection broke: {it}");
        self.sender.ready().await.map_err(broken)?;
        let response = self.sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?;
        Ok((status, body.to_bytes()))
    }
}
