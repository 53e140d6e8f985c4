//! A workload, what of it was acknowledged when, and whether a disk still holds it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use backends::log::embedded::{EmbeddedLog, Settings};
use backends::log::{Block, Log, LogError, RecordKind, Search};
use model::event::{EventFlags, EventView, EventWriter};
use model::id::EventId;
use model::place::{PartitionId, Position, Sequence};
use model::time::Timestamp;

use super::disk::{Dice, Disk, Image, Survival};

pub(crate) const PARTITION: PartitionId = PartitionId(0);
pub(crate) const SEGMENT_BYTES: u64 = 4096;
const NOW: Timestamp = Timestamp(1_000);

/// A record: its kind and its bytes.
pub(crate) type Stored = (u8, Vec<u8>);

/// What was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) records: BTreeMap<u64, Stored>,
    pub(crate) marks: BTreeMap<String, Vec<u8>>,
    pub(crate) tag: Option<u64>,
}

/// What was tried, and what was acknowledged after which operation of the disk.
pub(crate) struct History {
    steps: Vec<(usize, Acknowledged)>,
    /// What was handed to the log, acknowledged or not; events without the id that the log gives them.
    tried: HashSet<Vec<u8>>,
    next: u64,
    releases: bool,
}

/// Of released segments about three are kept.
const KEEP_BYTES: u64 = 3 * SEGMENT_BYTES;

pub(crate) fn open(disk: &Disk) -> Result<EmbeddedLog, LogError> {
    let settings = Settings { segment_bytes: SEGMENT_BYTES, keep_bytes: KEEP_BYTES, ..Settings::default() };
    EmbeddedLog::open(Arc::new(disk.clone()), settings)
}

/// Reads all records of a log from `from` on.
pub(crate) fn records(log: &EmbeddedLog, from: Position) -> Result<BTreeMap<u64, Stored>, String> {
    let (mut at, mut found, mut last) = (from, BTreeMap::new(), None);
    loop {
        let block = log.read(PARTITION, at).map_err(|it| it.to_string())?;
        if block.is_empty() {
            return Ok(found);
        }
        for record in block.records(at) {
            if last.is_some_and(|it| record.sequence <= it) {
                return Err(format!("record {} comes again or too late", record.sequence.0));
            }
            last = Some(record.sequence);
            found.insert(record.sequence.0, (record.kind as u8, record.bytes.to_vec()));
        }
        at = block.next();
    }
}

impl History {
    pub(crate) fn of(image: &Image) -> Result<Self, String> {
        Self::after(image, Acknowledged::default())
    }

    /// The history of a disk on which `known` was acknowledged before.
    pub(crate) fn after(image: &Image, known: Acknowledged) -> Result<Self, String> {
        let log = open(&Disk::of(image)).map_err(|it| it.to_string())?;
        let kept = records(&log, Position::START)?;
        let tried = kept.into_values().map(|(kind, bytes)| nameless(kind, &bytes)).collect();
        let next = log.end(PARTITION).0 * 1000;
        Ok(Self { steps: vec![(0, known)], tried, next, releases: false })
    }

    /// What had been acknowledged when the power went after `operations`.
    pub(crate) fn before(&self, operations: usize) -> &Acknowledged {
        let after = self.steps.partition_point(|it| it.0 <= operations);
        &self.steps[after - 1].1
    }

    /// Lets the log remove what is too much from now on.
    pub(crate) fn release(mut self) -> Self {
        self.releases = true;
        self
    }

    /// What is acknowledged by now.
    pub(crate) fn now(&self) -> &Acknowledged {
        &self.steps.last().expect("a history begins with a step").1
    }

    /// Opens the log and appends to it.
    pub(crate) fn work(&mut self, disk: &Disk, appends: usize, dice: &mut Dice) -> Result<(), String> {
        let log = open(disk).map_err(|it| it.to_string())?;
        for _ in 0..appends {
            self.append(disk, &log, dice).map_err(|it| it.to_string())?;
            if dice.roll(6) == 0 {
                // A reader may build a lost index anew.
                search(&log)?;
            }
        }
        Ok(())
    }

    /// Appends a few records, with a mark among them now and then.
    pub(crate) fn append(&mut self, disk: &Disk, log: &EmbeddedLog, dice: &mut Dice) -> Result<(), LogError> {
        let mut block = Block::default();
        let mut mark = None;
        for _ in 0..=dice.roll(3) {
            let content = self.content(dice);
            block.push(content.0, &content.1);
            self.tried.insert(nameless(content.0 as u8, &content.1));
        }
        if dice.roll(3) == 0 {
            let (key, value) = (format!("mark/{}", dice.roll(3)), self.next.to_be_bytes().to_vec());
            block.push_mark(&key, &value);
            mark = Some((key, value));
        }
        self.commit(disk, log, &mut block, mark)
    }

    /// Appends a block that is too long for one frame, with bytes that pack badly enough to take several sectors.
    pub(crate) fn append_large(&mut self, disk: &Disk, dice: &mut Dice) -> Result<(), String> {
        let log = open(disk).map_err(|it| it.to_string())?;
        let mut block = Block::default();
        for _ in 0..5 {
            let mut content = dice.bytes(2000);
            content.resize(600 << 10, 7);
            block.push(RecordKind::Quarantined, &content);
            self.tried.insert(content);
        }
        self.commit(disk, &log, &mut block, None).map_err(|it| it.to_string())
    }

