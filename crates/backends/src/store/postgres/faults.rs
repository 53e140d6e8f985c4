//! What goes wrong between us and the server: answers that are lost, a server that is killed, one that is away, and who
//! it is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Instant;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::own_server::{OwnServer, PATIENCE, Stop, check_commits, commit_until};
use super::settings::{Password, SslMode};
use super::tests::settings_of;
use super::*;
use crate::servers;
use crate::store::conformance::alert;
use crate::store::outbox::{DeliveryQuery, Outbox, Subject};

fn is_left_out() -> bool {
    servers::is_left_out(module_path!())
}

/// What is done with the next end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cut {
    Nothing = 0,
    /// It is not passed on.
    Request = 1,
    /// It is passed on, its answer is not.
    Answer = 2,
    /// The same, and from then on nobody is let through.
    AnswerAndAll = 3,
    /// Nobody is let through.
    All = 4,
    /// It is not passed on, and from then on nobody is let through.
    RequestAndAll = 5,
}

/// Stands between us and the server.
pub(super) struct Proxy {
    pub(super) port: u16,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    pub(super) fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, cut) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(Cut::Nothing as u8)));
        let shared = cut.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.load(Ordering::SeqCst) == Cut::All as u8 {
                    continue;
                }
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
                let (from, to, shared) = (client.try_clone().unwrap(), server.try_clone().unwrap(), shared.clone());
                thread::spawn(move || forward(from, to, &shared));
                thread::spawn(move || copy(server, client));
            }
        });
        Self { port, cut }
    }

    pub(super) fn set(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }
}

/// Passes on what the server says.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Passes on what we say, until the end of a transaction is to be cut.
fn forward(mut from: TcpStream, mut to: TcpStream, cut: &AtomicU8) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let is_end = buffer[..count].windows(8).any(|it| it == b"QCOMMIT\0" || it.ends_with(b"COMMIT\0"));
        let wanted = cut.load(Ordering::SeqCst);
        if wanted == Cut::Nothing as u8 || !is_end {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            continue;
        }
        let is_of_all = [Cut::AnswerAndAll as u8, Cut::RequestAndAll as u8].contains(&wanted);
        cut.store(if is_of_all { Cut::All } else { Cut::Nothing } as u8, Ordering::SeqCst);
        if ![Cut::Request as u8, Cut::RequestAndAll as u8].contains(&wanted) {
            // Nothing that the server says from here on comes to us.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.write_all(&buffer[..count]);
            thread::sleep(Duration::from_millis(300));
        }
        break;
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

pub(super) fn row(of: &AlertId) -> OutboxRow {
    OutboxRow {
        subject: Subject::Alert(*of),
        destination: "d".into(),
        kind: "raised".into(),
        occurrence: 0,
        repeat: None,
        payload: "{}".into(),
    }
}

/// Commits two alerts through a proxy that cuts the end as `cut` says; `tries` are how often it is asked until it is done.
fn check_cut(cut: Cut, is_ahead: bool, tries: usize) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_of(&folder);
    let proxy = Proxy::start(settings.hosts[0].1);
    let hosts = vec![("127.0.0.1".to_owned(), proxy.port)];
    let store = PostgresStore::open(&Settings { hosts, ..settings.clone() }).unwrap();
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts = [alert(1), alert(2)];
    let outbox = alerts.each_ref().map(|it| row(&it.id));
    let to = Position(if is_ahead { 0 } else { 7 });
    let commit = Commit { lease, to, alerts: &alerts, outbox: &outbox, proposals: &[], now: Timestamp(1) };
    proxy.set(cut);
    let mut asked = 0;
    let committed = loop {
        asked += 1;
        match store.commit(&commit) {
            Ok(committed) => break committed,
            Err(error) => assert!(error.is_transient(), "{cut:?}: {error}"),
        }
        proxy.set(Cut::Nothing);
    };
    assert_eq!(asked, tries, "{cut:?}");
    assert_eq!(committed.raised, alerts.each_ref().map(|it| it.id), "{cut:?}");
    let beside = PostgresStore::open(&settings).unwrap();
    assert_eq!(beside.position(PartitionId(0)).unwrap(), to);
    assert_eq!(beside.deliveries(&DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).unwrap().len(), 2);
    let found = beside.alerts(&AlertQuery { limit: 9, ..AlertQuery::default() }).unwrap();
    assert_eq!(found.into_iter().map(|it| it.alert.count).collect::<Vec<_>>(), [5, 5]);
    // It goes on from there, and an owner that was before is still fenced off.
    let next = Commit { lease: Lease { position: to, ..lease }, to: Position(9), outbox: &[], ..commit };
    assert_eq!(store.commit(&next).unwrap(), Committed::default());
    assert!(matches!(store.commit(&commit), Err(StoreError::Fenced { .. })));
}

