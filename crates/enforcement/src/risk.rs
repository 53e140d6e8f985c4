//! `GET /risk/ips`: which addresses are blocked now, why, and for how long still.

use std::sync::Arc;

use hyper::StatusCode;
use model::decision::{Measure, Origin, Target};
use serde_json::{Value, json};
use web::answer::{Answer, Fault};
use web::query::{BadParameter, Query};
use web::route::Request;

use crate::edge::Enforcement;
use crate::entry::entry_json;

/// How many an answer has at most.
const LIMIT_MAX: usize = 1000;
/// How many without a limit.
const LIMIT: usize = 100;

/// Answers the blocks, newest first: `{"items":[...],"total":N,"next":ID|null}`.
pub(crate) fn ips(edge: &Arc<Enforcement>, request: &Request) -> Answer {
    match answer(edge, request) {
        Ok(answer) => answer,
        Err(bad) => {
            let fault = Fault { field: bad.name.clone(), message: bad.message.clone() };
            Answer::problem_with(StatusCode::BAD_REQUEST, &bad.message, &[fault])
        }
    }
}

fn answer(edge: &Enforcement, request: &Request) -> Result<Answer, BadParameter> {
    let query = Query::of(&request.query, &["ip", "type", "origin", "limit", "cursor"])?;
    let ip = query.read("ip", "an address", |it| it.parse().ok())?;
    let measure = query.read("type", "ban, captcha or throttle", Measure::from_word)?;
    let origin = query.read("origin", "rule, risk, manual, import or peer", Origin::from_word)?;
    let is_limit = |it: &usize| (1..=LIMIT_MAX).contains(it);
    let limit = query.read("limit", "a number from 1 to 1000", |it| it.parse().ok().filter(is_limit))?.unwrap_or(LIMIT);
    let before = query.read("cursor", "what `next` said", |it| it.parse().ok())?.unwrap_or(u64::MAX);
    let now = edge.now();
    let mut found = match ip {
        Some(ip) => edge.board.about(&Target::Network(model::network::Network::of(ip)), now),
        None => edge.board.select(now, &mut |it| it.target.network().is_some()),
    };
    found.retain(|it| measure.is_none_or(|wanted| wanted == it.measure));
    found.retain(|it| origin.is_none_or(|wanted| wanted == it.origin));
    let total = found.len();
    found.retain(|it| it.id.0 < before);
    found.sort_unstable_by_key(|it| std::cmp::Reverse(it.id));
    let next = (limit < found.len()).then(|| found[limit - 1].id.0.to_string());
    found.truncate(limit);
    let items: Vec<Value> = found
        .iter()
        .map(|it| {
            let mut item = entry_json(it, now);
            item["ip"] = it.target.to_string().into();
            item
        })
        .collect();
    Ok(Answer::json(StatusCode::OK, &json!({"items": items, "total": total, "next": next})))
}
