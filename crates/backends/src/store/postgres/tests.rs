//! What is PostgreSQL's own: formats, who may come in, several processes at once, and its texts. The rest is in the
//! conformance suite; what goes wrong between us and the server is in `faults`.

use std::thread;

use model::alert::Alert;
use tempfile::TempDir;

use super::*;
use crate::servers;
use crate::store::conformance::alert;

/// A schema of its own for each folder.
pub(super) fn settings_of(folder: &TempDir) -> Settings {
    let address = servers::address("BARTIZAN_TEST_POSTGRES").expect("the test has looked");
    let name = model::id::digest128(&[folder.path().as_os_str().as_encoded_bytes()]);
    Settings { connections_max: 8, ..Settings::of_url(&format!("{address}?schema=t_{name:032x}")).unwrap() }
}

pub(super) fn open(folder: &TempDir) -> PostgresStore {
    PostgresStore::open(&settings_of(folder)).unwrap()
}

super::super::conformance::suite!(|folder| super::open(folder));
super::super::decisions_conformance::suite!(|folder| super::open(folder));
super::super::outbox_conformance::suite!(|folder| super::open(folder));

/// Runs statements as somebody beside us.
pub(super) fn run(folder: &TempDir, sql: &str) {
    let connections = Connections::new(&settings_of(folder)).unwrap();
    let session = connections.connect_first().unwrap();
    wait(session.run(sql), Duration::from_secs(30)).unwrap().map_err(Fault::told).unwrap();
}

/// Whether a test of this module is left out.
fn is_left_out() -> bool {
    servers::is_left_out(module_path!())
}

fn commit_one(store: &PostgresStore, number: u64) {
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts = [alert(number)];
    let to = Position(lease.position.0 + 1);
    store.commit(&Commit { lease, to, alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) }).unwrap();
}

#[test]
fn leaves_the_tables_of_a_later_version_as_they_are() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let later = schema::FORMAT + 1;
    run(&folder, &format!("UPDATE store_format SET format = {later}"));
    let error = PostgresStore::open(&settings_of(&folder)).err().unwrap();
    let expected = format!("the store is in format {later}, and this version reads up to {}", schema::FORMAT);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn who_may_not_come_in_is_told_at_once_and_who_is_not_there_may_come() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_of(&folder);
    let refused = |settings: Settings| PostgresStore::open(&settings).err().unwrap();
    let error = refused(Settings { password: settings::Password::new("no".to_owned()), ..settings.clone() });
    assert!(matches!(&error, StoreError::Refused(text) if text.contains("password authentication failed")), "{error}");
    let error = refused(Settings { database: "nowhere".to_owned(), ..settings.clone() });
    assert!(matches!(&error, StoreError::Refused(text) if text.contains("does not exist")), "{error}");
    let error = refused(Settings { hosts: vec![("127.0.0.1".to_owned(), 1)], ..settings.clone() });
    assert!(error.is_transient(), "{error}");
    // The first host that is there is used.
    let mut hosts = settings.hosts.clone();
    hosts.insert(0, ("127.0.0.1".to_owned(), 1));
    assert!(PostgresStore::open(&Settings { hosts, ..settings }).unwrap().is_available());
}

#[test]
fn many_may_open_a_new_schema_at_once() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        let openers: Vec<_> = (0..6).map(|_| scope.spawn(|| open(&folder).acquire(PartitionId(0)).unwrap())).collect();
        let mut epochs: Vec<_> = openers.into_iter().map(|it| it.join().unwrap().epoch).collect();
        epochs.sort_unstable();
        assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn a_broken_row_is_told_and_is_no_panic() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    commit_one(&store, 1);
    run(&folder, "UPDATE stored_alerts SET body = '{}'");
    let error = store.alert(alert(1).id).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.is_transient()), ("the store holds a broken alert", false));
    run(&folder, "UPDATE stored_alerts SET id = 'x'");
    assert_eq!(
        store.alert_ids(AlertId(0), AlertId(u128::MAX), 9).unwrap_err().to_string(),
        "the store holds a broken id"
    );
}

#[test]
fn texts_may_be_longer_than_an_entry_of_an_index() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lease = store.acquire(PartitionId(0)).unwrap();
    // It does not compress.
    let long = |salt: u8| -> String {
        let digests = (0..1000_u32).map(|it| model::id::digest128(&[&[salt], &it.to_le_bytes()]));
        "same beginning of sixty-four characters and more, same for both:"
            .chars()
            .chain(digests.map(|it| format!("{it:032x}")).collect::<String>().chars())
            .collect()
    };
    let of = |number: u64, salt: u8| Alert {
        user: Some(long(salt)),
        source: long(salt),
        country: Some(long(salt)),
        ..alert(number)
    };
    let alerts = [of(1, 1), of(2, 2)];
    let commit = Commit { lease, to: Position(1), alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) };
    store.commit(&commit).unwrap();
    let query = AlertQuery { user: Some(long(2)), source: Some(long(2)), limit: 9, ..AlertQuery::default() };
    let found = store.alerts(&query).unwrap();
    assert_eq!(found.iter().map(|it| &it.alert).collect::<Vec<_>>(), [&alerts[1]]);
}

