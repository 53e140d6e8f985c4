//! What could not be read: the list of it, one record in full, and reading it again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, PoisonError};

use backends::log::{LogError, RecordKind};
use hyper::StatusCode;
use model::intake::{IngestError, Quarantined, Submission};
use model::place::{PartitionId, Position, Sequence};
use normalize::formats::{Read, Sniffer, by_name};
use normalize::reading::{Ids, Reading};
use pipeline::quarantine::{Entry, decode, list as newest};
use serde_json::{Value, json};
use web::answer::{Answer, Fault};
use web::query::Query;
use web::route::{QueryParameter, Request};

use crate::alert_list::read_limit;
use crate::state::Console;

/// How many records a list has at most.
const LIMIT_MAX: usize = 1000;
/// How many without a limit.
const LIMIT: usize = 100;
/// How many characters of a record a list shows; `GET /v1/quarantine/{id}` shows it whole.
const SHOWN_CHARS: usize = 1000;
/// How many records one call reads again; `remaining` says that there are more.
const REPLAY_MAX: usize = 100_000;
/// How many records are handed over at a time.
const BATCH_RECORDS: usize = 500;
/// How many bytes of records are handed over at a time.
const BATCH_BYTES: usize = 4 << 20;
/// How many records that still cannot be read are named in an answer.
const NAMED_MAX: usize = 1000;
/// What tells the ids of replayed records from those of a file.
const ID_SPACE: &str = "quarantine";

/// The parameters of the list.
pub(crate) const PARAMETERS: &[QueryParameter] =
    &[QueryParameter { name: "limit", about: "How many at most, 1 to 1000; 100 without." }];

