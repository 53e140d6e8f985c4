//! What is SQLite's own: the file, its format, and two openers at once. The rest is in the conformance suite.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use rusqlite::Connection;

use super::*;
use crate::store::conformance::alert;

fn open(folder: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&folder.path().join("store.db")).unwrap()
}

super::super::conformance::suite!(|folder| super::open(folder));
super::super::decisions_conformance::suite!(|folder| super::open(folder));
super::super::outbox_conformance::suite!(|folder| super::open(folder));

#[test]
fn only_its_owner_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(&folder);
    let modes: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|it| it.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600; 3]);
}

#[test]
fn leaves_the_file_of_a_later_version_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", schema::FORMAT + 1).unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("the store is in format {}, and this version reads up to {}", schema::FORMAT + 1, schema::FORMAT)
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn says_what_is_wrong_with_a_file_that_is_none_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, [7; 8192]).unwrap();
    assert_eq!(SqliteStore::open(&path).err().unwrap().to_string(), "the store holds a broken file");
    let missing = SqliteStore::open(&folder.path().join("no/store.db")).err().unwrap();
    assert!(missing.is_transient(), "{missing}");
}

#[test]
fn a_broken_row_is_told_and_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lease = store.acquire(PartitionId(0)).unwrap();
    let commit = Commit { lease, to: Position(1), alerts: &[alert(1)], outbox: &[], proposals: &[], now: Timestamp(1) };
    store.commit(&commit).unwrap();
    store.connections.writer().execute("UPDATE stored_alerts SET body = '{}'", []).unwrap();
    let error = store.alert(alert(1).id).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.is_transient()), ("the store holds a broken alert", false));
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        let openers: Vec<_> = (0..6).map(|_| scope.spawn(|| open(&folder).acquire(PartitionId(0)).unwrap())).collect();
        let mut epochs: Vec<_> = openers.into_iter().map(|it| it.join().unwrap().epoch).collect();
        epochs.sort_unstable();
        assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn a_commit_while_another_process_writes_is_unavailable_and_works_later() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (open(&folder), open(&folder));
    store.connections.writer().busy_timeout(Duration::ZERO).unwrap();
    let writer = other.connections.writer();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(store.acquire(PartitionId(0)).unwrap_err().is_transient());
    assert_eq!(store.position(PartitionId(0)).unwrap(), Position::START);
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.acquire(PartitionId(0)).unwrap().epoch, 1);
}

#[test]
fn closed_alerts_go_when_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts: Vec<_> = (0..4).map(alert).collect();
    let commit = Commit { lease, to: Position(1), alerts: &alerts, outbox: &[], proposals: &[], now: Timestamp(1) };
    store.commit(&commit).unwrap();
    let close = "UPDATE stored_alerts SET status = 'closed', updated_at = last_seen \
         WHERE id <> (SELECT id FROM stored_alerts ORDER BY last_seen LIMIT 1 OFFSET 1)";
    store.connections.writer().execute(close, []).unwrap();
    let now = Timestamp(alerts[3].last_seen.0 + 10);
    let generation = store.generation();
    assert_eq!(store.prune(now, Duration::from_nanos(10), 1).unwrap(), 1);
    assert_ne!(store.generation(), generation);
    assert_eq!(store.prune(now, Duration::from_nanos(10), 9).unwrap(), 1);
    let left: Vec<_> = store.alerts(&AlertQuery { limit: 9, ..AlertQuery::default() }).unwrap();
    assert_eq!(left.iter().map(|it| it.alert.id).collect::<Vec<_>>(), [alerts[3].id, alerts[1].id]);
}

#[test]
fn a_line_of_the_audit_that_was_changed_or_taken_out_shows() {
    for (tampering, expected) in [
        ("UPDATE audit SET reason = 'another' WHERE number = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 2", 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        for number in 0..5 {
            let entry = crate::store::decisions::AuditEntry {
                at: Timestamp(number),
                actor: "anna".into(),
                action: "switch".into(),
                subject: "x".into(),
                reason: "why".into(),
            };
            crate::store::decisions::DecisionStore::set_switch(&store, "x", "1", &entry).unwrap();
        }
        store.connections.writer().execute(tampering, []).unwrap();
        assert_eq!(crate::store::decisions::DecisionStore::check_audit(&store).unwrap(), Some(expected), "{tampering}");
    }
}

#[test]
fn the_tables_of_other_systems_are_there_as_views() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lease = store.acquire(PartitionId(0)).unwrap();
    let alerts = crate::store::conformance::alerts_for_views();
    let now = Timestamp(1_795_176_000_000_000_000);
    store.commit(&Commit { lease, to: Position(1), alerts: &alerts, outbox: &[], proposals: &[], now }).unwrap();
    let reader = store.connections.reader().unwrap();
    for (view, columns) in crate::store::conformance::VIEWS {
        let rows: i64 = reader.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get(0)).unwrap();
        let expected = match view {
            "anomalies" => 0,
            "service_state" | "system_config" => 1,
            _ => alerts.len() as i64,
        };
        assert_eq!(rows, expected, "{view}");
        for (column, _) in columns {
            let sql = format!("SELECT \"{column}\" FROM {view}");
            let mut statement = reader.prepare(&sql).unwrap();
            let mut rows = statement.query([]).unwrap();
            while rows.next().unwrap_or_else(|error| panic!("{sql}: {error}")).is_some() {}
        }
    }
    let shown: String = reader
        .query_row(
            "SELECT event_type || ' ' || severity || ' ' || ip || ' ' || occurred_at || ' ' || path || ' ' || status_code \
             FROM anormal_events WHERE event_type = 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(shown, "1 3 10.0.0.1 2026-11-20T12:01:01.250 /a 403");
    let sql = "SELECT type || ' ' || timestamp || ' ' || attacks FROM security_events WHERE type = 'sql_injection'";
    let shown: String = reader.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(shown, "sql_injection 2026-11-20T12:01:00Z 5");
    let sql =
        "SELECT severity || ' ' || src_ip || ' ' || dst_ip || ' ' || ingested_at FROM alerts WHERE country = 'DE'";
    let shown: String = reader.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(shown, "critical 10.0.0.1 10.9.9.9 2026-11-20T12:00:00.000Z");
}
