//! A disk that is full: nothing is acknowledged that cannot be kept, what is there is served, and it goes on by itself. So it
//! is at every start, however often the process is killed and whatever changed meanwhile.

use std::fs;
use std::io::{Write, stderr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::checks::{check_ledger, check_stored_once};
use crate::support::corpus::incompressible;
use crate::support::http::Reply;
use crate::support::sender::Sent;
use crate::support::server::{Server, Start, new_folder};

/// The size of the small disk, in MiB, and of the file that makes it smaller still.
const DISK_MIB: usize = 8;
const BALLAST_MIB: usize = 4;
/// How many events a batch has: about 100 KiB.
const BATCH: usize = 100;
/// How many batches are sent at most until the disk must be full.
const BATCHES_MAX: usize = 400;
/// How long it may take until it goes on by itself.
const GOES_ON_WITHIN: Duration = Duration::from_secs(30);
/// How often the process is killed while there is no room at all.
const KILLS: usize = 4;

/// A disk of a few MiB, in memory.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one; `None` where this is not permitted. On CI it must be.
    fn mount() -> Option<Self> {
        let folder = new_folder();
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|it| it.status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var_os("CI").is_none(), "a small disk cannot be mounted, and CI must run this proof");
        // Not captured by the runner: nobody shall think that it ran.
        let _ = writeln!(stderr(), "NOT RUN: a full disk needs the permission to mount a small one");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes some of the room; returns the file that holds it.
    fn load(&self) -> PathBuf {
        let path = self.path().join("ballast");
        fs::write(&path, vec![1; BALLAST_MIB << 20]).expect("there is room");
        path
    }

    /// Takes every byte that is left; returns the file that holds them.
    fn stuff(&self) -> PathBuf {
        let path = self.path().join(format!("stuffing-{}", fs::read_dir(self.path()).expect("it is ours").count()));
        let mut file = fs::File::create(&path).expect("a name needs no room");
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy one, so that the folder can be removed whatever is still open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// How a server is started on a small disk, with its configuration elsewhere.
fn start_on(disk: &SmallDisk, outside: &Path) -> Start {
    let config = outside.join("bartizan.toml");
    let rules = outside.join("rules");
    fs::create_dir_all(&rules).expect("it is ours");
    let text = format!("[log]\nsegment = \"1MiB\"\n[rules]\nfolders = [\"{}\"]\n", rules.display());
    fs::write(&config, text).expect("it is ours");
    Start { config: Some(config), ..Start::on(&disk.path().join("data")) }
}

fn batch_of(number: usize) -> Vec<Sent> {
    (0..BATCH).map(|it| incompressible(number * BATCH + it)).collect()
}

fn post(server: &Server, batch: &[Sent]) -> Reply {
    let body: String = batch.iter().map(|it| format!("{}\n", it.body)).collect();
    server.call("POST", "/v1/events", &body)
}

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself() {
    let Some(disk) = SmallDisk::mount() else { return };
    let outside = new_folder();
    let ballast = disk.load();
    let start = start_on(&disk, outside.path());
    let server = start.must();

    let (mut sent, refused) = fill(&server);
    check_refusal(&server, &refused);
    fs::remove_file(&ballast).unwrap();
    let batch = batch_of(sent.len() / BATCH);
    wait_until_taken(&server, &batch);
    sent.extend(batch);

    check_ledger(&server.settled_ledger(), sent.len());
    check_stored_once(&server, &sent);
    assert_eq!(server.call("GET", "/health", "").status, 200, "it is well again");
    server.kill();
    let server = start.must();
    check_ledger(&server.settled_ledger(), sent.len());
    check_stored_once(&server, &sent);
    server.stop();
}

/// A rule that raises an alert for each event on this path.
fn rule_on(path: &str) -> String {
    format!(
        "title: {path}\nname: on{}\nlogsource:\n  category: webserver\ndetection:\n  s:\n    path: {path}\n  condition: s\n",
        path.replace('/', "-")
    )
}

/// Writes behind the last frame of the log what a crash in the middle of a write leaves.
fn tear(events: &Path) {
    let names = fs::read_dir(events).expect("it is ours").flatten().map(|it| it.path());
    let segments = names.filter(|it| it.extension().is_some_and(|it| it == "seg"));
    let newest = segments.max().expect("there is a segment");
    let end = fs::read(&newest).expect("it is ours").iter().rposition(|it| *it != 0).expect("it is not empty");
    let file = fs::File::options().write(true).open(&newest).expect("it is ours");
    file.write_all_at(&[7; 40], end as u64 + 1).expect("the room is reserved");
}

#[test]
fn a_start_on_a_full_disk_serves_however_often_and_takes_changed_rules_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let outside = new_folder();
    let ballast = disk.load();
    let start = start_on(&disk, outside.path());
    let rules = outside.path().join("rules");
    fs::write(rules.join("a.yml"), rule_on("/a")).unwrap();
    let server = start.must();
    let event = |path: &str, number: usize| {
        format!(r#"{{"client_ip":"198.18.3.{number}","path":"{path}","status_code":200,"method":"GET"}}"#)
    };
    assert_eq!(server.call("POST", "/v1/events", &event("/a", 1)).status, 202);
    server.settled_ledger();
    let stored = server.get("/v1/alerts?type=on-a")["items"][0].clone();
    assert!(stored.is_object(), "the rule finds nothing");
    fill(&server);
    server.kill();
    // Another start has used the reserve before, and the log must go on in a new segment.
    fs::remove_file(start.data.join("reserve")).unwrap();
    tear(&start.data.join("events"));
    let mut stuffed = vec![ballast, disk.stuff()];

    fs::write(rules.join("b.yml"), rule_on("/b")).unwrap();
    for number in 0..KILLS {
        let server = start.must();
        assert_eq!(server.get("/v1/alerts?type=on-a")["items"][0], stored, "start {number}");
        stuffed.push(disk.stuff());
        check_refusal(&server, &post(&server, &batch_of(900 + number)));
        server.kill();
    }
    let server = start.must();
    wait_for_health(&server, 503);
    stuffed.iter().for_each(|it| fs::remove_file(it).unwrap());
    // Without anybody's help.
    wait_for_health(&server, 200);
    wait_until_taken(&server, &batch_of(2000));
    let begun = Instant::now();
    loop {
        // The rules of the second file come into force by themselves.
        assert_eq!(server.call("POST", "/v1/events", &event("/b", 2)).status, 202);
        server.settled_ledger();
        if server.get("/v1/alerts?type=on-b")["items"][0].is_object() {
            break;
        }
        assert!(begun.elapsed() < GOES_ON_WITHIN, "the changed rules never came into force");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.call("GET", "/health", "").status, 200, "it is well again");
    server.stop();
    start.must().stop();
}

/// Sends until the disk is full. Returns what was acknowledged, and the refusal.
fn fill(server: &Server) -> (Vec<Sent>, Reply) {
    let mut sent = Vec::new();
    for number in 0..BATCHES_MAX {
        let batch = batch_of(number);
        let reply = post(server, &batch);
        if reply.status != 202 {
            return (sent, reply);
        }
        sent.extend(batch);
    }
    panic!("{BATCHES_MAX} batches fit on a disk of {DISK_MIB} MiB");
}

#[track_caller]
fn check_refusal(server: &Server, refused: &Reply) {
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds = refused.header("retry-after").and_then(|it| it.parse::<u32>().ok());
    assert!(seconds.is_some_and(|it| 0 < it), "no Retry-After: {refused:?}");
    let health = server.call("GET", "/health", "");
    assert_eq!(health.status, 503, "a log that cannot be written is no good health: {health:?}");
    assert!(health.json()["last_error"].is_string(), "{health:?}");
}

/// Waits until its health is good or bad.
#[track_caller]
fn wait_for_health(server: &Server, status: u16) {
    let started = Instant::now();
    loop {
        let health = server.call("GET", "/health", "");
        if health.status == status {
            return;
        }
        assert!(started.elapsed() < GOES_ON_WITHIN, "{health:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn wait_until_taken(server: &Server, batch: &[Sent]) {
    let started = Instant::now();
    loop {
        let reply = post(server, batch);
        if reply.status == 202 {
            assert_eq!(reply.json()["accepted"], batch.len(), "what was refused had been taken: {reply:?}");
            return;
        }
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(started.elapsed() < GOES_ON_WITHIN, "there is room, and it does not go on: {reply:?}");
        thread::sleep(Duration::from_millis(100));
    }
}
