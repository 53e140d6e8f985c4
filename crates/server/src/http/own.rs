//! The routes that belong to no edge: sessions of the page, keys, exports.

use std::sync::Arc;
use std::time::Duration;

use backends::store::{Key, Scope, Store, StoreError};
use hyper::StatusCode;
use model::time::Timestamp;
use pipeline::ingest::now;
use serde_json::{Value, json};
use web::answer::{Answer, JSON};
use web::query::decode;
use web::route::{Permission, QueryParameter, Request, Response, Route};

use super::auth::{Auth, COOKIE, COOKIE_TLS, SESSION, digest_of, is_same_site, random_secret};
use super::export::{self, CSV, NDJSON};
use crate::bouncers::Bouncers;
use crate::units;

/// How long the name of a key may be.
const NAME_CHARS_MAX: usize = 100;

/// What the routes here need.
pub(crate) struct Own {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) is_tls: bool,
    /// The tag in the event ids that the log made.
    pub(crate) log_tag: u64,
    /// The places for exports, [`EXPORTS_MAX`](export::EXPORTS_MAX).
    pub(crate) exports: Arc<tokio::sync::Semaphore>,
    /// What listens once there is a key for it.
    pub(crate) bouncers: Arc<Bouncers>,
}

const FAILED: Response = Response::new(503, "the store is not available", web::answer::PROBLEM, "Problem");
const BAD: Response = Response::new(400, "what is wrong is named", web::answer::PROBLEM, "Problem");

const LINK_ANSWERS: &[Response] = &[
    Response::new(303, "to the page", "", ""),
    Response::new(401, "the link is used up or too old", console::page::HTML, ""),
];
const LOGIN_ANSWERS: &[Response] = &[
    Response::new(303, "to the page", "", ""),
    Response::new(401, "the key is wrong", console::page::HTML, ""),
    Response::new(403, "from another site", web::answer::PROBLEM, "Problem"),
];
const LOGOUT_ANSWERS: &[Response] = &[
    Response::new(303, "to the login page", "", ""),
    Response::new(403, "from another site", web::answer::PROBLEM, "Problem"),
];
const MAKE_LINK_ANSWERS: &[Response] = &[Response::new(201, "the token of the link", JSON, "LoginLink"), FAILED];
const KEYS_ANSWERS: &[Response] = &[Response::new(200, "the keys", JSON, "Keys"), FAILED];
const CREATE_ANSWERS: &[Response] = &[
    Response::new(201, "the key", JSON, "MadeKey"),
    BAD,
    Response::new(409, "there is one of that name", web::answer::PROBLEM, "Problem"),
    FAILED,
];
const REVOKE_ANSWERS: &[Response] = &[
    Response::new(204, "it is gone", "", ""),
    Response::new(404, "there is none of that name", web::answer::PROBLEM, "Problem"),
    FAILED,
];
const EXPORT_ANSWERS: &[Response] =
    &[Response::new(200, "the alerts", NDJSON, ""), Response::new(200, "the alerts", CSV, ""), BAD, FAILED];

