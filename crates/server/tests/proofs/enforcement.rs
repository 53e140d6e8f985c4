//! From a decision to a packet that the kernel drops: a stock bouncer, our own feeder of nftables, and the sample consumer,
//! each against the binary itself, in a network namespace of its own.
//!
//! Without root, or where a program is missing, a proof says so and passes; `BARTIZAN_STOCK=1` makes that a failure.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]
#![expect(clippy::print_stdout, reason = "what is left out must be seen")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::http::KEY;
use crate::support::server::{Server, Start, command, new_folder, run};

/// Says that a process is the one in the namespace.
const INSIDE: &str = "BARTIZAN_ENFORCEMENT_INSIDE";
/// Addresses of this host in the namespace, from which packets come.
const ATTACKER: &str = "127.0.0.66";
const NEIGHBOUR: &str = "127.0.0.67";
/// How long something may take that is done at once on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(120);
const BOUNCER: &str = "crowdsec-firewall-bouncer";

/// Runs a proof in a namespace of its own: this very program again, for the one proof. Returns whether this is the process
/// inside, which does the work.
fn is_inside(proof: &str, needs: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        return true;
    }
    let is_there =
        |name: &&&str| ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|it| Path::new(it).join(name).exists());
    let missing =
        needs.iter().chain(&["ip", "unshare"]).find(|it| !is_there(it)).map(|it| format!("`{it}` is missing"));
    let not_root = (!rustix::process::geteuid().is_root()).then(|| "it needs root".to_owned());
    if let Some(why) = missing.or(not_root) {
        assert!(std::env::var_os("BARTIZAN_STOCK").is_none(), "{proof} must run: {why}");
        println!("{proof} is left out: {why}");
        return false;
    }
    let mut inside = Command::new("unshare");
    inside.arg("--net").arg(std::env::current_exe().unwrap()).args(["--exact", proof, "--nocapture"]);
    assert!(inside.env(INSIDE, "1").status().unwrap().success(), "{proof} failed in its namespace");
    false
}

/// Waits until `is_so`; returns how long that took.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
    started.elapsed()
}

/// Whether a packet from `source` arrives on this host.
fn passes(source: &str) -> bool {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    let sender = UdpSocket::bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    sender.send_to(b"x", receiver.local_addr().unwrap()).is_ok() && receiver.recv(&mut [0; 8]).is_ok()
}

