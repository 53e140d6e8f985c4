//! Who is kept out: the list, what people change of it, who is never blocked, and who did what.

pub(crate) mod form;
mod routes;

use std::sync::Arc;

use backends::store::StoreError;
use backends::store::decisions::DecisionQuery;
use decision::admission::Mode;
use decision::report::{Group, Report};
use hyper::StatusCode;
use model::decision::{Decision, DecisionId, Ended, Origin, Proposal, Spared, Target};
use model::network::Network;
use pipeline::admitter::{Outcome, spared_text};
use serde_json::{Map, Value, json};
use web::answer::{Answer, Fault, JSON};
use web::query::{BadParameter, Query};
use web::route::{QueryParameter, Request};

use self::form::{decision_json, proposal_of, reason_of, spared_json, target_of};
pub(crate) use self::routes::routes;
use crate::alert_list::read_limit;
use crate::state::Console;

/// How many decisions a page has at most.
const LIMIT_MAX: usize = 1000;
/// How many without a limit.
const LIMIT: usize = 50;
/// How many decisions one call may import.
const IMPORT_MAX: usize = 100_000;
/// How many decisions a report looks at.
const REPORT_MAX: usize = 100_000;
/// The states of the list.
const STATES: &str = "open, in_force, dry_run, held or all";

const PARAMETERS: &[QueryParameter] = &[
    QueryParameter {
        name: "state",
        about: "open (default: neither ended nor expired), in_force, dry_run, held or all.",
    },
    QueryParameter { name: "ip", about: "Only decisions about exactly this address." },
    QueryParameter { name: "range", about: "Only decisions about exactly this range." },
    QueryParameter { name: "user", about: "Only decisions about this user." },
    QueryParameter { name: "origin", about: "rule, risk, manual, import or peer." },
    QueryParameter { name: "rule", about: "Only decisions of this rule." },
    QueryParameter { name: "limit", about: "How many at most, 1 to 1000; 50 without." },
    QueryParameter { name: "cursor", about: "Where to go on, as the page before said." },
];

async fn list(state: Arc<Console>, request: Request) -> Answer {
    let query = match read_query(&request.query) {
        Ok(query) => query,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let limit = query.limit;
    match state.read(move |state| Ok(state.store.decisions(&query)?)).await {
        Ok(found) => {
            let next = found.last().filter(|_| found.len() == limit).map(|it| it.id.0.to_string());
            let now = Console::now();
            let items: Vec<Value> = found.iter().map(|it| decision_json(it, now)).collect();
            answer(StatusCode::OK, &json!({"items": items, "next": next}))
        }
        Err(error) => error.problem(),
    }
}

async fn one(state: Arc<Console>, request: Request) -> Answer {
    let Some(id) = id_of(&request) else { return unknown() };
    match state.read(move |state| Ok(state.store.decision(id)?)).await {
        Ok(Some(decision)) => shown(StatusCode::OK, &decision),
        Ok(None) => unknown(),
        Err(error) => error.problem(),
    }
}

async fn add(state: Arc<Console>, request: Request) -> Answer {
    let actor = request.caller.actor();
    let proposal = match fields_of(&request.body).and_then(|it| proposal_of(&it, &actor).map_err(|it| refused(&it))) {
        Ok(proposal) => proposal,
        Err(answer) => return answer,
    };
    let target = proposal.target.clone();
    match state.read(move |state| Ok(state.admitter.decide(vec![proposal])?.pop())).await {
        Ok(Some(Outcome::Decided(decision))) => shown(StatusCode::CREATED, &decision),
        Ok(Some(Outcome::Spared(network, why))) => {
            Answer::problem(StatusCode::CONFLICT, &spared_text(&target, &network, &why))
        }
        Ok(_) => Answer::problem(StatusCode::CONFLICT, "a decision in force does as much already"),
        Err(error) => error.problem(),
    }
}

/// Takes a list of decisions; one that is bad keeps none of the others out.
async fn import(state: Arc<Console>, request: Request) -> Answer {
    let actor = request.caller.actor();
    let fields = match fields_of(&request.body) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let Some(items) = fields.get("items").and_then(Value::as_array).filter(|it| it.len() <= IMPORT_MAX) else {
        let fault = Fault { field: "items".into(), message: format!("must be a list of at most {IMPORT_MAX}") };
        return refused(&[fault]);
    };
    let (mut proposals, mut rejected) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let read = item.as_object().ok_or_else(Vec::new).and_then(|it| proposal_of(it, &actor));
        match read {
            Ok(proposal) => proposals.push((index, Proposal { origin: Origin::Import, ..proposal })),
            Err(faults) => {
                let fault = faults.into_iter().next();
                let (field, message) =
                    fault.map_or((String::new(), "is no object".to_owned()), |it| (it.field, it.message));
                rejected.push(json!({"index": index, "field": field, "message": message}));
            }
        }
    }
    let indices: Vec<usize> = proposals.iter().map(|it| it.0).collect();
    let targets: Vec<Target> = proposals.iter().map(|it| it.1.target.clone()).collect();
    let decided = state.read(move |state| Ok(state.admitter.decide(proposals.into_iter().map(|it| it.1).collect())?));
    let outcomes = match decided.await {
        Ok(outcomes) => outcomes,
        Err(error) => return error.problem(),
    };
    let mut added = 0;
    for ((index, target), outcome) in indices.iter().zip(&targets).zip(&outcomes) {
        match outcome {
            Outcome::Decided(_) | Outcome::Covered => added += 1,
            Outcome::Spared(network, why) => {
                let message = spared_text(target, network, why);
                rejected.push(json!({"index": index, "field": target.scope(), "message": message}));
            }
        }
    }
    answer(StatusCode::OK, &json!({"received": items.len(), "added": added, "rejected": rejected}))
}

