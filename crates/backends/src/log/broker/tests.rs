//! The log on a real broker: the conformance suite, and what only a broker can do to it.

use std::io::Write;
use std::sync::Arc;

use model::event::{EventView, EventWriter};
use outbound::amqp::broker::Broker;
use outbound::amqp::stream::StreamSettings;
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;
use tempfile::TempDir;

use super::rabbitmq::RabbitStream;
use super::*;
use crate::log::RecordKind;
use crate::log::embedded::files::Folder;

const PARTITION: PartitionId = PartitionId(0);
/// Where the broker of the tests is; see `tests/with-servers`.
const VARIABLE: &str = "BARTIZAN_TEST_RABBITMQ";

/// The address of the broker; `None`, and a word about it, when there is none and none is required.
fn address(test: &str) -> Option<String> {
    let found = std::env::var(VARIABLE).ok();
    if found.is_none() {
        assert!(std::env::var_os("BARTIZAN_TEST_SERVERS").is_none(), "{test} must run, and {VARIABLE} is not set");
        // Past the harness, so that it is seen.
        let _ = writeln!(io::stderr(), "{test} did not run: {VARIABLE} is not set");
    }
    found
}

/// The stream of a test: named by its folder, so that it is the same when the log is opened again.
fn stream(address: &str, name: &str) -> RabbitStream {
    let dialer = Dialer::new(Guard::new(vec![Range::parse("127.0.0.0/8").unwrap()]), Arc::new(System), None);
    let broker = Broker::parse(address, None, &dialer).unwrap();
    let settings = StreamSettings { name: name.to_owned(), keep_bytes: 1 << 30, keep_age: Duration::from_secs(3600) };
    RabbitStream::new(broker, settings).unwrap()
}

fn name_of(folder: &TempDir) -> String {
    format!("test{}", folder.path().to_string_lossy().replace('/', "."))
}

fn open_copy_in(address: &str, name: &str, folder: &std::path::Path) -> BrokerLog {
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::default() };
    let files = Arc::new(Folder::new(folder.to_owned()));
    BrokerLog::open(Box::new(stream(address, name)), files, settings, Known::Nothing, Timestamp(1)).unwrap()
}

fn block(numbers: std::ops::Range<u64>) -> Block {
    let mut block = Block::default();
    for number in numbers {
        let mut out = Vec::new();
        EventWriter::new(&mut out, EventId(0), Timestamp(number as i64), None, 0);
        block.push(RecordKind::Event, &out);
    }
    block
}

fn times(log: &impl Log) -> Vec<i64> {
    let (mut at, mut found) = (Position::START, Vec::new());
    loop {
        let read = log.read(PARTITION, at).unwrap();
        if read.is_empty() {
            return found;
        }
        let events = read.records(at).filter(|it| it.kind == RecordKind::Event);
        found.extend(events.filter_map(|it| EventView::of(it.bytes)).map(|it| it.time.0));
        at = read.next();
    }
}

#[test]
fn the_suite_of_logs_passes_on_a_stream_of_rabbitmq() {
    use crate::log::conformance as tests;
    let Some(address) = address("the suite of logs on RabbitMQ") else { return };
    macro_rules! each {
        ($($name:ident)*) => { $(
            let folder = tempfile::tempdir().unwrap();
            tests::$name(|| open_copy_in(&address, &name_of(&folder), folder.path()));
        )* };
    }
    each!(
        reads_on_from_the_position_asked_for
        names_events_that_have_no_id_by_their_place
        keeps_everything_over_a_restart
        finds_events_by_id_entity_and_time
        pages_give_every_event_once
        marks_outlive_the_segments
        tells_repeatable_ids_and_specials
        a_waiting_reader_is_woken
    );
}

#[test]
fn every_copy_has_the_same_records_under_the_same_numbers() {
    let Some(address) = address("copies of a stream") else { return };
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = name_of(&folder);
    let numbers = |log: &BrokerLog| {
        let (mut at, mut found) = (Position::START, Vec::new());
        loop {
            let read = log.read(PARTITION, at).unwrap();
            if read.is_empty() {
                return found;
            }
            let events = read.records(at).filter(|it| it.kind == RecordKind::Event);
            found.extend(events.map(|it| (it.sequence, EventView::of(it.bytes).unwrap().id)));
            at = read.next();
        }
    };
    let log = open_copy_in(&address, &name, folder.path());
    for start in 0..50 {
        log.append(PARTITION, &mut block(start * 40..start * 40 + 40), Timestamp(1)).unwrap();
    }
    let first = numbers(&log);
    assert_eq!(first.len(), 2000);
    drop(log);
    // One that goes on where it was, and one that begins from nothing.
    for folder in [&folder, &other] {
        let log = open_copy_in(&address, &name, folder.path());
        assert_eq!(numbers(&log), first);
        assert_eq!(times(&log), (0..2000).collect::<Vec<i64>>());
        assert!(log.damage().is_healthy());
        assert!(log.back(PARTITION, log.end(PARTITION), 1).unwrap() <= Position(first[1999].0.0));
    }
}

