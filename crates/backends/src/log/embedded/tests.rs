//! What is the embedded log's own: damage, and what a crash leaves behind. The rest is in the conformance suite.

use model::event::{EventFlags, EventWriter};

use super::super::RecordKind;
use super::segment::SegmentHead;
use super::*;

fn open(folder: &tempfile::TempDir) -> EmbeddedLog {
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::default() };
    EmbeddedLog::open(Arc::new(files::Folder::new(folder.path().to_owned())), settings).unwrap()
}

fn event(number: u128) -> Block {
    let mut event = Vec::new();
    EventWriter::new(&mut event, EventId(number), Timestamp(1), None, EventFlags::REPEATABLE)
        .client_ip([192, 0, 2, 1].into());
    let mut block = Block::default();
    block.push(RecordKind::Event, &event);
    block
}

#[test]
fn what_a_crash_left_of_indexes_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let orphans = ["00000000000000000007.idx", "00000000000000000000.idx.tmp", "url.tmp"];
    orphans.iter().for_each(|it| std::fs::write(folder.path().join(it), "x").unwrap());
    std::fs::write(folder.path().join("README"), "of somebody").unwrap();
    open(&folder);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["README"]);
}

#[test]
fn a_segment_that_cannot_be_read_is_an_error_and_no_empty_answer() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    let mut number = 0;
    while locked(&log.state).sealed.is_empty() {
        log.append(PartitionId(0), &mut event(number), Timestamp(1)).unwrap();
        number += 1;
    }
    let search = Search { limit: 10, before: Some(Sequence(10)), ..Search::default() };
    assert_eq!(log.search(&search).unwrap().events.len(), 10);
    assert!(log.find(EventId(3)).unwrap().is_some());
    // Neither the segment nor its index is there any more, though nobody took them off the list.
    for name in [name_of(Sequence(0)), index_name_of(Sequence(0))] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert!(log.search(&search).is_err() && log.find(EventId(3)).is_err());
}

/// A frame in an event, as somebody would send it who hopes that it is found behind damage.
#[test]
fn a_frame_in_an_event_is_no_frame_behind_damage() {
    let mut forged = Vec::new();
    Framer::default().frame(&mut forged, &event(666).bytes, 1, Sequence(100), Timestamp(1));
    let mut aligned = 0;
    for padding in 0..frame::ALIGN {
        let folder = tempfile::tempdir().unwrap();
        let mut block = Block::default();
        block.push(RecordKind::Quarantined, &[vec![0; padding], forged.clone()].concat());
        open(&folder).append(PartitionId(0), &mut block, Timestamp(1)).unwrap();
        // The magic of the only real frame is damaged, so what is behind it is searched.
        let path = folder.path().join(name_of(Sequence(0)));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[segment::HEAD_BYTES] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let is_frame = |at: usize| frame::check(&bytes[at..], Salt::default()).is_some();
        aligned += usize::from((segment::HEAD_BYTES..bytes.len()).step_by(frame::ALIGN).any(is_frame));
        let log = open(&folder);
        assert_eq!(log.end(PartitionId(0)), Position(0));
        assert!(log.find(EventId(666)).unwrap().is_none());
    }
    assert_eq!(aligned, 1, "without a salt one of them would be taken for a frame");
}

#[test]
fn a_segment_whose_head_is_lost_is_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    for number in 0..5 {
        log.append(PartitionId(0), &mut event(number), Timestamp(1)).unwrap();
    }
    drop(log);
    let path = folder.path().join(name_of(Sequence(0)));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..segment::HEAD_BYTES].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let log = open(&folder);
    assert_eq!((log.end(PartitionId(0)), log.damage().records_lost), (Position(5), 0));
    assert!(log.find(EventId(4)).unwrap().is_some());
}

/// What reading `records` single appends from the files costs, in unpacked frames.
fn frames_unpacked(folder: &tempfile::TempDir, records: u64) -> u64 {
    let log = open(folder);
    let before = frame::UNPACKED.with(std::cell::Cell::get);
    let (mut at, mut seen) = (log.start(PartitionId(0)), 0);
    loop {
        let block = log.read(PartitionId(0), at).unwrap();
        if block.is_empty() {
            break;
        }
        seen += block.records(at).filter(|it| it.kind == RecordKind::Event).count() as u64;
        at = block.next();
    }
    assert_eq!(seen, records);
    frame::UNPACKED.with(std::cell::Cell::get) - before
}

