//! `crowdsec-firewall-bouncer` in its nftables mode: what is banned is dropped by the kernel.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use decision::board::Board;
use model::decision::{Decision, Ended};

use crate::support::{Api, Client, ban, is_inside, now, run, wait_until, wait_within};

const BOUNCER: &str = "crowdsec-firewall-bouncer";
const HOUR: Duration = Duration::from_secs(3600);
/// Addresses of this host in the namespace, from which packets come.
const ATTACKER: &str = "127.0.0.66";
const NEIGHBOUR: &str = "127.0.0.67";

fn start(folder: &Path, key: &str) -> Client {
    let config = format!(
        "mode: nftables\npid_dir: {0}/\nupdate_frequency: 1s\ndaemonize: false\nlog_mode: stdout\nlog_dir: {0}/\n\
         log_level: info\napi_url: http://127.0.0.1:7071/\napi_key: {key}\ndisable_ipv6: false\ndeny_action: DROP\n\
         deny_log: false\nsupported_decisions_types:\n  - ban\nblacklists_ipv4: crowdsec-blacklists\n\
         blacklists_ipv6: crowdsec6-blacklists\nnftables:\n  ipv4:\n    enabled: true\n    set-only: false\n\
         \x20   table: crowdsec\n    chain: crowdsec-chain\n  ipv6:\n    enabled: true\n    set-only: false\n\
         \x20   table: crowdsec6\n    chain: crowdsec6-chain\nprometheus:\n  enabled: false\n",
        folder.display()
    );
    Client::start(BOUNCER, &config, folder)
}

/// Whether a packet from `source` arrives on this host.
fn passes(source: &str) -> bool {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let sender = UdpSocket::bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    sender.send_to(b"x", receiver.local_addr().unwrap()).is_ok() && receiver.recv(&mut [0; 8]).is_ok()
}

/// How many elements the bouncer's set has.
fn in_set() -> usize {
    let listed =
        std::process::Command::new("nft").args(["list", "set", "ip", "crowdsec", "crowdsec-blacklists"]).output();
    String::from_utf8_lossy(&listed.unwrap().stdout).matches("expires").count()
}

fn ended(decision: &Decision, changed: u64) -> Decision {
    let ended = Ended { at: now(), actor: "anna".into(), reason: "a mistake".into() };
    Decision { ended: Some(ended), changed, ..decision.clone() }
}

#[test]
fn the_kernel_drops_who_is_banned_until_the_ban_ends() {
    if !is_inside("firewall::the_kernel_drops_who_is_banned_until_the_ban_ends", &[BOUNCER, "nft"]) {
        return;
    }
    let api = Api::start(Arc::new(Board::default()));
    let mut bouncer = start(api.folder.path(), "one");
    wait_until("the set is there", || run("nft", &["list", "tables"]).contains("crowdsec"));
    assert!(passes(ATTACKER) && passes(NEIGHBOUR));

    let first = ban(1, ATTACKER, HOUR);
    api.apply(std::slice::from_ref(&first));
    wait_until("the attacker is dropped", || !passes(ATTACKER));
    assert!(passes(NEIGHBOUR));
    api.apply(&[ended(&first, 2)]);
    wait_until("the attacker passes again", || passes(ATTACKER));

    // Six seconds, and it ends by itself.
    api.apply(&[ban(3, ATTACKER, Duration::from_secs(6))]);
    wait_until("the attacker is dropped again", || !passes(ATTACKER));
    wait_until("the ban has expired", || passes(ATTACKER));

    // A longer ban while a shorter one is in force: the longer one counts.
    api.apply(&[ban(4, ATTACKER, Duration::from_secs(6))]);
    wait_until("the short ban works", || !passes(ATTACKER));
    api.apply(&[ban(5, ATTACKER, HOUR)]);
    std::thread::sleep(Duration::from_secs(9));
    wait_until("the long ban is left", || !passes(ATTACKER));

    // A range, address by address.
    assert!(passes("127.0.9.3"));
    api.apply(&[ban(6, "127.0.9.0/30", HOUR)]);
    wait_until("the last address of the range is dropped", || !passes("127.0.9.3"));
    assert!(passes("127.0.9.4"));
    assert!(bouncer.is_alive());
}

#[test]
fn either_side_may_restart_and_a_key_may_be_shared() {
    if !is_inside("firewall::either_side_may_restart_and_a_key_may_be_shared", &[BOUNCER, "nft"]) {
        return;
    }
    let api = Api::start(Arc::new(Board::default()));
    api.apply(&[ban(1, ATTACKER, HOUR)]);
    let mut bouncer = start(api.folder.path(), "shared");
    wait_until("the attacker is dropped", || !passes(ATTACKER));

    let api = api.restart();
    api.apply(&[ban(2, NEIGHBOUR, HOUR)]);
    wait_until("what came after our restart is there", || !passes(NEIGHBOUR));
    assert!(!passes(ATTACKER) && bouncer.is_alive());

    bouncer.stop();
    let bouncer = start(api.folder.path(), "shared");
    wait_until("all is there after its restart", || !passes(ATTACKER) && !passes(NEIGHBOUR));

    // Somebody else pulls with the same key from another address, and takes nothing away.
    let config = api.folder.path().join("curl");
    api.apply(&[ban(3, "127.0.0.68", HOUR)]);
    for _ in 0..3 {
        let url = "http://127.0.0.1:7071/v1/decisions/stream";
        run(
            "curl",
            &["-s", "-o", config.to_str().unwrap(), "--interface", "127.0.0.5", "-H", "X-Api-Key: shared", url],
        );
    }
    wait_until("the third is dropped", || !passes("127.0.0.68"));
    let pullers = api.edge.pullers().all();
    assert_eq!(pullers.iter().filter(|it| it.0.name == "shared" && it.0.kind == "crowdsec").count(), 2);
    bouncer.stop();
}

#[test]
fn many_decisions_arrive_whole() {
    if !is_inside("firewall::many_decisions_arrive_whole", &[BOUNCER, "nft"]) {
        return;
    }
    let count = if std::env::var_os("BARTIZAN_LONG").is_some() { 100_000 } else { 10_000 };
    let many: Vec<_> = (0..count as u32)
        .map(|it| ban(u64::from(it) + 1, &Ipv4Addr::from_bits(0xcb00_0000 + it).to_string(), HOUR))
        .collect();
    let api = Api::start(Arc::new(Board::default()));
    api.apply(&many);
    let mut bouncer = start(api.folder.path(), "one");
    // The bouncer is the slower the larger its set is: 100,000 take it minutes.
    wait_within(Duration::from_secs(900), "all are in the set", || {
        // To list a large set takes the kernel from the bouncer.
        std::thread::sleep(Duration::from_millis(count as u64 / 20));
        in_set() == count
    });
    assert!(bouncer.is_alive());
}
