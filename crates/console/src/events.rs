//! The events of the log: a search and one event.

use std::sync::Arc;

use backends::log::Search;
use hyper::StatusCode;
use model::entity::parse_ip;
use model::event::EventView;
use model::id::EventId;
use model::place::Sequence;
use normalize::output::anormal::anormal_json;
use normalize::output::event_json;
use web::answer::{Answer, JSON};
use web::query::{BadParameter, Query};
use web::route::{QueryParameter, Request};

use crate::alert_list::{read_limit, read_time};
use crate::cursor;
use crate::object::{PAGE_BYTES_MAX, page};
use crate::state::{Console, ReadError};

/// How many events a page has at most.
const LIMIT_MAX: usize = 1000;
/// How many without a limit.
const LIMIT: usize = 100;
/// How many events are fetched from the log at a time.
const FETCH_MAX: usize = 100;
/// How often the log is asked for one page; then the page is short, or empty, and says where to go on.
const FETCHES_MAX: usize = 20;

/// The parameters of the search.
pub(crate) const PARAMETERS: &[QueryParameter] = &[
    QueryParameter { name: "entity", about: "Only events whose client address, user, host or source this is." },
    QueryParameter { name: "from", about: "Only events at this time (RFC 3339) or later." },
    QueryParameter { name: "to", about: "Only events before this time (RFC 3339)." },
    QueryParameter { name: "limit", about: "How many at most, 1 to 1000; 100 without." },
    QueryParameter { name: "cursor", about: "Where to go on, as the page before said." },
];

/// The parameter of one event.
pub(crate) const FORM: QueryParameter =
    QueryParameter { name: "form", about: "`anormal`: as the `AnormalEvent` of system 000; without it, as stored." };

/// Answers a page of events, those newest in the log first.
pub(crate) async fn list(state: Arc<Console>, request: Request) -> Answer {
    let search = match read_query(&request.query) {
        Ok(search) => search,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    match state.search_list(move |state| collect(state, search)).await {
        Ok(((items, next), room)) => {
            let next = next.map(cursor::of_event);
            Answer::new(StatusCode::OK, JSON, room.hold(page(&items, next.as_deref()).into()))
        }
        Err(error) => error.problem(),
    }
}

/// Answers one event.
pub(crate) async fn one(state: Arc<Console>, request: Request) -> Answer {
    let form = match read_form(&request.query) {
        Ok(form) => form,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let unknown = || Answer::problem(StatusCode::NOT_FOUND, "there is no such event, or it is no longer kept");
    let Some(id) = EventId::from_text(request.parameter()) else { return unknown() };
    let found = state.read(move |state| {
        let found = state.log.find(id)?;
        Ok(found.and_then(|(_, bytes)| EventView::of(&bytes).map(|it| form.write(&it))))
    });
    match found.await {
        Ok(Some(Some(event))) => Answer::new(StatusCode::OK, JSON, event),
        Ok(Some(None)) => Answer::problem(StatusCode::NOT_FOUND, "this event is no request, so it has no such form"),
        Ok(None) => unknown(),
        Err(error) => error.problem(),
    }
}

/// How one event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Own,
    Anormal,
}

impl Form {
    fn write(self, view: &EventView<'_>) -> Option<String> {
        match self {
            Self::Own => Some(event_json(view)),
            Self::Anormal => anormal_json(view),
        }
    }
}

fn read_form(text: &str) -> Result<Form, BadParameter> {
    let query = Query::of(text, &[FORM.name])?;
    let form = query.read(FORM.name, "`anormal`", |it| (it == "anormal").then_some(Form::Anormal))?;
    Ok(form.unwrap_or(Form::Own))
}

fn read_query(text: &str) -> Result<Search, BadParameter> {
    let query = Query::of(text, &PARAMETERS.iter().map(|it| it.name).collect::<Vec<_>>())?;
    // An address is looked for in its canonical text, however it is spelled.
    let entity = query.get("entity").map(|it| parse_ip(it).map_or_else(|| it.to_owned(), |it| it.to_string()));
    Ok(Search {
        entity,
        from: read_time(&query, "from")?,
        to: read_time(&query, "to")?,
        before: query.read("cursor", "what the page before gave", cursor::event)?,
        limit: read_limit(&query, LIMIT_MAX)?.unwrap_or(LIMIT),
    })
}

/// Asks the log until the page is full, there is nothing more, or enough has been looked at.
fn collect(state: &Console, mut search: Search) -> Result<(Vec<String>, Option<Sequence>), ReadError> {
    let (wanted, mut items, mut bytes) = (search.limit, Vec::new(), 0);
    for _ in 0..FETCHES_MAX {
        search.limit = FETCH_MAX.min(wanted - items.len());
        let found = state.log.search(&search)?;
        for (sequence, event) in found.events {
            let Some(view) = EventView::of(&event) else { continue };
            let item = event_json(&view);
            bytes += item.len();
            items.push(item);
            if PAGE_BYTES_MAX <= bytes {
                return Ok((items, Some(sequence)));
            }
        }
        search.before = found.next;
        if found.next.is_none() || wanted <= items.len() {
            break;
        }
    }
    Ok((items, search.before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_for_in_its_canonical_form() {
        for (given, expected) in [("2001:DB8:0::A1", "2001:db8::a1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("ann", "ann")] {
            assert_eq!(read_query(&format!("entity={given}")).unwrap().entity.as_deref(), Some(expected));
        }
    }

    #[test]
    fn one_event_has_two_forms() {
        assert_eq!(read_form("").unwrap(), Form::Own);
        assert_eq!(read_form("form=anormal").unwrap(), Form::Anormal);
        assert!(read_form("form=odd").is_err() && read_form("shape=anormal").is_err());
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for text in ["cursor=garbage", "limit=0", "limit=1001", "limit=x", "from=yesterday", "colour=red"] {
            assert!(read_query(text).is_err(), "{text}");
        }
    }
}