#[test]
fn a_log_read_from_its_files_unpacks_each_frame_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    for number in 0..3000 {
        log.append(PartitionId(0), &mut event(number), Timestamp(1)).unwrap();
    }
    drop(log);
    assert_eq!(frames_unpacked(&folder, 3000), 3000);
}

/// Opens a log of which everything before `synced` has been read.
fn open_synced(folder: &tempfile::TempDir, synced: u64) -> EmbeddedLog {
    let files = Arc::new(files::Folder::new(folder.path().to_owned()));
    EmbeddedLog::open_synced(files, Settings::default(), Position(synced)).unwrap()
}

fn checked(folder: &tempfile::TempDir, synced: u64) -> Damage {
    EmbeddedLog::check(&files::Folder::new(folder.path().to_owned()), Position(synced), false).unwrap()
}

/// The numbers of the events that are read from the beginning on.
fn numbers(log: &EmbeddedLog) -> Vec<u64> {
    let (mut at, mut found) = (log.start(PartitionId(0)), Vec::new());
    loop {
        let block = log.read(PartitionId(0), at).unwrap();
        if block.is_empty() {
            return found;
        }
        found.extend(block.records(at).filter(|it| it.kind == RecordKind::Event).map(|it| it.sequence.0));
        at = block.next();
    }
}

/// Flips a bit in the newest segment, in the frame whose first record has this number.
fn flip(folder: &tempfile::TempDir, first: u64) {
    let path = folder.path().join(name_of(Sequence(0)));
    let mut bytes = std::fs::read(&path).unwrap();
    let salt = SegmentHead::decode(&bytes, "x").unwrap().unwrap().salt;
    let starts = (segment::HEAD_BYTES..bytes.len()).step_by(frame::ALIGN);
    let of = |at: usize| frame::check(&bytes[at..], salt).is_some_and(|it| it.first.0 == first);
    let at = starts.into_iter().find(|at| of(*at)).expect("there is such a frame");
    bytes[at + frame::HEAD_BYTES] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_lost_end_that_was_read_is_damage_and_its_numbers_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    (0..5).for_each(|it| _ = log.append(PartitionId(0), &mut event(it), Timestamp(1)).unwrap());
    drop(log);
    flip(&folder, 4);
    // Nobody has read it: a crash may have cut it, and nothing was lost.
    assert!(checked(&folder, 4).is_healthy() && 0 < checked(&folder, 4).torn_bytes);
    let damage = checked(&folder, 5);
    assert_eq!((damage.records_lost, damage.torn_bytes, damage.is_healthy()), (1, 0, false));
    assert!(damage.findings[0].contains("records 4 to 4 are lost"), "{:?}", damage.findings);
    let log = open_synced(&folder, 5);
    assert_eq!((log.end(PartitionId(0)), log.damage().records_lost), (Position(5), 1));
    assert_eq!(numbers(&log), [0, 1, 2, 3]);
    assert_eq!(log.append(PartitionId(0), &mut event(9), Timestamp(1)).unwrap(), Sequence(5));
    assert_eq!(numbers(&log), [0, 1, 2, 3, 5]);
    assert!(log.read(PartitionId(0), Position(4)).unwrap().record(Sequence(5)).is_some());
    drop(log);
    // The gap stays known, by the name of the segment behind it.
    for synced in [0, 6] {
        assert_eq!(checked(&folder, synced).records_lost, 1);
        assert_eq!(numbers(&open_synced(&folder, synced)), [0, 1, 2, 3, 5]);
    }
}

#[test]
fn what_was_synced_behind_damage_in_the_last_append_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut block = Block::default();
    let noise: Vec<u8> = (0..200_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for number in 0..10 {
        let mut event = Vec::new();
        EventWriter::new(&mut event, EventId(number), Timestamp(1), None, EventFlags::REPEATABLE)
            .original(model::event::Original::Text(&String::from_utf8_lossy(&noise)));
        block.push(RecordKind::Event, &event);
    }
    open_synced(&folder, 0).append(PartitionId(0), &mut block, Timestamp(1)).unwrap();
    flip(&folder, 3);
    let log = open_synced(&folder, 10);
    assert_eq!((log.end(PartitionId(0)), log.damage().records_lost), (Position(10), 1));
    assert_eq!(numbers(&log), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    // Without that knowledge it is what a crash may have left of an append that was never acknowledged.
    assert_eq!(numbers(&open_synced(&folder, 0)), [0, 1, 2]);
}

super::super::conformance::suite!(|folder| super::open(folder));