/// A program beside the server; ended when it is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        Self(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// Asks it to stop; it must end well and in time.
    fn stop(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM)
            .unwrap();
        let mut status = None;
        wait_until("it has stopped", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on which local addresses may be banned, so that packets need no other host.
struct Bench {
    folder: TempDir,
    start: Start,
}

impl Bench {
    fn new() -> Self {
        let folder = new_folder();
        let config = folder.path().join("bartizan.toml");
        fs::write(&config, "[decisions]\nspare_local = false\n").unwrap();
        let start = Start { config: Some(config), ..Start::on(&folder.path().join("data")) };
        Self { folder, start }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command over the data folder.
    fn run(&self, arguments: &[&str]) -> String {
        let [data, config] = [self.path("data"), self.path("bartizan.toml")].map(|it| it.to_str().unwrap().to_owned());
        run(&[arguments, &["--data", &data, "--config", &config]].concat())
    }

    fn ban(&self, address: &str, time: &str) {
        self.run(&["decisions", "add", "--ip", address, "--for", time, "--reason", "a proof"]);
    }

    fn unban(&self, address: &str) {
        self.run(&["decisions", "remove", "--ip", address, "--reason", "a mistake"]);
    }

    fn key(&self, name: &str) -> String {
        let key = self.run(&["key", "create", "--name", name, "--scope", "bouncer"]).trim().to_owned();
        fs::write(self.path(name), &key).unwrap();
        key
    }

    /// Starts the stock bouncer with a key.
    fn bouncer(&self, key: &str) -> Running {
        let folder = self.folder.path().display();
        let config = format!(
            "mode: nftables\npid_dir: {folder}/\nupdate_frequency: 1s\ndaemonize: false\nlog_mode: stdout\n\
             log_dir: {folder}/\nlog_level: info\napi_url: http://127.0.0.1:7071/\napi_key: {key}\n\
             disable_ipv6: false\ndeny_action: DROP\nsupported_decisions_types:\n  - ban\n\
             blacklists_ipv4: crowdsec-blacklists\nblacklists_ipv6: crowdsec6-blacklists\nnftables:\n  ipv4:\n\
             \x20   enabled: true\n    set-only: false\n    table: crowdsec\n    chain: crowdsec-chain\n  ipv6:\n\
             \x20   enabled: true\n    set-only: false\n    table: crowdsec6\n    chain: crowdsec6-chain\n\
             prometheus:\n  enabled: false\n"
        );
        fs::write(self.path("bouncer.yaml"), config).unwrap();
        Running::start(Command::new(BOUNCER).arg("-c").arg(self.path("bouncer.yaml")), &self.path("bouncer.log"))
    }

    /// Starts our own feeder of nftables.
    fn feeder(&self, arguments: &[&str]) -> Running {
        let snapshot = self.path("snapshot");
        let fixed = ["enforce", "nftables", "--snapshot", snapshot.to_str().unwrap()];
        Running::start(&mut command(&[&fixed, arguments].concat()), &self.path("feeder.log"))
    }

    fn table(&self) -> String {
        let listed = Command::new("nft").args(["list", "table", "inet", "bartizan"]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    }
}

fn url(server: &Server) -> String {
    format!("http://127.0.0.1:{}", server.port)
}

#[test]
fn a_stock_bouncer_drops_who_is_banned_through_a_restart_of_the_server() {
    let name = "enforcement::a_stock_bouncer_drops_who_is_banned_through_a_restart_of_the_server";
    if !is_inside(name, &[BOUNCER, "nft"]) {
        return;
    }
    let bench = Bench::new();
    let server = bench.start.must();
    // Nobody listens before there is a key, and somebody does when it is handed out.
    assert!(std::net::TcpStream::connect("127.0.0.1:7071").is_err());
    let key = bench.key("edge");
    let bouncer = bench.bouncer(&key);
    bench.ban(ATTACKER, "4h");
    wait_until("the attacker is dropped", || !passes(ATTACKER));
    assert!(passes(NEIGHBOUR));

    server.kill();
    let server = bench.start.must();
    bench.ban(NEIGHBOUR, "4h");
    bench.unban(ATTACKER);
    wait_until("the bouncer goes on from where it was", || passes(ATTACKER) && !passes(NEIGHBOUR));
    wait_until("it is known who pulls", || bench.run(&["bouncers"]).contains("crowdsec-firewall-bouncer"));
    bench.ban("127.0.0.68", "4h");
    wait_until("it is known how late it is", || {
        server.get("/v1/bouncers")["items"]
            .as_array()
            .is_some_and(|it| it.iter().any(|it| it["lag_seconds"].is_number()))
    });
    drop(bouncer);
    server.stop();
}

#[test]
fn our_feeder_keeps_the_kernel_as_the_decisions_are() {
    let name = "enforcement::our_feeder_keeps_the_kernel_as_the_decisions_are";
    if !is_inside(name, &["nft"]) {
        return;
    }
    let bench = Bench::new();
    let server = bench.start.must();
    bench.key("edge");
    let (url, key) = (url(&server), bench.path("edge"));
    let arguments = ["--url", &url, "--key-file", key.to_str().unwrap()];
    let feeder = bench.feeder(&arguments);
    wait_until("its table is there", || bench.table().contains("bans4"));
    assert!(passes(ATTACKER));

    let took = {
        bench.ban(ATTACKER, "4h");
        wait_until("the attacker is dropped", || !passes(ATTACKER))
    };
    println!("from a decision that was told of to a dropped packet: {took:?}");
    bench.unban(ATTACKER);
    wait_until("the attacker passes again", || passes(ATTACKER));
    wait_until("it is known what was dropped", || {
        let bouncers = server.get("/v1/bouncers");
        bouncers["items"].as_array().is_some_and(|it| it.iter().any(|it| it["reported"]["dropped"].as_u64() > Some(0)))
    });

    // A short ban, a longer one while it lasts, and the short one again: the longest counts.
    bench.ban(NEIGHBOUR, "3s");
    wait_until("the short ban works", || !passes(NEIGHBOUR));
    bench.ban(NEIGHBOUR, "4h");
    thread::sleep(Duration::from_secs(4));
    assert!(!passes(NEIGHBOUR), "{}", bench.table());
    bench.ban(ATTACKER, "2s");
    wait_until("a short ban works", || !passes(ATTACKER));
    wait_until("and ends by itself", || passes(ATTACKER));

    // Ranges in one another.
    bench.run(&["decisions", "add", "--range", "127.9.0.0/16", "--for", "4h", "--reason", "wide"]);
    bench.run(&["decisions", "add", "--range", "127.9.9.0/24", "--for", "8h", "--reason", "narrow"]);
    wait_until("both ranges are dropped", || !passes("127.9.1.1") && !passes("127.9.9.9"));
    bench.run(&["decisions", "remove", "--range", "127.9.0.0/16", "--reason", "too wide"]);
    wait_until("the narrow one is left", || passes("127.9.1.1"));
    assert!(!passes("127.9.9.9"));

    // Somebody takes the table away: the next change makes it anew, whole.
    assert!(Command::new("nft").args(["delete", "table", "inet", "bartizan"]).status().unwrap().success());
    bench.ban("127.0.0.68", "4h");
    wait_until("the table is whole again", || !passes("127.0.0.68") && !passes(NEIGHBOUR));

    // The server is away, and the feeder begins anew meanwhile, from its snapshot.
    feeder.stop();
    server.stop();
    assert!(!passes(NEIGHBOUR), "blocks must stay");
    assert!(Command::new("nft").args(["delete", "table", "inet", "bartizan"]).status().unwrap().success());
    let feeder = bench.feeder(&[&arguments[..], &["--remove-on-stop"]].concat());
    wait_until("the snapshot is in force", || !passes(NEIGHBOUR) && !passes("127.9.9.9"));
    feeder.stop();
    assert!(passes(NEIGHBOUR) && bench.table().is_empty());
}

#[test]
fn many_decisions_come_into_the_kernel() {
    let name = "enforcement::many_decisions_come_into_the_kernel";
    if !is_inside(name, &["nft"]) {
        return;
    }
    let count: u32 = if std::env::var_os("BARTIZAN_LONG").is_some() { 100_000 } else { 10_000 };
    let bench = Bench::new();
    let server = bench.start.must();
    bench.key("edge");
    let list: String = (0..count).map(|it| format!("{}\n", Ipv4Addr::from_bits(0xcb00_0000 + it))).collect();
    fs::write(bench.path("list"), list).unwrap();
    bench.run(&["decisions", "import", bench.path("list").to_str().unwrap(), "--for", "4h", "--reason", "a list"]);
    let key = bench.path("edge");
    let _feeder = bench.feeder(&["--url", &url(&server), "--key-file", key.to_str().unwrap()]);
    let in_kernel = || bench.table().matches("expires").count() == count as usize;
    let took = wait_until("all are in the kernel", in_kernel);
    println!("{count} decisions were in the kernel after {took:?}");
    bench.ban(ATTACKER, "4h");
    let took = wait_until("one more is dropped", || !passes(ATTACKER));
    println!("one more after {took:?}");
    let mut curl = Command::new("curl");
    curl.args(["-s", "-u"]).arg(format!("x:{}", fs::read_to_string(key).unwrap()));
    let mut list = curl.arg(format!("{}/v1/lists/plain", url(&server))).output().unwrap().stdout;
    list.retain(|it| *it == b'\n');
    assert_eq!(list.len(), count as usize + 1);
}

#[test]
fn the_sample_consumer_misses_nothing_over_its_restart() {
    let name = "enforcement::the_sample_consumer_misses_nothing_over_its_restart";
    if !is_inside(name, &["python3"]) {
        return;
    }
    let bench = Bench::new();
    let server = bench.start.must();
    bench.key("edge");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/consumer/consumer.py");
    let start = || {
        let mut command = Command::new("python3");
        command.arg(&script).args(["--url", &url(&server), "--key-file"]).arg(bench.path("edge"));
        Running::start(command.arg("--cursor").arg(bench.path("cursor")), &bench.path("consumed"))
    };
    let consumed = || fs::read_to_string(bench.path("consumed")).unwrap();
    let consumer = start();
    bench.ban("203.0.113.7", "4h");
    wait_until("the first comes", || consumed().contains("add ban 203.0.113.7 14400 a proof"));
    wait_until("its cursor is kept", || bench.path("cursor").exists());
    drop(consumer);
    bench.unban("203.0.113.7");
    bench.ban("203.0.113.8", "4h");
    let consumer = start();
    wait_until("both came", || {
        consumed().contains("remove ban 203.0.113.7 ") && consumed().contains("add ban 203.0.113.8 ")
    });
    assert_eq!(consumed().matches("add ban 203.0.113.7 ").count(), 1, "{}", consumed());
    drop(consumer);
    // A cursor that the server does not know: it tells everything, and what it leaves out is over.
    bench.unban("203.0.113.8");
    bench.run(&["decisions", "add", "--user", "anna", "--for", "4h", "--reason", "by hand"]);
    let mut kept = fs::read_to_string(bench.path("cursor")).unwrap();
    assert!(kept.contains("203.0.113.8"), "{kept}");
    kept.push_str("{\"cursor\":\"999999-1\"}\n{\"half");
    fs::write(bench.path("cursor"), kept).unwrap();
    let _consumer = start();
    wait_until("what is not told any more is removed", || {
        consumed().contains("remove ban 203.0.113.8 0 not told any more") && consumed().contains("add ban anna ")
    });
}

/// What the action of fail2ban runs for `name`, with these values for its tags.
fn action(name: &str, tags: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/fail2ban/bartizan.conf");
    let text = fs::read_to_string(path).unwrap();
    let begin = text.find(&format!("\n{name} = ")).unwrap() + name.len() + 4;
    let lines = text[begin..].lines().enumerate().take_while(|(number, it)| *number == 0 || it.starts_with(' '));
    let script: String = lines.map(|(_, it)| format!("{}\n", it.trim())).collect();
    tags.iter().fold(script.replace("%%", "%"), |script, (tag, value)| script.replace(&format!("<{tag}>"), value))
}

#[test]
fn what_fail2ban_bans_for_ever_lasts_ten_years_and_its_key_is_no_argument() {
    let name = "enforcement::what_fail2ban_bans_for_ever_lasts_ten_years_and_its_key_is_no_argument";
    if !is_inside(name, &["curl"]) {
        return;
    }
    let bench = Bench::new();
    let server = bench.start.must();
    fs::write(bench.path("header"), format!("X-Api-Key: {KEY}\n")).unwrap();
    let (url, file) = (url(&server), bench.path("header"));
    let run = |name: &str, address: &str, seconds: &str| {
        let tags = [
            ("ip", address),
            ("bantime", seconds),
            ("name", "sshd"),
            ("url", &url),
            ("keyfile", file.to_str().unwrap()),
        ];
        let script = action(name, &tags);
        assert!(!script.contains("cat ") && !script.contains(KEY), "{script}");
        let done = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    };
    for (address, seconds, lasts) in
        [("203.0.113.7", "600", 600), ("203.0.113.8", "-1", 315_360_000), ("203.0.113.9", "600.0", 600)]
    {
        run("actionban", address, seconds);
        let found = server.get(&format!("/v1/decisions?ip={address}"));
        let time = |it: &str| seconds_of(found["items"][0][it].as_str().unwrap());
        assert_eq!(time("expires_at") - time("created_at"), lasts, "{found}");
    }
    run("actionunban", "203.0.113.7", "600");
    assert_eq!(server.get("/v1/decisions?ip=203.0.113.7")["items"].as_array().unwrap().len(), 0);
}

/// The seconds of a time in the form of the API.
fn seconds_of(text: &str) -> i64 {
    model::time::Timestamp::from_rfc3339(text).unwrap().nanos().div_euclid(1_000_000_000)
}

#[test]
fn the_sample_consumer_outlives_half_an_answer_and_runs_no_options() {
    let name = "enforcement::the_sample_consumer_outlives_half_an_answer_and_runs_no_options";
    if !is_inside(name, &["python3"]) {
        return;
    }
    let bench = Bench::new();
    fs::write(bench.path("edge"), "key").unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/consumer/consumer.py");
    let mut command = Command::new("python3");
    command.arg(&script).args(["--run", "echo", "--url", &format!("http://{address}"), "--key-file"]);
    let _consumer = Running::start(command.arg(bench.path("edge")), &bench.path("consumed"));
    let line = |scope: &str, value: &str| {
        format!(
            "{{\"change\":\"add\",\"scope\":\"{scope}\",\"type\":\"ban\",\"value\":\"{value}\",\"ttl\":9,\"reason\":\"-x\"}}\n"
        )
    };
    let lines = line("user", "-rf") + &line("ip", "203.0.113.7");
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"change\"".to_owned();
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_owned();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{lines}", lines.len());
    for answer in [half, short, whole] {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    }
    let consumed = || fs::read_to_string(bench.path("consumed")).unwrap();
    wait_until("the whole answer is dealt with", || consumed().contains("add ban 203.0.113.7 9  -x"));
    assert!(
        consumed().contains("refused to run echo for '-rf'") && !consumed().contains("add ban -rf"),
        "{}",
        consumed()
    );
}
