//! The lists of alerts, `/alerts` and `/v1/alerts`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use backends::store::{AlertCursor, AlertQuery};
use hyper::StatusCode;
use hyper::header::LINK;
use model::entity::parse_ip;
use model::severity::Severity;
use model::time::Timestamp;
use serde_json::json;
use web::answer::{Answer, JSON};
use web::query::{BadParameter, Query};
use web::route::{QueryParameter, Request};

use crate::alerts::{alert_json, alert_superset_json};
use crate::cursor;
use crate::object::{PAGE_BYTES_MAX, array, page};
use crate::state::{Console, ReadError};

/// How many alerts a list has at most; fewer when they take [`PAGE_BYTES_MAX`].
const LIMIT_MAX: usize = 1000;
/// How far back `hours` may reach: a year.
const HOURS_MAX: u64 = 8760;
/// The longest query whose answer is kept: longer ones are nobody's habit.
const KEPT_QUERY_MAX: usize = 1024;

/// The parameters of the lists.
pub(crate) const PARAMETERS: &[QueryParameter] = &[
    QueryParameter { name: "type", about: "Only alerts of this type." },
    QueryParameter { name: "limit", about: "How many at most, 1 to 1000." },
    QueryParameter { name: "hours", about: "Only alerts made in the last so many hours, 1 to 8760." },
    QueryParameter { name: "country", about: "Only alerts of clients in this country." },
    QueryParameter { name: "user", about: "Only alerts of this user." },
    QueryParameter {
        name: "severity",
        about: "Only alerts of this severity: `informational`, `low`, `medium`, `high` or `critical`.",
    },
    QueryParameter { name: "criticality", about: "Another name of `severity`." },
    QueryParameter { name: "client_ip", about: "Only alerts of this client address." },
    QueryParameter { name: "source", about: "Only alerts from this source." },
    QueryParameter { name: "from", about: "Only alerts with an event at this time (RFC 3339) or later." },
    QueryParameter { name: "to", about: "Only alerts with an event before this time (RFC 3339)." },
    QueryParameter { name: "cursor", about: "Where to go on, as the page before said." },
];

/// Which of the two lists is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// `/alerts`: a bare array.
    Bare,
    /// `/v1/alerts`: items and a cursor.
    Paged,
}

impl List {
    const fn path(self) -> &'static str {
        match self {
            Self::Bare => "/alerts",
            Self::Paged => "/v1/alerts",
        }
    }

    const fn limit(self) -> usize {
        match self {
            Self::Bare => 10,
            Self::Paged => 50,
        }
    }

    fn refused(self, bad: &BadParameter) -> Answer {
        match self {
            Self::Bare => failed(StatusCode::BAD_REQUEST, &bad.message),
            Self::Paged => Answer::bad_parameter(bad),
        }
    }

    fn unread(self, error: &ReadError) -> Answer {
        match self {
            Self::Bare => {
                let (status, message) = error.said();
                error.with_retry(failed(status, message))
            }
            Self::Paged => error.problem(),
        }
    }
}

/// An error in the form that clients of the bare lists know: `{"status":"fail","message":...}`.
///
/// Source: docs/api.md, "Routes without a version".
pub(crate) fn failed(status: StatusCode, message: &str) -> Answer {
    Answer::json(status, &json!({"status": "fail", "message": message}))
}

/// Answers a list.
pub(crate) async fn list(state: Arc<Console>, request: Request, list: List) -> Answer {
    // The generation is read before the alerts: what changes in between makes the kept answer stale, not wrong.
    let generation = state.store.generation();
    let key = format!("{}?{}", list.path(), request.query);
    if let Some(kept) = state.cache.get(&key, generation) {
        return kept;
    }
    let (query, mut wanted) = match read_query(&request.query, list.limit(), Console::now()) {
        Ok(read) => read,
        Err(bad) => return list.refused(&bad),
    };
    let is_kept = wanted.created_from.is_none() && request.query.len() <= KEPT_QUERY_MAX;
    let limit = wanted.limit;
    wanted.limit += 1;
    let (answer, room) = match state.read_list(move |state| collect(state, list, &wanted, limit)).await {
        Ok(((items, next), room)) => (answer_of(list, &query, &items, next.as_deref()), room),
        Err(error) => return list.unread(&error),
    };
    if is_kept {
        state.cache.put(key, generation, &answer);
    }
    Answer { body: room.hold(answer.body), ..answer }
}

/// Reads alerts until there are `limit`, or the page is full; with them where to go on, if there are more.
fn collect(
    state: &Console,
    list: List,
    wanted: &AlertQuery,
    limit: usize,
) -> Result<(Vec<String>, Option<String>), ReadError> {
    let form = if list == List::Bare { alert_superset_json } else { alert_json };
    let (mut items, mut bytes, mut last, mut has_more) = (Vec::new(), 0, None, false);
    state.store.list(wanted, &mut |it| {
        has_more = limit <= items.len() || PAGE_BYTES_MAX <= bytes;
        if has_more {
            return ControlFlow::Break(());
        }
        let item = form(&it);
        bytes += item.len();
        items.push(item);
        last = Some(AlertCursor { last_seen: it.alert.last_seen, id: it.alert.id });
        ControlFlow::Continue(())
    })?;
    Ok((items, last.filter(|_| has_more).map(cursor::of_alert)))
}

