//! The process is ended at any instant; nothing acknowledged is lost, nothing counts twice, the alerts are those of an
//! undisturbed run.
//!
//! | what would break it | where it is kept | what sees it |
//! |---|---|---|
//! | repeated events are stored again | `pipeline/seen.rs`, filled from the log at the start | `deliver_again`, `check_stored_once`, `check_ledger` |
//! | the answer comes before the write | `pipeline/ingest.rs`, the thread that appends | the large batch; `full_disk.rs` |
//! | the answer comes before the sync | the log's `append` | not here: the system survives the process; `power_loss` of the log |
//! | alerts and position are not stored together | the store's `commit`: one transaction | the alert that nothing follows, at `store.before_commit` |
//! | a former owner stores | the epoch and position in that `commit` | not here: conformance of the store |
//! | the position moves before the alerts are stored | `pipeline/detect.rs`, `commit_all` | the alert that nothing follows, at `detect.before_commit` |
//! | state of windows is lost or counts twice | `pipeline/detect.rs`, replay from the snapshot | `check_same_alerts` |
//! | a half snapshot is read | `pipeline/snapshot.rs`, renamed when whole | `check_same_alerts`, at `snapshot.before_rename` |
//! | counts drift from the log | the marks of the ledger, in the same write as the events | `check_ledger` |

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::support::checks::{check_ledger, check_same_alerts, check_stored_once};
use crate::support::corpus::{BASE_MS, access_log, incompressible};
use crate::support::random::Random;
use crate::support::sender::{Sender, Sent, Target, run_all, send_calmly};
use crate::support::server::{Server, Start, new_folder};

const SEED: u64 = 20_261_121;
/// How often the process is killed.
const CYCLES: usize = 20;
/// How often with `BARTIZAN_LONG=1`.
const CYCLES_LONG: usize = 1000;
/// How long the process lives, in milliseconds.
const LIFE_MS: (u64, u64) = (50, 2000);
/// How often the process is told to stop while events keep coming.
const STOPS: u64 = 4;
/// How many of the events must have been delivered twice, in percent.
const REDELIVERED_PERCENT_MIN: usize = 5;
/// How many events each sender has in the run of a failpoint.
const EVENTS_AT_FAILPOINT: usize = 120;
/// How long a failpoint may take to be reached.
#[cfg(debug_assertions)]
const FAILPOINT_WITHIN: Duration = Duration::from_secs(30);
/// How long detection may take to store the alert of one batch.
#[cfg(debug_assertions)]
const LAST_COMMIT_WITHIN: Duration = Duration::from_millis(800);
/// How many large batches are sent, and how many events each has: about 4 MiB.
const LARGE_BATCHES: usize = 3;
const LARGE_BATCH: usize = 4000;
/// Every place at which the process can be told to end.
const FAILPOINTS: [&str; 11] = [
    "detect.after_commit",
    "detect.before_commit",
    "ingest.before_answer",
    "log.after_sync",
    "log.before_sync",
    "log.before_write",
    "snapshot.before_rename",
    "store.after_admit",
    "store.after_commit",
    "store.before_admit",
    "store.before_commit",
];
/// The failpoint that a process visits at its end, not under load.
#[cfg(debug_assertions)]
const AT_STOP: &str = "snapshot.before_rename";

#[test]
fn what_was_acknowledged_survives_kills_at_random_instants() {
    let cycles = if std::env::var("BARTIZAN_LONG").as_deref() == Ok("1") { CYCLES_LONG } else { CYCLES };
    let mut random = Random(SEED);
    check_disturbed(|start, target| {
        for cycle in 0..cycles {
            let life = Duration::from_millis(random.between(LIFE_MS.0, LIFE_MS.1));
            if cycle % 2 == 0 {
                // Counted from its birth: some end before they serve.
                start.live(life, |port| target.moved_to(port));
            } else {
                let server = start.must();
                target.moved_to(server.port);
                thread::sleep(life);
                server.kill();
            }
        }
    });
}

#[test]
fn what_was_acknowledged_survives_stops_under_load() {
    check_disturbed(|start, target| {
        for life in 1..=STOPS {
            let server = start.must();
            target.moved_to(server.port);
            thread::sleep(Duration::from_millis(250 * life));
            server.stop();
        }
    });
}

