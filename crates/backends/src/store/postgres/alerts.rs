//! The alerts: how a commit stores them and how a list asks for them.

use std::collections::HashMap;
use std::net::IpAddr;

use model::alert::{Alert, AlertStatus};
use model::id::AlertId;
use model::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::Fault;
use super::session::{Session, cell, id_of, key_of, text_of};
use super::text::stored;
use crate::store::unite::{Counted, Written};
use crate::store::{AlertQuery, StoreError, StoredAlert, alert_body, limit_of};

const COLUMNS: &str = "status, created_at, updated_at, body";

/// Locked by rising id, so that two commits that store the same alerts wait for one another instead of for ever.
const LOCK: &str = "SELECT id, body FROM stored_alerts WHERE id = ANY($1) ORDER BY id FOR UPDATE";

const INSERT: &str = "INSERT INTO stored_alerts (id, kind, severity, country, username, client_ip, source, rule_id, \
     first_seen, last_seen, body, status, created_at, updated_at) \
     SELECT new.*, $13, $13 FROM unnest($1::bytea[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::bytea[], \
     $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::text[]) AS new \
     ON CONFLICT (id) DO NOTHING RETURNING id";

const UPDATE: &str = "UPDATE stored_alerts AS it SET kind = new.kind, severity = new.severity, country = new.country, \
     username = new.username, client_ip = new.client_ip, source = new.source, rule_id = new.rule_id, \
     first_seen = new.first_seen, last_seen = new.last_seen, updated_at = $12, body = new.body \
     FROM unnest($1::bytea[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[], \
     $9::bigint[], $10::bigint[], $11::text[]) AS new (id, kind, severity, country, username, client_ip, source, rule_id, \
     first_seen, last_seen, body) WHERE it.id = new.id";

/// How many alerts one statement stores: some hundred kilobytes.
const ALERTS_AT_ONCE: usize = 1000;
/// How often an alert that another stored in the same moment is looked for again; it is there the first time.
const TRIES: usize = 5;

/// What a commit makes of an alert.
struct Change {
    counted: Counted,
    /// Whether it is not stored yet.
    is_new: bool,
    written: Written,
}

/// Stores alerts, each united with what is there of it. Returns what became of each, in their order.
pub(super) async fn write(session: &Session, alerts: &[Alert], now: Timestamp) -> Result<Vec<Written>, Fault> {
    let mut written = Vec::with_capacity(alerts.len());
    for part in alerts.chunks(ALERTS_AT_ONCE) {
        written.extend(write_part(session, part, now).await?);
    }
    Ok(written)
}

async fn write_part(session: &Session, alerts: &[Alert], now: Timestamp) -> Result<Vec<Written>, Fault> {
    for _ in 0..TRIES {
        let (changes, written) = plan(session, alerts).await?;
        if insert(session, &changes, now).await? {
            update(session, &changes, now).await?;
            return Ok(written);
        }
    }
    Err(StoreError::broken("alert").into())
}

/// Looks at what is stored, and says what is to become of it.
async fn plan(session: &Session, alerts: &[Alert]) -> Result<(Vec<Change>, Vec<Written>), Fault> {
    let keys: Vec<_> = alerts.iter().map(|it| key_of(it.id.0)).collect();
    let mut places = HashMap::with_capacity(alerts.len());
    let mut changes: Vec<Change> = Vec::with_capacity(alerts.len());
    for row in session.rows(LOCK, &[&keys]).await? {
        let counted = counted_of(&row, 1)?;
        places.insert(AlertId(id_of(&row, 0)?), changes.len());
        changes.push(Change { counted, is_new: false, written: Written::Unchanged });
    }
    let mut written = Vec::with_capacity(alerts.len());
    for alert in alerts {
        let became = match places.get(&alert.id).and_then(|at| changes.get_mut(*at)) {
            None => {
                places.insert(alert.id, changes.len());
                let counted = Counted { earlier: None, last: alert.clone() };
                changes.push(Change { counted, is_new: true, written: Written::Raised });
                Written::Raised
            }
            Some(change) => {
                let is_changed = change.counted.take(alert);
                if is_changed {
                    change.written = Written::Changed;
                }
                if is_changed { Written::Changed } else { Written::Unchanged }
            }
        };
        written.push(became);
    }
    changes.sort_unstable_by_key(|it| it.counted.last.id);
    Ok((changes, written))
}

