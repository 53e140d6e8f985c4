//! What every store must do, as tests that each backend runs: `suite!(|folder| open(folder))`.
//!
//! `open` opens the same store again when it is called again with the same folder, as a restart or a second process
//! does.

pub(crate) mod access;
pub(crate) mod commits;
pub(crate) mod lives;
pub(crate) mod queries;

use model::alert::{Alert, AlertStatus};
use model::entity::Entity;
use model::id::{AlertId, EventId};
use model::place::{PartitionId, Position};
use model::severity::Severity;
use model::time::Timestamp;

use super::outbox::{OutboxRow, Subject};

use super::{AlertQuery, Commit, Committed, Key, Lease, Scope, Store, StoredAlert};

const PARTITION: PartitionId = PartitionId(3);
const NOW: Timestamp = Timestamp(1_000_000);

/// Texts that are syntax somewhere; here they are data.
const HOSTILE: [&str; 10] =
    ["'; DROP TABLE alerts; --", "\" OR 1=1 --", "%", "_", "*", "a\0b", "\\", "?1", "", "\u{202e}\u{fffd}\u{1f600}"];

/// The views that stand for the tables of other systems, with the columns and PostgreSQL's types of each.
pub(crate) const VIEWS: [(&str, &[(&str, &str)]); 6] = [
    (
        "anormal_events",
        &[
            ("id", "bigint"),
            ("service_name", "text"),
            ("ip", "inet"),
            ("event_type", "integer"),
            ("severity", "smallint"),
            ("description", "text"),
            ("occurred_at", "timestamp without time zone"),
            ("request_id", "text"),
            ("method", "text"),
            ("path", "text"),
            ("status_code", "integer"),
            ("user_agent", "text"),
            ("request", "jsonb"),
        ],
    ),
    (
        "alerts",
        &[
            ("id", "text"),
            ("source", "text"),
            ("severity", "text"),
            ("description", "text"),
            ("src_ip", "inet"),
            ("dst_ip", "inet"),
            ("created_at", "timestamp with time zone"),
            ("country", "text"),
            ("user", "text"),
            ("ingested_at", "timestamp with time zone"),
        ],
    ),
    (
        "service_state",
        &[
            ("id", "integer"),
            ("last_sync_time", "timestamp with time zone"),
            ("last_success_time", "timestamp with time zone"),
            ("last_event_time", "timestamp with time zone"),
            ("last_error", "text"),
            ("current_status", "text"),
        ],
    ),
    ("system_config", &[("id", "integer"), ("sync_interval_minutes", "integer")]),
    (
        "anomalies",
        &[
            ("id", "integer"),
            ("request_id", "character varying"),
            ("event_id", "character varying"),
            ("role_id", "character varying"),
            ("event_type", "character varying"),
            ("event_timestamp", "timestamp with time zone"),
            ("affected_assets", "ARRAY"),
            ("anomaly_score", "double precision"),
        ],
    ),
    (
        "security_events",
        &[
            ("id", "bigint"),
            ("created_at", "timestamp with time zone"),
            ("updated_at", "timestamp with time zone"),
            ("type", "text"),
            ("client_ip", "text"),
            ("timestamp", "timestamp with time zone"),
            ("attacks", "integer"),
            ("details", "text"),
        ],
    ),
];

/// Alerts as the views show them: an ordinary one, one without most things, and hostile ones.
pub(crate) fn alerts_for_views() -> Vec<Alert> {
    let attack = Alert {
        kind: "sql_injection".into(),
        severity: Severity::Critical,
        last_seen: Timestamp(1_795_176_061_250_000_000),
        timestamp: Timestamp(1_795_176_061_250_000_000),
        dst_ip: Some([10, 9, 9, 9].into()),
        country: Some("DE".into()),
        event: r#"{"method":"GET","path":"/a","status_code":403,"user_agent":"curl"}"#.into(),
        ..alert(1)
    };
    let bare = Alert { client_ip: None, user: None, event: String::new(), evidence: Vec::new(), ..alert(2) };
    let hostile = HOSTILE.iter().zip(10..).map(|(text, number)| Alert {
        event: (*text).into(),
        title: (*text).into(),
        user: Some((*text).into()),
        count: u64::MAX,
        ..alert(number)
    });
    [attack, bare].into_iter().chain(hostile).collect()
}

