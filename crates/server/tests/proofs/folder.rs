//! What cannot be kept is not acknowledged, and it goes on by itself once it can; one process holds a folder.

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::checks::{check_ledger, check_stored_once};
use crate::support::corpus::incompressible;
use crate::support::http::Reply;
use crate::support::sender::Sent;
use crate::support::server::{Server, Start, command, new_folder};

/// The size of the small disk, in MiB, and of the file that makes it smaller still.
const DISK_MIB: usize = 8;
const BALLAST_MIB: usize = 4;
/// How many events a batch has: about 100 KiB.
const BATCH: usize = 100;
/// How many batches are sent at most until the disk must be full.
const BATCHES_MAX: usize = 400;
/// How long it may take until it goes on by itself.
const GOES_ON_WITHIN: Duration = Duration::from_secs(30);
/// The exit code where the data folder cannot be used.
const EXIT_FOLDER: i32 = 74;

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
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy one, so that the folder can be removed whatever is still open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
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
    let config = outside.path().join("bartizan.toml");
    fs::write(&config, "[log]\nsegment = \"1MiB\"\n").unwrap();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; BALLAST_MIB << 20]).unwrap();
    let start = Start { config: Some(config), ..Start::on(&disk.path().join("data")) };
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

#[test]
fn a_second_process_leaves_the_folder_alone() {
    let folder = new_folder();
    let data: PathBuf = folder.path().join("data");
    let server = Start::on(&data).must();
    let first = batch_of(0);
    assert_eq!(post(&server, &first).status, 202);

    let second = command(&["up", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(EXIT_FOLDER), "{complaint}");
    assert!(complaint.contains("data"), "the complaint does not name the folder: {complaint}");

    let next = batch_of(1);
    assert_eq!(post(&server, &next).status, 202, "the first process is disturbed");
    let sent: Vec<Sent> = first.into_iter().chain(next).collect();
    check_ledger(&server.settled_ledger(), sent.len());
    check_stored_once(&server, &sent);
    server.stop();
}
