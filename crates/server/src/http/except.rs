//! The route that makes an exception from an event: proposes it, says what else it would have hidden, and saves it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use attack::exception::{Draft, Exception, Exceptions};
use backends::log::Log;
use detection::inspection::EventInspector;
use hyper::StatusCode;
use model::event::{EventView, TextField};
use model::id::EventId;
use pipeline::ingest::{chain, now};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use web::answer::{Answer, JSON, PROBLEM};
use web::route::{Request, Response, Route};

use crate::exceptions::{append, json_of, table_of};
use crate::history::{Hidden, RECORDS_MAX, TIME_MAX, Walk};
use crate::proposal::{Asked, propose};
use crate::ruleset::{Selection, check_rules_config};

const ANSWERS: &[Response] = &[
    Response::new(200, "what it would be", JSON, "ProposedException"),
    Response::new(201, "it is saved", JSON, "ProposedException"),
    Response::new(400, "what is wrong is named", PROBLEM, "Problem"),
    Response::new(404, "there is no such event", PROBLEM, "Problem"),
    Response::new(409, "there is nothing to except, or no way to save it", PROBLEM, "Problem"),
    Response::new(503, "the log is not available", PROBLEM, "Problem"),
];

/// What the route needs.
struct Except {
    log: Arc<dyn Log>,
    selection: Selection,
    /// One at a time: each reads much of the log, and no two may write the file.
    turn: Semaphore,
}

/// What was asked for.
struct Wanted {
    event: EventId,
    asked: Asked,
    saves: bool,
}

/// The route.
pub(crate) fn routes(log: Arc<dyn Log>, selection: Selection) -> Vec<Route> {
    let except = Arc::new(Except { log, selection, turn: Semaphore::new(1) });
    let handler = move |request: Request| {
        let except = except.clone();
        async move {
            let mistake = || Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed by a mistake of ours");
            let Ok(_turn) = except.turn.acquire().await else { return mistake() };
            let working = except.clone();
            tokio::task::spawn_blocking(move || working.answer(&request)).await.unwrap_or_else(|_| mistake())
        }
    };
    vec![
        Route::post("/v1/exceptions", handler)
            .with_body("NewException")
            .about(
                "Proposes the narrowest exceptions to inspection for what was found in an event, says what else they would \
                 have hidden in the events that are kept, and saves them in `rules.toml` when asked to.",
            )
            .answers(ANSWERS),
    ]
}

/// A refusal with its status.
type Refused = (StatusCode, String);

impl Except {
    fn answer(&self, request: &Request) -> Answer {
        match self.make(request) {
            Ok((status, body)) => Answer::json(status, &body),
            Err((status, detail)) => Answer::problem(status, &detail),
        }
    }

    fn make(&self, request: &Request) -> Result<(StatusCode, Value), Refused> {
        let wanted = read(request).map_err(|it| (StatusCode::BAD_REQUEST, it))?;
        let conflict = |it: String| (StatusCode::CONFLICT, it);
        let in_force = Arc::new(self.selection.read_exceptions().map_err(|it| conflict(it.message))?);
        let proposed = self.propose(&wanted, &in_force)?;
        let walk = Walk {
            in_force: &in_force,
            proposed: &proposed,
            own: wanted.event,
            records_max: RECORDS_MAX,
            until: Instant::now() + TIME_MAX,
        };
        let hidden = walk.run(self.log.as_ref()).map_err(|it| unavailable(&it))?;
        let file = self.selection.rules_file();
        if wanted.saves {
            let file = file.ok_or_else(|| conflict("there is no `rules.toml` to save it in".to_owned()))?;
            save(file, &proposed, &wanted.asked).map_err(conflict)?;
        }
        let status = if wanted.saves { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, body_of(&proposed, &hidden, file, wanted.saves)))
    }

    fn propose(&self, wanted: &Wanted, in_force: &Arc<Exceptions>) -> Result<Arc<Exceptions>, Refused> {
        let found = self.log.find(wanted.event).map_err(|it| unavailable(&it))?;
        let gone = || (StatusCode::NOT_FOUND, "there is no such event, or it is no longer kept".to_owned());
        let (_, bytes) = found.ok_or_else(gone)?;
        let event = EventView::of(&bytes).ok_or_else(gone)?;
        let conflict = |it: String| (StatusCode::CONFLICT, it);
        let mut inspector = EventInspector::default();
        let report = inspector.report(&event, in_force);
        let report = report.ok_or_else(|| conflict("this event tells of no request that was inspected".to_owned()))?;
        let target = event.text(TextField::Path).unwrap_or_default();
        propose(report, event.text(TextField::Host), target, &wanted.asked).map_err(conflict)
    }
}

fn unavailable(error: &dyn std::error::Error) -> Refused {
    tracing::warn!(reason = %chain(error), "The log could not be read");
    (StatusCode::SERVICE_UNAVAILABLE, "the log is not available".to_owned())
}

fn read(request: &Request) -> Result<Wanted, String> {
    const KEYS: [&str; 6] = ["event", "finding", "place", "path_prefix", "reason", "save"];
    let body: Map<String, Value> =
        serde_json::from_slice(&request.body).map_err(|_| "the body must be a JSON object".to_owned())?;
    if let Some(key) = body.keys().find(|it| !KEYS.contains(&it.as_str())) {
        return Err(format!("there is no member `{key}`; there are {}", KEYS.join(", ")));
    }
    let text = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{key}` must be a text")),
    };
    let event = text("event")?.ok_or("`event` is missing: the id of the event that it is made from")?;
    let event =
        EventId::from_text(&event).ok_or_else(|| format!("`event` is `{event}`, which is no id of an event"))?;
    let saves = match body.get("save") {
        None | Some(Value::Null) => false,
        Some(save) => save.as_bool().ok_or("`save` must be true or false")?,
    };
    let reason = text("reason")?.unwrap_or_else(|| format!("made from event {event}"));
    let asked = Asked {
        finding: text("finding")?,
        place: text("place")?,
        path_prefix: text("path_prefix")?,
        reason,
        by: request.caller.actor(),
        at: now().to_string(),
    };
    Ok(Wanted { event, asked, saves })
}

fn save(file: &Path, proposed: &Exceptions, asked: &Asked) -> Result<(), String> {
    let drafts: Vec<Draft> = drafts_of(proposed).cloned().collect();
    let shown = file.display().to_string();
    append(file, &drafts, |text| check_rules_config(text, &shown)).map_err(|it| it.message)?;
    tracing::info!(file = %shown, by = %asked.by, exceptions = drafts.len(), "Saved exceptions to inspection");
    Ok(())
}

fn drafts_of(exceptions: &Exceptions) -> impl Iterator<Item = &Draft> {
    exceptions.list().iter().map(Exception::draft)
}

fn body_of(proposed: &Exceptions, hidden: &Hidden, file: Option<&Path>, is_saved: bool) -> Value {
    json!({
        "exceptions": drafts_of(proposed).map(json_of).collect::<Vec<_>>(),
        "toml": drafts_of(proposed).map(table_of).collect::<Vec<_>>().join("\n"),
        "events": hidden.events,
        "is_all": hidden.is_all,
        "hides": hidden.hides,
        "silences": hidden.silences,
        "samples": hidden.samples,
        "file": file.map(|it| it.display().to_string()),
        "saved": is_saved,
    })
}
