//! A gateway on another host: decisions made here are enforced there, also while this process is gone and after a restart of
//! the gateway without it, until they end.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::gateway::{free_port, get, site, status};
use crate::support::server::{Server, Start, command, new_folder, run};

/// How long a decision may take to be enforced on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const ATTACKER: &str = "203.0.113.77";
const NEIGHBOUR: &str = "203.0.113.78";

/// The installation that decides, and the gateway that follows it.
struct Pair {
    lead: Start,
    edge: Start,
    port: u16,
    folder: TempDir,
    /// Bouncers have one port, on which a lead listens that has a key for them: one after another.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Pair {
    /// `lines` stand in the section of the gateway.
    fn new(lines: &str) -> (Self, Server) {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = new_folder();
        let [lead, edge] = ["lead", "edge"].map(|it| Start::on(&folder.path().join(it)));
        let server = lead.must();
        let pair = Self { lead, edge, port: free_port(), folder, _alone: alone };
        let key = run(&["key", "create", "--name", "edge", "--scope", "bouncer", "--data", pair.data()]);
        fs::write(pair.folder.path().join("edge.key"), key).unwrap();
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:{}\"\nupstream = [\"http://127.0.0.1:{}\"]\ntrusted_proxies = [\"127.0.0.1\"]\n\
             decisions_from = \"http://127.0.0.1:{}\"\ndecisions_key = \"file:{}\"\n{lines}",
            pair.port,
            site(),
            server.port,
            pair.folder.path().join("edge.key").display(),
        );
        fs::write(pair.config(), text).unwrap();
        let edge = Start { config: Some(pair.config()), ..pair.edge.clone() };
        (Self { edge, ..pair }, server)
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("edge.toml")
    }

    fn data(&self) -> &str {
        self.lead.data.to_str().unwrap()
    }

    fn ban(&self, address: &str, time: &str) {
        run(&["decisions", "add", "--ip", address, "--for", time, "--reason", "a proof", "--data", self.data()]);
    }

    fn is_blocked(&self, client: &str) -> bool {
        status(&get(self.port, "/shop", client)) == "403"
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) -> Duration {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}: {}", self.edge.tail());
            thread::sleep(Duration::from_millis(5));
        }
        started.elapsed()
    }
}

#[test]
fn what_is_banned_here_is_refused_there_with_and_without_us() {
    let (pair, lead) = Pair::new("");
    let edge = pair.edge.must();
    pair.wait_until("the decisions were heard", || edge.get("/health")["gateway_decisions"]["enforced"] == true);
    assert!(!pair.is_blocked(ATTACKER));
    pair.ban(ATTACKER, "4h");
    pair.wait_until("the attacker is refused", || pair.is_blocked(ATTACKER));
    assert!(!pair.is_blocked(NEIGHBOUR));
    let bouncers = run(&["bouncers", "--data", pair.data()]);
    assert!(bouncers.contains("edge") && bouncers.contains("stream"), "{bouncers}");

    // The lead goes; what is known stays, also over a restart, and ends when it ends.
    pair.ban(NEIGHBOUR, "12s");
    let banned_at = Instant::now();
    pair.wait_until("the neighbour is refused", || pair.is_blocked(NEIGHBOUR));
    let port = lead.port;
    lead.kill();
    edge.stop();
    let edge = pair.edge.must();
    assert!(pair.is_blocked(ATTACKER), "{}", pair.edge.tail());
    assert!(pair.is_blocked(NEIGHBOUR) || Duration::from_secs(11) < banned_at.elapsed());
    let health = edge.get("/health");
    assert!(health["gateway_decisions"]["age_seconds"].is_u64(), "{health}");
    let metrics = String::from_utf8(edge.call("GET", "/metrics", "").body).unwrap();
    assert!(metrics.contains("\nbartizan_gateway_copied_decisions_age_seconds "), "{metrics}");
    pair.wait_until("the short ban has ended", || !pair.is_blocked(NEIGHBOUR));
    assert!(pair.is_blocked(ATTACKER));

    // Killed, too: what was heard a while ago is on disk.
    edge.kill();
    let edge = pair.edge.must();
    assert!(pair.is_blocked(ATTACKER), "{}", pair.edge.tail());

    // The lead comes back on its port, and the gateway goes on from its cursor.
    let lead = pair.lead.must_on(port);
    run(&["decisions", "remove", "--ip", ATTACKER, "--reason", "a mistake", "--data", pair.data()]);
    pair.wait_until("the attacker passes again", || !pair.is_blocked(ATTACKER));
    edge.stop();
    lead.stop();
}

#[test]
fn a_copy_that_is_too_old_counts_no_longer_where_that_is_wanted() {
    let (pair, lead) = Pair::new("decisions_stop_after = \"3s\"\n");
    let edge = pair.edge.must();
    pair.ban(ATTACKER, "4h");
    pair.wait_until("the attacker is refused", || pair.is_blocked(ATTACKER));
    thread::sleep(Duration::from_secs(4));
    assert!(pair.is_blocked(ATTACKER), "it is heard all the time");
    let port = lead.port;
    lead.kill();
    let took = pair.wait_until("nothing is enforced any more", || !pair.is_blocked(ATTACKER));
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(edge.get("/health")["gateway_decisions"]["enforced"], false);
    let said = |what: &str| fs::read_to_string(pair.edge.complaints()).unwrap().matches(what).count();
    pair.wait_until("it is said", || 0 < said("count no longer"));
    assert_eq!(said("those that are known count until nothing was heard for 3 s"), 1, "{}", pair.edge.tail());
    assert_eq!(said("stay until they end"), 0);
    let lead = pair.lead.must_on(port);
    pair.wait_until("the attacker is refused again", || pair.is_blocked(ATTACKER));
    pair.wait_until("that is said, too", || said("` count decisions=") == 2);
    assert_eq!(said("count no longer"), 1);
    edge.stop();
    lead.stop();
}

#[test]
fn a_snapshot_that_cannot_be_written_is_complained_of_once() {
    let (pair, lead) = Pair::new("");
    fs::create_dir_all(pair.edge.data.join("remote-decisions.new")).unwrap();
    let edge = pair.edge.must();
    for second in 0..5 {
        pair.ban(&format!("203.0.113.{second}"), "4h");
        thread::sleep(Duration::from_secs(1));
    }
    let said = fs::read_to_string(pair.edge.complaints()).unwrap();
    assert_eq!(said.matches("The decisions cannot be kept in").count(), 1, "{said}");
    edge.stop();
    lead.stop();
}

#[test]
fn a_key_that_is_not_there_stops_the_check_and_the_start() {
    let (pair, _lead) = Pair::new("");
    fs::remove_file(pair.folder.path().join("edge.key")).unwrap();
    let config = pair.config();
    let done = command(&["config", "check", "--config", config.to_str().unwrap()]).output().unwrap();
    assert_eq!(done.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&done.stderr).contains("gateway.decisions_key"), "{done:?}");
    assert_eq!(pair.edge.start().unwrap_err().code(), Some(64));
}