/// Answers the newest records, newest first.
pub(crate) async fn list(state: Arc<Console>, request: Request) -> Answer {
    let query = Query::of(&request.query, &["limit"]);
    let limit = match query.and_then(|it| read_limit(&it, LIMIT_MAX)) {
        Ok(limit) => limit.unwrap_or(LIMIT),
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    match state.search(move |state| Ok(newest(state.log.as_ref(), limit)?)).await {
        Ok(entries) => {
            let items: Vec<Value> = entries.iter().map(|it| shown(it, SHOWN_CHARS)).collect();
            Answer::json(StatusCode::OK, &json!({"items": items, "next": null}))
        }
        Err(error) => error.problem(),
    }
}

/// Answers one record, whole.
pub(crate) async fn one(state: Arc<Console>, request: Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let unknown = || Answer::problem(StatusCode::NOT_FOUND, "there is no such record in quarantine");
    let Ok(id) = request.parameter().parse::<u64>() else { return unknown() };
    let found = state.search(move |state| {
        let is_there = unresolved(state, Some(&BTreeSet::from([id])))?.contains(&id);
        let found = if is_there { record_of(state, id)? } else { None };
        Ok(found.map(|quarantined| shown(&Entry { id, quarantined }, usize::MAX)))
    });
    match found.await {
        Ok(Some(entry)) => Answer::json(StatusCode::OK, &entry),
        Ok(None) => unknown(),
        Err(error) => error.problem(),
    }
}

/// A record as JSON. What is no UTF-8 in it is shown as U+FFFD.
fn shown(entry: &Entry, chars_max: usize) -> Value {
    let it = &entry.quarantined;
    let text = String::from_utf8_lossy(&it.record);
    let cut = text.char_indices().nth(chars_max).map(|(end, _)| end);
    json!({
        "id": entry.id,
        "input": it.input,
        "place": it.place,
        "format": it.format,
        "reason": it.reason,
        "received": it.received.to_string(),
        "record": cut.map_or(&*text, |end| &text[..end]),
        "record_bytes": it.bytes,
        "kept_bytes": it.record.len(),
        "is_whole": it.is_whole(),
        "is_cut": cut.is_some(),
    })
}

/// What became of a replay.
#[derive(Debug, Default)]
struct Replayed {
    taken: u64,
    duplicate: u64,
    unreadable: Vec<(u64, String)>,
    unknown: Vec<u64>,
    remaining: u64,
    refused: Option<IngestError>,
}

/// Reads records again and hands over those that can now be read. The others stay.
pub(crate) async fn replay(state: Arc<Console>, request: Request) -> Answer {
    if let Err(bad) = Query::of(&request.query, &[]) {
        return Answer::bad_parameter(&bad);
    }
    let wanted = match wanted_of(&request.body) {
        Ok(wanted) => wanted,
        Err(fault) => {
            return Answer::problem_with(StatusCode::BAD_REQUEST, "the body does not say what to replay", &[fault]);
        }
    };
    match state.search(move |state| Ok(replay_all(state, wanted.as_ref())?)).await {
        Ok(replayed) => answer_of(&replayed),
        Err(error) => error.problem(),
    }
}

fn answer_of(replayed: &Replayed) -> Answer {
    let named = replayed.unreadable.iter().take(NAMED_MAX);
    let body = json!({
        "taken": replayed.taken,
        "duplicate": replayed.duplicate,
        "unreadable": named.map(|(id, reason)| json!({"id": id, "reason": reason})).collect::<Vec<_>>(),
        "unreadable_total": replayed.unreadable.len(),
        "unknown": replayed.unknown.iter().take(NAMED_MAX).collect::<Vec<_>>(),
        "remaining": replayed.remaining,
    });
    match replayed.refused {
        None => Answer::json(StatusCode::OK, &body),
        Some(error) => {
            let detail = format!("{error}; {} records were taken before, the others stay", replayed.taken);
            Answer::problem(StatusCode::SERVICE_UNAVAILABLE, &detail).retry_after(5)
        }
    }
}

/// Reads the body: `{"ids":[...]}`, or `{"all":true}`, which is `None`.
fn wanted_of(body: &[u8]) -> Result<Option<BTreeSet<u64>>, Fault> {
    let fault = |field: &str, message: &str| Fault { field: field.to_owned(), message: message.to_owned() };
    let whole: Value = serde_json::from_slice(body).map_err(|_| fault("", "must be a JSON object"))?;
    let object = whole.as_object().ok_or_else(|| fault("", "must be a JSON object"))?;
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, Value::Bool(true))), None) if name == "all" => Ok(None),
        (Some((name, Value::Array(ids))), None) if name == "ids" => {
            let read = || fault("ids", "must be a list of numbers");
            let ids: Option<BTreeSet<u64>> = ids.iter().map(Value::as_u64).collect();
            ids.filter(|it| it.len() <= REPLAY_MAX).map(Some).ok_or_else(read)
        }
        (Some((name, _)), _) => Err(fault(name, "must be either `ids` with a list of numbers, or `all` with true")),
        (None, _) => Err(fault("ids", "is missing; `all` with true takes all")),
    }
}

fn replay_all(state: &Console, wanted: Option<&BTreeSet<u64>>) -> Result<Replayed, LogError> {
    let _guard = state.replay.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ids = unresolved(state, wanted)?;
    // Oldest first, as they came.
    ids.sort_unstable();
    let mut replayed = Replayed::default();
    if let Some(wanted) = wanted {
        replayed.unknown = wanted.iter().filter(|it| ids.binary_search(it).is_err()).copied().collect();
    }
    replayed.remaining = ids.len().saturating_sub(REPLAY_MAX) as u64;
    let mut batch = Batch::default();
    for id in ids.into_iter().take(REPLAY_MAX) {
        let Some(record) = record_of(state, id)? else { continue };
        batch.add(id, &record, &mut replayed);
        if batch.is_full() && batch.hand_over(state, &mut replayed) == Next::Stop {
            return Ok(replayed);
        }
    }
    batch.hand_over(state, &mut replayed);
    Ok(replayed)
}

/// The numbers of the records that are in quarantine, of all or of those `wanted`.
fn unresolved(state: &Console, wanted: Option<&BTreeSet<u64>>) -> Result<Vec<u64>, LogError> {
    let (mut resolved, mut found) = (HashSet::new(), Vec::new());
    let is_wanted = |id: u64| wanted.is_none_or(|it| it.contains(&id));
    let oldest = wanted.and_then(|it| it.first().copied()).unwrap_or(0);
    state.log.specials(&mut |record| {
        let id = record.sequence.0;
        match record.kind {
            // Newest first, a record's resolution comes before it.
            RecordKind::Resolved => {
                let id = record.bytes.try_into().ok().map(u64::from_le_bytes);
                resolved.extend(id.filter(|it| is_wanted(*it)));
            }
            RecordKind::Quarantined if is_wanted(id) && !resolved.contains(&id) => found.push(id),
            _ => {}
        }
        oldest < id
    })?;
    Ok(found)
}