fn answer_of(list: List, query: &Query, items: &[String], next: Option<&str>) -> Answer {
    match (list, next) {
        (List::Paged, _) => Answer::new(StatusCode::OK, JSON, page(items, next)),
        (List::Bare, None) => Answer::new(StatusCode::OK, JSON, array(items)),
        (List::Bare, Some(next)) => {
            let link = format!("</alerts?{}>; rel=\"next\"", query.with("cursor", next));
            Answer::new(StatusCode::OK, JSON, array(items)).with(LINK, &link)
        }
    }
}

/// Reads the parameters of a list; `limit` is how many without one.
fn read_query(text: &str, limit: usize, now: Timestamp) -> Result<(Query, AlertQuery), BadParameter> {
    let query = Query::of(text, &PARAMETERS.iter().map(|it| it.name).collect::<Vec<_>>())?;
    let words = "informational, low, medium, high or critical";
    let severity = query.read("severity", words, Severity::from_word)?;
    let criticality = query.read("criticality", words, Severity::from_word)?;
    if severity.is_some() && criticality.is_some() && severity != criticality {
        let message = "`criticality` is another name of `severity`, and the two differ".to_owned();
        return Err(BadParameter { name: "criticality".to_owned(), message });
    }
    let hours = query.read("hours", "a number of hours, 1 to 8760", |it| bounded(it, HOURS_MAX))?;
    let wanted = AlertQuery {
        kind: query.get("type").map(str::to_owned),
        severity: severity.or(criticality),
        country: query.get("country").map(str::to_owned),
        user: query.get("user").map(str::to_owned),
        client_ip: query.read("client_ip", "an IPv4 or IPv6 address", parse_ip)?,
        source: query.get("source").map(str::to_owned),
        rule_id: None,
        created_from: hours.map(|it| now.minus(Duration::from_secs(it * 3600))),
        from: read_time(&query, "from")?,
        to: read_time(&query, "to")?,
        after: query.read("cursor", "what the page before gave", cursor::alert)?,
        limit: read_limit(&query, LIMIT_MAX)?.unwrap_or(limit),
    };
    Ok((query, wanted))
}

/// Reads `limit`, 1 to `max`.
pub(crate) fn read_limit(query: &Query, max: usize) -> Result<Option<usize>, BadParameter> {
    let wanted = format!("a number, 1 to {max}");
    let read = query.read("limit", &wanted, |it| bounded(it, max as u64))?;
    Ok(read.map(|it| it as usize))
}

/// Reads a time.
pub(crate) fn read_time(query: &Query, name: &str) -> Result<Option<Timestamp>, BadParameter> {
    query.read(name, "a time as in RFC 3339, such as 2026-11-20T12:00:00Z", Timestamp::from_rfc3339)
}

/// Reads a decimal number, 1 to `max`, of digits only.
fn bounded(text: &str, max: u64) -> Option<u64> {
    let is_number = text.bytes().all(|it| it.is_ascii_digit());
    let number = if is_number { text.parse().ok()? } else { return None };
    (1..=max).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let actual = read_query(text, 10, Timestamp(0)).map(|_| ()).map_err(|it| it.name);
        assert_eq!(actual, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn takes_every_parameter_within_its_bounds() {
        for text in ["", "limit=1", "limit=1000", "hours=1", "hours=8760", "severity=HIGH&criticality=high", "user=%00"]
        {
            check(text, Ok(()));
        }
        for text in ["from=2026-11-20T12:00:00%2B02:00", "client_ip=2001:DB8::1", "type=%27%20OR%201=1"] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn refuses_what_it_does_not_understand_by_name() {
        for limit in ["0", "-1", "1001", "abc", "1.5", "", "%2B5", "99999999999999999999"] {
            check(&format!("limit={limit}"), Err("limit"));
        }
        for (text, name) in [
            ("seveerity=high", "seveerity"),
            ("user=a&user=b", "user"),
            ("severity=terrible", "severity"),
            ("severity=low&criticality=high", "criticality"),
            ("hours=0", "hours"),
            ("hours=8761", "hours"),
            ("from=yesterday", "from"),
            ("from=", "from"),
            ("to=17", "to"),
            ("client_ip=nonsense", "client_ip"),
            ("client_ip=", "client_ip"),
            ("cursor=garbage", "cursor"),
        ] {
            check(text, Err(name));
        }
    }

    #[test]
    fn severity_and_criticality_are_one_filter() {
        for text in ["severity=low", "criticality=low", "criticality=low&severity=low"] {
            assert_eq!(read_query(text, 10, Timestamp(0)).unwrap().1.severity, Some(Severity::Low), "{text}");
        }
    }

    #[test]
    fn hours_count_back_from_now() {
        let now = Timestamp::from_seconds(10_000).unwrap();
        let from = read_query("hours=2", 10, now).unwrap().1.created_from;
        assert_eq!(from, Timestamp::from_seconds(2800));
    }
}
