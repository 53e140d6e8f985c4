//! Whole files: plain, packed, cut off, dirty.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use model::event::{EventFlags, EventView};
use model::limits::EVENT_BYTES_MAX;
use normalize::framing::BEGINNING_BYTES_MAX;
use proptest::prelude::*;

use super::*;

const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

fn reading() -> FileReading {
    FileReading {
        input: "files".into(),
        path: "/var/log/a.log".into(),
        file: "a".into(),
        format: None,
        has_receipt: false,
        synthetic: false,
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(bytes: &[u8]) -> (io::Result<Totals>, Vec<Batch>) {
    let mut batches = Vec::new();
    let totals = read_batches(bytes, &reading(), NOON, &mut |batch| {
        batches.push(batch);
        ControlFlow::Continue(())
    });
    (totals, batches)
}

/// Reads `bytes` as they are and packed; there must be this many events, and these offsets in quarantine.
#[track_caller]
fn check(bytes: &[u8], events: u64, quarantined: &[u64]) {
    for stored in [bytes, &packed(bytes)] {
        let (totals, batches) = read(stored);
        let expected = Totals { bytes: stored.len() as u64, events, quarantined: quarantined.len() as u64 };
        assert_eq!(totals.unwrap(), expected);
        let places: Vec<_> = batches.iter().flat_map(|it| &it.quarantined).map(|it| it.place.clone()).collect();
        let expected: Vec<_> = quarantined.iter().map(|it| format!("/var/log/a.log:offset {it}")).collect();
        assert_eq!(places, expected);
    }
}

#[test]
fn the_last_line_needs_no_end() {
    check(b"", 0, &[]);
    check(b"{\"a\":1}\n{\"a\":2}", 2, &[]);
    check(b"\n# a comment\n{\"a\":1}\r\n\n", 1, &[]);
}

#[test]
fn bad_records_go_to_quarantine_with_their_place() {
    check(b"{\"a\":1}\nnonsense\n{\"a\":2}\n\xff\xfe\n", 2, &[8, 25]);
    let (_, batches) = read(b"nonsense\n");
    let [it] = batches[0].quarantined.as_slice() else { panic!() };
    assert_eq!((it.input.as_str(), it.record.as_slice(), it.received), ("files", &b"nonsense"[..], NOON));
    assert!(it.reason.contains("nonsense"));
}

#[test]
fn a_record_in_quarantine_is_whole_up_to_the_limit_and_beyond_it_has_its_beginning_and_its_length() {
    for (size, kept) in [(EVENT_BYTES_MAX, EVENT_BYTES_MAX), (EVENT_BYTES_MAX + 1, BEGINNING_BYTES_MAX)] {
        let (_, batches) = read(&[&vec![b'x'; size][..], b"\n"].concat());
        let it = &batches[0].quarantined[0];
        assert_eq!((it.record.len(), it.bytes, it.is_whole()), (kept, Some(size as u64), kept == size));
    }
    let (_, batches) = read(b"{\"Records\":[{\"a\":1},{\"b\":");
    let it = &batches[0].quarantined[0];
    assert_eq!((it.record.as_slice(), it.bytes, it.is_whole()), (&b"{\"b\":"[..], None, false));
    check(&[&vec![b'x'; 300_000][..], b"\n{\"a\":1}\n"].concat(), 1, &[0]);
}

#[test]
fn a_cloudtrail_document_has_its_records() {
    let record = r#"{"eventVersion":"1","eventSource":"s","eventName":"n","eventTime":"2026-11-20T10:00:00Z"}"#;
    check(format!("{{\"Records\":[{record},{record}]}}").as_bytes(), 2, &[]);
}

#[test]
fn events_have_ids_of_their_place_and_no_receipt() {
    let (_, batches) = read(b"{\"a\":1}\n{\"a\":2}\n");
    let events: Vec<_> = batches[0].events.iter().map(|it| EventView::of(it).unwrap()).collect();
    for (event, offset) in events.iter().zip([0, 8]) {
        assert_eq!(event.id, model::id::EventId::of_file("files", "a", offset));
        assert!(event.flags.has(EventFlags::REPEATABLE) && event.received.is_none());
    }
}

#[test]
fn batches_are_bounded_and_go_on_where_the_last_ended() {
    let line = b"{\"a\":1}\n";
    let (totals, batches) = read(&line.repeat(20_000));
    assert_eq!(totals.unwrap().events, 20_000);
    assert!(1 < batches.len());
    let mut events = 0;
    for batch in &batches {
        events += batch.events.len();
        assert!(batch.events.len() < BATCH_RECORDS_MAX + CHUNK_BYTES / line.len() + 1);
        assert_eq!(batch.position, (events * line.len()) as u64);
    }
}

#[test]
fn a_reader_may_stop_early() {
    let mut batches = 0;
    let totals = read_batches(&b"{\"a\":1}\n".repeat(20_000)[..], &reading(), NOON, &mut |_| {
        batches += 1;
        ControlFlow::Break(())
    });
    assert!(totals.is_ok() && batches == 1);
}

#[test]
fn what_came_before_a_broken_end_is_handed_over() {
    for lines in [10, 10_000] {
        let whole = packed(&[&b"{\"a\":1}\n".repeat(lines)[..], b"{\"half"].concat());
        let (totals, batches) = read(&whole[..whole.len() - 8]);
        assert!(totals.is_err());
        assert_eq!(batches.iter().map(|it| it.events.len()).sum::<usize>(), lines);
        assert!(batches.iter().all(|it| it.quarantined.is_empty()));
    }
}

#[test]
fn a_pinned_format_reads_everything() {
    let reading = FileReading { format: formats::by_name("combined"), ..reading() };
    let mut formats = Vec::new();
    let totals = read_batches(&b"{\"a\":1}\n"[..], &reading, NOON, &mut |batch| {
        formats.extend(batch.quarantined.iter().map(|it| it.format.clone()));
        ControlFlow::Continue(())
    });
    assert_eq!((totals.unwrap().quarantined, formats), (1, vec!["combined".to_owned()]));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), is_packed in any::<bool>()) {
        let bytes = if is_packed { [&GZIP_MAGIC[..], &bytes].concat() } else { bytes };
        let _ = read(&bytes);
    }
}
