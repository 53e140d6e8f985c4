//! What every request passes: id, route, who, body, handler, headers.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use enforcement::crowdsec;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use pipeline::ingest::{Ingest, now};
use web::answer::Answer;
use web::body::{self, BodyError, BodyLimits, Room};
use web::route::{Caller, Found, Permission, Request, Route, find};

use super::auth::{Auth, Refused};
use super::outgoing::Outgoing;

/// How large a body of a refused request is read and thrown away.
const DRAINED_BYTES_MAX: u64 = 64 << 10;
/// How long that may take.
const DRAIN: Duration = Duration::from_secs(2);
/// What tells browsers to come over TLS only, for a year. Other names below ours are not ours to speak for.
///
/// Source: RFC 6797, section 6.1.
const TRANSPORT_SECURITY: &str = "max-age=31536000";

/// How requests are refused: in which words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Ours.
    Own,
    /// Those of CrowdSec's local API.
    Crowdsec,
}

/// Everything that a request meets.
pub(crate) struct Service {
    pub(crate) routes: Vec<Route>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) limits: BodyLimits,
    pub(crate) room: Room,
    /// Whether browsers come over TLS, to us or to a proxy in front.
    is_tls: bool,
    ids: RequestIds,
    in_flight: InFlight,
    manners: Manners,
}

/// How many requests of the network are being answered; shared with whoever shows it.
pub(crate) type InFlight = Arc<AtomicU64>;

/// Counts one request for as long as it is there.
struct Counted(InFlight);

impl Counted {
    fn new(in_flight: &InFlight) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self(in_flight.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ids of requests: different in every start, and rising.
struct RequestIds {
    start: String,
    count: AtomicU64,
}

impl Service {
    pub(crate) fn new(
        routes: Vec<Route>,
        auth: Arc<Auth>,
        ingest: Arc<Ingest>,
        limits: BodyLimits,
        in_flight: InFlight,
        is_tls: bool,
    ) -> Self {
        let start = format!("{:x}", now().0 / 1_000_000);
        Self {
            routes,
            auth,
            ingest,
            limits,
            room: Room::default(),
            is_tls,
            ids: RequestIds { start, count: AtomicU64::new(0) },
            in_flight,
            manners: Manners::Own,
        }
    }

    /// Has it refuse in other words.
    pub(crate) const fn with_manners(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    /// Answers a request that came over the network.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
    ) -> hyper::Response<Outgoing> {
        let _counted = Counted::new(&self.in_flight);
        let id = self.next_id();
        let is_head = request.method() == Method::HEAD;
        let answer = match self.admit(&request, peer) {
            Ok((route, parameters, caller)) => self.run(route, parameters, caller, request, peer, &id).await,
            Err(answer) => {
                drain(request.into_body()).await;
                answer
            }
        };
        let mut response = finish(answer, &id, is_head);
        if self.is_tls {
            let value = HeaderValue::from_static(TRANSPORT_SECURITY);
            response.headers_mut().insert(hyper::header::STRICT_TRANSPORT_SECURITY, value);
        }
        response
    }

    /// Answers a request that came over the socket in the data folder: whoever can open it may do everything.
    pub(crate) async fn answer_owner(self: Arc<Self>, request: hyper::Request<Incoming>) -> hyper::Response<Outgoing> {
        let id = self.next_id();
        let peer = SocketAddr::from(([127, 0, 0, 1], 0));
        let answer = match self.route_of(request.method(), request.uri().path()) {
            Ok((route, parameters)) => self.run(route, parameters, Caller::Owner, request, peer, &id).await,
            Err(answer) => answer,
        };
        finish(answer, &id, false)
    }

    /// Answers a command of this very process.
    pub(crate) async fn call(&self, method: Method, target: &str, body: String) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match self.route_of(&method, path) {
            Ok((route, parameters)) => {
                let request = Request {
                    method,
                    path: path.to_owned(),
                    query: query.to_owned(),
                    headers: hyper::HeaderMap::new(),
                    body: body.into(),
                    peer: SocketAddr::from(([127, 0, 0, 1], 0)),
                    caller: Caller::Owner,
                    parameters,
                    id: self.next_id(),
                };
                (route.handler)(request).await
            }
            Err(answer) => answer,
        }
    }

    fn next_id(&self) -> Arc<str> {
        let count = self.ids.count.fetch_add(1, Ordering::Relaxed);
        format!("{}-{count:x}", self.ids.start).into()
    }

    fn route_of(&self, method: &Method, path: &str) -> Result<(&Route, Vec<String>), Answer> {
        match find(&self.routes, method, path) {
            Found::Route(route, parameters) => Ok((route, parameters)),
            _ if self.manners == Manners::Crowdsec => Err(crowdsec::nothing()),
            Found::OtherMethods(methods) => {
                let allowed: Vec<_> = methods.iter().map(Method::as_str).collect();
                let detail = format!("this path takes {}", allowed.join(" and "));
                Err(Answer::problem(StatusCode::METHOD_NOT_ALLOWED, &detail)
                    .with(hyper::header::ALLOW, &allowed.join(", ")))
            }
            Found::Nothing => Err(Answer::problem(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; /openapi.json lists what there is",
            )),
        }
    }

    fn admit(
        &self,
        request: &hyper::Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<(&Route, Vec<String>, Caller), Answer> {
        let (route, parameters) = self.route_of(request.method(), request.uri().path())?;
        match self.auth.caller(route, request.method(), request.headers(), peer.ip(), now()) {
            Ok(caller) => Ok((route, parameters, caller)),
            Err(refused) => {
                self.count_refused(route);
                Err(match self.manners {
                    Manners::Own => refusal(refused, route),
                    Manners::Crowdsec => crowdsec::forbidden(),
                })
            }
        }
    }

    fn count_refused(&self, route: &Route) {
        if route.permission == Permission::Ingest {
            self.ingest.count_refused_request();
        }
    }

    async fn run(
        &self,
        route: &Route,
        parameters: Vec<String>,
        caller: Caller,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
        id: &Arc<str>,
    ) -> Answer {
        let (parts, incoming) = request.into_parts();
        let has_body = !parts.method.is_safe();
        let (body, held) = if has_body {
            let encoding =
                parts.headers.get(hyper::header::CONTENT_ENCODING).map(|it| it.to_str().unwrap_or("unreadable"));
            match body::read(incoming, encoding.unwrap_or(""), &self.limits, &self.room).await {
                Ok((body, held)) => (body, Some(held)),
                Err(error) => {
                    self.count_refused(route);
                    return body_refusal(error);
                }
            }
        } else {
            (Bytes::new(), None)
        };
        let request = Request {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            peer,
            caller,
            parameters,
            id: id.clone(),
        };
        let answer = CatchPanic((route.handler)(request)).await;
        drop(held);
        answer.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(request.id = %id, path = route.path, reason = text.unwrap_or("unknown"), "A request failed by a mistake of ours");
            Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed by a mistake of ours; the request's id leads to it in the log")
        })
    }
}

