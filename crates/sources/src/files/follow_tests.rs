//! Files that grow, rotate, shrink and are packed; processes that stop and are killed in between.
//!
//! A look is a call, so nothing sleeps; a new [`Follower`] on the same sink is a restart.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::sink::memory::Memory;

const PACE: Pace =
    Pace { poll: Duration::from_millis(1), idle_polls: 3, retry_min: Duration::ZERO, retry_max: Duration::ZERO };

struct Bench {
    folder: tempfile::TempDir,
    sink: Memory,
    input: FileInput,
    stop: Stop,
}

impl Bench {
    fn new() -> Self {
        Self::called("a.log")
    }

    fn called(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let input = FileInput { name: path.to_string_lossy().into_owned(), path, format: None, synthetic: false };
        Self { folder, sink: Memory::default(), input, stop: Stop::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Appends a line for each word.
    fn append(&self, name: &str, words: &str) {
        self.append_text(name, &lines(words));
    }

    fn append_text(&self, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Packs a file as rotation does: under another name, with the time of its last write.
    fn pack(&self, name: &str) {
        let written = fs::metadata(self.path(name)).unwrap().modified().unwrap();
        let target = self.path(&format!("{name}.gz"));
        fs::write(&target, packed(&fs::read_to_string(self.path(name)).unwrap())).unwrap();
        File::options().write(true).open(&target).unwrap().set_modified(written).unwrap();
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Makes a file look last written so many seconds after another moment: the clock of files is too coarse here.
    fn written(&self, name: &str, secs: u64) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() + Duration::from_secs(secs)).unwrap();
    }

    fn follower(&self) -> Follower<'_> {
        Follower::new(&self.input, &self.sink, &self.stop, &PACE)
    }

    /// What is remembered of the file.
    fn mark(&self) -> Mark {
        Mark::decode(&self.sink.mark(&format!("file/{}", self.input.name)).unwrap()).unwrap()
    }

    /// What has been stored, in order, in words.
    #[track_caller]
    fn check(&self, words: &str) {
        assert_eq!(self.sink.messages().join(" "), words);
        assert_eq!(self.sink.duplicates(), 0);
    }
}

fn lines(words: &str) -> String {
    words.split_whitespace().map(|it| format!("{{\"message\":\"{it}\"}}\n")).collect()
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

impl Follower<'_> {
    /// Looks often enough for a file that was rotated away to be left, and for the next to be read.
    fn look_often(&mut self) {
        for _ in 0..2 * PACE.idle_polls + 2 {
            self.look().unwrap();
        }
    }
}

#[test]
fn what_is_there_and_what_comes_is_read_once() {
    let bench = Bench::new();
    bench.append("a.log", "one two");
    let mut follower = bench.follower();
    follower.look_often();
    bench.check("one two");
    bench.append("a.log", "three");
    follower.look_often();
    bench.check("one two three");
}

#[test]
fn a_file_that_comes_later_is_read() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    assert_eq!(follower.look().unwrap(), Progress::Idle);
    bench.append_text("a.log", "");
    assert_eq!(follower.look().unwrap(), Progress::Idle);
    bench.append("a.log", "one");
    follower.look_often();
    bench.check("one");
}

#[test]
fn half_a_line_waits() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    for part in ["{\"mess", "age\":\"one\"}", "\n{\"message\":", "\"two\"}"] {
        bench.append_text("a.log", part);
        follower.look_often();
    }
    bench.check("one");
    bench.append_text("a.log", "\n");
    follower.look_often();
    bench.check("one two");
    assert!(bench.sink.quarantined().is_empty());
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_next() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    let mut follower = bench.follower();
    follower.look_often();
    bench.rename("a.log", "a.log.1");
    bench.append("a.log.1", "late");
    follower.look().unwrap();
    bench.append("a.log", "new");
    follower.look().unwrap();
    bench.append_text("a.log.1", "{\"message\":\"later\"}");
    follower.look_often();
    bench.check("one late later new");
}

#[test]
fn a_writer_may_finish_late_while_the_new_file_is_empty() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    let mut follower = bench.follower();
    follower.look_often();
    bench.rename("a.log", "a.log.1");
    bench.append_text("a.log", "");
    follower.look_often();
    bench.append("a.log.1", "late");
    follower.look_often();
    bench.append("a.log", "new");
    follower.look_often();
    bench.check("one late new");
}

