//! What every request passes: who asks, decisions, inspection, then the upstream.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use attack::report::Unread;
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue, REFERER, USER_AGENT};
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;

use crate::account::Account;
use crate::answer::{Plain, REQUEST_ID};
use crate::authz;
use crate::body::{Outgoing, PrefixError, Progress, RequestBody};
use crate::client::{client_of, is_trusted};
use crate::doubt::doubt;
use crate::forward::{Exchange, exchange};
use crate::framing::link::{After, Link, REFUSED};
use crate::gateway::{Gateway, now};
use crate::headers::{Hop, asks_upgrade, asks_websocket, forward, leave_hop};
use crate::inspect::{Inspections, Subject, has_text, inspect, version_text};
use crate::policy::Policy;
use crate::record::{Action, Record};
use crate::route::{Mode, Route};
use crate::settings::Fail;
use model::decision::Measure;

/// How long a tunnel may be open: a page that is left open over the weekend connects anew.
const TUNNEL_MAX: Duration = Duration::from_secs(24 * 3600);

/// Where a request came from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) peer: IpAddr,
    pub(crate) is_tls: bool,
    /// The guard of the connection; HTTP/2 has none.
    pub(crate) link: Option<Arc<Link>>,
}

/// Tells the guard what follows a request for another protocol, whatever becomes of it.
struct Hold(Option<Arc<Link>>);

impl Hold {
    fn tunnel(mut self) {
        if let Some(link) = self.0.take() {
            link.go_on(After::Tunnel);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.go_on(After::Request);
        }
    }
}

/// The beginning of a body.
#[derive(Clone, Copy, Default)]
struct Begun<'a> {
    bytes: &'a [u8],
    /// Why there is more of it that is not looked at.
    unread: Option<Unread>,
}

/// One request in hand.
struct Case {
    gateway: Arc<Gateway>,
    policy: Arc<Policy>,
    record: Box<Record>,
    started: Instant,
    progress: Progress,
    /// What the client accepts as an answer.
    headers: HeaderMap,
}

impl Gateway {
    /// Answers a request.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>, origin: Origin) -> Response<Outgoing> {
        let id = self.next_id();
        let mut response = self.pass(request, origin, id).await;
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }

    async fn pass(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        origin: Origin,
        id: model::id::EventId,
    ) -> Response<Outgoing> {
        let hold = Hold(origin.link.clone().filter(|_| asks_upgrade(request.headers())));
        let client = client_of(origin.peer, request.headers(), &self.settings.trusted);
        let mut case = Case::open(self.clone(), Record::new(id, now(), client), &request);
        if request.method() == REFUSED
            && let Some(refusal) = origin.link.as_ref().and_then(|it| it.take_refusal())
        {
            return case.refuse(refusal);
        }
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            case.record.action = Action::Refuse;
            return case.end(Plain::NOT_ALLOWED);
        }
        if let Some(check) = doubt(&request) {
            return case.end_doubtful(check);
        }
        let is_proxied = is_trusted(&self.settings.trusted, origin.peer);
        if is_proxied && self.settings.authz_path.as_deref() == Some(request.uri().path()) {
            return case.decide(request);
        }
        let policy = case.policy.clone();
        let Some(route) = policy.routes.find(&case.record.host, request.uri().path()) else {
            return case.end(Plain::NO_ROUTE);
        };
        if let Some(refused) = case.judge_address() {
            return case.end(refused);
        }
        let tunnel =
            (origin.link.is_some() && asks_websocket(request.headers())).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, incoming) = request.into_parts();
        let has_text = has_text(&parts.headers);
        let wanted = if policy.settings.inspects && has_text { policy.settings.body_bytes } else { 0 };
        let body = match RequestBody::begin(incoming, wanted, self.settings.times.idle).await {
            Ok(body) => body,
            Err(PrefixError::Broken) => return case.end(Plain::BODY_FAILED),
            Err(PrefixError::Slow) => return case.end(Plain::BODY_SLOW),
        };
        case.progress = body.progress();
        let prefix = body.prefix(wanted);
        let unread = match &body {
            _ if body.size_hint().exact() == Some(0) => None,
            _ if !has_text => Some(Unread::Type),
            _ if !body.is_whole() || prefix.len() < body.progress().bytes() as usize => Some(Unread::Length),
            _ => None,
        };
        if let Some(refused) = case.judge_request(route, &parts.headers, Begun { bytes: &prefix, unread }) {
            return case.end(refused);
        }
        let hop = Hop {
            peer: origin.peer.to_canonical(),
            client,
            is_trusted: is_proxied,
            is_tls: origin.is_tls,
            host: &case.record.host,
            id: &id.to_string(),
        };
        forward(&mut parts.headers, &hop, tunnel.is_some());
        let mut outbound = Request::new(body);
        *outbound.method_mut() = parts.method;
        *outbound.uri_mut() = origin_form(&parts.uri);
        *outbound.headers_mut() = parts.headers;
        match exchange(&route.group, outbound, self.settings.times.answer).await {
            Ok(exchange) => case.answer(exchange, tunnel, hold),
            Err(plain) => case.end(plain),
        }
    }
}