/// Runs every conformance test against the store that `$open` opens in a folder.
macro_rules! suite {
    ($open:expr) => {
        mod conformance {
            use $crate::store::conformance as tests;
            $crate::each_test!($open,
                commits:
                    a_commit_stores_alerts_and_position
                    keeps_everything_over_a_restart
                    the_same_incarnation_replaces
                    a_later_incarnation_adds_and_an_earlier_one_changes_nothing
                    a_replaced_incarnation_keeps_what_the_ones_before_counted
                    united_evidence_keeps_both_ends
                    a_repeated_alert_changes_nothing
                    an_owner_before_is_fenced_off
                    a_wrong_position_is_fenced_off
                    partitions_do_not_touch_one_another
                    a_commit_is_all_or_nothing
                    two_openers_see_one_another
                    a_large_commit_is_one_commit
                    the_generation_moves_with_the_alerts;
                queries:
                    every_filter_returns_what_holds_and_nothing_else
                    spans_of_time_include_their_start_and_not_their_end
                    pages_give_every_alert_once
                    hostile_texts_are_data
                    each_alert_comes_by_rising_id
                    ids_are_found_by_their_beginning;
                access:
                    keys_are_added_replaced_and_removed
                    a_key_tells_when_it_was_last_used
                    a_token_works_until_it_expires
                    a_token_is_taken_once
                    an_open_store_is_available_and_has_a_size;
                lives:
                    a_life_is_kept_with_who_gave_it
                    a_closed_alert_that_grows_stays_closed_and_counts
                    a_long_history_loses_its_oldest
                    closed_alerts_go_when_nothing_changed_for_long_enough
                    prunes_expired_tokens_and_open_alerts_stay;
            );
        }
    };
}
pub(crate) use suite;

/// Makes an alert; those of higher numbers are seen later.
pub(crate) fn alert(number: u64) -> Alert {
    let address = [10, 0, (number >> 8) as u8, number as u8].into();
    let time = |offset: i64| Timestamp(number as i64 * 1000 + offset);
    Alert {
        id: AlertId::of_rule("sshd-bruteforce", "v1", &number.to_string(), Timestamp(0)),
        rule_id: "sshd-bruteforce".into(),
        rule_version: "v1".into(),
        title: format!("Failed logins from {address}"),
        kind: "bruteforce".into(),
        severity: Severity::Medium,
        confidence: 70,
        status: AlertStatus::New,
        entity: Entity::of_ip(address),
        client_ip: Some(address),
        dst_ip: None,
        count: 5,
        first_seen: time(-100),
        last_seen: time(0),
        window_start: Timestamp(0),
        timestamp: time(-50),
        details: "5 failed logins".into(),
        reason: "5 events within 1 minute".into(),
        description: "Somebody guesses passwords".into(),
        detector: "sigma".into(),
        source: "auth".into(),
        country: None,
        user: Some("root".into()),
        matched: vec![("message".into(), "Failed password for root".into())],
        evidence: vec![EventId(u128::from(number))],
        event: r#"{"message":"Failed password for root"}"#.into(),
        synthetic: false,
        incarnation: 100,
    }
}

fn row(of: &Alert) -> OutboxRow {
    OutboxRow {
        subject: Subject::Alert(of.id),
        destination: "slack".into(),
        kind: "raised".into(),
        occurrence: 0,
        repeat: None,
        payload: "{}".into(),
    }
}

fn commit(store: &impl Store, lease: &mut Lease, alerts: &[Alert]) -> Committed {
    let to = Position(lease.position.0 + 1);
    let done = store.commit(&Commit { lease: *lease, to, alerts, outbox: &[], proposals: &[], now: NOW });
    lease.position = to;
    done.expect("the owner may commit")
}

fn acquire(store: &impl Store) -> Lease {
    store.acquire(PARTITION).expect("the store of a test answers")
}

fn all() -> AlertQuery {
    AlertQuery { limit: 1000, ..AlertQuery::default() }
}

fn listed(store: &impl Store, query: &AlertQuery) -> Vec<Alert> {
    let found = store.alerts(query).expect("the store of a test answers");
    found.into_iter().map(|it| it.alert).collect()
}

fn stored(store: &impl Store, id: AlertId) -> StoredAlert {
    store.alert(id).expect("the store of a test answers").expect("the alert is there")
}

fn key(name: &str) -> Key {
    Key {
        name: name.to_owned(),
        scope: Scope::Ingest,
        digest: [7; 32],
        rate_per_second: Some(2.5),
        created_at: Timestamp(1),
        expires_at: None,
        last_used_at: None,
    }
}
