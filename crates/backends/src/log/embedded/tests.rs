//! What is the embedded log's own: damage, and what a crash leaves behind. The rest is in the conformance suite.

use model::event::{EventFlags, EventWriter};

use super::super::RecordKind;
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

super::super::conformance::suite!(|folder| super::open(folder));