impl Case {
    fn open(gateway: Arc<Gateway>, mut record: Record, request: &Request<Incoming>) -> Self {
        let text = |it: &HeaderValue| String::from_utf8_lossy(it.as_bytes()).into_owned();
        let headers = request.headers();
        record.method = request.method().as_str().to_owned();
        record.target = origin_form(request.uri()).to_string();
        record.host = match request.uri().authority() {
            Some(authority) => authority.as_str().to_owned(),
            None => headers.get(HOST).map(text).unwrap_or_default(),
        };
        record.version = version_text(request.version());
        record.user_agent = headers.get(USER_AGENT).map(text);
        record.referer = headers.get(REFERER).map(text);
        let mut accepted = HeaderMap::new();
        if let Some(accept) = headers.get(hyper::header::ACCEPT) {
            accepted.insert(hyper::header::ACCEPT, accept.clone());
        }
        Self {
            policy: gateway.policy.get(),
            gateway,
            record: Box::new(record),
            started: Instant::now(),
            progress: Progress::default(),
            headers: accepted,
        }
    }

    /// Ends it with an answer of our own.
    fn end(mut self, plain: Plain) -> Response<Outgoing> {
        let id = self.record.id.to_string();
        self.record.status = Some(plain.status.as_u16());
        let response = plain.write(&self.headers, &id);
        let account = self.account();
        response.map(|body| body.with(account))
    }

    fn account(self) -> Account {
        Account::new(self.record, self.gateway.recorder.clone(), self.started, self.progress)
    }

    /// Ends a request whose framing was refused.
    fn refuse(mut self, refusal: crate::framing::head::Refusal) -> Response<Outgoing> {
        self.record.method = refusal.method;
        self.record.target = refusal.target;
        self.record.host = refusal.host;
        self.record.refusal = Some(refusal.check);
        self.record.action = Action::Refuse;
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        self.end(Plain { status, ..Plain::DOUBTFUL })
    }

    /// Ends a request that two servers could read differently.
    fn end_doubtful(mut self, check: &'static str) -> Response<Outgoing> {
        self.record.refusal = Some(check);
        self.record.action = Action::Refuse;
        self.end(Plain::DOUBTFUL)
    }

    /// Asks the decisions in force.
    fn judge_address(&mut self) -> Option<Plain> {
        let hit = self.gateway.decisions.judge(self.record.client, self.record.time)?;
        self.record.decision = Some(hit.entry.label.to_string());
        let (action, plain) = match hit.entry.measure {
            Measure::Ban | Measure::Captcha => (Action::Block, Plain::BLOCKED),
            Measure::Throttle => (Action::Throttle, Plain { retry_after: Some(hit.retry_after), ..Plain::THROTTLED }),
        };
        self.record.action = action;
        Some(plain)
    }

    /// Inspects the request, and asks the policy of its route.
    fn judge_request(&mut self, route: &Route, headers: &HeaderMap, body: Begun<'_>) -> Option<Plain> {
        let settings = &self.policy.settings;
        let is_closed = settings.fail == Fail::Closed;
        if is_closed && self.gateway.recorder.is_down() {
            return Some(self.fail());
        }
        if !settings.inspects {
            return None;
        }
        let record = &self.record;
        let crs = settings.crs.as_ref().filter(|_| route.settings.crs);
        let subject = Subject {
            client: record.client,
            method: &record.method,
            target: &record.target,
            host: &record.host,
            version: record.version,
            headers,
            body: body.bytes,
        };
        let began = Instant::now();
        let exceptions = self.gateway.exceptions();
        let inspections = Inspections { ours: &self.gateway.inspector, exceptions: &exceptions, crs };
        let inspected = inspect(&inspections, &subject);
        self.gateway.effort.add(began.elapsed());
        let Some((report, verdict)) = inspected else {
            self.gateway.uninspected.fetch_add(1, Ordering::Relaxed);
            return is_closed.then(|| self.fail());
        };
        let is_ours = 0 < report.attack_score && route.settings.threshold <= report.attack_score;
        let is_attack = is_ours || verdict.as_ref().is_some_and(|it| it.is_attack);
        // What is compressed and cut is torn for that reason.
        self.record.unread = body.unread.or(report.unread);
        (self.record.report, self.record.crs) = (Some(report), verdict);
        self.record.body_inspected = body.bytes.len();
        if !is_attack {
            return self.judge_unread(route);
        }
        let (action, plain) = match route.settings.mode {
            Mode::Observe => (Action::Observe, None),
            Mode::Throttle => (Action::Throttle, Some(Plain::THROTTLED)),
            Mode::Block => (Action::Block, Some(Plain::BLOCKED)),
        };
        self.record.action = action;
        // What passes as an attack that is only observed is not let off this.
        plain.or_else(|| self.judge_unread(route))
    }