/// The routes.
pub(crate) fn routes(own: &Arc<Own>) -> Vec<Route> {
    let with = |handler: fn(&Own, &Request) -> Answer| {
        let own = own.clone();
        move |request: Request| {
            let own = own.clone();
            async move {
                let answered = tokio::task::spawn_blocking(move || handler(&own, &request)).await;
                answered.unwrap_or_else(|_| {
                    Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "this failed by a mistake of ours")
                })
            }
        }
    };
    vec![
        Route::get("/login/{token}", with(follow_link))
            .for_whom(Permission::Open)
            .about("Opens the page for a browser, once, by the link that `bartizan login-link` prints.")
            .answers(LINK_ANSWERS),
        Route::post("/login", with(log_in))
            .for_whom(Permission::Open)
            .about("Opens the page for a browser with an admin key in the form field `key`.")
            .answers(LOGIN_ANSWERS),
        Route::post("/logout", with(log_out))
            .for_whom(Permission::Open)
            .about("Ends the session of the browser.")
            .answers(LOGOUT_ANSWERS),
        Route::post("/v1/login-links", with(make_link))
            .about("Makes a login link: valid for ten minutes, once. It and its session end with the key that asked for it.")
            .answers(MAKE_LINK_ANSWERS),
        Route::get("/v1/keys", with(list_keys))
            .about("Lists the keys; never the keys themselves.")
            .answers(KEYS_ANSWERS),
        Route::post("/v1/keys", with(create_key))
            .with_body("NewKey")
            .about("Makes a key and answers it, once.")
            .answers(CREATE_ANSWERS),
        Route::new(hyper::Method::DELETE, "/v1/keys/{name}", with(revoke_key))
            .about("Revokes a key, at once.")
            .answers(REVOKE_ANSWERS),
        Route::get("/v1/export/alerts", with(export_alerts))
            .for_whom(Permission::Read)
            .with_query(&[QueryParameter { name: "format", about: "ndjson (default), csv, or canonical" }])
            .about("Exports every alert, by id. `canonical` has only what does not depend on when it ran.")
            .answers(EXPORT_ANSWERS),
    ]
}

fn unavailable(error: &dyn std::error::Error) -> Answer {
    tracing::warn!(reason = %pipeline::ingest::chain(error), "The store could not be used");
    Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the store is not available").retry_after(1)
}

fn mistake(error: &anyhow::Error) -> Answer {
    tracing::warn!(reason = %format!("{error:#}"), "A request could not be answered");
    Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now").retry_after(1)
}

fn page(status: StatusCode, message: &str) -> Answer {
    let mut answer = Answer::new(status, console::page::HTML, console::page::login_page(Some(message)));
    for (name, value) in console::header::HEADERS {
        if let Ok(name) = hyper::header::HeaderName::from_bytes(name.as_bytes()) {
            answer = answer.with(name, value);
        }
    }
    answer
}

fn with_session(own: &Own, token: &str) -> Answer {
    let (name, secure) = if own.is_tls { (COOKIE_TLS, "; Secure") } else { (COOKIE, "") };
    let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", SESSION.as_secs());
    Answer::see_other("/").with(hyper::header::SET_COOKIE, &cookie)
}

fn follow_link(own: &Own, request: &Request) -> Answer {
    match own.auth.use_link(request.parameter(), now()) {
        Ok(Some(token)) => with_session(own, &token),
        Ok(None) => {
            page(StatusCode::UNAUTHORIZED, "This link is used up or too old. Make another with: bartizan login-link")
        }
        Err(error) => mistake(&error),
    }
}

fn log_in(own: &Own, request: &Request) -> Answer {
    if !is_same_site(&request.headers) && request.headers.contains_key("origin") {
        return Answer::problem(StatusCode::FORBIDDEN, "this came from another site");
    }
    let form = String::from_utf8_lossy(&request.body);
    let key = form.split('&').find_map(|it| it.strip_prefix("key=")).map(|it| decode(it, true)).unwrap_or_default();
    match own.auth.log_in(&key, now()) {
        Ok(Some(token)) => with_session(own, &token),
        Ok(None) => page(StatusCode::UNAUTHORIZED, "This is no admin key."),
        Err(error) => mistake(&error),
    }
}