#[test]
fn equal_lines_of_the_next_file_are_no_duplicates() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    for _ in 0..3 {
        bench.append("a.log", "same same");
        follower.look_often();
        fs::remove_file(bench.path("a.log")).unwrap();
        follower.look_often();
    }
    bench.check("same same same same same same");
}

#[test]
fn a_truncated_file_is_read_from_its_start_again() {
    let bench = Bench::new();
    bench.append("a.log", "one two three");
    let mut follower = bench.follower();
    follower.look_often();
    for again in ["", "one two"] {
        File::options().write(true).open(bench.path("a.log")).unwrap().set_len(0).unwrap();
        bench.append("a.log", again);
        follower.look_often();
    }
    bench.append("a.log", "four");
    follower.look_often();
    bench.check("one two three one two four");
}

#[test]
fn a_file_that_was_truncated_and_grew_beyond_is_seen_by_its_beginning() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    let mut follower = bench.follower();
    follower.look_often();
    fs::write(bench.path("a.log"), lines("other much-longer-than-before")).unwrap();
    follower.look_often();
    bench.check("one other much-longer-than-before");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let bench = Bench::new();
    for words in ["one two", "three", ""] {
        bench.append("a.log", words);
        bench.append_text("a.log", "{\"message\":");
        bench.follower().look_often();
        bench.append_text("a.log", "\"half\"}\n");
    }
    bench.follower().look_often();
    bench.check("one two half three half half");
}

#[test]
fn a_restart_sees_what_happened_meanwhile() {
    let truncated = Bench::new();
    truncated.append("a.log", "one two");
    truncated.follower().look_often();
    fs::write(truncated.path("a.log"), lines("new")).unwrap();
    truncated.follower().look_often();
    truncated.check("one two new");

    let regrown = Bench::new();
    regrown.append("a.log", "one");
    regrown.follower().look_often();
    fs::write(regrown.path("a.log"), lines("other longer-than-before")).unwrap();
    regrown.follower().look_often();
    regrown.follower().look_often();
    regrown.check("one other longer-than-before");
}

#[test]
fn a_restart_finishes_the_file_that_was_rotated_away() {
    for renamed in ["a.log.1", "a.log-20261120"] {
        let bench = Bench::new();
        bench.append("a.log", "one");
        bench.follower().look_often();
        bench.append("a.log", "late");
        bench.append_text("a.log", "{\"message\":\"last\"}");
        bench.rename("a.log", renamed);
        bench.follower().look_often();
        bench.append("a.log", "new");
        bench.append("a.logbook", "stranger");
        bench.follower().look_often();
        bench.follower().look_often();
        bench.check("one late last new");
    }
}

#[test]
fn a_file_whose_former_is_gone_is_read_from_its_start() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    bench.follower().look_often();
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.append("a.log", "other one");
    bench.follower().look_often();
    bench.check("one other one");
}

/// What is found of files that rotated twice while nobody looked, under each habit of rotation.
#[test]
fn files_that_came_and_went_while_nobody_looked_are_read_in_order() {
    for (oldest, middle, packs) in [
        ("a.log.2", "a.log.1", false),
        ("a.log-20261119", "a.log-20261120", false),
        ("a.log.2", "a.log.1", true),
        ("a.log-20261119", "a.log-20261120", true),
    ] {
        let bench = Bench::new();
        bench.append("a.log.9", "stranger");
        bench.append("a.log", "one");
        bench.follower().look_often();
        bench.append("a.log", "late");
        bench.rename("a.log", oldest);
        bench.written(oldest, 10);
        bench.append("a.log", "two three");
        bench.rename("a.log", middle);
        bench.written(middle, 20);
        if packs {
            bench.pack(oldest);
            bench.pack(middle);
        }
        bench.append_text("a.log", "");
        bench.follower().look_often();
        bench.append("a.log", "new");
        bench.follower().look_often();
        bench.follower().look_often();
        bench.check("one late two three new");
        assert!(bench.sink.quarantined().is_empty(), "{:?}", bench.sink.quarantined());
    }
}

#[test]
fn a_copy_is_read_on_when_the_file_was_truncated_while_nobody_looked() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    bench.follower().look_often();
    bench.append("a.log", "late");
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    fs::write(bench.path("a.log"), lines("new")).unwrap();
    bench.follower().look_often();
    bench.follower().look_often();
    bench.check("one late new");
    assert!(bench.sink.quarantined().is_empty());
}

