//! Brokers: the queues that are read, and the events that are passed on to exchanges.

use std::sync::Arc;

use backends::log::Log;
use hyper::StatusCode;
use model::event::{EventView, Original, TextField};
use model::intake::Submission;
use normalize::output::anormal::anormal_json;
use notification::forward::{Forward, Means, Pick, Picked, What};
use pipeline::ingest::{Ingest, now};
use serde_json::{Value, json};
use sources::amqp::board::Board;
use sources::amqp::routes;
use sources::sink::Sink;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use web::answer::{Answer, JSON};
use web::route::{Permission, Request, Response, Route};

use crate::config::inputs::Brokers as Resolved;

/// The format of what `POST /logs` takes.
const ACCESS_LOG: &str = "access-log";
/// The format and the input of the findings of the gateway.
const ANORMAL: &str = "anormal-event";
const GATEWAY: &str = "gateway";

const FORWARDS: &[Response] = &[Response::new(200, "What is passed on.", JSON, "Forwards")];

/// What is read from brokers and what is passed on to them.
pub(crate) struct Brokers {
    board: Arc<Board>,
    forwards: Vec<Arc<Forward>>,
    /// The names of the inputs that are brokers.
    inputs: Arc<Vec<String>>,
}

impl Brokers {
    pub(crate) fn new(resolved: Resolved) -> Self {
        Self {
            inputs: Arc::new(resolved.inputs.iter().map(|it| it.name.to_string()).collect()),
            board: Arc::new(Board::new(resolved.inputs)),
            forwards: resolved.forwards.into_iter().map(Forward::new).collect(),
        }
    }

    /// Starts to read.
    pub(crate) fn read(
        &self,
        runtime: &Handle,
        sink: &Arc<dyn Sink>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        self.board.start(runtime, sink, stop)
    }

    /// Starts to pass on.
    pub(crate) fn forward(
        &self,
        runtime: &Handle,
        log: &Arc<dyn Log>,
        ingest: &Arc<Ingest>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let ingest = ingest.clone();
        let remember = move |key: String, value: Vec<u8>| {
            let ingest = ingest.clone();
            let submission = Submission { marks: vec![(key, value)], ..Submission::default() };
            Box::pin(async move { ingest.submit(submission).await.is_ok() })
                as std::pin::Pin<Box<dyn Future<Output = bool> + Send>>
        };
        let means = Means { log: log.clone(), remember: Arc::new(remember), now };
        let start = |it: &Arc<Forward>| it.start(runtime, &means, &pick(it.what(), self.inputs.clone()), stop);
        self.forwards.iter().flat_map(start).collect()
    }

    /// What the metrics show of the sources.
    pub(crate) fn sources_shown(&self) -> Vec<console::status::Source> {
        let shown = |it: sources::amqp::board::Listed| console::status::Source {
            name: it.name,
            is_connected: it.state.is_connected,
            connects: it.state.connects,
            received: it.state.received,
            redelivered: it.state.redelivered,
            acknowledged: it.state.acknowledged,
            replies: it.state.replies,
        };
        self.board.list().into_iter().map(shown).collect()
    }

    /// What the metrics show of what is passed on.
    pub(crate) fn forwards_shown(&self) -> Vec<console::status::Forward> {
        let shown = |it: &Arc<Forward>| {
            let state = it.state();
            console::status::Forward {
                name: it.name().to_owned(),
                published: state.published,
                unrouted: state.unrouted,
                lost: state.lost,
                behind: state.behind,
                is_in_trouble: state.trouble.is_some(),
            }
        };
        self.forwards.iter().map(shown).collect()
    }

    /// The routes that list both.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let forwards = self.forwards.clone();
        let list = move |_: Request| {
            let items: Vec<Value> = forwards.iter().map(shown).collect();
            async move { Answer::json(StatusCode::OK, &json!({"items": items})) }
        };
        let mut all = routes::routes(self.board.clone());
        all.push(
            Route::get("/v1/forwards", list)
                .for_whom(Permission::Read)
                .about("Lists the exchanges to which events are passed on, without secrets, and what keeps one from going on.")
                .answers(FORWARDS),
        );
        all
    }
}

fn shown(it: &Arc<Forward>) -> Value {
    let state = it.state();
    let trouble = state.trouble.map(|(reason, since)| json!({"reason": reason, "since": since.to_string()}));
    let what = match it.what() {
        What::Logs => "logs",
        What::Anormal => "anormal",
    };
    json!({
        "name": it.name(),
        "what": what,
        "target": it.target(),
        "published": state.published,
        "unrouted": state.unrouted,
        "lost": state.lost,
        "behind": state.behind,
        "trouble": trouble,
    })
}

/// Says which events are passed on. What came from a broker never is: it could come back for ever.
fn pick(what: What, brokers: Arc<Vec<String>>) -> Pick {
    Arc::new(move |view: &EventView<'_>| {
        let (format, input) = (view.text(TextField::Format)?, view.text(TextField::Input)?);
        match (what, view.original) {
            (What::Logs, Original::Json(body)) if format == ACCESS_LOG && !brokers.iter().any(|it| it == input) => {
                Some(Picked { key: view.status_code?.to_string(), body: body.to_owned() })
            }
            (What::Anormal, _) if format == ANORMAL && input == GATEWAY => {
                Some(Picked { key: String::new(), body: anormal_json(view)? })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventWriter};
    use model::id::EventId;
    use model::time::Timestamp;

    use super::*;

    #[track_caller]
    fn check(what: What, format: &str, input: &str, expected: Option<(&str, &str)>) {
        let mut bytes = Vec::new();
        let mut writer = EventWriter::new(&mut bytes, EventId(7), Timestamp(0), None, EventFlags::REPEATABLE);
        writer.text(TextField::Format, format).text(TextField::Input, input).status_code(404);
        writer.original(Original::Json("{\"a\":1}"));
        let pick = pick(what, Arc::new(vec!["queue".to_owned()]));
        let picked = pick(&EventView::of(&bytes).unwrap());
        let picked = picked.as_ref().map(|it| (it.key.as_str(), it.body.as_str()));
        assert_eq!(picked, expected, "{what:?} {format} {input}");
    }

    #[test]
    fn what_came_from_a_broker_is_not_passed_on() {
        check(What::Logs, "access-log", "key", Some(("404", "{\"a\":1}")));
        check(What::Logs, "access-log", "queue", None);
        check(What::Logs, "combined", "key", None);
        check(What::Anormal, "anormal-event", "gateway", Some(("", "{\"a\":1}")));
        check(What::Anormal, "anormal-event", "key", None);
        check(What::Anormal, "access-log", "gateway", None);
    }
}
