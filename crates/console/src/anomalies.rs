//! The list of scored entities, a bare array (docs/api.md, "Routes without a version"). Nothing is scored in this version,
//! so it is empty.

use hyper::StatusCode;
use serde_json::json;
use web::answer::Answer;
use web::query::{BadParameter, Query};
use web::route::{QueryParameter, Request};

use crate::alert_list::{failed, read_limit};

/// How many a list has at most.
const LIMIT_MAX: usize = 1000;

/// The parameters of the list.
pub(crate) const PARAMETERS: &[QueryParameter] =
    &[QueryParameter { name: "limit", about: "How many at most, 1 to 1000." }];

/// Answers the list.
pub(crate) async fn list(request: Request) -> Answer {
    match check(&request.query) {
        Ok(()) => Answer::json(StatusCode::OK, &json!([])),
        Err(bad) => failed(StatusCode::BAD_REQUEST, &bad.message),
    }
}

fn check(text: &str) -> Result<(), BadParameter> {
    let query = Query::of(text, &["limit"])?;
    read_limit(&query, LIMIT_MAX).map(|_| ())
}
