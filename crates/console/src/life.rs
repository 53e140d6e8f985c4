//! One alert with its history, and what somebody does with it: acknowledge, work on, close, open again.

use std::sync::Arc;

use backends::store::{Handled, Handling, Store, StoreError};
use hyper::StatusCode;
use model::alert::AlertStatus;
use model::id::AlertId;
use serde_json::{Map, Value};
use web::answer::{Answer, Fault, JSON};
use web::query::Query;
use web::route::Request;

use crate::alerts::alert_with_history_json;
use crate::state::{Console, ReadError};

/// How long a note may be, in characters: a page of text.
const NOTE_CHARS_MAX: usize = 2000;
/// How many digits of an id must be given at least: with fewer, a thousand alerts have some that begin alike.
const PREFIX_DIGITS_MIN: usize = 6;
/// How many digits an id has.
const ID_DIGITS: usize = 32;
/// The fields of a body.
const FIELDS: &str = "`status` and `note`";

/// Which alert a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    One(AlertId),
    None,
    Several,
}

/// Answers one alert with its history.
pub(crate) async fn one(state: Arc<Console>, request: Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let text = request.parameter().to_owned();
    let read = state.read(move |state| {
        let store = state.store.as_ref();
        Ok(match meant(store, &text)? {
            Meant::One(id) => shown(store, id)?,
            Meant::None => unknown(),
            Meant::Several => several(),
        })
    });
    read.await.unwrap_or_else(|error| error.problem())
}

/// Gives an alert a status, and answers it as it is then.
pub(crate) async fn change(state: Arc<Console>, request: Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let (status, note) = match wanted_of(&request.body) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let handling = Handling { status, note, actor: request.caller.actor(), at: Console::now() };
    let text = request.parameter().to_owned();
    let changed = state.read(move |state| {
        let store = state.store.as_ref();
        let id = match meant(store, &text)? {
            Meant::One(id) => id,
            Meant::None => return Ok(unknown()),
            Meant::Several => return Ok(several()),
        };
        let closes = handling.status == AlertStatus::Closed;
        let closed = if closes { store.alert(id)? } else { None };
        let messages = closed.map(|it| state.closed_messages(&it.alert, handling.at)).unwrap_or_default();
        match store.handle_and_post(id, &handling, &messages)? {
            Handled::Changed | Handled::Unchanged => Ok(shown(store, id)?),
            Handled::Unknown => Ok(unknown()),
        }
    });
    changed.await.unwrap_or_else(|error: ReadError| error.problem())
}

fn unknown() -> Answer {
    Answer::problem(StatusCode::NOT_FOUND, "there is no such alert")
}

fn several() -> Answer {
    let detail = "more than one alert has an id that begins so; give more of its digits";
    Answer::problem(StatusCode::CONFLICT, detail)
}

fn shown(store: &dyn Store, id: AlertId) -> Result<Answer, StoreError> {
    let Some(alert) = store.alert(id)? else { return Ok(unknown()) };
    Ok(Answer::new(StatusCode::OK, JSON, alert_with_history_json(&alert, &store.history(id)?)))
}

/// Finds the alert of an id, or of the first digits of one.
fn meant(store: &dyn Store, text: &str) -> Result<Meant, StoreError> {
    let Some((first, last)) = range_of(text) else { return Ok(Meant::None) };
    if first == last {
        return Ok(Meant::One(first));
    }
    let found = store.alert_ids(first, last, 2)?;
    Ok(match found.as_slice() {
        [] => Meant::None,
        [id] => Meant::One(*id),
        _ => Meant::Several,
    })
}

/// The lowest and the highest id that begin with these digits.
fn range_of(digits: &str) -> Option<(AlertId, AlertId)> {
    let is_beginning = (PREFIX_DIGITS_MIN..=ID_DIGITS).contains(&digits.len()) && digits.is_ascii();
    let filled = |digit: &str| AlertId::from_text(&format!("{digits}{}", digit.repeat(ID_DIGITS - digits.len())));
    if is_beginning { filled("0").zip(filled("f")) } else { None }
}

