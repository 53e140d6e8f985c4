//! What every log must do, as tests that each backend runs: `suite!(|folder| open(folder))`.
//!
//! `open` opens the same log again when it is called again with the same folder, as a restart does.

use std::time::Duration;

use model::event::{EventFlags, EventView, EventWriter};
use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};
use model::time::Timestamp;

use super::{Block, Log, RecordKind, Search};

const PARTITION: PartitionId = PartitionId(0);

/// Runs every conformance test against the log that `$open` opens in a folder.
macro_rules! suite {
    ($open:expr) => {
        mod conformance {
            use $crate::log::conformance as tests;
            $crate::each_test!($open,
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
    };
}
pub(crate) use suite;

/// Encodes an event of `number`, with an id of its own when `is_named`.
fn event(number: u64, is_named: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let (id, flags) =
        if is_named { (EventId(u128::from(number) << 64 | 0xabc), EventFlags::REPEATABLE) } else { (EventId(0), 0) };
    EventWriter::new(&mut out, id, Timestamp(number as i64 * 1000), None, flags)
        .client_ip([10, 0, (number >> 8) as u8, number as u8].into())
        .text(model::event::TextField::User, if number.is_multiple_of(2) { "even" } else { "odd" });
    out
}

fn append(log: &impl Log, numbers: std::ops::Range<u64>, is_named: bool) -> Sequence {
    let mut block = Block::default();
    numbers.for_each(|it| block.push(RecordKind::Event, &event(it, is_named)));
    log.append(PARTITION, &mut block, Timestamp(5)).expect("the log of a test has room")
}

fn times(log: &impl Log, from: Position) -> Vec<i64> {
    let (mut at, mut found) = (from, Vec::new());
    loop {
        let block = log.read(PARTITION, at).expect("the log of a test can be read");
        if block.is_empty() {
            return found;
        }
        let events = block.records(at).filter(|it| it.kind == RecordKind::Event);
        found.extend(events.filter_map(|it| EventView::of(it.bytes)).map(|it| it.time.0 / 1000));
        at = block.next();
    }
}

pub(crate) fn reads_on_from_the_position_asked_for<L: Log>(open: impl Fn() -> L) {
    let log = open();
    assert_eq!(times(&log, Position::START), [] as [i64; 0]);
    let first = append(&log, 0..3, false);
    append(&log, 3..5, false);
    assert_eq!(times(&log, Position::START), [0, 1, 2, 3, 4]);
    assert_eq!(times(&log, Position(first.0 + 2)), [2, 3, 4]);
    assert_eq!(times(&log, log.end(PARTITION)), [] as [i64; 0]);
}

pub(crate) fn names_events_that_have_no_id_by_their_place<L: Log>(open: impl Fn() -> L) {
    let log = open();
    let first = append(&log, 0..2, false);
    let block = log.read(PARTITION, Position(first.0)).expect("readable");
    let ids: Vec<_> =
        block.records(Position(first.0)).filter_map(|it| EventView::of(it.bytes)).map(|it| it.id).collect();
    assert_eq!(ids, [EventId::of_place(log.tag(), first.0), EventId::of_place(log.tag(), first.0 + 1)]);
    assert!(log.find(ids[1]).expect("readable").is_some_and(|it| it.0.0 == first.0 + 1));
    let named = append(&log, 7..8, true);
    let block = log.read(PARTITION, Position(named.0)).expect("readable");
    assert_eq!(
        EventView::of(block.record(named).expect("there").bytes).expect("an event").id,
        EventId(7 << 64 | 0xabc)
    );
}

pub(crate) fn keeps_everything_over_a_restart<L: Log>(open: impl Fn() -> L) {
    let (tag, end) = {
        let log = open();
        for start in 0..60 {
            append(&log, start * 50..start * 50 + 50, start % 2 == 0);
        }
        (log.tag(), log.end(PARTITION))
    };
    let log = open();
    assert_eq!(log.tag(), tag);
    // A start may write a word of its own behind it.
    assert!(end <= log.end(PARTITION));
    assert!(log.damage().is_healthy(), "{:?}", log.damage());
    assert_eq!(times(&log, Position::START), (0..3000).collect::<Vec<i64>>());
    append(&log, 3000..3001, false);
    drop(log);
    assert_eq!(times(&open(), end), [3000]);
}

fn found(log: &impl Log, search: &Search) -> Vec<i64> {
    let page = log.search(search).expect("readable");
    page.events.iter().filter_map(|(_, bytes)| EventView::of(bytes)).map(|it| it.time.0 / 1000).collect()
}

pub(crate) fn finds_events_by_id_entity_and_time<L: Log>(open: impl Fn() -> L) {
    let log = open();
    for start in 0..20 {
        append(&log, start * 100..start * 100 + 100, true);
    }
    for log in [log, open()] {
        for number in [0_u64, 777, 1999] {
            let id = EventId(u128::from(number) << 64 | 0xabc);
            let (sequence, bytes) = log.find(id).expect("readable").expect("the event is found by its id");
            assert_eq!(EventView::of(&bytes).expect("an event").id, id);
            assert!(log.read(PARTITION, Position(sequence.0)).expect("readable").record(sequence).is_some());
        }
        assert_eq!(log.find(EventId(42)).expect("readable"), None);
        let search = Search { limit: 10, ..Search::default() };
        assert_eq!(found(&log, &search), (1990..2000).rev().collect::<Vec<i64>>());
        assert_eq!(found(&log, &Search { entity: Some("10.0.1.5".into()), ..search.clone() }), [261]);
        assert_eq!(found(&log, &Search { entity: Some("nobody".into()), ..search.clone() }), [] as [i64; 0]);
        let span = Search { from: Some(Timestamp(500_000)), to: Some(Timestamp(503_000)), ..search.clone() };
        assert_eq!(found(&log, &span), [502, 501, 500]);
        assert_eq!(found(&log, &Search { entity: Some("odd".into()), ..span }), [501]);
    }
}

pub(crate) fn pages_give_every_event_once<L: Log>(open: impl Fn() -> L) {
    let log = open();
    append(&log, 0..600, false);
    append(&log, 600..700, true);
    let mut search = Search { entity: Some("even".into()), limit: 37, ..Search::default() };
    let mut all = Vec::new();
    loop {
        let page = log.search(&search).expect("readable");
        all.extend(page.events.iter().filter_map(|(_, bytes)| EventView::of(bytes)).map(|it| it.time.0 / 1000));
        search.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(all, (0..700).rev().filter(|it| it % 2 == 0).collect::<Vec<i64>>());
}

pub(crate) fn marks_outlive_the_segments<L: Log>(open: impl Fn() -> L) {
    let log = open();
    let mut block = Block::default();
    block.push_mark("file/a", b"1");
    block.push_mark("file/a", b"2");
    block.push_mark("ledger/x", b"\0\0");
    log.append(PARTITION, &mut block, Timestamp(1)).expect("room");
    for start in 0..40 {
        append(&log, start * 100..start * 100 + 100, true);
    }
    for log in [log, open()] {
        assert_eq!(log.mark("file/a").as_deref(), Some(&b"2"[..]));
        assert_eq!(log.marks("ledger/"), [("ledger/x".to_owned(), b"\0\0".to_vec())]);
        assert_eq!(log.mark("file/b"), None);
    }
}

pub(crate) fn tells_repeatable_ids_and_specials<L: Log>(open: impl Fn() -> L) {
    let log = open();
    append(&log, 0..1200, true);
    let mut block = Block::default();
    block.push(RecordKind::Quarantined, b"first");
    block.push(RecordKind::Event, &event(9999, false));
    block.push(RecordKind::Resolved, b"second");
    log.append(PARTITION, &mut block, Timestamp(1)).expect("room");
    append(&log, 1200..2500, true);
    for log in [log, open()] {
        let mut ids = Vec::new();
        log.repeatable_ids(usize::MAX, &mut |it| ids.push((it.0 >> 64) as u64)).expect("readable");
        ids.sort_unstable();
        assert_eq!(ids, (0..2500).collect::<Vec<u64>>());
        let mut specials = Vec::new();
        log.specials(&mut |it| {
            specials.push(it.bytes.to_vec());
            true
        })
        .expect("readable");
        assert_eq!(specials, [b"second".to_vec(), b"first".to_vec()]);
    }
}

pub(crate) fn a_waiting_reader_is_woken<L: Log>(open: impl Fn() -> L) {
    let log = open();
    let end = log.end(PARTITION);
    assert!(!log.wait(PARTITION, end, Duration::from_millis(1)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| log.wait(PARTITION, end, Duration::from_secs(20)));
        append(&log, 0..1, false);
        assert!(waiting.join().expect("no panic"));
    });
}