async fn end_one(state: Arc<Console>, request: Request) -> Answer {
    let Some(id) = id_of(&request) else { return unknown() };
    let ended = match ended_of(&request, &["reason"]) {
        Ok((ended, _)) => ended,
        Err(answer) => return answer,
    };
    match state.read(move |state| Ok(state.admitter.end_one(id, &ended)?)).await {
        Ok(Some(decision)) => shown(StatusCode::OK, &decision),
        Ok(None) => Answer::problem(StatusCode::NOT_FOUND, "there is no decision of that number that has not ended"),
        Err(error) => error.problem(),
    }
}

async fn end_target(state: Arc<Console>, request: Request) -> Answer {
    let (ended, query) = match ended_of(&request, &["ip", "range", "user", "mine", "reason"]) {
        Ok(it) => it,
        Err(answer) => return answer,
    };
    let mut fields = Map::new();
    for scope in ["ip", "range", "user"] {
        if let Some(value) = query.get(scope) {
            fields.insert(scope.to_owned(), value.into());
        }
    }
    let target = match target_of(&fields) {
        Ok(target) => target,
        Err(fault) => return Answer::bad_parameter(&BadParameter { name: fault.field, message: fault.message }),
    };
    let is_mine = match query.read("mine", "true or false", |it| it.parse::<bool>().ok()) {
        Ok(is_mine) => is_mine.unwrap_or_default(),
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    match state.read(move |state| Ok(state.admitter.end_target(&target, &ended, is_mine)?)).await {
        Ok(decisions) => {
            let now = Console::now();
            let items: Vec<Value> = decisions.iter().map(|it| decision_json(it, now)).collect();
            answer(StatusCode::OK, &json!({"items": items}))
        }
        Err(error) => error.problem(),
    }
}

async fn release(state: Arc<Console>, request: Request) -> Answer {
    let Some(id) = id_of(&request) else { return unknown() };
    let actor = request.caller.actor();
    let reason = match fields_of(&request.body).and_then(|it| reason_of(&it, false).map_err(|it| refused(&[it]))) {
        Ok(reason) => reason,
        Err(answer) => return answer,
    };
    let released = state.read(move |state| match state.admitter.release(id, &actor, &reason) {
        Ok(released) => Ok(Ok(released)),
        Err(StoreError::Refused(why)) => Ok(Err(why)),
        Err(error) => Err(error.into()),
    });
    match released.await {
        Ok(Ok(Some(decision))) => shown(StatusCode::OK, &decision),
        Ok(Ok(None)) => {
            let detail = "there is no decision of that number that is held or in dry run and has not ended";
            Answer::problem(StatusCode::NOT_FOUND, detail)
        }
        Ok(Err(why)) => Answer::problem(StatusCode::CONFLICT, &why),
        Err(error) => error.problem(),
    }
}

async fn report(state: Arc<Console>, request: Request) -> Answer {
    const HOURS_MAX: u64 = 90 * 24;
    let read = Query::of(&request.query, &["hours"]).and_then(|it| {
        it.read("hours", "a whole number from 1 to 2160", |it| {
            it.parse().ok().filter(|it| (1..=HOURS_MAX).contains(it))
        })
    });
    let hours = match read {
        Ok(hours) => hours.unwrap_or(7 * 24),
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let peer = request.peer.ip().to_canonical();
    let from = Console::now().minus(std::time::Duration::from_secs(hours * 3600));
    let read = state.read(move |state| {
        let query = DecisionQuery { created_from: Some(from), limit: REPORT_MAX, ..DecisionQuery::default() };
        let report = Report::of(&state.store.decisions(&query)?);
        let is_spared = state.admitter.why_spared(&Target::Network(Network::of(peer))).is_some();
        Ok((report, state.admitter.switches(), is_spared))
    });
    let (report, switches, is_spared) = match read.await {
        Ok(it) => it,
        Err(error) => return error.problem(),
    };
    let groups = |groups: &[Group]| -> Vec<Value> {
        groups.iter().map(|it| json!({"name": it.name, "targets": it.targets, "samples": it.samples})).collect()
    };
    let held: Map<String, Value> = report.held.iter().map(|it| (it.0.as_str().to_owned(), it.1.into())).collect();
    let body = json!({
        "hours": hours,
        "mode": switches.mode.as_str(),
        "targets": report.targets,
        "decisions": report.decisions,
        "rules": groups(&report.rules),
        "user_agents": groups(&report.user_agents),
        "held": held,
        "your_address": (!is_spared).then(|| peer.to_string()),
    });
    answer(StatusCode::OK, &body)
}

async fn switches(state: Arc<Console>, _: Request) -> Answer {
    shown_switches(&state)
}

fn shown_switches(state: &Console) -> Answer {
    let switches = state.admitter.switches();
    let (count, changed) = state.admitter.board().count();
    let body =
        json!({"mode": switches.mode.as_str(), "paused": switches.paused, "in_force": count, "changed": changed});
    answer(StatusCode::OK, &body)
}

async fn switch(state: Arc<Console>, request: Request) -> Answer {
    let actor = request.caller.actor();
    let fields = match fields_of(&request.body) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: &str| faults.push(Fault { field: field.into(), message: message.into() });
    if let Some(name) = fields.keys().find(|it| !matches!(it.as_str(), "mode" | "paused" | "reason")) {
        fault(&name.chars().take(100).collect::<String>(), "is not known; there are `mode`, `paused` and `reason`");
    }
    let mode = fields.get("mode").map(|it| it.as_str().and_then(Mode::from_word));
    if mode == Some(None) {
        fault("mode", "must be live or dry_run");
    }
    let paused = fields.get("paused").map(Value::as_bool);
    if paused == Some(None) {
        fault("paused", "must be true or false");
    }
    if mode.is_none() && paused.is_none() {
        fault("mode", "is missing: give `mode` or `paused`");
    }
    let reason = reason_of(&fields, false).map_err(|it| faults.push(it)).unwrap_or_default();
    if !faults.is_empty() {
        return refused(&faults);
    }
    let switched = state.read(move |state| {
        if let Some(mode) = mode.flatten() {
            state.admitter.set_mode(mode, &actor, &reason)?;
        }
        if let Some(paused) = paused.flatten() {
            state.admitter.set_paused(paused, &actor, &reason)?;
        }
        Ok(())
    });
    match switched.await {
        Ok(()) => shown_switches(&state),
        Err(error) => error.problem(),
    }
}

async fn spared(state: Arc<Console>, _: Request) -> Answer {
    match state.read(|state| Ok(state.admitter.spared()?)).await {
        Ok(spared) => answer(StatusCode::OK, &json!({"items": spared.iter().map(spared_json).collect::<Vec<_>>()})),
        Err(error) => error.problem(),
    }
}

async fn spare(state: Arc<Console>, request: Request) -> Answer {
    let actor = request.caller.actor();
    let fields = match fields_of(&request.body) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let network = fields.get("network").and_then(Value::as_str).and_then(Network::parse);
    let reason = reason_of(&fields, true);
    let (network, reason) = match (network, reason) {
        (Some(network), Ok(reason)) => (network, reason),
        (network, reason) => {
            let message = "must be an address or a range, as 203.0.113.7 or 203.0.113.0/24".to_owned();
            let wrong = network.is_none().then(|| Fault { field: "network".into(), message });
            return refused(&wrong.into_iter().chain(reason.err()).collect::<Vec<_>>());
        }
    };
    let spared = Spared { network, reason, actor, created_at: Console::now() };
    let read = state.read(move |state| Ok((state.admitter.spare(&spared)?, spared)));
    match read.await {
        Ok((ended, spared)) => {
            let mut body = spared_json(&spared);
            body["ended"] = ended.iter().map(|it| it.id.0).collect::<Vec<_>>().into();
            answer(StatusCode::CREATED, &body)
        }
        Err(error) => error.problem(),
    }
}

async fn unspare(state: Arc<Console>, request: Request) -> Answer {
    let (ended, query) = match ended_of(&request, &["network", "reason"]) {
        Ok(it) => it,
        Err(answer) => return answer,
    };
    let Some(network) = query.get("network").and_then(Network::parse) else {
        let message = "`network` must be an address or a range".to_owned();
        return Answer::bad_parameter(&BadParameter { name: "network".into(), message });
    };
    match state.read(move |state| Ok(state.admitter.unspare(&network, &ended.actor, &ended.reason)?)).await {
        Ok(true) => answer(StatusCode::OK, &json!({"network": network.to_string()})),
        Ok(false) => {
            let detail = "it is not on the list that is kept here; what the configuration says is changed there";
            Answer::problem(StatusCode::NOT_FOUND, detail)
        }
        Err(error) => error.problem(),
    }
}

async fn audit(state: Arc<Console>, request: Request) -> Answer {
    let read = || -> Result<_, BadParameter> {
        let query = Query::of(&request.query, &["limit", "cursor"])?;
        let before = query.read("cursor", "what the page before gave", |it| it.parse::<u64>().ok())?;
        Ok((before, read_limit(&query, LIMIT_MAX)?.unwrap_or(LIMIT)))
    };
    let (before, limit) = match read() {
        Ok(it) => it,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    match state.read(move |state| Ok(state.store.audit(before, limit)?)).await {
        Ok(lines) => {
            let next = lines.last().filter(|_| lines.len() == limit).map(|it| it.0.to_string());
            let item = |(number, it): &(u64, backends::store::decisions::AuditEntry)| {
                json!({"number": number, "at": it.at.to_string(), "actor": it.actor, "action": it.action,
                       "subject": it.subject, "reason": it.reason})
            };
            answer(StatusCode::OK, &json!({"items": lines.iter().map(item).collect::<Vec<_>>(), "next": next}))
        }
        Err(error) => error.problem(),
    }
}

fn read_query(text: &str) -> Result<DecisionQuery, BadParameter> {
    let query = Query::of(text, &PARAMETERS.iter().map(|it| it.name).collect::<Vec<_>>())?;
    let mut wanted =
        DecisionQuery { limit: read_limit(&query, LIMIT_MAX)?.unwrap_or(LIMIT), ..DecisionQuery::default() };
    for scope in ["ip", "range", "user"] {
        let Some(text) = query.get(scope) else { continue };
        let target = form::target(scope, text);
        wanted.target =
            Some(target.map_err(|it| BadParameter { name: scope.to_owned(), message: format!("`{scope}` {it}") })?);
    }
    match query.get("state").unwrap_or("open") {
        "all" => {}
        "open" => wanted.open_at = Some(Console::now()),
        state @ ("in_force" | "dry_run" | "held") => {
            wanted.standing = Some(state.to_owned());
            wanted.open_at = Some(Console::now());
        }
        _ => return Err(BadParameter { name: "state".into(), message: format!("`state` must be {STATES}") }),
    }
    wanted.origin = query.read("origin", "rule, risk, manual, import or peer", Origin::from_word)?;
    wanted.rule_id = query.get("rule").map(str::to_owned);
    wanted.before = query.read("cursor", "what the page before gave", |it| it.parse().ok().map(DecisionId))?;
    Ok(wanted)
}

/// Reads who ends something and why, with the query.
fn ended_of(request: &Request, known: &[&str]) -> Result<(Ended, Query), Answer> {
    let query = Query::of(&request.query, known).map_err(|it| Answer::bad_parameter(&it))?;
    let reason = query.get("reason").unwrap_or_default().trim().to_owned();
    if model::decision::REASON_BYTES_MAX < reason.len() {
        let message = "`reason` is longer than 1000 bytes".to_owned();
        return Err(Answer::bad_parameter(&BadParameter { name: "reason".into(), message }));
    }
    Ok((Ended { at: Console::now(), actor: request.caller.actor(), reason }, query))
}

fn fields_of(body: &[u8]) -> Result<Map<String, Value>, Answer> {
    match serde_json::from_slice::<Value>(if body.is_empty() { b"{}" } else { body }) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Answer::problem(StatusCode::BAD_REQUEST, "the body must be a JSON object")),
    }
}

fn refused(faults: &[Fault]) -> Answer {
    let detail = faults.iter().map(|it| format!("`{}` {}", it.field, it.message)).collect::<Vec<_>>().join("; ");
    Answer::problem_with(StatusCode::UNPROCESSABLE_ENTITY, &detail, faults)
}

fn id_of(request: &Request) -> Option<DecisionId> {
    request.parameter().parse().ok().map(DecisionId)
}

fn unknown() -> Answer {
    Answer::problem(StatusCode::NOT_FOUND, "there is no such decision, or it is no longer kept")
}

fn shown(status: StatusCode, decision: &Decision) -> Answer {
    answer(status, &decision_json(decision, Console::now()))
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    Answer::new(status, JSON, body.to_string())
}