/// Reads the small body of a refused request, so that its connection can be used again.
async fn drain(body: Incoming) {
    use http_body_util::BodyExt;
    use hyper::body::Body;
    if body.size_hint().upper().is_some_and(|it| it <= DRAINED_BYTES_MAX) {
        // A body that does not come costs its sender the connection.
        let _ = tokio::time::timeout(DRAIN, body.collect()).await;
    }
}

fn refusal(refused: Refused, route: &Route) -> Answer {
    match refused {
        Refused::Unknown if route.is_page => Answer::see_other("/login"),
        Refused::Unknown => {
            let detail = "this needs a key: `Authorization: Bearer KEY`, `X-Api-Key: KEY`, or HTTP Basic with the key as password";
            Answer::problem(StatusCode::UNAUTHORIZED, detail)
                .with(hyper::header::WWW_AUTHENTICATE, "Bearer realm=\"bartizan\"")
        }
        Refused::Scope => {
            Answer::problem(StatusCode::FORBIDDEN, "this key may do other things; the scope of this one is another")
        }
        Refused::CrossSite => Answer::problem(StatusCode::FORBIDDEN, "this came from another site"),
        Refused::Rate(wait) => {
            let detail = "more requests than the rate allows";
            Answer::problem(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(wait.as_secs_f64().ceil() as u64)
        }
        Refused::Unavailable => {
            Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the store is not available").retry_after(1)
        }
    }
}

fn body_refusal(error: BodyError) -> Answer {
    match error {
        BodyError::TooLarge(detail) => Answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &detail),
        BodyError::Unsupported(detail) => Answer::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &detail),
        BodyError::Broken(detail) => Answer::problem(StatusCode::BAD_REQUEST, &detail),
        BodyError::Stalled => Answer::problem(StatusCode::REQUEST_TIMEOUT, "the body did not come"),
        BodyError::Gone => Answer::problem(StatusCode::BAD_REQUEST, "the body was cut off"),
        BodyError::Crowded => {
            Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "too many bodies are being read").retry_after(1)
        }
    }
}

/// Turns an answer into a response. What tells of events is never kept by a cache.
fn finish(answer: Answer, id: &str, is_head: bool) -> hyper::Response<Outgoing> {
    let body = match answer.stream {
        _ if is_head => Outgoing::whole(Bytes::new()),
        Some(stream) => Outgoing::made_by(stream).telling(answer.sent),
        None => Outgoing::whole(answer.body).telling(answer.sent),
    };
    let mut response = hyper::Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(hyper::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !answer.media_type.is_empty() {
        headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    response
}

/// A future whose panic is an answer, not the end of a connection.
struct CatchPanic(Pin<Box<dyn Future<Output = Answer> + Send>>);

impl Future for CatchPanic {
    type Output = Result<Answer, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