/// The columns of alerts, each as a list.
#[derive(Default)]
struct Columns {
    ids: Vec<Vec<u8>>,
    kinds: Vec<String>,
    severities: Vec<i16>,
    countries: Vec<Option<String>>,
    users: Vec<Option<String>>,
    addresses: Vec<Option<Vec<u8>>>,
    sources: Vec<String>,
    rules: Vec<String>,
    first_seen: Vec<i64>,
    last_seen: Vec<i64>,
    bodies: Vec<String>,
    statuses: Vec<&'static str>,
}

impl Columns {
    fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut columns = Self::default();
        changes.for_each(|it| columns.add(&it.counted));
        columns
    }

    fn add(&mut self, counted: &Counted) {
        let alert = counted.whole();
        let optional = |it: &Option<String>| it.as_deref().map(|it| stored(it).into_owned());
        self.ids.push(key_of(alert.id.0));
        self.kinds.push(stored(&alert.kind).into_owned());
        self.severities.push(i16::from(alert.severity.rank()));
        self.countries.push(optional(&alert.country));
        self.users.push(optional(&alert.user));
        self.addresses.push(alert.client_ip.map(bytes_of));
        self.sources.push(stored(&alert.source).into_owned());
        self.rules.push(stored(&alert.rule_id).into_owned());
        self.first_seen.push(alert.first_seen.0);
        self.last_seen.push(alert.last_seen.0);
        // JSON writes a NUL as six characters.
        self.bodies.push(stored(&alert_body::encode(counted)).into_owned());
        self.statuses.push(alert.status.as_str());
    }

    /// The first eleven, as the values of a statement.
    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.kinds,
            &self.severities,
            &self.countries,
            &self.users,
            &self.addresses,
            &self.sources,
            &self.rules,
            &self.first_seen,
            &self.last_seen,
            &self.bodies,
        ]
    }
}

/// Stores the new ones; `false` when another stored one of them meanwhile, and what is to become of all must be found anew.
async fn insert(session: &Session, changes: &[Change], now: Timestamp) -> Result<bool, Fault> {
    let columns = Columns::of(changes.iter().filter(|it| it.is_new));
    if columns.ids.is_empty() {
        return Ok(true);
    }
    let mut values = columns.values();
    values.extend([&columns.statuses as &(dyn ToSql + Sync), &now.0]);
    let inserted = session.rows(INSERT, &values).await?;
    if inserted.len() == columns.ids.len() {
        return Ok(true);
    }
    let mine = inserted.iter().map(|it| cell(it, 0)).collect::<Result<Vec<Vec<u8>>, _>>()?;
    session.execute("DELETE FROM stored_alerts WHERE id = ANY($1)", &[&mine]).await?;
    Ok(false)
}

async fn update(session: &Session, changes: &[Change], now: Timestamp) -> Result<(), Fault> {
    let columns = Columns::of(changes.iter().filter(|it| !it.is_new && it.written != Written::Unchanged));
    if columns.ids.is_empty() {
        return Ok(());
    }
    let mut values = columns.values();
    values.push(&now.0);
    session.execute(UPDATE, &values).await?;
    Ok(())
}

/// Reads one alert.
pub(super) async fn one(session: &Session, id: AlertId) -> Result<Option<StoredAlert>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM stored_alerts WHERE id = $1");
    session.row(&sql, &[&key_of(id.0)]).await?.map(|it| read(&it)).transpose()
}

