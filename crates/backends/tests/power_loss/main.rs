//! What a loss of power, a failing disk or a flipped bit may do to the log, tried on a disk in memory.
//!
//! The promise: whatever was acknowledged is there, in order and unchanged; the log opens and goes on.

mod disk;
mod faults;
mod history;

use backends::log::embedded::EmbeddedLog;

use self::disk::{Dice, Disk, Image, Survival};
use self::history::{Acknowledged, History, SEGMENT_BYTES, check};

/// How many random outcomes are tried at each point, beside the two extreme ones.
const OUTCOMES: usize = 8;

fn begin() -> History {
    History::of(&Image::new()).expect("an empty folder is a log")
}

/// Runs a workload, lets the power go after every operation, and returns what was found wrong first.
fn crash_everywhere(disk: &Disk, mut history: History, seed: u64, appends: usize) -> Result<usize, String> {
    let mut dice = Dice(seed);
    history.work(disk, appends, &mut dice)?;
    let mut outcomes = 0;
    for operations in 0..=disk.operations() {
        for number in 0..OUTCOMES + 2 {
            let survival = [Survival::Nothing, Survival::Everything].get(number).copied().unwrap_or(Survival::Some);
            let left = disk.crashed(operations, survival, &mut dice);
            check(&left, history.before(operations), &history)
                .map_err(|it| format!("seed {seed}, after operation {operations}, {survival:?}: {it}"))?;
            outcomes += 1;
        }
    }
    Ok(outcomes)
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    let mut outcomes = 0;
    for seed in 1..=2 {
        outcomes += crash_everywhere(&Disk::default(), begin(), seed, 40).unwrap_or_else(|it| panic!("{it}"));
    }
    assert!(2000 < outcomes, "only {outcomes} outcomes were tried");
}

#[test]
fn removing_old_segments_takes_nothing_else_wherever_the_power_goes() {
    crash_everywhere(&Disk::default(), begin().release(), 3, 40).unwrap_or_else(|it| panic!("{it}"));
}

#[test]
fn a_sync_that_does_nothing_is_noticed() {
    let disk = Disk::default();
    disk.let_syncs_lie();
    let found = crash_everywhere(&disk, begin(), 1, 20);
    assert!(found.is_err(), "a disk that syncs nothing passed: the test sees nothing");
}

#[test]
fn a_log_that_crashed_before_loses_nothing_when_it_crashes_again() {
    for seed in 100..130 {
        let (mut image, mut dice) = (Image::new(), Dice(seed));
        let mut known = Acknowledged::default();
        for life in 0..6 {
            let disk = Disk::of(&image);
            let mut history = History::after(&image, known.clone()).unwrap_or_else(|it| panic!("seed {seed}: {it}"));
            if seed % 3 == 0 {
                history = history.release();
            }
            history.work(&disk, 12, &mut dice).unwrap_or_else(|it| panic!("seed {seed}, life {life}: {it}"));
            let operations = dice.roll(disk.operations() as u64 + 1) as usize;
            image = disk.crashed(operations, Survival::Some, &mut dice);
            known = history.before(operations).clone();
            check(&image, &known, &history)
                .unwrap_or_else(|it| panic!("seed {seed}, life {life}, after operation {operations}: {it}"));
        }
    }
}

/// Whether the newest segment has an index already, as when the power goes between the two, and room for more.
fn is_half_sealed(image: &Image) -> bool {
    let newest = image.iter().rfind(|it| it.0.ends_with(".seg"));
    newest.is_some_and(|(name, content)| {
        image.contains_key(&name.replace(".seg", ".idx")) && content.len() + 1000 < SEGMENT_BYTES as usize
    })
}

#[test]
fn an_index_from_before_a_crash_hides_nothing_that_came_after_it() {
    let mut tried = 0;
    for seed in 200..212 {
        let (mut dice, disk, mut history) = (Dice(seed), Disk::default(), begin());
        history.work(&disk, 40, &mut dice).unwrap();
        let points = (0..=disk.operations()).map(|it| (it, disk.crashed(it, Survival::Everything, &mut dice)));
        let Some((operations, image)) = points.into_iter().find(|(_, it)| is_half_sealed(it)) else { continue };
        let again = History::after(&image, history.before(operations).clone()).unwrap();
        crash_everywhere(&Disk::of(&image), again, seed, 5).unwrap_or_else(|it| panic!("{operations}: {it}"));
        tried += 1;
    }
    assert!(3 < tried, "only {tried} logs were half sealed");
}

#[test]
fn a_block_of_several_frames_is_torn_without_false_alarm() {
    let mut dice = Dice(7);
    let disk = Disk::of(&Image::new());
    let mut history = begin();
    history.work(&disk, 3, &mut dice).unwrap();
    history.append_large(&disk, &mut dice).unwrap();
    for operations in disk.operations() - 3..=disk.operations() {
        for _ in 0..60 {
            let left = disk.crashed(operations, Survival::Some, &mut dice);
            check(&left, history.before(operations), &history).unwrap_or_else(|it| panic!("{operations}: {it}"));
        }
    }
}

#[test]
fn the_check_of_a_whole_log_finds_nothing() {
    let (mut dice, disk) = (Dice(3), Disk::of(&Image::new()));
    begin().work(&disk, 30, &mut dice).unwrap();
    let damage = EmbeddedLog::check(&disk, model::place::Position::START, false).unwrap();
    assert!(damage.is_healthy() && damage.torn_bytes == 0, "{damage:?}");
}
