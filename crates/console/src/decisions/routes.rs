//! The table of the routes about decisions.

use std::sync::Arc;

use web::answer::{JSON, PROBLEM};
use web::route::{Permission, QueryParameter, Response, Route};

use super::{
    PARAMETERS, add, audit, end_one, end_target, import, list, one, release, report, spare, spared, switch, switches,
    unspare,
};
use crate::routes::with;
use crate::state::Console;

const fn answer(status: u16, about: &'static str, schema: &'static str) -> Response {
    Response::new(status, about, JSON, schema)
}

const fn problem(status: u16, about: &'static str) -> Response {
    Response::new(status, about, PROBLEM, "Problem")
}

const BAD: Response = problem(400, "The request cannot be used.");
const MISSING: Response = problem(404, "There is no such thing.");
const WRONG: Response = problem(422, "A field cannot be used; `errors` names it.");
const BROKEN: Response = problem(500, "What is stored cannot be read.");
const AWAY: Response = problem(503, "The store cannot be used now.");
const REASON: QueryParameter = QueryParameter { name: "reason", about: "Why, for the audit." };

/// All of them.
pub(crate) fn routes(state: &Arc<Console>) -> Vec<Route> {
    let mut routes = decision_routes(state);
    routes.extend(switch_routes(state));
    routes
}

fn decision_routes(state: &Arc<Console>) -> Vec<Route> {
    const ONE: &[Response] = &[answer(200, "The decision.", "Decision"), BAD, MISSING, BROKEN, AWAY];
    vec![
        Route::get("/v1/decisions", with(state, list))
            .for_whom(Permission::Read)
            .about("Decisions, newest first.")
            .with_query(PARAMETERS)
            .answers(const { &[answer(200, "A page of decisions.", "DecisionPage"), BAD, BROKEN, AWAY] }),
        Route::post("/v1/decisions", with(state, add))
            .for_whom(Permission::Admin)
            .about("Decides by hand; in force at once, also in dry run. Nobody on the never-block list is blocked by it.")
            .with_body("NewDecision")
            .answers(
                const {
                    &[
                        answer(201, "The decision.", "Decision"),
                        BAD,
                        problem(409, "Who is never blocked is not blocked by hand either."),
                        WRONG,
                        BROKEN,
                        AWAY,
                    ]
                },
            ),
        Route::delete("/v1/decisions", with(state, end_target))
            .for_whom(Permission::Admin)
            .about("Ends everything about one address, range or user.")
            .with_query(
                const {
                    &[
                        QueryParameter { name: "ip", about: "The address." },
                        QueryParameter { name: "range", about: "The range." },
                        QueryParameter { name: "user", about: "The user." },
                        QueryParameter { name: "mine", about: "true: only what this key decided." },
                        REASON,
                    ]
                },
            )
            .answers(const { &[answer(200, "What was ended.", "DecisionItems"), BAD, BROKEN, AWAY] }),
        Route::post("/v1/decisions/import", with(state, import))
            .for_whom(Permission::Admin)
            .about("Takes many decisions at once; what cannot be taken is named by its index and keeps none of the others out.")
            .with_body("DecisionImport")
            .answers(const { &[answer(200, "What became of them.", "ImportResult"), BAD, WRONG, BROKEN, AWAY] }),
        Route::get("/v1/decisions/report", with(state, report))
            .for_whom(Permission::Read)
            .about("What rules would have blocked, by rule and by user agent.")
            .with_query(const { &[QueryParameter { name: "hours", about: "How far to look back; 168 without." }] })
            .answers(const { &[answer(200, "The report.", "DecisionReport"), BAD, BROKEN, AWAY] }),
        Route::get("/v1/decisions/{id}", with(state, one))
            .for_whom(Permission::Read)
            .about("One decision with what it rests on.")
            .answers(ONE),
        Route::delete("/v1/decisions/{id}", with(state, end_one))
            .for_whom(Permission::Admin)
            .about("Ends one decision.")
            .with_query(const { &[REASON] })
            .answers(ONE),
        Route::post("/v1/decisions/{id}/release", with(state, release))
            .for_whom(Permission::Admin)
            .about("Gives a decision that is held or in dry run into force.")
            .with_body("Reason")
            .answers(
                const {
                    &[
                        answer(200, "The decision.", "Decision"),
                        BAD,
                        MISSING,
                        problem(409, "It is about somebody who is never blocked."),
                        WRONG,
                        BROKEN,
                        AWAY,
                    ]
                },
            ),
    ]
}

fn switch_routes(state: &Arc<Console>) -> Vec<Route> {
    vec![
        Route::get("/v1/decisions/switches", with(state, switches))
            .for_whom(Permission::Read)
            .about("Whether decisions of rules are enforced, and whether they are paused.")
            .answers(const { &[answer(200, "The switches.", "DecisionSwitches")] }),
        Route::post("/v1/decisions/switches", with(state, switch))
            .for_whom(Permission::Admin)
            .about("Goes live or back to dry run; pauses decisions of rules or lets them go on.")
            .with_body("NewSwitches")
            .answers(const { &[answer(200, "The switches.", "DecisionSwitches"), BAD, WRONG, BROKEN, AWAY] }),
        Route::get("/v1/never-block", with(state, spared))
            .for_whom(Permission::Read)
            .about("Who is never blocked beside local addresses, and why.")
            .answers(const { &[answer(200, "The list.", "NeverBlock"), BROKEN, AWAY] }),
        Route::post("/v1/never-block", with(state, spare))
            .for_whom(Permission::Admin)
            .about("Never blocks an address or a range from now on, and ends every decision that hits it.")
            .with_body("NewNeverBlock")
            .answers(const { &[answer(201, "It is on the list.", "NeverBlockEntry"), BAD, WRONG, BROKEN, AWAY] }),
        Route::delete("/v1/never-block", with(state, unspare))
            .for_whom(Permission::Admin)
            .about("Takes an address or a range off the list.")
            .with_query(const { &[QueryParameter { name: "network", about: "The address or range." }, REASON] })
            .answers(const { &[answer(200, "It is off the list.", "Removed"), BAD, MISSING, BROKEN, AWAY] }),
        Route::get("/v1/audit", with(state, audit))
            .for_whom(Permission::Read)
            .about("Who changed what about decisions, newest first.")
            .with_query(
                const {
                    &[
                        QueryParameter { name: "limit", about: "How many at most, 1 to 1000; 50 without." },
                        QueryParameter { name: "cursor", about: "Where to go on, as the page before said." },
                    ]
                },
            )
            .answers(const { &[answer(200, "A page of lines.", "AuditPage"), BAD, BROKEN, AWAY] }),
    ]
}
