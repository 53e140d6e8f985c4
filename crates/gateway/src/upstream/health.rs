//! The active health check: one small request to each upstream, again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::group::Upstream;
use crate::body::RequestBody;

/// How often connections that nobody uses are looked for.
const CLOSE_EVERY: Duration = Duration::from_secs(1);

/// Closes idle connections, and asks `path` of each upstream in every `every`, until it is dropped. `upstreams` gives
/// those there are just then.
pub(crate) async fn look_after(upstreams: impl Fn() -> Vec<Arc<Upstream>>, path: Option<String>, every: Duration) {
    let mut close = interval(CLOSE_EVERY);
    let mut check = interval(every);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = close.tick() => upstreams().iter().for_each(|it| it.close_idle(Instant::now())),
            _ = check.tick(), if path.is_some() => {
                for upstream in upstreams() {
                    let path = path.clone().unwrap_or_default();
                    tokio::spawn(async move {
                        let is_well = timeout(every, ask(&upstream, &path)).await.unwrap_or(false);
                        upstream.checked(is_well);
                    });
                }
            }
        }
    }
}

/// Whether the upstream answers `path` with a status below 400.
async fn ask(upstream: &Upstream, path: &str) -> bool {
    let Ok(mut connection) = upstream.new_connection().await else { return false };
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = Method::GET;
    let Ok(uri) = path.parse() else { return false };
    *request.uri_mut() = uri;
    let Ok(host) = HeaderValue::from_str(&upstream.address.host) else { return false };
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("bartizan-health-check"));
    match connection.sender.send_request(request).await {
        Ok(response) => response.status().as_u16() < 400,
        Err(_) => false,
    }
}