/// Reads the body: `{"status":"closed","note":"..."}`, the note optional.
fn wanted_of(body: &[u8]) -> Result<(AlertStatus, String), Answer> {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
        let detail = format!("the body must be a JSON object with {FIELDS}");
        return Err(Answer::problem(StatusCode::BAD_REQUEST, &detail));
    };
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(Fault { field: field.to_owned(), message });
    if let Some(name) = fields.keys().find(|it| !matches!(it.as_str(), "status" | "note")) {
        let name: String = name.chars().take(100).collect();
        fault(&name, format!("is not known; there are {FIELDS}"));
    }
    let status = status_of(&fields).map_err(|it| fault("status", it));
    let note = note_of(&fields).map_err(|it| fault("note", it));
    match (status, note) {
        (Ok(status), Ok(note)) if faults.is_empty() => Ok((status, note)),
        _ => {
            let detail = "the body does not say what is to become of the alert";
            Err(Answer::problem_with(StatusCode::UNPROCESSABLE_ENTITY, detail, &faults))
        }
    }
}

fn status_of(fields: &Map<String, Value>) -> Result<AlertStatus, String> {
    let words = "new, acknowledged, in_progress or closed";
    match fields.get("status") {
        None => Err(format!("is missing; it must be {words}")),
        Some(value) => value.as_str().and_then(AlertStatus::from_word).ok_or(format!("must be {words}")),
    }
}

fn note_of(fields: &Map<String, Value>) -> Result<String, String> {
    let wanted = || format!("must be a text of at most {NOTE_CHARS_MAX} characters");
    match fields.get("note") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(value) => {
            let text = value.as_str().filter(|it| it.chars().count() <= NOTE_CHARS_MAX);
            text.map(|it| it.trim().to_owned()).ok_or_else(wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<(&str, &str), (u16, &[&str])>) {
        let actual = wanted_of(body.as_bytes()).map_err(|answer| {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let faults = body["errors"].as_array().cloned().unwrap_or_default();
            let fields: Vec<_> = faults.iter().map(|it| it["field"].as_str().unwrap().to_owned()).collect();
            (answer.status.as_u16(), fields)
        });
        let expected = expected
            .map(|(status, note)| (AlertStatus::from_word(status).unwrap(), note.to_owned()))
            .map_err(|(status, fields)| (status, fields.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()));
        assert_eq!(actual, expected, "{body}");
    }

    #[test]
    fn a_body_has_a_status_and_may_have_a_note() {
        check(r#"{"status":"closed"}"#, Ok(("closed", "")));
        check(r#"{"status":"in_progress","note":" on it "}"#, Ok(("in_progress", "on it")));
        check(r#"{"status":"new","note":null}"#, Ok(("new", "")));
        let longest = "n".repeat(NOTE_CHARS_MAX);
        check(&format!(r#"{{"status":"new","note":"{longest}"}}"#), Ok(("new", &longest)));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for body in ["", "[]", "{", "\"closed\"", "null"] {
            check(body, Err((400, &[])));
        }
        check("{}", Err((422, &["status"])));
        for status in ["\"Closed\"", "\"\"", "null", "7", "[\"closed\"]"] {
            check(&format!(r#"{{"status":{status}}}"#), Err((422, &["status"])));
        }
        check(r#"{"status":"new","note":7}"#, Err((422, &["note"])));
        let longer = "n".repeat(NOTE_CHARS_MAX + 1);
        check(&format!(r#"{{"status":"new","note":"{longer}"}}"#), Err((422, &["note"])));
        check(r#"{"status":"new","actor":"root"}"#, Err((422, &["actor"])));
        check(r#"{"stat":"new","note":7}"#, Err((422, &["stat", "status", "note"])));
    }

    #[test]
    fn the_first_digits_of_an_id_span_all_that_begin_so() {
        let range = |text: &str| range_of(text).map(|(first, last)| (first.to_string(), last.to_string()));
        let pair = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
        assert_eq!(range("00abcd"), pair("00abcd00000000000000000000000000", "00abcdffffffffffffffffffffffffff"));
        let whole = "0123456789abcdef0123456789abcdef";
        assert_eq!(range(whole), pair(whole, whole));
        for text in ["", "00abc", "00abcg", "0123456789abcdef0123456789abcdef0", "üüüüüü", "+0abcd"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
