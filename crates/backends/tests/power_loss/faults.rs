//! Disks that fail while the power is on, and bits that flip while it is off.

use backends::log::embedded::EmbeddedLog;
use backends::log::embedded::frame;
use backends::log::embedded::segment::{HEAD_BYTES, SegmentHead};
use backends::log::{Damage, Log, LogError};

use crate::disk::{Dice, Disk, Fault, Image, Survival};
use crate::history::{Acknowledged, History, check_holds, open, records};

const APPENDS: usize = 25;
const FLIPS: usize = 1500;

/// Lets `fault` happen at operation `at` of a workload; returns whether it came.
fn fail_at(at: usize, fault: Fault) -> Result<bool, String> {
    let (mut dice, disk) = (Dice(11), Disk::of(&Image::new()));
    let mut history = History::of(&Image::new())?;
    let log = open(&disk).map_err(|it| it.to_string())?;
    disk.fail_after(at, fault);
    let mut failures = 0;
    for _ in 0..APPENDS {
        let Err(error) = history.append(&disk, &log, &mut dice) else { continue };
        failures += 1;
        if matches!(error, LogError::Full(_)) != (fault == Fault::NoSpace) || !error.is_transient() {
            return Err(format!("the wrong error: {error:?}"));
        }
        check_holds(&log, history.now()).map_err(|it| format!("right after the fault: {it}"))?;
    }
    if 1 < failures {
        return Err(format!("one fault failed {failures} appends"));
    }
    check_holds(&log, history.now()).map_err(|it| format!("while it is open: {it}"))?;
    for survival in [Survival::Nothing, Survival::Everything, Survival::Some, Survival::Some, Survival::Some] {
        let left = disk.crashed(disk.operations(), survival, &mut dice);
        let again = open(&Disk::of(&left)).map_err(|it| format!("{survival:?}: does not open: {it}"))?;
        if !again.damage().is_healthy() {
            return Err(format!("{survival:?}: says that it is damaged: {:?}", again.damage()));
        }
        check_holds(&again, history.now()).map_err(|it| format!("{survival:?}: {it}"))?;
    }
    Ok(!disk.is_to_fail())
}

#[track_caller]
fn check(fault: Fault) {
    let mut at = 0;
    while fail_at(at, fault).unwrap_or_else(|it| panic!("{fault:?} at operation {at}: {it}")) {
        at += 1;
    }
    assert!(APPENDS * 2 < at, "the workload has only {at} operations");
}

#[test]
fn a_full_disk_loses_nothing_and_the_log_goes_on() {
    check(Fault::NoSpace);
}

#[test]
fn a_broken_disk_loses_nothing_and_the_log_goes_on() {
    check(Fault::Broken);
}

#[test]
fn half_a_write_loses_nothing_and_the_log_goes_on() {
    check(Fault::Short);
}

/// What of a segment a flipped bit may take.
enum Hit {
    /// These records.
    Frame(std::ops::Range<u64>),
    /// Nothing: the bit is in the head or an index, and that is noticed.
    Head,
    /// Nothing, and nobody needs to notice.
    Unused,
}

fn hit(image: &Image, name: &str, at: usize) -> Hit {
    let content = &image[name];
    if !name.ends_with(".seg") {
        return Hit::Head;
    }
    let mut start = HEAD_BYTES;
    if at < start {
        return Hit::Head;
    }
    let salt = SegmentHead::decode(content, name).ok().flatten().map(|it| it.salt).unwrap_or_default();
    while let Some(head) = content.get(start..).and_then(|it| frame::check(it, salt)) {
        let end = start + head.frame_bytes();
        if at < end {
            let is_padding = start + frame::HEAD_BYTES + head.body_bytes as usize <= at;
            let numbers = head.first.0..head.first.0 + u64::from(head.count);
            return if is_padding { Hit::Unused } else { Hit::Frame(numbers) };
        }
        start = end;
    }
    Hit::Unused
}

/// Flips a bit and says what is wrong then.
fn flip(image: &Image, known: &Acknowledged, name: &str, at: usize, bit: u64) -> Result<(), String> {
    let mut flipped = image.clone();
    flipped.get_mut(name).ok_or("no such file")?[at] ^= 1 << bit;
    let disk = Disk::of(&flipped);
    // First, before anything is mended.
    let checked = EmbeddedLog::check(&disk, model::place::Position::START, false)
        .map_err(|it| format!("cannot be checked: {it}"))?;
    let log = open(&disk).map_err(|it| format!("does not open: {it}"))?;
    let is_noticed = |it: &Damage| !it.is_healthy() || 0 < it.torn_bytes;
    let hit = hit(image, name, at);
    if !matches!(hit, Hit::Unused) && !is_noticed(&checked) && !is_noticed(&log.damage()) {
        return Err("is not noticed".to_owned());
    }
    let mut left = known.clone();
    if let Hit::Frame(numbers) = &hit {
        left.records.retain(|it, _| !numbers.contains(it));
        let kept = records(&log, model::place::Position::START)?;
        let is_changed =
            |it: &u64| kept.get(it).is_some_and(|found| known.records.get(it).is_some_and(|it| it != found));
        if numbers.clone().any(|it| is_changed(&it)) {
            return Err("a damaged record is returned".to_owned());
        }
        // The newest value of a mark may have been in it.
        left.marks.clear();
    }
    check_holds(&log, &left)
}

#[test]
fn a_flipped_bit_takes_its_frame_and_no_more() {
    let (mut dice, disk) = (Dice(5), Disk::of(&Image::new()));
    let mut history = History::of(&Image::new()).unwrap();
    history.work(&disk, 40, &mut dice).unwrap();
    let image = disk.image();
    let names: Vec<&String> = image.keys().collect();
    assert!(names.iter().any(|it| it.ends_with(".idx")));
    for number in 0..FLIPS {
        let name = names[dice.roll(names.len() as u64) as usize];
        // Every bit of a head now and then.
        let size = if number % 4 == 0 { HEAD_BYTES } else { image[name].len() };
        let at = dice.roll(size.min(image[name].len()) as u64) as usize;
        let bit = dice.roll(8);
        flip(&image, history.now(), name, at, bit).unwrap_or_else(|it| panic!("`{name}` at {at}, bit {bit}: {it}"));
    }
}