    /// Asks the policy of the route about what nobody read.
    fn judge_unread(&mut self, route: &Route) -> Option<Plain> {
        let unread = self.record.unread.filter(|_| route.settings.unread == Fail::Closed)?;
        self.record.action = Action::Fail;
        Some(if unread == Unread::Length { Plain::TOO_LONG } else { Plain::UNKNOWN_TYPE })
    }

    fn fail(&mut self) -> Plain {
        self.record.action = Action::Fail;
        Plain::CLOSED
    }

    /// Answers another proxy that asks about a request.
    fn decide(mut self, request: Request<Incoming>) -> Response<Outgoing> {
        let (mut parts, _) = request.into_parts();
        let dialect = self.gateway.settings.authz_dialect;
        let asked = match authz::read(dialect, &parts.headers, &parts.method, &self.record.host) {
            Ok(asked) => asked,
            Err(reason) => return self.end(Plain::new(StatusCode::BAD_REQUEST, reason)),
        };
        authz::clean(dialect, &mut parts.headers, &asked);
        (self.record.method, self.record.target, self.record.host) = (asked.method, asked.target, asked.host);
        let policy = self.policy.clone();
        let path = self.record.target.split('?').next().unwrap_or_default().to_owned();
        let refused = self.judge_address().or_else(|| match policy.routes.find(&self.record.host, &path) {
            Some(route) => self.judge_request(route, &parts.headers, Begun::default()),
            None => None,
        });
        if let Some(plain) = refused {
            return self.end(plain);
        }
        // Who asked gives the answer to the client; its status is not known here.
        let mut response = Response::new(Outgoing::full(bytes::Bytes::new()));
        response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
        let account = self.account();
        response.map(|body| body.with(account))
    }

    /// Hands the answer of an upstream on.
    fn answer(mut self, exchange: Exchange, tunnel: Option<OnUpgrade>, hold: Hold) -> Response<Outgoing> {
        let Exchange { mut response, upstream, connection } = exchange;
        self.record.status = Some(response.status().as_u16());
        self.record.upstream = Some(upstream.address.to_string());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.open_tunnel(response, tunnel, hold);
        }
        leave_hop(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        let time = self.gateway.settings.times.idle;
        let mut account = self.account();
        account.hold(upstream, connection);
        if response.body().is_end_stream() {
            account.whole();
        }
        response.map(|body| Outgoing::stream(body, time).with(account))
    }

    /// Joins client and upstream once both have changed the protocol.
    fn open_tunnel(
        mut self,
        mut response: Response<Incoming>,
        tunnel: Option<OnUpgrade>,
        hold: Hold,
    ) -> Response<Outgoing> {
        let permit = self.gateway.tunnels.clone().try_acquire_owned();
        let (Some(client), Ok(permit)) = (tunnel, permit) else {
            // An upstream that changes the protocol without being asked cannot be followed.
            self.record.is_broken = true;
            return self.end(Plain::BAD_GATEWAY);
        };
        let upstream = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) {
                let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
                let both = tokio::io::copy_bidirectional(&mut client, &mut upstream);
                // How a tunnel ended is the business of those who used it.
                let _ = tokio::time::timeout(TUNNEL_MAX, both).await;
            }
            drop(permit);
        });
        hold.tunnel();
        let mut account = self.account();
        account.whole();
        let (parts, _) = response.into_parts();
        Response::from_parts(parts, Outgoing::full(bytes::Bytes::new()))
    }
}

/// The target without scheme and host.
fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(target) => Uri::from(target.clone()),
        None => Uri::from_static("/"),
    }
}