#[test]
fn a_message_that_was_sent_twice_is_taken_once() {
    let Some(address) = address("a message that was sent twice") else { return };
    let folder = tempfile::tempdir().unwrap();
    let name = name_of(&folder);
    let log = open_copy_in(&address, &name, folder.path());
    log.append(PARTITION, &mut block(0..3), Timestamp(1)).unwrap();
    let again = log.message(2, Timestamp(1), block(0..3)).encode().unwrap();
    let raw = stream(&address, &name);
    raw.publish(&again).unwrap();
    raw.publish(b"something else").unwrap();
    log.append(PARTITION, &mut block(3..4), Timestamp(1)).unwrap();
    assert_eq!(times(&log), [0, 1, 2, 3]);
    assert_eq!(log.damage().damaged_places, 1);
    drop(log);
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(times(&open_copy_in(&address, &name, fresh.path())), [0, 1, 2, 3]);
}

#[test]
fn who_begins_later_takes_the_log_over() {
    let Some(address) = address("a process that takes a log over") else { return };
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = name_of(&folder);
    let former = open_copy_in(&address, &name, folder.path());
    former.append(PARTITION, &mut block(0..1), Timestamp(1)).unwrap();
    let late = former.message(3, Timestamp(1), block(7..8)).encode().unwrap();
    let later = open_copy_in(&address, &name, other.path());
    later.append(PARTITION, &mut block(1..2), Timestamp(1)).unwrap();
    // What the former one had on its way counts nowhere.
    stream(&address, &name).publish(&late).unwrap();
    let refused = former.append(PARTITION, &mut block(8..9), Timestamp(1)).unwrap_err();
    assert!(matches!(&refused, LogError::Io { source, .. } if source.to_string().contains("taken the log over")));
    later.append(PARTITION, &mut block(2..3), Timestamp(1)).unwrap();
    assert_eq!(times(&later), [0, 1, 2]);
    drop((former, later));
    let fresh = tempfile::tempdir().unwrap();
    for folder in [&folder, &other, &fresh] {
        assert_eq!(times(&open_copy_in(&address, &name, folder.path())), [0, 1, 2]);
    }
}

#[test]
fn a_log_that_is_not_the_known_one_is_not_touched() {
    let Some(address) = address("a log that is not the known one") else { return };
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = name_of(&folder);
    let log = open_copy_in(&address, &name, folder.path());
    log.append(PARTITION, &mut block(0..3), Timestamp(1)).unwrap();
    let check = |known, expected: &str| {
        let files = Arc::new(Folder::new(other.path().to_owned()));
        let opened =
            BrokerLog::open(Box::new(stream(&address, &name)), files, Settings::default(), known, Timestamp(1));
        let refused = opened.err().map(|it| std::error::Error::source(&it).unwrap().to_string()).unwrap();
        assert!(refused.contains(expected), "{refused}");
    };
    check(Known::Tag(log.tag() ^ 1, Position::START), "not the log that the store has read");
    check(Known::Tag(log.tag(), Position(first_at(1000).0)), "lost its end");
    // Who was there works on.
    log.append(PARTITION, &mut block(3..4), Timestamp(1)).unwrap();
    assert_eq!(times(&log), [0, 1, 2, 3]);
    // Who only looks takes nothing over.
    let looking = open_copy_in(&address, &name, other.path());
    assert_eq!(times(&looking), [0, 1, 2, 3]);
    log.append(PARTITION, &mut block(4..5), Timestamp(1)).unwrap();
    assert!(!log.is_taken_over());
}

#[test]
fn old_marks_are_sent_again_and_do_not_hide_new_ones() {
    let Some(address) = address("marks that are sent again") else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = open_copy_in(&address, &name_of(&folder), folder.path());
    let append = |marks: &[(&str, &[u8])], at: i64| {
        let mut block = Block::default();
        marks.iter().for_each(|(key, value)| block.push_mark(key, value));
        log.append(PARTITION, &mut block, Timestamp(at)).unwrap();
    };
    append(&[("file/a", b"1"), ("file/b", b"1")], 1);
    let end = log.end(PARTITION);
    append(&[("file/a", b"2")], 2 * 3600 * 1_000_000_000);
    let sent = log.read(PARTITION, end).unwrap();
    let marks: Vec<&[u8]> = sent.records(end).map(|it| it.bytes).filter(|it| it.starts_with(b"file")).collect();
    assert_eq!(marks, [&b"file/a\x002"[..], b"file/b\x001"]);
    assert_eq!(log.mark("file/a").as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_large_block_goes_in_several_messages() {
    let mut large = Block::default();
    for _ in 0..5 {
        large.push(RecordKind::Quarantined, &vec![7; MESSAGE_BYTES / 2]);
    }
    let parts = parts_of(&large);
    assert_eq!(parts.iter().map(|it| it.count).collect::<Vec<_>>(), [2, 2, 1]);
    let joined: Vec<u8> = parts.iter().flat_map(|it| it.bytes.clone()).collect();
    assert_eq!(joined, large.bytes);
}

#[test]
fn numbers_tell_offsets() {
    for offset in [0, 1, 7, 1 << 30] {
        let first = first_at(offset);
        assert_eq!(offset_behind(Position(first.0 + 1)), offset + 1);
        assert_eq!(offset_behind(Position(first.0 + (1 << PLACE_BITS) - 1)), offset + 1);
    }
    assert_eq!(offset_behind(Position::START), 0);
}