#[test]
fn a_file_that_is_gone_before_its_end_is_a_gap_that_is_counted_once() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    bench.follower().look_often();
    bench.append("a.log", "lost");
    // Renamed to a name that rotation does not give, so that its inode is not used again at once.
    bench.rename("a.log", "kept");
    bench.follower().look_often();
    assert!(bench.sink.quarantined().is_empty(), "it may come back");
    bench.append("a.log", "new");
    bench.follower().look_often();
    bench.follower().look_often();
    bench.check("one new");
    let quarantined = bench.sink.quarantined();
    let [gap] = quarantined.as_slice() else { panic!("{quarantined:?}") };
    assert_eq!(gap.place, format!("{}:offset 18", bench.input.name));
    assert!(gap.reason.contains("missing"), "{}", gap.reason);
}

#[test]
fn files_that_all_begin_alike_are_not_guessed_at() {
    let bench = Bench::new();
    bench.append("a.log", "head");
    bench.follower().look_often();
    for name in ["a.log.1", "a.log.2"] {
        fs::copy(bench.path("a.log"), bench.path(name)).unwrap();
    }
    let mark = bench.mark();
    assert_eq!(rotated::copy_of(&bench.input.path, &mark), None);
    fs::remove_file(bench.path("a.log.2")).unwrap();
    assert_eq!(rotated::copy_of(&bench.input.path, &mark), Some(bench.path("a.log.1")));
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    for reused in ["a.log", "a.log.1"] {
        let bench = Bench::new();
        bench.append("a.log", "one");
        bench.follower().look_often();
        let mark = bench.mark();
        fs::remove_file(bench.path("a.log")).unwrap();
        bench.append("a.log", "other");
        bench.append("a.log.1", "stranger");
        let metadata = fs::metadata(bench.path(reused)).unwrap();
        // As it looks on a file system that does not say when a file was made.
        let mark = Mark { inode: metadata.ino(), device: metadata.dev(), born: 0, ..mark };
        let marks = vec![(format!("file/{}", bench.input.name), mark.encode())];
        bench.sink.submit_blocking(Submission { marks, ..Submission::default() }).unwrap();
        bench.follower().look_often();
        bench.check("one other");
    }
}

#[test]
fn each_new_file_is_a_generation_of_its_own() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    for generation in 0..3 {
        bench.append("a.log", "one");
        follower.look_often();
        assert_eq!(bench.mark().generation, generation);
        bench.rename("a.log", &format!("a.log.{generation}"));
    }
    bench.append("a.log", "one");
    bench.follower().look_often();
    assert_eq!(bench.mark().generation, 3);
}

#[test]
fn bad_records_go_to_quarantine_once() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    bench.append_text("a.log", "nonsense\n");
    bench.follower().look_often();
    bench.follower().look_often();
    let quarantined = bench.sink.quarantined();
    let [it] = quarantined.as_slice() else { panic!("{quarantined:?}") };
    assert_eq!(it.place, format!("{}:offset 18", bench.input.name));
    assert_eq!((&it.input, it.record.as_slice()), (&bench.input.name, &b"nonsense"[..]));
}

#[test]
fn a_packed_file_is_read_once() {
    let bench = Bench::called("a.log.gz");
    let whole = packed(&lines("one two three"));
    fs::write(bench.path("a.log.gz"), &whole[..whole.len() - 9]).unwrap();
    let mut follower = bench.follower();
    follower.look_often();
    fs::write(bench.path("a.log.gz"), &whole).unwrap();
    follower.look_often();
    bench.follower().look_often();
    bench.check("one two three");
    assert!(bench.sink.quarantined().is_empty());
    fs::write(bench.path("a.log.gz"), packed(&lines("four"))).unwrap();
    bench.follower().look_often();
    bench.check("one two three four");
}

#[test]
fn a_broken_packed_file_is_said_to_be_broken_once() {
    let bench = Bench::called("a.log.gz");
    let mut broken = packed(&lines("one two three"));
    let at = broken.len() - 6;
    broken[at] ^= 0xff;
    fs::write(bench.path("a.log.gz"), &broken).unwrap();
    bench.follower().look_often();
    bench.follower().look_often();
    let reasons: Vec<_> = bench.sink.quarantined().into_iter().map(|it| it.reason).collect();
    assert!(matches!(reasons.as_slice(), [it] if it.contains("broken")), "{reasons:?}");
}

