//! `GET /v1/decisions/changes`: what changed behind a cursor, a line each, and when nothing did, the wait for it.
//!
//! Each line holds the cursor to go on from behind it, so whoever breaks off comes back and misses nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use decision::set::{Changes, Cursor, GONE_KEPT, View};
use model::time::Timestamp;
use serde_json::{Value, json};
use web::answer::{Answer, Broken, Sent, Stream};
use web::query::{BadParameter, Query};
use web::route::Request;

use crate::crowdsec::lag_of;
use crate::edge::{Enforcement, agent_of, identity_of};
use crate::entry::entry_json;
use crate::nftables::AGENT as NFTABLES;
use crate::pullers::{Kind, Pull};

/// The media type.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// How long a request may wait for a change.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often is looked for what expired while a request waits.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many bytes are made at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Writes a cursor for a client, who need not understand it.
#[must_use]
pub fn cursor_text(cursor: Cursor) -> String {
    format!("{}-{}", cursor.changed, cursor.at.0)
}

/// Reads it back.
#[must_use]
pub fn read_cursor(text: &str) -> Option<Cursor> {
    let (changed, at) = text.split_once('-')?;
    let at = at.parse().ok().filter(|it| 0 <= *it)?;
    Some(Cursor { changed: changed.parse().ok()?, at: Timestamp(at) })
}

/// Answers what changed, or waits for it.
pub(crate) async fn changes(edge: Arc<Enforcement>, request: Request) -> Answer {
    let (after, wait, dropped) = match parameters(&request.query) {
        Ok(it) => it,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let after = after.filter(|it| is_known(&edge, *it));
    if let Some(dropped) = dropped {
        report(&edge, &request, dropped);
    }
    if after.is_some() {
        wait_for_news(&edge, after, wait).await;
    }
    edge.make(move |edge| answer(edge, &request, after)).await
}

/// Adds up what a client has dropped since it asked before.
fn report(edge: &Enforcement, request: &Request, dropped: u64) {
    let (identity, now) = (identity_of(request, kind_of(&agent_of(request))), edge.now());
    edge.pullers.reported(&identity, now, |before| {
        let before = serde_json::from_str::<Value>(before).unwrap_or_default();
        let sum = before["dropped"].as_u64().unwrap_or_default().saturating_add(dropped);
        json!({"dropped": sum, "reported_at": now.to_string()}).to_string()
    });
}

fn kind_of(agent: &str) -> Kind {
    if agent.starts_with(NFTABLES) { Kind::Nftables } else { Kind::Stream }
}

fn parameters(query: &str) -> Result<(Option<Cursor>, Duration, Option<u64>), BadParameter> {
    let query = Query::of(query, &["after", "wait", "dropped"])?;
    let dropped = query.read("dropped", "a whole number", |it| it.parse::<u64>().ok())?;
    let after = query.read("after", "a cursor of an answer before", read_cursor)?;
    let seconds = |it: &str| it.strip_suffix('s').unwrap_or(it).parse::<u64>().ok().map(Duration::from_secs);
    let wait = query.read("wait", "a time up to 60s", |it| seconds(it).filter(|it| *it <= WAIT_MAX))?;
    Ok((after, wait.unwrap_or_default(), dropped))
}

/// A cursor from before everything that is remembered, or of a store or a clock that was set back, says nothing.
fn is_known(edge: &Enforcement, cursor: Cursor) -> bool {
    let now = edge.now();
    cursor.is_of_past(now) && now.since(cursor.at) < GONE_KEPT && cursor.changed <= edge.board.count().1
}

async fn wait_for_news(edge: &Arc<Enforcement>, after: Option<Cursor>, wait: Duration) {
    let Ok(_permit) = edge.waiting.try_acquire() else { return };
    let mut changed = edge.changes();
    let end = tokio::time::Instant::now() + wait;
    loop {
        let news = edge.board.since_for(after, edge.now(), VIEW);
        if !news.added.is_empty() || !news.removed.is_empty() {
            return;
        }
        if *changed.borrow_and_update() {
            return;
        }
        let look = (tokio::time::Instant::now() + LOOK_EVERY).min(end);
        tokio::select! {
            // A sender that is gone means that everything ends.
            it = changed.changed() => if it.is_err() { return },
            () = tokio::time::sleep_until(look) => {}
        }
        if end <= tokio::time::Instant::now() {
            return;
        }
    }
}

/// Everything, each change once.
const VIEW: View<'static> = View { is_exact: true, takes: &|_| true };

fn answer(edge: &Arc<Enforcement>, request: &Request, after: Option<Cursor>) -> Answer {
    let now = edge.now();
    let changes = edge.board.since_for(after, now, VIEW);
    let agent = agent_of(request);
    let kind = kind_of(&agent);
    let lag = after.and_then(|it| lag_of(&changes.added, it, now));
    let pull = Pull { identity: identity_of(request, kind), agent, told: changes.next, lag, port: request.peer.port() };
    let lines = Lines::new(changes, after, now);
    let noting = edge.clone();
    let stream = Stream::new(move |take| {
        let mut out = String::new();
        for line in lines.iter() {
            out.push_str(&line.to_string());
            out.push('\n');
            if PIECE_BYTES <= out.len() && take(Bytes::from(std::mem::take(&mut out))).is_break() {
                return Err(Broken);
            }
        }
        if take(Bytes::from(out)).is_break() { Err(Broken) } else { Ok(()) }
    });
    Answer::streamed(NDJSON, stream).tells(Sent::new(move || noting.pullers.pulled(pull.clone())))
}

/// The lines of an answer.
struct Lines {
    changes: Changes,
    /// From where they begin.
    from: Cursor,
    is_all: bool,
    now: Timestamp,
}

impl Lines {
    fn new(mut changes: Changes, after: Option<Cursor>, now: Timestamp) -> Self {
        // In the order of their numbers, so that the cursor of each line leaves out nothing that comes behind it.
        changes.added.sort_unstable_by_key(|it| it.changed);
        // Without a cursor there is nothing that could be over for the client.
        if after.is_none() {
            changes.removed.clear();
        }
        let from = after.unwrap_or(Cursor { changed: 0, at: Timestamp::default() });
        Self { changes, from, is_all: after.is_none(), now }
    }

    /// What is over, what is new, and at the end the cursor behind everything.
    fn iter(&self) -> impl Iterator<Item = Value> {
        let begin = self.is_all.then(|| json!({"change": "reset", "time": self.now.to_string()}));
        let removed = self.changes.removed.iter().map(|it| {
            let mut line = entry_json(it, self.now);
            line["change"] = "remove".into();
            line["cursor"] = cursor_text(self.from).into();
            line
        });
        let added = self.changes.added.iter().map(|it| {
            let mut line = entry_json(it, self.now);
            line["change"] = "add".into();
            // Half of everything is no state to go on from.
            if !self.is_all {
                let cursor = Cursor { changed: self.from.changed.max(it.changed), ..self.from };
                line["cursor"] = cursor_text(cursor).into();
            }
            line
        });
        let end = json!({"change": "cursor", "cursor": cursor_text(self.changes.next), "time": self.now.to_string()});
        begin.into_iter().chain(removed).chain(added).chain([end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor { changed: 17, at: Timestamp(1_795_176_000_000_000_000) };
        assert_eq!(read_cursor(&cursor_text(cursor)), Some(cursor));
        for text in ["", "17", "17-", "-17", "17--1", "a-1", "17-1-1"] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }
}
