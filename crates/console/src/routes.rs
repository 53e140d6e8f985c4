//! The table of the routes: who may call each, what it takes, what it answers.

use std::future::Future;
use std::sync::Arc;

use hyper::StatusCode;
use web::answer::{Answer, JSON, PROBLEM, TEXT};
use web::route::{Anonymous, Permission, Request, Response, Route};

use crate::alert_list::List;
use crate::asset::{Asset, CSS, JS, SVG, asset, assets};
use crate::page::HTML;
use crate::state::Console;
use crate::{alert_list, anomalies, decisions, events, health, ledger, life, metrics, pages, quarantine};

const BAD: Response = Response::new(400, "A parameter cannot be used.", PROBLEM, "Problem");
const MISSING: Response = Response::new(404, "There is no such thing, or it is no longer kept.", PROBLEM, "Problem");
const SEVERAL: Response = Response::new(409, "More than one alert has an id that begins so.", PROBLEM, "Problem");
const BROKEN: Response = Response::new(500, "What is stored cannot be read.", PROBLEM, "Problem");
const AWAY: Response = Response::new(503, "What is stored cannot be read now.", PROBLEM, "Problem");
// Of the routes that answer bare arrays; see docs/api.md, "Routes without a version".
const BAD_BARE: Response = Response::new(400, "A parameter cannot be used.", JSON, "Failure");
const BROKEN_BARE: Response = Response::new(500, "What is stored cannot be read.", JSON, "Failure");
const AWAY_BARE: Response = Response::new(503, "What is stored cannot be read now.", JSON, "Failure");
/// The path of the picture that browsers show beside the address.
const FAVICON: &str = "/favicon.ico";
const PAGE: &[Response] = &[Response::new(200, "The page.", HTML, "")];

/// All of them; see [`crate::routes`].
pub(crate) fn all(state: &Arc<Console>) -> Vec<Route> {
    let mut routes = alert_routes(state);
    routes.extend(event_routes(state));
    routes.extend(decisions::routes(state));
    routes.extend(quarantine_routes(state));
    routes.extend(state_routes(state));
    routes.extend(page_routes(state));
    routes
}

/// Gives the shared state to a handler.
pub(crate) fn with<F, A>(state: &Arc<Console>, handler: F) -> impl Fn(Request) -> A + Send + Sync + 'static
where
    F: Fn(Arc<Console>, Request) -> A + Send + Sync + 'static,
    A: Future<Output = Answer>,
{
    let state = state.clone();
    move |request| handler(state.clone(), request)
}

fn alert_routes(state: &Arc<Console>) -> Vec<Route> {
    let bare = with(state, |state, request| alert_list::list(state, request, List::Bare));
    let paged = with(state, |state, request| alert_list::list(state, request, List::Paged));
    vec![
        Route::get("/alerts", bare)
            .for_whom(Permission::Read)
            .without_key_by(Anonymous::Read)
            .about("Alerts as a bare array, newest first; the header `Link` leads to the next page.")
            .with_query(alert_list::PARAMETERS)
            .answers(
                const {
                    &[
                        Response::new(200, "The alerts, 10 without a limit.", JSON, "AlertArray"),
                        BAD_BARE,
                        BROKEN_BARE,
                        AWAY_BARE,
                    ]
                },
            ),
        Route::get("/anomalies", anomalies::list)
            .for_whom(Permission::Read)
            .without_key_by(Anonymous::Read)
            .about("Scored entities, highest first; empty while nothing is scored.")
            .with_query(anomalies::PARAMETERS)
            .answers(const { &[Response::new(200, "The list.", JSON, "AnomalyArray"), BAD_BARE] }),
        Route::get("/v1/alerts", paged)
            .for_whom(Permission::Read)
            .about("Alerts, newest first.")
            .with_query(alert_list::PARAMETERS)
            .answers(
                const { &[Response::new(200, "A page of alerts, 50 without a limit.", JSON, "AlertPage"), BAD, BROKEN, AWAY] },
            ),
        Route::get("/v1/alerts/{id}", with(state, life::one))
            .for_whom(Permission::Read)
            .about("One alert with its history, by its id or the first six digits of it or more.")
            .answers(
                const { &[Response::new(200, "The alert.", JSON, "AlertWithHistory"), BAD, MISSING, SEVERAL, BROKEN, AWAY] },
            ),
        Route::post("/v1/alerts/{id}", with(state, life::change))
            .for_whom(Permission::Admin)
            .about("Gives an alert a status, and remembers who did. Events that come later leave it as it is.")
            .with_body("AlertChange")
            .answers(
                const {
                    &[
                        Response::new(200, "The alert as it is now.", JSON, "AlertWithHistory"),
                        BAD,
                        MISSING,
                        SEVERAL,
                        Response::new(422, "The change cannot be used; `errors` names the fields.", PROBLEM, "Problem"),
                        BROKEN,
                        AWAY,
                    ]
                },
            ),
    ]
}

