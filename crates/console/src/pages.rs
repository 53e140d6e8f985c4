//! The pages and assets as answers, each with the headers that it needs.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH};
use web::answer::Answer;
use web::route::Request;

use crate::asset::{Asset, asset};
use crate::header::{CACHE_CONTROL_ASSET, CACHE_CONTROL_PAGE, HEADERS};
use crate::page::{HTML, docs_page, login_page, overview_page};

/// Answers with a page, under the status that its reason has.
#[must_use]
pub fn page(status: StatusCode, html: String) -> Answer {
    guarded(Answer::new(status, HTML, html)).with(CACHE_CONTROL, CACHE_CONTROL_PAGE)
}

pub(crate) async fn overview(_: Request) -> Answer {
    page(StatusCode::OK, overview_page().to_owned())
}

pub(crate) async fn docs(_: Request) -> Answer {
    page(StatusCode::OK, docs_page().to_owned())
}

pub(crate) async fn login(_: Request) -> Answer {
    page(StatusCode::OK, login_page(None))
}

/// Answers with the asset at the path of the request, or that the browser has it.
pub(crate) async fn file(request: Request) -> Answer {
    let Some(asset) = asset(&request.path) else {
        return Answer::problem(StatusCode::NOT_FOUND, "there is no such file");
    };
    let known = request.header(IF_NONE_MATCH.as_str());
    let answer = if known.is_some_and(|it| is_named(it, asset)) {
        Answer::new(StatusCode::NOT_MODIFIED, "", "")
    } else {
        Answer::new(StatusCode::OK, asset.content_type, asset.bytes)
    };
    guarded(answer).with(CACHE_CONTROL, CACHE_CONTROL_ASSET).with(ETAG, &asset.etag)
}

/// Whether `If-None-Match` names the asset. Source: RFC 9110, section 13.1.2: the comparison is weak.
fn is_named(header: &str, asset: &Asset) -> bool {
    header.split(',').map(str::trim).any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == asset.etag)
}

fn guarded(answer: Answer) -> Answer {
    HEADERS.into_iter().fold(answer, |answer, (name, value)| answer.with(HeaderName::from_static(name), value))
}