/// Reads the next `limit` alerts behind `after`, by rising id.
pub(super) async fn by_id(session: &Session, after: Option<AlertId>, limit: usize) -> Result<Vec<StoredAlert>, Fault> {
    let (behind, key) = match after {
        Some(after) => ("WHERE $1 < id", key_of(after.0)),
        // The value is needed in either case.
        None => ("WHERE $1 <= id", Vec::new()),
    };
    let sql = format!("SELECT {COLUMNS} FROM stored_alerts {behind} ORDER BY id LIMIT $2");
    session.rows(&sql, &[&key, &limit_of(limit)]).await?.iter().map(read).collect()
}

/// Reads the ids from `first` to `last`, by rising id.
pub(super) async fn ids(session: &Session, first: AlertId, last: AlertId, limit: usize) -> Result<Vec<AlertId>, Fault> {
    let sql = "SELECT id FROM stored_alerts WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3";
    let rows = session.rows(sql, &[&key_of(first.0), &key_of(last.0), &limit_of(limit)]).await?;
    rows.iter().map(|it| Ok(AlertId(id_of(it, 0)?))).collect()
}

/// The values of a statement that is put together.
pub(super) type OwnedValues = Vec<Box<dyn ToSql + Sync + Send>>;

/// Writes the statement for a query, with its values. What was asked for goes into the values and never into the text.
pub(super) fn select(query: &AlertQuery) -> (String, OwnedValues) {
    let texts = [
        ("username", &query.user),
        ("rule_id", &query.rule_id),
        ("country", &query.country),
        ("source", &query.source),
        ("kind", &query.kind),
    ];
    let mut sql = format!("SELECT {COLUMNS} FROM stored_alerts WHERE TRUE");
    let mut values: OwnedValues = Vec::new();
    for (column, text) in texts.into_iter().filter_map(|(column, text)| Some((column, text.as_deref()?))) {
        values.push(Box::new(stored(text).into_owned()));
        let at = values.len();
        // The first is what the index has, the second what is meant.
        sql.push_str(&format!(" AND left({column}, 64) = left(${at}::text, 64) AND {column} = ${at}::text"));
    }
    let mut and = |condition: &str, value: Box<dyn ToSql + Sync + Send>| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} ${}", values.len()));
    };
    if let Some(address) = query.client_ip {
        and("client_ip =", Box::new(bytes_of(address)));
    }
    if let Some(severity) = query.severity {
        and("severity =", Box::new(i16::from(severity.rank())));
    }
    let spans = [("last_seen >=", query.from), ("first_seen <", query.to), ("created_at >=", query.created_from)];
    for (condition, time) in spans.into_iter().filter_map(|(condition, time)| Some((condition, time?))) {
        and(condition, Box::new(time.0));
    }
    if let Some(after) = query.after {
        values.push(Box::new(after.last_seen.0));
        values.push(Box::new(key_of(after.id.0)));
        sql.push_str(&format!(" AND (last_seen, id) < (${}, ${})", values.len() - 1, values.len()));
    }
    values.push(Box::new(limit_of(query.limit)));
    sql.push_str(&format!(" ORDER BY last_seen DESC, id DESC LIMIT ${}", values.len()));
    (sql, values)
}

/// Reads a row of a query of [`select`].
pub(super) fn read(row: &Row) -> Result<StoredAlert, Fault> {
    let status: &str = row.try_get(0)?;
    let mut alert = counted_of(row, 3)?.whole();
    alert.status = AlertStatus::from_word(status).ok_or(StoreError::broken("status of an alert"))?;
    Ok(StoredAlert { alert, created_at: Timestamp(cell(row, 1)?), updated_at: Timestamp(cell(row, 2)?) })
}

fn counted_of(row: &Row, column: usize) -> Result<Counted, Fault> {
    Ok(alert_body::decode(&text_of(row, column)?).ok_or(StoreError::broken("alert"))?)
}

fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(it) => it.octets().to_vec(),
        IpAddr::V6(it) => it.octets().to_vec(),
    }
}