#[test]
fn two_partitions_store_the_same_alerts_at_once() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(&folder), open(&folder));
    let alerts: Vec<_> = (0..200).map(alert).collect();
    let mut turned = alerts.clone();
    turned.reverse();
    let store = |store: &PostgresStore, partition: u32, alerts: &[Alert]| {
        let mut lease = store.acquire(PartitionId(partition)).unwrap();
        let mut raised = 0;
        for round in 0..10 {
            let alerts: Vec<_> = alerts.iter().map(|it| Alert { count: 5 + round, ..it.clone() }).collect();
            let to = Position(lease.position.0 + 1);
            let commit = Commit { lease, to, alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) };
            raised += store.commit(&commit).unwrap().raised.len();
            lease.position = to;
        }
        raised
    };
    let raised = thread::scope(|scope| {
        let first = scope.spawn(|| store(&one, 1, &alerts));
        let second = scope.spawn(|| store(&other, 2, &turned));
        first.join().unwrap() + second.join().unwrap()
    });
    assert_eq!(raised, 200, "each is raised once");
}

#[test]
fn what_another_process_commits_makes_stale_what_was_read() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(&folder), open(&folder));
    commit_one(&one, 1);
    let before = other.generation();
    commit_one(&one, 2);
    let began = std::time::Instant::now();
    while other.generation() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "it was not told");
        thread::sleep(Duration::from_millis(1));
    }
    // Nothing more comes of it, and nothing of what only reads.
    thread::sleep(Duration::from_millis(50));
    let settled = other.generation();
    other.alerts(&AlertQuery { limit: 1, ..AlertQuery::default() }).unwrap();
    assert_eq!(other.generation(), settled);
}

#[test]
fn a_list_that_is_broken_off_leaves_a_store_that_answers() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = PostgresStore::open(&Settings { connections_max: 1, ..settings_of(&folder) }).unwrap();
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts: Vec<_> = (0..300).map(alert).collect();
    store
        .commit(&Commit { lease, to: Position(1), alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) })
        .unwrap();
    for stop in [1, 290, 300] {
        let mut seen = 0;
        let mut see = |_: StoredAlert| {
            seen += 1;
            if seen == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.list(&AlertQuery { limit: 1000, ..AlertQuery::default() }, &mut see).unwrap();
        assert_eq!(seen, stop);
    }
}

/// Asks as somebody beside us; the answer is one text.
fn ask(folder: &TempDir, sql: &str) -> Option<String> {
    let connections = Connections::new(&settings_of(folder)).unwrap();
    let session = connections.connect_first().unwrap();
    let asked = async { session.value::<Option<String>>(sql, &[]).await };
    wait(asked, Duration::from_secs(30))
        .unwrap()
        .map_err(Fault::told)
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

#[test]
fn the_tables_of_other_systems_are_there_as_views() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts = crate::store::conformance::alerts_for_views();
    let now = Timestamp(1_795_176_000_000_000_000);
    store.commit(&Commit { lease, to: Position(1), alerts: &alerts, outbox: &[], proposals: &[], now }).unwrap();
    for (view, columns) in crate::store::conformance::VIEWS {
        let expected: Vec<_> = columns.iter().map(|(column, kind)| format!("{column} {kind}")).collect();
        let sql = format!(
            "SELECT string_agg(column_name || ' ' || data_type, ',' ORDER BY ordinal_position) \
             FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = '{view}'"
        );
        assert_eq!(ask(&folder, &sql), Some(expected.join(",")), "{view}");
        let rows = match view {
            "anomalies" => 0,
            "service_state" | "system_config" => 1,
            _ => alerts.len(),
        };
        // Every value of every column is made.
        let sql = format!("SELECT (count(*) + 0 * coalesce(sum(length(it::text)), 0))::bigint::text FROM {view} AS it");
        assert_eq!(ask(&folder, &sql), Some(rows.to_string()), "{view}");
    }
    let shown = "SELECT concat_ws(' ', event_type, severity, ip, occurred_at, path, status_code) FROM anormal_events \
         WHERE event_type = 1";
    assert_eq!(ask(&folder, shown).as_deref(), Some("1 3 10.0.0.1 2026-11-20 12:01:01.25 /a 403"));
    let shown = "SELECT concat_ws(' ', type, timestamp, attacks) FROM security_events WHERE type = 'sql_injection'";
    assert_eq!(ask(&folder, shown).as_deref(), Some("sql_injection 2026-11-20 12:01:00+00 5"));
    let shown = "SELECT concat_ws(' ', severity, src_ip, dst_ip, ingested_at) FROM alerts WHERE country = 'DE'";
    assert_eq!(ask(&folder, shown).as_deref(), Some("critical 10.0.0.1 10.9.9.9 2026-11-20 12:00:00+00"));
}