    fn commit(
        &mut self,
        disk: &Disk,
        log: &EmbeddedLog,
        block: &mut Block,
        mark: Option<(String, Vec<u8>)>,
    ) -> Result<(), LogError> {
        if self.releases {
            log.release(PARTITION, log.end(PARTITION));
        }
        let before = disk.operations();
        let first = log.append(PARTITION, block, NOW)?;
        let mut now = self.now().clone();
        // What this append removed may be gone at any moment of it.
        now.records = now.records.split_off(&log.start(PARTITION).0);
        self.steps.push((before, now.clone()));
        let mut kept = records(log, Position(first.0)).unwrap_or_default();
        kept.retain(|it, _| *it < first.0 + u64::from(block.count()));
        now.records.append(&mut kept);
        now.marks.extend(mark);
        now.tag = Some(log.tag());
        self.steps.push((disk.operations(), now));
        Ok(())
    }

    fn content(&mut self, dice: &mut Dice) -> (RecordKind, Vec<u8>) {
        self.next += 1;
        if dice.roll(2) == 0 {
            let flags = if dice.roll(2) == 0 { EventFlags::REPEATABLE } else { 0 };
            let id = if flags == 0 { 0 } else { u128::from(self.next) << 64 | 0xabc };
            let mut event = Vec::new();
            EventWriter::new(&mut event, EventId(id), Timestamp(self.next as i64), None, flags)
                .client_ip([10, 0, 0, self.next as u8].into());
            return (RecordKind::Event, event);
        }
        let mut content = self.next.to_le_bytes().to_vec();
        let length = [4, 100, 700, 2500][dice.roll(4) as usize];
        content.extend(dice.bytes(length));
        (RecordKind::Quarantined, content)
    }
}

/// The bytes of a record, of an event without what the log puts in.
fn nameless(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if kind == RecordKind::Event as u8 && EventView::of(&bytes).is_some_and(|it| !it.flags.has(EventFlags::REPEATABLE))
    {
        model::event::set_id(&mut bytes, EventId(0));
    }
    bytes
}

/// Returns the numbers of all events that a search finds.
pub(crate) fn search(log: &EmbeddedLog) -> Result<BTreeSet<u64>, String> {
    let (mut search, mut found) = (Search { limit: 50, ..Search::default() }, BTreeSet::new());
    loop {
        let page = log.search(&search).map_err(|it| it.to_string())?;
        found.extend(page.events.iter().map(|it| it.0.0));
        search.before = page.next;
        if page.next.is_none() {
            return Ok(found);
        }
    }
}

/// Says what of `known` the log on `image` does not hold, or what it does wrong otherwise.
pub(crate) fn check(image: &Image, known: &Acknowledged, history: &History) -> Result<(), String> {
    let disk = Disk::of(image);
    let log = open(&disk).map_err(|it| format!("does not open: {it}"))?;
    let damage = log.damage();
    if !damage.is_healthy() {
        return Err(format!("says that it is damaged: {damage:?}"));
    }
    check_holds(&log, known)?;
    let kept = records(&log, Position::START)?;
    let invented = kept
        .iter()
        .find(|(_, (kind, bytes))| *kind != RecordKind::Mark as u8 && !history.tried.contains(&nameless(*kind, bytes)));
    if let Some((number, _)) = invented {
        return Err(format!("record {number} was never handed to the log"));
    }
    check_goes_on(&disk, &log, known)
}

/// Says what of `known` cannot be read.
pub(crate) fn check_holds(log: &EmbeddedLog, known: &Acknowledged) -> Result<(), String> {
    let kept = records(log, Position::START)?;
    let found = search(log)?;
    for (number, record) in &known.records {
        if kept.get(number) != Some(record) {
            return Err(format!("record {number} is lost or another: {:?}", kept.get(number).map(|it| it.1.len())));
        }
        if record.0 != RecordKind::Event as u8 {
            continue;
        }
        if !found.contains(number) {
            return Err(format!("event {number} is not found by a search"));
        }
        let id = EventView::of(&record.1).ok_or("an event cannot be read")?.id;
        if log.find(id).map_err(|it| it.to_string())?.is_none_or(|it| it.0 != Sequence(*number)) {
            return Err(format!("event {number} is not found by its id"));
        }
    }
    // A mark that was not acknowledged may be there instead of the one before.
    if let Some((key, _)) = known.marks.iter().find(|(key, value)| log.mark(key).is_none_or(|it| it < **value)) {
        return Err(format!("mark `{key}` is lost"));
    }
    if known.tag.is_some_and(|it| it != log.tag()) {
        return Err("the tag is another".to_owned());
    }
    Ok(())
}

/// Appends once more and lets the power go right after the acknowledgement.
fn check_goes_on(disk: &Disk, log: &EmbeddedLog, known: &Acknowledged) -> Result<(), String> {
    let mut block = Block::default();
    block.push(RecordKind::Quarantined, b"after the crash");
    let first = log.append(PARTITION, &mut block, NOW).map_err(|it| format!("does not go on: {it}"))?;
    let mut known = known.clone();
    known.records.insert(first.0, (RecordKind::Quarantined as u8, b"after the crash".to_vec()));
    let left = disk.crashed(disk.operations(), Survival::Nothing, &mut Dice(0));
    let again = open(&Disk::of(&left)).map_err(|it| format!("does not open again: {it}"))?;
    if !again.damage().is_healthy() {
        return Err(format!("says that it is damaged after it went on: {:?}", again.damage()));
    }
    check_holds(&again, &known).map_err(|it| format!("after it went on: {it}"))
}
