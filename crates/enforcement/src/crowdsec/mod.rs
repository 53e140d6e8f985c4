//! The CrowdSec local API, as far as bouncers use it: stock ones work by changing a URL and a key.
//!
//! Source: the behaviour of the stock clients and of the API of version 1.4.6; docs/enforcement.md, "What bouncers expect".

mod expand;
mod filter;
mod usage;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use decision::set::{Cursor, Entry, View};
use hyper::StatusCode;
use hyper::header::LOCATION;
use model::decision::Target;
use model::time::Timestamp;
use serde_json::json;
use web::answer::{Answer, Broken, Sent, Stream};
use web::route::{Permission, Request, Route};

use self::expand::Expanded;
use self::filter::{About, Filter, Parameters};
use self::wire::Writer;
use crate::edge::{Enforcement, agent_of, identity_of};
use crate::pullers::{Kind, Pull};

/// The media type, as the API of CrowdSec writes it.
const JSON: &str = "application/json; charset=utf-8";
/// Up to how many decisions an answer is made at once, with its length; a longer one is streamed.
const WHOLE_MAX: usize = 200;

/// The routes of the listener for bouncers.
pub fn routes(edge: &Arc<Enforcement>) -> Vec<Route> {
    let with = |handler: fn(&Arc<Enforcement>, Request) -> Answer| {
        let edge = edge.clone();
        move |request: Request| {
            let edge = edge.clone();
            async move { edge.make(move |edge| handler(edge, request)).await }
        }
    };
    let moved = || |request: Request| async move { moved(&request) };
    let bouncer = |route: Route| route.for_whom(Permission::Bouncer);
    vec![
        Route::get("/health", |_| async { answer(StatusCode::OK, r#"{"status":"up"}"#) }).for_whom(Permission::Open),
        bouncer(Route::get("/v1/decisions/stream", with(stream))),
        bouncer(Route::get("/v1/decisions/stream/", moved())),
        bouncer(Route::get("/v1/decisions", with(question))),
        bouncer(Route::get("/v1/decisions/", moved())),
        bouncer(Route::get("/v1/heartbeat", |_| async { answer(StatusCode::OK, "") })),
        bouncer(Route::post("/v1/usage-metrics", with(usage::take))),
        bouncer(Route::post("/v1/usage-metrics/", with(usage::take))),
    ]
}

/// How this API says no to who has no right key.
#[must_use]
pub fn forbidden() -> Answer {
    refusal(StatusCode::FORBIDDEN, "access forbidden")
}

/// How it says that there is nothing.
#[must_use]
pub fn nothing() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "", "")
}

/// How it says no.
#[must_use]
pub fn refusal(status: StatusCode, message: &str) -> Answer {
    Answer::new(status, JSON, json!({"message": message}).to_string())
}

/// Whether a client blocks only the first address of a range, and how many such ranges are in force.
pub(crate) fn half_blocked(edge: &Enforcement, agent: &str, now: Timestamp) -> usize {
    if !expand::needs_it(agent) {
        return 0;
    }
    edge.board.select(now, &mut |it| expand::is_half_blocked(it) && wire::is_known(it.measure)).len()
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    Answer::new(status, JSON, body)
}

fn moved(request: &Request) -> Answer {
    let path = request.path.trim_end_matches('/');
    let to = if request.query.is_empty() { path.to_owned() } else { format!("{path}?{}", request.query) };
    Answer::new(StatusCode::MOVED_PERMANENTLY, "", "").with(LOCATION, &to)
}

/// What has changed since this client's last pull, or everything.
fn stream(edge: &Arc<Enforcement>, request: Request) -> Answer {
    let now = edge.now();
    let parameters = Parameters::of(&request.query);
    let filter = Filter::of_stream(&parameters);
    let identity = identity_of(&request, Kind::Crowdsec);
    let (agent, port) = (agent_of(&request), request.peer.port());
    let is_start = parameters.get("startup") == Some("true");
    let cursor = if is_start { None } else { edge.pullers.cursor(&identity, port, now) };
    let takes = |it: &Entry| filter.takes(it);
    let changes = edge.board.since_for(cursor, now, View { is_exact: false, takes: &takes });
    let told = changes.next;
    let lag = cursor.and_then(|it| lag_of(&changes.added, it, now));
    let expanded = if edge.settings.expands_ranges && expand::needs_it(&agent) {
        expand::expand(changes, &edge.board, filter, now)
    } else {
        expand::as_it_is(changes, &edge.board, filter, now)
    };
    let noting = edge.clone();
    let pull = Pull { identity, agent, told, lag, port };
    // A HEAD has no body that could go out, so it moves nothing.
    body_of(expanded, now).tells(Sent::new(move || noting.pullers.pulled(pull.clone())))
}

/// How long the newest decision had waited that is told of now.
pub(crate) fn lag_of(added: &[Arc<Entry>], cursor: Cursor, now: Timestamp) -> Option<std::time::Duration> {
    added.iter().filter(|it| cursor.changed < it.changed).map(|it| it.since).max().map(|it| now.since(it))
}

fn body_of(told: Expanded, now: Timestamp) -> Answer {
    let count = told.len();
    let write = move |take: &mut dyn FnMut(String) -> bool| {
        let mut writer = Writer::new(now, take);
        writer.raw("{\"deleted\":");
        writer.gone(told.gone());
        writer.raw(",\"new\":");
        writer.in_force(told.in_force());
        writer.raw("}");
        writer.finish()
    };
    made(count, write)
}

/// Makes a short body at once and a long one while it is sent. Never packed: some bouncers could not read it.
fn made(count: usize, write: impl Fn(&mut dyn FnMut(String) -> bool) -> bool + Send + Sync + 'static) -> Answer {
    if count <= WHOLE_MAX {
        let mut body = String::new();
        write(&mut |piece| {
            body.push_str(&piece);
            true
        });
        return answer(StatusCode::OK, body);
    }
    let stream = Stream::new(move |take| {
        let is_whole = write(&mut |piece| take(Bytes::from(piece)).is_continue());
        // Whoever left gets no end, so nobody takes a part for the whole.
        if is_whole { Ok(()) } else { Err(Broken) }
    });
    Answer::streamed(JSON, stream)
}

/// What is in force about an address, a range, or at all.
fn question(edge: &Arc<Enforcement>, request: Request) -> Answer {
    let now = edge.now();
    let parameters = Parameters::of(&request.query);
    let filter = Filter::of_question(&parameters);
    let about = match filter::about(&parameters) {
        Ok(about) => about,
        Err(message) => return refusal(StatusCode::BAD_REQUEST, &message),
    };
    let number =
        |name: &str| parameters.get(name).map(|it| it.parse::<usize>().map_err(|_| name.to_owned())).transpose();
    let (limit, offset) = match (number("limit"), number("offset")) {
        (Ok(limit), Ok(offset)) => (limit.filter(|it| 0 < *it).unwrap_or(usize::MAX), offset.unwrap_or(0)),
        (Err(name), _) | (_, Err(name)) => {
            return refusal(StatusCode::BAD_REQUEST, &format!("`{name}` must be a whole number"));
        }
    };
    let mut found = match about {
        About::Holding(network) => edge.board.about(&Target::Network(network), now),
        About::Within(network) => {
            edge.board.select(now, &mut |it| it.target.network().is_some_and(|it| network.covers(it)))
        }
        About::All => edge.board.select(now, &mut |it| filter.takes(it)),
    };
    found.retain(|it| filter.takes(it) && wire::remaining(it, now).is_some());
    let found: Vec<_> = found.into_iter().skip(offset).take(limit).collect();
    let identity = identity_of(&request, Kind::CrowdsecLive);
    let (agent, port, noting) = (agent_of(&request), request.peer.port(), edge.clone());
    let told = Cursor { changed: edge.board.count().1, at: now };
    let pull = Pull { identity, agent, told, lag: None, port };
    let count = found.len();
    let write = move |take: &mut dyn FnMut(String) -> bool| {
        let mut writer = Writer::new(now, take);
        writer.in_force(found.iter().map(|entry| (entry.clone(), None)));
        writer.finish()
    };
    made(count, write).tells(Sent::new(move || noting.pullers.pulled(pull.clone())))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
