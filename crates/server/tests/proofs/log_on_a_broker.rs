//! The log in a stream of a real RabbitMQ: what was acknowledged survives kills, a copy that is gone, and a broker whose
//! connections break.
//!
//! Without a broker a proof says so and passes; `BARTIZAN_TEST_SERVERS=1` makes that a failure. See `tests/with-servers`.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::kill::check_disturbed_on;
use crate::support::checks::{check_ledger, check_stored_once};
use crate::support::corpus::{BASE_MS, access_log};
use crate::support::rabbitmq::{Broker, Way};
use crate::support::random::Random;
use crate::support::server::{Start, new_folder};

const SEED: u64 = 20_261_122;
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
                fs::remove_dir_all(start.data.join("events")).unwrap();
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
    let mut sent = Vec::new();
    let mut refused = 0;
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
            503 => refused += 1,
            _ => panic!("{reply:?}"),
        }
    }
    assert!(0 < refused, "the cut was not noticed: this run proves little");
    assert!(40 <= sent.len(), "{refused} of 60 were refused");
    let ledger = server.settled_ledger();
    let stored = ledger["total"]["stored"].as_u64().unwrap_or_default() as usize;
    // What was refused may be there all the same, as with every answer that got lost.
    assert!((sent.len()..=60).contains(&stored), "{ledger}");
    if stored == sent.len() {
        check_ledger(&ledger, sent.len());
        check_stored_once(&server, &sent);
    }
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
    for config in [format!("[log]\nurl = \"{}?prefix=other{}\"\n", broker.address, std::process::id()), String::new()] {
        fs::write(start.config.as_ref().unwrap(), config).unwrap();
        assert!(start.start().is_err(), "it must not start");
        assert!(start.tail().contains("the store has read the log"), "{}", start.tail());
    }
}