/// Ends the process in the ways of `disturb` while four senders keep sending, and compares with an undisturbed run.
#[track_caller]
fn check_disturbed(disturb: impl FnOnce(&Start, &Target)) {
    let folder = new_folder();
    check_disturbed_on(&Start::on(&folder.path().join("data")), disturb);
}

/// The same for a process that is started as `start` says.
#[track_caller]
pub(crate) fn check_disturbed_on(start: &Start, disturb: impl FnOnce(&Start, &Target)) {
    let (mut senders, target) = (Sender::four(SEED), Target::default());
    let server = run_all(&mut senders, &target, None, || {
        disturb(start, &target);
        let server = start.must();
        target.moved_to(server.port);
        server
    });
    let alerts = check_everything(&server, &senders);
    let across: usize = senders.iter().map(|it| it.redelivered_across).sum();
    assert!(0 < across, "nothing was sent again after a restart");
    check_redelivered(&senders);
    check_same_alerts(&alerts, &undisturbed(&senders), "after faults");
}

/// Checks what is stored; returns the canonical export.
#[track_caller]
pub(crate) fn check_everything(server: &Server, senders: &[Sender]) -> String {
    let sent: Vec<Sent> = senders.iter().flat_map(|it| it.sent.iter().cloned()).collect();
    check_ledger(&server.settled_ledger(), sent.len());
    check_stored_once(server, &sent);
    server.canonical_export()
}

#[track_caller]
fn check_redelivered(senders: &[Sender]) {
    let sent: usize = senders.iter().map(|it| it.sent.len()).sum();
    let redelivered: usize = senders.iter().map(|it| it.redelivered).sum();
    assert!(
        sent * REDELIVERED_PERCENT_MIN <= redelivered * 100,
        "only {redelivered} of {sent} events were delivered twice: this run proves little"
    );
}

/// The alerts of the same events, each delivered once to a process that nobody ends.
pub(crate) fn undisturbed(senders: &[Sender]) -> String {
    let folder = new_folder();
    let server = Start::on(&folder.path().join("data")).must();
    let target = Target::default();
    target.moved_to(server.port);
    send_calmly(senders, &target);
    server.canonical_export()
}