fn event_routes(state: &Arc<Console>) -> Vec<Route> {
    vec![
        Route::get("/v1/events", with(state, events::list))
            .for_whom(Permission::Read)
            .about(
                "Stored events, those newest in the log first. A page may be short, or empty, and still have a next.",
            )
            .with_query(events::PARAMETERS)
            .answers(const { &[Response::new(200, "A page of events.", JSON, "EventPage"), BAD, BROKEN, AWAY] }),
        Route::get("/v1/events/{id}", with(state, events::one))
            .for_whom(Permission::Read)
            .about("One event with its original; a request also as an `AnormalEvent`.")
            .with_query(const { &[events::FORM] })
            .answers(const { &[Response::new(200, "The event.", JSON, "StoredEvent"), BAD, MISSING, BROKEN, AWAY] }),
        Route::get("/v1/ledger", with(state, ledger::get))
            .for_whom(Permission::Read)
            .about("What became of every record: `received = stored + duplicate + rejected + quarantined`.")
            .answers(const { &[Response::new(200, "The ledger.", JSON, "Ledger"), BAD] }),
    ]
}

fn quarantine_routes(state: &Arc<Console>) -> Vec<Route> {
    vec![
        Route::get("/v1/quarantine", with(state, quarantine::list))
            .for_whom(Permission::Read)
            .about("Records that could not be read and whose sender could not be told, newest first.")
            .with_query(quarantine::PARAMETERS)
            .answers(
                const { &[Response::new(200, "The records, long ones cut.", JSON, "QuarantinePage"), BAD, BROKEN, AWAY] },
            ),
        Route::get("/v1/quarantine/{id}", with(state, quarantine::one))
            .for_whom(Permission::Read)
            .about("One record in quarantine, whole.")
            .answers(const { &[Response::new(200, "The record.", JSON, "QuarantinedRecord"), BAD, MISSING, BROKEN, AWAY] }),
        Route::post("/v1/quarantine/replay", with(state, quarantine::replay))
            .for_whom(Permission::Admin)
            .about("Reads records in quarantine again; those that still cannot be read stay.")
            .with_body("ReplayRequest")
            .answers(const { &[Response::new(200, "What became of them.", JSON, "ReplayResult"), BAD, BROKEN, AWAY] }),
    ]
}

fn state_routes(state: &Arc<Console>) -> Vec<Route> {
    vec![
        Route::get("/health", with(state, health::state))
            .for_whom(Permission::Read)
            .without_key_by(Anonymous::Read)
            .about("Whether everything works.")
            .answers(
                const {
                    &[
                        Response::new(200, "It works.", JSON, "Health"),
                        Response::new(503, "The store, the log or detection does not work.", JSON, "Health"),
                    ]
                },
            ),
        Route::get("/healthz", health::alive)
            .for_whom(Permission::Open)
            .about("Whether the process lives.")
            .answers(const { &[Response::new(200, "`ok`", TEXT, "")] }),
        Route::get("/readyz", with(state, health::ready))
            .for_whom(Permission::Open)
            .about("Whether requests are served.")
            .answers(const { &[Response::new(200, "`ready`", TEXT, ""), Response::new(503, "`not ready`", TEXT, "")] }),
        Route::get("/metrics", with(state, metrics::get))
            .for_whom(Permission::Metrics)
            .without_key_by(Anonymous::Read)
            .about("The metrics, as Prometheus reads them.")
            .answers(const { &[Response::new(200, "The metrics.", metrics::MEDIA_TYPE, ""), BROKEN, AWAY] }),
    ]
}

fn page_routes(state: &Arc<Console>) -> Vec<Route> {
    let mut routes = vec![
        Route::get("/openapi.json", with(state, document))
            .for_whom(Permission::Read)
            .about("The description of this API (OpenAPI 3.1).")
            .answers(
                const {
                    &[
                        Response::new(200, "The document.", JSON, ""),
                        Response::new(503, "It is not made yet.", PROBLEM, "Problem"),
                    ]
                },
            ),
        Route::get("/docs", pages::docs).for_whom(Permission::Read).about("The API as a page.").answers(PAGE).page(),
        Route::get("/", pages::overview).for_whom(Permission::Read).about("The overview.").answers(PAGE).page(),
        Route::get("/login", pages::login).for_whom(Permission::Open).about("The login page.").answers(PAGE).page(),
    ];
    routes.extend(assets().iter().map(|it| asset_route(it.path, it)));
    // Browsers ask for it by themselves.
    routes.extend(asset(FAVICON).map(|it| asset_route(FAVICON, it)));
    routes
}

/// What a file of a media type is answered with.
const fn file_answers(media_type: &'static str) -> [Response; 3] {
    [
        Response::new(200, "The file.", media_type, ""),
        Response::new(304, "The browser has it.", "", ""),
        Response::new(404, "There is no such file.", PROBLEM, "Problem"),
    ]
}

/// An asset needs a session unless the login page needs the asset.
fn asset_route(path: &'static str, asset: &'static Asset) -> Route {
    const STYLE: &[Response] = &file_answers(CSS);
    const SCRIPT: &[Response] = &file_answers(JS);
    const PICTURE: &[Response] = &file_answers(SVG);
    let responses = match asset.content_type {
        CSS => STYLE,
        JS => SCRIPT,
        _ => PICTURE,
    };
    let permission = if asset.is_open { Permission::Open } else { Permission::Read };
    Route::get(path, pages::file).for_whom(permission).about("A file of the pages.").answers(responses)
}

async fn document(state: Arc<Console>, _: Request) -> Answer {
    match state.document.get() {
        Some(document) => Answer::new(StatusCode::OK, JSON, document.clone()),
        None => Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the document is not made yet").retry_after(1),
    }
}
