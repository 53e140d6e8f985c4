//! The log in a stream of a real RabbitMQ: what was acknowledged survives kills, a copy that is gone, and a broker whose
//! connections break.
//!
//! Without a broker a proof says so and passes; `BARTIZAN_TEST_SERVERS=1` makes that a failure. See `tests/with-servers`.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::kill::check_disturbed_on;
use crate::support::checks::check_stored_once;
use crate::support::corpus::{BASE_MS, access_log};
use crate::support::rabbitmq::{Broker, Way};
use crate::support::random::Random;
use crate::support::server::{Start, new_folder};

const SEED: u64 = 20_261_122;
/// How long it may take to go on by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the process is killed.
const CYCLES: usize = 8;
/// How often with `BARTIZAN_LONG=1`.
const CYCLES_LONG: usize = 200;

/// A start in `folder` whose log is on the broker at `address`, in a stream of its own.
fn start_in(folder: &Path, address: &str) -> Start {
    let name = folder.to_string_lossy().replace('/', ".");
    let config = folder.join("bartizan.toml");
    fs::write(&config, format!("[log]\nurl = \"{address}?prefix=proof{name}\"\n")).unwrap();
    Start { config: Some(config), ..Start::on(&folder.join("data")) }
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_instants() {
    let Some(broker) = Broker::find() else { return };
    let cycles = if std::env::var("BARTIZAN_LONG").as_deref() == Ok("1") { CYCLES_LONG } else { CYCLES };
    let (folder, mut random) = (new_folder(), Random(SEED));
    check_disturbed_on(&start_in(folder.path(), &broker.address), |start, target| {
        for cycle in 0..cycles {
            let server = start.must();
            target.moved_to(server.port);
            thread::sleep(Duration::from_millis(random.between(50, 2000)));
            server.kill();
            // The copy is no more than a copy.
            if cycle % 3 == 1 {
                fs::remove_dir_all(start.data.join("events-copy")).unwrap();
            }
        }
    });
}

#[test]
fn a_broker_that_is_cut_off_costs_nothing_that_was_acknowledged() {
    let Some(broker) = Broker::find() else { return };
    let way = Way::to(&broker);
    let folder = new_folder();
    let server = start_in(folder.path(), &broker.through(way.port)).must();
    let (mut sent, mut refused) = (Vec::new(), Vec::new());
    for number in 0..60_u32 {
        match number {
            20 => way.fall_silent(true),
            22 => {
                way.fall_silent(false);
                way.cut();
            }
            // Broken, and there again at once.
            40 => way.cut(),
            _ => {}
        }
        let event = access_log(&format!("cut-{number}"), BASE_MS + i64::from(number), "198.19.97.9", 200, "/");
        let reply = server.call("POST", "/logs", &event.body);
        match reply.status {
            200 => sent.push(event),
            503 => {
                refused.push(event);
                thread::sleep(Duration::from_millis(200));
            }
            _ => panic!("{reply:?}"),
        }
    }
    assert!(!refused.is_empty(), "the cut was not noticed: this run proves little");
    // What was refused may be there all the same. Sent again, it is known.
    for event in refused {
        let began = Instant::now();
        while server.call("POST", "/logs", &event.body).status != 200 {
            assert!(began.elapsed() < PATIENCE, "it does not go on");
            thread::sleep(Duration::from_millis(200));
        }
        sent.push(event);
    }
    assert_eq!(server.settled_ledger()["total"]["stored"], sent.len());
    check_stored_once(&server, &sent);
    server.stop();
}

#[test]
fn a_store_is_not_joined_to_another_log() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let start = start_in(folder.path(), &broker.address);
    let server = start.must();
    let event = access_log("one", BASE_MS, "198.19.96.9", 200, "/");
    assert_eq!(server.call("POST", "/logs", &event.body).status, 200);
    server.settled_ledger();
    server.stop();
    let kept = || fs::read_dir(start.data.join("events-copy")).unwrap().count();
    let before = kept();
    for config in [format!("[log]\nurl = \"{}?prefix=other{}\"\n", broker.address, std::process::id()), String::new()] {
        fs::write(start.config.as_ref().unwrap(), config).unwrap();
        assert!(start.start().is_err(), "it must not start");
        let tail = start.tail();
        assert!(tail.contains("the store has read") || tail.contains("is not there"), "{tail}");
    }
    assert_eq!(kept(), before);
    // A folder with a log of its own keeps it.
    let own = Start::on(&folder.path().join("own"));
    let server = own.must();
    assert_eq!(server.call("POST", "/logs", &event.body).status, 200);
    server.settled_ledger();
    server.stop();
    fs::write(start.config.as_ref().unwrap(), format!("[log]\nurl = \"{}?prefix=own\"\n", broker.address)).unwrap();
    assert!(Start { config: start.config.clone(), ..own.clone() }.start().is_err(), "it must not start");
    let server = own.must();
    check_stored_once(&server, &[event]);
    server.stop();
}