#[test]
fn an_acknowledgement_is_kept_though_the_process_ends_in_the_same_instant() {
    let folder = new_folder();
    let start = Start::on(&folder.path().join("data"));
    let mut sent = Vec::new();
    for number in 0..5_u32 {
        let ms = BASE_MS + i64::from(number);
        let event = access_log(&format!("instant-{number}"), ms, "198.19.99.9", 401, "/login");
        let server = start.must();
        let reply = server.call("POST", "/logs", &event.body);
        server.kill();
        assert_eq!(reply.status, 200, "{reply:?}");
        sent.push(event);
    }
    let server = start.must();
    check_ledger(&server.settled_ledger(), sent.len());
    check_stored_once(&server, &sent);
    let alerts = server.canonical_export();
    assert!(alerts.contains(r#""rule_id":"bruteforce""#), "the fifth refusal completes the rule: {alerts}");
}

/// Appending it takes far longer than killing: an answer before the write would be found out.
#[test]
fn a_large_batch_is_kept_though_the_process_ends_right_after_the_answer() {
    let folder = new_folder();
    let start = Start::on(&folder.path().join("data"));
    let mut sent = 0;
    for round in 0..LARGE_BATCHES {
        let events: Vec<Sent> = (0..LARGE_BATCH).map(|it| incompressible(round * LARGE_BATCH + it)).collect();
        let body: String = events.iter().map(|it| format!("{}\n", it.body)).collect();
        let server = start.must();
        let reply = server.call("POST", "/v1/events", &body);
        server.kill();
        assert_eq!(reply.status, 202, "{reply:?}");
        sent += events.len();
        check_ledger(&start.must().settled_ledger(), sent);
    }
}

/// The alert of one batch is stored though the process ends while it stores it, and no later event brings it up again.
#[test]
#[cfg(debug_assertions)]
fn an_alert_that_nothing_follows_is_stored_after_every_failpoint() {
    let refused = |it: i64| access_log(&format!("last-{it}"), BASE_MS + it * 1000, "198.19.98.8", 401, "/login");
    let body: String = (0..5).map(|it| format!("{}\n", refused(it).body)).collect();
    let export_after = |failpoint: Option<String>| {
        let folder = new_folder();
        let start = Start::on(&folder.path().join("data"));
        block_for_long(&start);
        if failpoint.is_some()
            && let Ok(server) = (Start { failpoint, ..start.clone() }).start()
        {
            server.call_and_end(&body, LAST_COMMIT_WITHIN);
        }
        let server = start.must();
        // It was not acknowledged, or is a duplicate now.
        assert_eq!(server.call("POST", "/v1/events", &body).status, 202);
        server.canonical_export()
    };
    let calm = export_after(None);
    for name in FAILPOINTS {
        // The first commits may be of the position alone.
        for visits in 1..=3 {
            let what = format!("{name}:{visits}");
            check_same_alerts(&export_after(Some(what.clone())), &calm, &what);
        }
    }
}

#[test]
#[cfg(debug_assertions)]
fn the_process_may_end_at_every_failpoint() {
    let mut calm: Option<String> = None;
    for name in FAILPOINTS {
        for visits in [1, 3] {
            let folder = new_folder();
            let start = Start::on(&folder.path().join("data"));
            block_for_long(&start);
            let (mut senders, target) = (Sender::four(SEED), Target::default());
            let what = format!("{name}:{visits}");
            if name == AT_STOP {
                abort_at_stops(&start, &mut senders, visits);
            }
            let failpoint = (name != AT_STOP).then(|| what.clone());
            let server = run_all(&mut senders, &target, Some(EVENTS_AT_FAILPOINT), || {
                if failpoint.is_some() {
                    abort_under_load(&Start { failpoint, ..start.clone() }, &target);
                }
                let server = start.must();
                target.moved_to(server.port);
                server
            });
            let alerts = check_everything(&server, &senders);
            let calm = calm.get_or_insert_with(|| undisturbed(&senders));
            check_same_alerts(&alerts, calm, &what);
        }
    }
}

/// The events of these tests are old, and a block counts from the last of them: so that there are decisions, it is long.
#[cfg(debug_assertions)]
fn block_for_long(start: &Start) {
    fs::create_dir_all(&start.data).expect("a folder can be made");
    fs::write(start.data.join("rules.toml"), "[default]\nfor = \"3650d\"\n").expect("a file can be written");
}

/// Serves until the failpoint ends the process, be it before it serves.
#[cfg(debug_assertions)]
fn abort_under_load(start: &Start, target: &Target) {
    match start.start() {
        Ok(server) => {
            target.moved_to(server.port);
            server.wait_for_abort(FAILPOINT_WITHIN);
        }
        Err(status) => {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(status.signal(), Some(6), "{:?}: {}", start.failpoint, start.tail());
        }
    }
}

/// Stops the process in order `stops` times with some events each; at the last one the failpoint ends it.
#[cfg(debug_assertions)]
fn abort_at_stops(start: &Start, senders: &mut [Sender], stops: usize) {
    for stop in 1..=stops {
        let failpoint = (stop == stops).then(|| format!("{AT_STOP}:1"));
        let is_last = failpoint.is_some();
        let server = Start { failpoint, ..start.clone() }.must();
        let target = Target::default();
        target.moved_to(server.port);
        senders.iter_mut().for_each(|it| it.run(&target, Some(EVENTS_AT_FAILPOINT * stop / (stops + 1))));
        if is_last {
            server.terminate();
            server.wait_for_abort(FAILPOINT_WITHIN);
        } else {
            server.stop();
        }
    }
}

#[test]
fn every_failpoint_of_the_code_is_in_the_list() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for name in ["backends", "pipeline", "server", "sources"] {
        find_failpoints(&crates.join(name).join("src"), &mut found);
    }
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), FAILPOINTS);
}

fn find_failpoints(folder: &Path, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).expect("the crates are beside this one");
    let paths: Vec<PathBuf> = entries.map(|it| it.expect("a folder that can be read").path()).collect();
    for path in paths {
        if path.is_dir() {
            find_failpoints(&path, found);
        } else {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let names = text.split("failpoint::visit(\"").skip(1).filter_map(|it| it.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}