fn record_of(state: &Console, id: u64) -> Result<Option<Quarantined>, LogError> {
    let block = state.log.read(PartitionId(0), Position(id))?;
    let record = block.record(Sequence(id)).filter(|it| it.kind == RecordKind::Quarantined);
    Ok(record.and_then(|it| decode(it.bytes)))
}

/// Whether a replay goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Stop,
}

/// Records that were read, by input, on their way into the log.
#[derive(Default)]
struct Batch {
    inputs: BTreeMap<String, Submission>,
    records: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, id: u64, record: &Quarantined, replayed: &mut Replayed) {
        let submission = self.inputs.entry(record.input.clone()).or_default();
        match read_again(id, record, &mut submission.events.bytes) {
            Ok(()) => {
                submission.events.close();
                submission.resolved.push(id);
                self.records += 1;
                self.bytes += record.record.len();
            }
            Err(reason) => replayed.unreadable.push((id, reason)),
        }
    }

    const fn is_full(&self) -> bool {
        BATCH_RECORDS <= self.records || BATCH_BYTES <= self.bytes
    }

    /// Hands all over. Events and the word that their records are resolved are written at once or not at all.
    fn hand_over(&mut self, state: &Console, replayed: &mut Replayed) -> Next {
        for (input, mut submission) in std::mem::take(self).inputs {
            if submission.resolved.is_empty() {
                continue;
            }
            submission.input = input.into();
            match state.ingest.submit_blocking(submission) {
                Ok(receipt) => {
                    replayed.taken += receipt.ids.len() as u64;
                    replayed.duplicate += receipt.duplicate;
                }
                Err(error) => {
                    replayed.refused = Some(error);
                    return Next::Stop;
                }
            }
        }
        Next::Continue
    }
}

/// Reads a record as it would be read today, with the receipt that it had; its id is derived from its number.
///
/// What comes of it is one event, or the record stays: then nothing that was received goes uncounted.
fn read_again(id: u64, record: &Quarantined, out: &mut Vec<u8>) -> Result<(), String> {
    if !record.is_whole() {
        return Err(not_whole(record));
    }
    let reading = Reading {
        input: &record.input,
        received: Some(record.received),
        now: record.received,
        synthetic: record.synthetic,
        ids: Ids::File { file: ID_SPACE },
    };
    let named = by_name(&record.format).map(Sniffer::pinned);
    if let Some(mut sniffer) = named
        && let Ok(Read::Event) = sniffer.read(&record.record, id, &reading, out)
    {
        return Ok(());
    }
    match Sniffer::new().read(&record.record, id, &reading, out) {
        Ok(Read::Event) => Ok(()),
        Ok(Read::Nothing) => Err("there is no event in it".to_owned()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

fn not_whole(record: &Quarantined) -> String {
    let kept = record.record.len();
    let of = record.bytes.map_or_else(|| "whose end was never seen".to_owned(), |it| format!("of {it} bytes"));
    match kept {
        0 => format!("nothing was kept of this record {of}, so it cannot be read again; mend it where it came from"),
        _ => format!(
            "only the first {kept} bytes were kept of this record {of}, so it cannot be read again; \
             mend it where it came from"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_says_what_it_wants() {
        assert_eq!(wanted_of(br#"{"all":true}"#), Ok(None));
        assert_eq!(wanted_of(br#"{"ids":[3,1,3]}"#), Ok(Some(BTreeSet::from([1, 3]))));
        for body in
            ["", "[]", "{}", r#"{"all":false}"#, r#"{"ids":["1"]}"#, r#"{"ids":[1],"all":true}"#, r#"{"ids":[-1]}"#]
        {
            assert!(wanted_of(body.as_bytes()).is_err(), "{body}");
        }
    }
}
