//! How decisions get to those who block, and the proof that they arrived: the CrowdSec local API, plain lists, the
//! resumable stream of changes, the view of what is blocked, and the feeder of a kernel's nftables.
//!
//! Everything is served from the [`board`](decision::board::Board) in memory, never from the store: a slow disk must not
//! make a firewall blind. The store keeps who pulled what, so that a restart of ours is no reason to tell all again.

mod bouncers;
pub mod crowdsec;
pub mod edge;
mod entry;
mod lists;
pub mod mirror;
pub mod nftables;
pub mod pullers;
mod risk;
pub mod silence;
pub mod stream;

use std::sync::Arc;

use hyper::Method;
use web::answer::{Answer, JSON, PROBLEM, TEXT};
use web::route::{Permission, QueryParameter, Request, Response, Route};

use crate::edge::Enforcement;

const BAD: Response = Response::new(400, "A parameter cannot be used; it is named.", PROBLEM, "Problem");
const AWAY: Response = Response::new(503, "The store is not available.", PROBLEM, "Problem");

/// The routes of the main listener; those of the listener for bouncers are [`crowdsec::routes`].
#[must_use]
pub fn routes(edge: &Arc<Enforcement>) -> Vec<Route> {
    let with = |handler: fn(&Arc<Enforcement>, &Request) -> Answer| {
        let edge = edge.clone();
        move |request: Request| {
            let edge = edge.clone();
            async move { edge.make(move |edge| handler(edge, &request)).await }
        }
    };
    let streaming = edge.clone();
    vec![
        Route::get("/risk/ips", with(risk::ips))
            .for_whom(Permission::Decisions)
            .about("Returns which addresses and ranges are blocked now, why, and for how long still; newest first.")
            .with_query(
                const {
                    &[
                        QueryParameter { name: "ip", about: "Only what holds this address." },
                        QueryParameter { name: "type", about: "ban, captcha or throttle." },
                        QueryParameter { name: "origin", about: "rule, risk, manual, import or peer." },
                        QueryParameter { name: "limit", about: "How many at most, 1 to 1000; 100 without." },
                        QueryParameter { name: "cursor", about: "What `next` said, for what is behind it." },
                    ]
                },
            )
            .answers(const { &[Response::new(200, "The blocks in force.", JSON, "BlockPage"), BAD] }),
        Route::get("/v1/lists/{form}", with(lists::list))
            .for_whom(Permission::Decisions)
            .about("Returns the addresses and ranges that are banned as a list: plain, f5, juniper or mikrotik.")
            .with_query(
                const {
                    &[
                        QueryParameter { name: "ipv4only", about: "Without IPv6." },
                        QueryParameter { name: "ipv6only", about: "Without IPv4." },
                        QueryParameter { name: "origin", about: "rule, risk, manual, import or peer." },
                    ]
                },
            )
            .answers(
                const {
                    &[
                        Response::new(200, "The list.", TEXT, ""),
                        Response::new(304, "It is as `If-None-Match` says.", "", ""),
                        BAD,
                        Response::new(404, "There is no such form.", PROBLEM, "Problem"),
                    ]
                },
            ),
        Route::get("/v1/decisions/changes", move |request| stream::changes(streaming.clone(), request))
            .for_whom(Permission::Decisions)
            .about("Returns what changed behind a cursor, a JSON object a line; waits when nothing did.")
            .with_query(
                const {
                    &[
                        QueryParameter { name: "after", about: "The cursor of the last line; everything without." },
                        QueryParameter { name: "wait", about: "How long to wait for a change, up to 60s." },
                        QueryParameter { name: "dropped", about: "What was dropped since the last question." },
                    ]
                },
            )
            .answers(const { &[Response::new(200, "The changes.", stream::NDJSON, ""), BAD] }),
        Route::get("/v1/bouncers", with(bouncers::list))
            .for_whom(Permission::Read)
            .about("Lists who pulls decisions: when, how far behind, and what they report.")
            .answers(const { &[Response::new(200, "The bouncers.", JSON, "BouncerPage"), BAD] }),
        Route::new(Method::DELETE, "/v1/bouncers/{name}", with(bouncers::forget))
            .about("Forgets who pulled with the key of this name.")
            .answers(
                const {
                    &[
                        Response::new(204, "They are forgotten.", "", ""),
                        Response::new(404, "There is none.", PROBLEM, "Problem"),
                        AWAY,
                    ]
                },
            ),
    ]
}
