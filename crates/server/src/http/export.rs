//! The export of alerts: made while it is sent, so that it takes the same memory however many there are.

use std::ops::ControlFlow;
use std::sync::Arc;

use backends::store::{Store, StoredAlert};
use bytes::Bytes;
use hyper::StatusCode;
use pipeline::ingest::chain;
use tokio::sync::Semaphore;
use web::answer::{Answer, Broken, Piece, Stream};
use web::query::Query;
use web::route::Request;

/// The media type of NDJSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// The media type of CSV.
pub(crate) const CSV: &str = "text/csv; charset=utf-8";
/// A piece is sent once it has this many bytes: large enough for the network, small beside a page of the store.
const PIECE_BYTES: usize = 64 << 10;
/// How many exports run at once: each holds a thread for as long as its receiver takes.
pub(crate) const EXPORTS_MAX: usize = 4;

/// How an alert is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ndjson,
    Csv,
    Canonical,
}

impl Form {
    fn of(word: &str) -> Option<Self> {
        match word {
            "ndjson" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "canonical" => Some(Self::Canonical),
            _ => None,
        }
    }

    fn write(self, out: &mut String, alert: &StoredAlert, log_tag: u64) {
        match self {
            Self::Csv => return out.push_str(&console::csv::row(alert)),
            // What tells of the installation itself is no function of the events.
            Self::Canonical if alert.alert.is_of_installation() => return,
            Self::Canonical => out.push_str(&console::alerts::alert_canonical(&alert.alert, log_tag)),
            Self::Ndjson => out.push_str(&console::alerts::alert_json(alert)),
        }
        out.push('\n');
    }
}

/// Answers with every alert, by rising id. `log_tag` is the tag in the event ids that the log made.
pub(crate) fn alerts(store: &Arc<dyn Store>, running: &Arc<Semaphore>, log_tag: u64, request: &Request) -> Answer {
    let query = match Query::of(&request.query, &["format"]) {
        Ok(it) => it,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let form = match query.read("format", "ndjson, csv or canonical", Form::of) {
        Ok(form) => form.unwrap_or(Form::Ndjson),
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let Ok(permit) = running.clone().try_acquire_owned() else {
        return Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "too many exports are running").retry_after(5);
    };
    let store = store.clone();
    let stream = Stream::new(move |take| {
        // The place is given back with the stream.
        let _permit = &permit;
        write_all(store.as_ref(), form, log_tag, take)
    });
    Answer::streamed(if form == Form::Csv { CSV } else { NDJSON }, stream)
}

fn write_all(store: &dyn Store, form: Form, log_tag: u64, take: &mut Piece<'_>) -> Result<(), Broken> {
    let mut piece = if form == Form::Csv { console::csv::head() } else { String::new() };
    let mut is_wanted = ControlFlow::Continue(());
    let read = store.each_alert(&mut |alert| {
        form.write(&mut piece, alert, log_tag);
        if PIECE_BYTES <= piece.len() {
            is_wanted = take(Bytes::from(std::mem::take(&mut piece)));
        }
        is_wanted
    });
    if let Err(error) = read {
        tracing::warn!(reason = %chain(&error), "An export of alerts was cut off");
        return Err(Broken);
    }
    if is_wanted.is_continue() && !piece.is_empty() {
        // Whether the last piece is wanted changes nothing any more.
        let _ = take(Bytes::from(piece));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use backends::store::Commit;
    use backends::store::sqlite::SqliteStore;
    use model::alert::{Alert, AlertStatus};
    use model::entity::Entity;
    use model::id::AlertId;
    use model::place::PartitionId;
    use model::severity::Severity;
    use model::time::Timestamp;

    use super::*;

    fn alert(number: u128) -> Alert {
        Alert {
            // Scattered, so that the order of storing is not that of the ids.
            id: AlertId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
            rule_id: "bruteforce".into(),
            rule_version: "v1".into(),
            title: "Brute force attack".into(),
            kind: "bruteforce".into(),
            severity: Severity::High,
            confidence: 80,
            status: AlertStatus::New,
            entity: Entity::of_ip([10, 0, 0, 1].into()),
            client_ip: None,
            dst_ip: None,
            count: 5,
            first_seen: Timestamp(0),
            last_seen: Timestamp(number as i64),
            window_start: Timestamp(0),
            timestamp: Timestamp(0),
            details: String::new(),
            reason: String::new(),
            description: String::new(),
            detector: "threshold".into(),
            source: "shop".into(),
            country: None,
            user: None,
            matched: Vec::new(),
            evidence: Vec::new(),
            event: "{}".into(),
            synthetic: false,
            incarnation: 0,
        }
    }

    /// Runs an export of `store`; returns its lines and its longest piece.
    fn run(store: &dyn Store, form: Form) -> (Vec<String>, usize) {
        let (mut text, mut longest) = (String::new(), 0);
        let mut take = |piece: Bytes| {
            longest = longest.max(piece.len());
            text.push_str(std::str::from_utf8(&piece).unwrap());
            ControlFlow::Continue(())
        };
        write_all(store, form, 0, &mut take).unwrap();
        (text.lines().map(str::to_owned).collect(), longest)
    }

    #[test]
    fn tens_of_thousands_of_alerts_come_in_small_pieces_sorted_by_id() {
        const ALERTS: usize = 30_000;
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
        let alerts: Vec<_> = (1..=ALERTS as u128).map(alert).collect();
        let lease = store.acquire(PartitionId(0)).unwrap();
        let commit =
            Commit { lease, to: lease.position, alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) };
        store.commit(&commit).unwrap();
        let line_max = 2 << 10;
        for (form, heads) in [(Form::Ndjson, 0), (Form::Canonical, 0), (Form::Csv, 1)] {
            let (lines, longest) = run(&store, form);
            assert_eq!(lines.len(), ALERTS + heads, "{form:?}");
            assert!(longest < PIECE_BYTES + line_max, "{form:?}: {longest}");
        }
        let id_of = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string();
        assert!(run(&store, Form::Canonical).0.iter().map(id_of).is_sorted());

        let mut pieces = 0;
        let mut take_two = |_: Bytes| {
            pieces += 1;
            if pieces < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        write_all(&store, Form::Ndjson, 0, &mut take_two).unwrap();
        assert_eq!(pieces, 2, "nothing is made for a receiver that is gone");
    }
}