#[test]
fn a_commit_that_did_not_arrive_is_done_again() {
    if !is_left_out() {
        check_cut(Cut::Request, false, 1);
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_to_be_done() {
    if !is_left_out() {
        check_cut(Cut::Answer, false, 1);
    }
}

#[test]
fn a_commit_of_which_nothing_is_known_is_told_apart_when_it_is_tried_again() {
    if !is_left_out() {
        check_cut(Cut::AnswerAndAll, false, 2);
        check_cut(Cut::AnswerAndAll, true, 2);
    }
}

#[test]
fn a_doubtful_commit_of_an_owner_that_was_is_fenced_off() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_of(&folder);
    let proxy = Proxy::start(settings.hosts[0].1);
    let hosts = vec![("127.0.0.1".to_owned(), proxy.port)];
    let store = PostgresStore::open(&Settings { hosts, ..settings.clone() }).unwrap();
    let lease = store.acquire(PartitionId(0)).unwrap();
    let commit = Commit { lease, to: Position(7), alerts: &[alert(1)], outbox: &[], proposals: &[], now: Timestamp(1) };
    proxy.set(Cut::AnswerAndAll);
    assert!(store.commit(&commit).unwrap_err().is_transient());
    proxy.set(Cut::Nothing);
    assert_eq!(PostgresStore::open(&settings).unwrap().acquire(PartitionId(0)).unwrap().position, Position(7));
    assert!(matches!(store.commit(&commit), Err(StoreError::Fenced { .. })));
}

#[test]
fn a_server_that_is_killed_amid_commits_loses_and_doubles_nothing() {
    if is_left_out() {
        return;
    }
    let mut server = OwnServer::start(None);
    let store = server.open(&server.settings());
    let rounds = 4;
    let stop = AtomicBool::new(false);
    let (raised, commits) = thread::scope(|scope| {
        let owner = scope.spawn(|| commit_until(&store, &stop));
        let _stop = Stop(&stop);
        for round in 0..rounds {
            thread::sleep(Duration::from_millis(300 + 70 * round));
            server.kill();
            let began = Instant::now();
            // Its sessions end by themselves a moment later.
            while store.is_available() {
                assert!(began.elapsed() < Duration::from_secs(3), "it is still said to be there");
            }
            // Nothing that was kept is taken for new while nobody is heard.
            let began = Instant::now();
            while store.generation() == store.generation() {
                assert!(began.elapsed() < PATIENCE, "the loss is not noticed");
            }
            server.revive();
            while !store.is_available() {
                assert!(began.elapsed() < PATIENCE, "it does not come back");
                thread::sleep(Duration::from_millis(20));
            }
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::SeqCst);
        owner.join().unwrap()
    });
    assert!(rounds < commits, "{commits} commits in {rounds} rounds");
    check_commits(&store, raised, commits);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/fixtures/tls-for-tests-only").join(name)
}

/// Believes who has this certificate.
fn believing(name: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(name)).unwrap()).unwrap();
    TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

#[test]
fn tls_is_spoken_as_the_mode_says() {
    if is_left_out() {
        return;
    }
    let server = OwnServer::start(Some([fixture("first.crt"), fixture("first.key")]));
    let host = |host: &str| vec![(host.to_owned(), server.port)];
    let plain = Settings { ssl_mode: SslMode::Disable, ..server.settings() };
    drop(server.open(&plain));
    let is_tls = |settings: Settings| {
        let store = PostgresStore::open(&settings).map_err(|it| it.is_transient())?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        store.read(async |it| it.value::<bool>(sql, &[]).await).map_err(|it| it.is_transient())
    };
    assert_eq!(is_tls(plain.clone()), Ok(false));
    for ssl_mode in [SslMode::Prefer, SslMode::Require] {
        assert_eq!(is_tls(Settings { ssl_mode, ..plain.clone() }), Ok(true), "{ssl_mode:?}");
    }
    let verified = |hosts: Vec<(String, u16)>, certificate: &str| {
        let connector = Some(believing(certificate));
        is_tls(Settings { ssl_mode: SslMode::VerifyFull, connector, hosts, ..plain.clone() })
    };
    assert_eq!(verified(host("localhost"), "first.crt"), Ok(true));
    assert_eq!(verified(host("localhost"), "second.crt"), Err(true), "an authority that is not believed");
    assert_eq!(verified(host("127.0.0.2"), "first.crt"), Err(true), "a host of another name");
    let error = PostgresStore::open(&Settings { ssl_mode: SslMode::VerifyFull, ..plain.clone() }).err().unwrap();
    assert!(!error.is_transient(), "{error}");
    let wrong = Settings { password: Password::new(String::new()), ..plain };
    assert!(!PostgresStore::open(&wrong).err().unwrap().is_transient());
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_required() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_of(&folder);
    assert!(PostgresStore::open(&Settings { ssl_mode: SslMode::Require, ..settings }).is_err());
}