#[test]
fn a_document_is_read_as_it_grows_and_again_without_duplicates() {
    let record = |id: u8| {
        format!(r#"{{"eventVersion":"1","eventSource":"s","eventName":"n","eventTime":"2026-11-20T10:00:0{id}Z"}}"#)
    };
    let bench = Bench::called("trail.json");
    bench.append_text("trail.json", &format!("{{\"Records\":[{},{}", record(1), record(2)));
    bench.follower().look_often();
    assert_eq!(bench.sink.stored(), 1);
    bench.append_text("trail.json", &format!(",{}]}}", record(3)));
    bench.follower().look_often();
    assert_eq!((bench.sink.stored(), bench.sink.duplicates()), (3, 1));
    bench.follower().look_often();
    assert_eq!((bench.sink.stored(), bench.sink.duplicates()), (3, 1));
}

#[test]
fn a_batch_that_has_no_room_waits_and_is_not_lost() {
    let bench = Bench::new();
    bench.append("a.log", "one two");
    bench.sink.fail_first(3);
    let mut follower = bench.follower();
    follower.look_often();
    bench.check("one two");
    assert_eq!(follower.hand.followed, Followed { batches: 1, waited: 1 });
}

#[test]
fn a_stopping_sink_ends_it() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    bench.sink.fail_with(IngestError::Stopping);
    assert_eq!(follow(&bench.input, &bench.sink, &bench.stop, &PACE), Followed::default());
}

#[test]
fn it_ends_when_it_is_told_even_while_it_waits_for_room() {
    let bench = Bench::new();
    bench.append("a.log", "one");
    bench.sink.fail_with(IngestError::Unwritable);
    let pace = Pace { retry_min: Duration::from_secs(60), retry_max: Duration::from_secs(60), ..PACE };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| follow(&bench.input, &bench.sink, &bench.stop, &pace));
        bench.stop.stop();
        assert_eq!(thread.join().unwrap().batches, 0);
    });
}

#[test]
fn a_long_file_does_not_hold_up_the_end_and_is_finished_after_it() {
    let bench = Bench::new();
    bench.append_text("a.log", &lines("word").repeat(20_000));
    let told = Stop::default();
    told.stop();
    assert_eq!(Follower::new(&bench.input, &bench.sink, &told, &PACE).look().unwrap(), Progress::Stopped);
    assert!((1..20_000).contains(&bench.sink.stored()));
    bench.follower().look_often();
    assert_eq!((bench.sink.stored(), bench.sink.duplicates()), (20_000, 0));
}

#[test]
fn what_is_no_file_is_an_error_and_not_the_end() {
    let bench = Bench::new();
    fs::create_dir(bench.path("a.log")).unwrap();
    let mut follower = bench.follower();
    assert_eq!(follower.look().unwrap_err().to_string(), "it is no regular file");
    fs::remove_dir(bench.path("a.log")).unwrap();
    bench.append("a.log", "one");
    follower.look_often();
    bench.check("one");
}

/// What may happen to a file between two looks.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    HalfLine,
    Rotate,
    Restart,
    Look,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a file is written, rotated and read, every line is stored once and in order.
    #[test]
    fn every_line_is_stored_once(steps in proptest::collection::vec(prop_oneof![
        (1_usize..5).prop_map(Step::Append),
        Just(Step::HalfLine),
        Just(Step::Rotate),
        Just(Step::Restart),
        Just(Step::Look),
    ], 0..25)) {
        let bench = Bench::new();
        let (mut written, mut rotated, mut is_half) = (Vec::new(), 0, false);
        let mut follower = bench.follower();
        for step in steps {
            match step {
                Step::Append(count) => {
                    for _ in 0..count {
                        let word = format!("w{}", written.len());
                        let line = lines(&word);
                        bench.append_text("a.log", if is_half { &line[12..] } else { &line });
                        is_half = false;
                        written.push(word);
                    }
                }
                Step::HalfLine if !is_half => {
                    bench.append_text("a.log", "{\"message\":\"");
                    is_half = true;
                }
                Step::Rotate if !is_half && bench.path("a.log").exists() => {
                    // One file that nobody has seen may be missed; so each is looked at before it goes.
                    follower.look_often();
                    rotated += 1;
                    bench.rename("a.log", &format!("a.log.{rotated}"));
                }
                Step::Restart => follower = bench.follower(),
                Step::HalfLine | Step::Rotate => {}
                Step::Look => follower.look_often(),
            }
        }
        if is_half {
            bench.append_text("a.log", "end\"}\n");
            written.push("end".to_owned());
        }
        follower.look_often();
        prop_assert_eq!(bench.sink.messages(), written);
        prop_assert_eq!(bench.sink.duplicates(), 0);
    }
}