fn log_out(own: &Own, request: &Request) -> Answer {
    if !is_same_site(&request.headers) {
        return Answer::problem(StatusCode::FORBIDDEN, "this came from another site");
    }
    if let Err(error) = own.auth.end_session(&request.headers, now()) {
        return mistake(&error);
    }
    let name = if own.is_tls { COOKIE_TLS } else { COOKIE };
    Answer::see_other("/login")
        .with(hyper::header::SET_COOKIE, &format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"))
}

fn make_link(own: &Own, request: &Request) -> Answer {
    match own.auth.make_link(&request.caller, &request.headers, now()) {
        Ok(None) => Answer::problem(StatusCode::UNAUTHORIZED, "this key was revoked"),
        Ok(Some(token)) => Answer::json(
            StatusCode::CREATED,
            &json!({"token": token, "path": format!("/login/{token}"), "valid_seconds": super::auth::LINK.as_secs()}),
        ),
        Err(error) => mistake(&error),
    }
}

fn list_keys(own: &Own, _: &Request) -> Answer {
    let shown = |it: Key| {
        // What this process knows may not be written yet.
        let used = own.auth.last_used(&it.digest).max(it.last_used_at);
        json!({"last_used_at": used.map(|it| it.to_string()), "name": it.name, "scope": it.scope.as_str(), "rate_per_second": it.rate_per_second, "created_at": it.created_at.to_string(),
               "expires_at": it.expires_at.map(|it| it.to_string())})
    };
    match own.store.keys() {
        Ok(keys) => Answer::json(StatusCode::OK, &json!({"items": keys.into_iter().map(shown).collect::<Vec<_>>()})),
        Err(error) => unavailable(&error),
    }
}

fn create_key(own: &Own, request: &Request) -> Answer {
    let bad = |message: &str| Answer::problem(StatusCode::BAD_REQUEST, message);
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return bad("the body is no JSON") };
    let Some(fields) = body.as_object() else { return bad("the body must be an object") };
    for (name, value) in fields {
        if !matches!(name.as_str(), "name" | "scope" | "rate" | "for") {
            return bad("there are the fields `name`, `scope`, `rate` and `for`, and no others");
        }
        if !value.is_string() {
            return bad("`name`, `scope`, `rate` and `for` are texts, as \"500/s\" and \"90d\"");
        }
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let Some(name) = text("name").filter(|it| is_name(it)) else {
        return bad("`name` must have 1 to 100 characters, none of them a control character or a slash");
    };
    let Some(scope) = text("scope").and_then(Scope::from_word) else {
        return bad("`scope` must be ingest, read, bouncer, metrics or admin");
    };
    let rate = match text("rate").map(units::rate) {
        Some(None) => return bad("`rate` must be a rate, as `500/s`"),
        it => it.flatten(),
    };
    let life = match text("for").map(|it| units::duration(it).filter(|it| !it.is_zero())) {
        Some(None) => return bad("`for` must be a time longer than none, as `90d`"),
        it => it.flatten(),
    };
    let Ok(random) = random_secret() else {
        return Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now").retry_after(1);
    };
    let secret = format!("bz_{random}");
    let key = key_of(name, scope, &secret, rate, life, now());
    match own.store.add_key(&key).and_then(|()| own.auth.reload()) {
        Ok(()) => {
            // Before anybody can use the key: a bouncer that finds nobody gives up for good.
            own.bouncers.open_if_wanted();
            Answer::json(StatusCode::CREATED, &json!({"name": name, "scope": scope.as_str(), "key": secret}))
        }
        Err(StoreError::Refused(_)) => {
            Answer::problem(StatusCode::CONFLICT, &format!("there is a key `{name}` already"))
        }
        Err(error) => unavailable(&error),
    }
}

fn key_of(
    name: &str,
    scope: Scope,
    secret: &str,
    rate_per_second: Option<f64>,
    life: Option<Duration>,
    now: Timestamp,
) -> Key {
    Key {
        name: name.to_owned(),
        scope,
        digest: digest_of(secret),
        rate_per_second,
        created_at: now,
        expires_at: life.map(|it| now.plus(it)),
        last_used_at: None,
    }
}

fn is_name(text: &str) -> bool {
    let length = text.chars().count();
    (1..=NAME_CHARS_MAX).contains(&length) && !text.chars().any(|it| it.is_control() || it == '/')
}

fn revoke_key(own: &Own, request: &Request) -> Answer {
    own.auth.forget(request.parameter());
    match own.store.remove_key(request.parameter()).and_then(|it| own.auth.reload().map(|()| it)) {
        Ok(true) => Answer::new(StatusCode::NO_CONTENT, "", ""),
        Ok(false) => Answer::problem(StatusCode::NOT_FOUND, "there is no key of that name"),
        Err(error) => unavailable(&error),
    }
}

fn export_alerts(own: &Own, request: &Request) -> Answer {
    export::alerts(&own.store, &own.exports, own.log_tag, request)
}
