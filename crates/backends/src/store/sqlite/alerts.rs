//! The alerts: how a commit stores them and how a list asks for them.

use std::net::IpAddr;
use std::ops::ControlFlow;

use model::alert::{Alert, AlertStatus};
use model::id::AlertId;
use model::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Statement, Transaction, params, params_from_iter};

use crate::store::unite::{Counted, Written};
use crate::store::{AlertQuery, StoreError, StoredAlert, alert_body, limit_of};

const COLUMNS: &str = "status, created_at, updated_at, body";

const INSERT: &str = "INSERT INTO stored_alerts (id, kind, severity, country, user, client_ip, source, rule_id, status, \
     first_seen, last_seen, created_at, updated_at, body) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13)";

const UPDATE: &str = "UPDATE stored_alerts SET kind = ?2, severity = ?3, country = ?4, user = ?5, client_ip = ?6, \
     source = ?7, rule_id = ?8, first_seen = ?9, last_seen = ?10, updated_at = ?11, body = ?12 WHERE id = ?1";

/// The statements of one commit.
pub(super) struct Writing<'a> {
    read: Statement<'a>,
    insert: Statement<'a>,
    update: Statement<'a>,
    now: Timestamp,
}

impl<'a> Writing<'a> {
    pub(super) fn new(transaction: &'a Transaction<'_>, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            read: transaction.prepare("SELECT body FROM stored_alerts WHERE id = ?1")?,
            insert: transaction.prepare(INSERT)?,
            update: transaction.prepare(UPDATE)?,
            now,
        })
    }

    /// Stores an alert, united with what is there of it.
    pub(super) fn write(&mut self, alert: &Alert) -> Result<Written, StoreError> {
        let stored: Option<String> = self.read.query_row([key_of(alert.id)], |row| row.get(0)).optional()?;
        let Some(stored) = stored else {
            self.raise(alert)?;
            return Ok(Written::Raised);
        };
        let mut counted = alert_body::decode(&stored).ok_or(StoreError::broken("alert"))?;
        if !counted.take(alert) {
            return Ok(Written::Unchanged);
        }
        self.change(&counted)?;
        Ok(Written::Changed)
    }

    fn raise(&mut self, alert: &Alert) -> Result<(), StoreError> {
        let body = alert_body::encode(&Counted { earlier: None, last: alert.clone() });
        self.insert.execute(params![
            key_of(alert.id),
            alert.kind,
            alert.severity.rank(),
            alert.country,
            alert.user,
            alert.client_ip.map(bytes_of),
            alert.source,
            alert.rule_id,
            alert.status.as_str(),
            alert.first_seen.0,
            alert.last_seen.0,
            self.now.0,
            body,
        ])?;
        Ok(())
    }

    fn change(&mut self, counted: &Counted) -> Result<(), StoreError> {
        let alert = counted.whole();
        self.update.execute(params![
            key_of(alert.id),
            alert.kind,
            alert.severity.rank(),
            alert.country,
            alert.user,
            alert.client_ip.map(bytes_of),
            alert.source,
            alert.rule_id,
            alert.first_seen.0,
            alert.last_seen.0,
            self.now.0,
            alert_body::encode(counted),
        ])?;
        Ok(())
    }
}

/// Reads one alert.
pub(super) fn one(connection: &Connection, id: AlertId) -> Result<Option<StoredAlert>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM stored_alerts WHERE id = ?1");
    connection.query_row(&sql, [key_of(id)], |row| Ok(read(row))).optional()?.transpose()
}

/// Reads the next `limit` alerts behind `after`, by rising id.
pub(super) fn by_id(
    connection: &Connection,
    after: Option<AlertId>,
    limit: usize,
) -> Result<Vec<StoredAlert>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM stored_alerts WHERE ?1 IS NULL OR ?1 < id ORDER BY id LIMIT ?2");
    let mut found = Vec::new();
    each(connection, &sql, vec![after.map(|it| key_of(it).to_vec()).into(), limit_of(limit).into()], &mut |it| {
        found.push(it);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Reads the ids from `first` to `last`, by rising id.
pub(super) fn ids(
    connection: &Connection,
    first: AlertId,
    last: AlertId,
    limit: usize,
) -> Result<Vec<AlertId>, StoreError> {
    let mut statement =
        connection.prepare("SELECT id FROM stored_alerts WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3")?;
    let mut rows = statement.query(params![key_of(first), key_of(last), limit_of(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: [u8; 16] = row.get(0)?;
        found.push(AlertId(u128::from_be_bytes(id)));
    }
    Ok(found)
}

/// Shows the alerts that are asked for to `see`, until it breaks.
pub(super) fn list(
    connection: &Connection,
    query: &AlertQuery,
    see: &mut dyn FnMut(StoredAlert) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let (sql, values) = select(query);
    each(connection, &sql, values, see)
}

fn each(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    see: &mut dyn FnMut(StoredAlert) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if see(read(row)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Writes the statement for a query, with its values.
///
/// The first filter that is set chooses the index, the most selective ones come first; a `+` keeps SQLite from
/// choosing another. What was asked for goes into the values and never into the text.
fn select(query: &AlertQuery) -> (String, Vec<Value>) {
    let filters = [
        ("client_ip", query.client_ip.map(|it| bytes_of(it).into())),
        ("user", query.user.clone().map(Value::Text)),
        ("rule_id", query.rule_id.clone().map(Value::Text)),
        ("country", query.country.clone().map(Value::Text)),
        ("source", query.source.clone().map(Value::Text)),
        ("kind", query.kind.clone().map(Value::Text)),
        ("severity", query.severity.map(|it| i64::from(it.rank()).into())),
    ];
    let mut sql = format!("SELECT {COLUMNS} FROM stored_alerts WHERE TRUE");
    let mut values: Vec<Value> = Vec::new();
    for (column, value) in filters.into_iter().filter_map(|(column, value)| Some((column, value?))) {
        let plus = if values.is_empty() { "" } else { "+" };
        sql.push_str(&format!(" AND {plus}{column} = ?"));
        values.push(value);
    }
    let spans =
        [("last_seen >= ?", query.from), ("+first_seen < ?", query.to), ("+created_at >= ?", query.created_from)];
    for (condition, time) in spans.into_iter().filter_map(|(condition, time)| Some((condition, time?))) {
        sql.push_str(&format!(" AND {condition}"));
        values.push(time.0.into());
    }
    if let Some(after) = query.after {
        sql.push_str(" AND (last_seen, id) < (?, ?)");
        values.extend([after.last_seen.0.into(), key_of(after.id).to_vec().into()]);
    }
    sql.push_str(" ORDER BY last_seen DESC, id DESC LIMIT ?");
    values.push(limit_of(query.limit).into());
    (sql, values)
}

fn read(row: &Row<'_>) -> Result<StoredAlert, StoreError> {
    let status: String = row.get(0)?;
    let body: String = row.get(3)?;
    let mut alert = alert_body::decode(&body).ok_or(StoreError::broken("alert"))?.whole();
    alert.status = AlertStatus::from_word(&status).ok_or(StoreError::broken("status of an alert"))?;
    Ok(StoredAlert { alert, created_at: Timestamp(row.get(1)?), updated_at: Timestamp(row.get(2)?) })
}

pub(super) const fn key_of(id: AlertId) -> [u8; 16] {
    id.0.to_be_bytes()
}

fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(it) => it.octets().to_vec(),
        IpAddr::V6(it) => it.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use model::severity::Severity;

    use super::super::schema::migrate;
    use super::*;
    use crate::store::AlertCursor;

    /// Asserts that `query` walks over `index` in the order of the list and sorts nothing.
    #[track_caller]
    fn check(query: AlertQuery, index: &str) {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let (sql, values) = select(&query);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>("detail")).unwrap();
        let plan: Vec<String> = rows.map(Result::unwrap).collect();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].contains(&format!(" USING INDEX {index}")), "{plan:?}");
    }

    #[test]
    fn every_filter_has_an_index_in_the_order_of_the_list() {
        let all = AlertQuery { limit: 50, ..AlertQuery::default() };
        let text = || Some("x".to_owned());
        check(all.clone(), "alerts_by_last_seen");
        check(AlertQuery { from: Some(Timestamp(1)), to: Some(Timestamp(2)), ..all.clone() }, "alerts_by_last_seen");
        check(AlertQuery { created_from: Some(Timestamp(1)), ..all.clone() }, "alerts_by_last_seen");
        check(AlertQuery { kind: text(), ..all.clone() }, "alerts_by_kind (kind=?)");
        check(AlertQuery { severity: Some(Severity::High), ..all.clone() }, "alerts_by_severity (severity=?)");
        check(AlertQuery { country: text(), ..all.clone() }, "alerts_by_country (country=?)");
        check(AlertQuery { user: text(), ..all.clone() }, "alerts_by_user (user=?)");
        check(AlertQuery { client_ip: "::1".parse().ok(), ..all.clone() }, "alerts_by_client_ip (client_ip=?)");
        check(AlertQuery { source: text(), ..all.clone() }, "alerts_by_source (source=?)");
        check(AlertQuery { rule_id: text(), ..all }, "alerts_by_rule (rule_id=?)");
    }

    #[test]
    fn the_most_selective_filter_chooses_the_index_and_the_cursor_bounds_it() {
        let query = AlertQuery {
            kind: Some("x".into()),
            severity: Some(Severity::High),
            user: Some("x".into()),
            from: Some(Timestamp(1)),
            after: Some(AlertCursor { last_seen: Timestamp(9), id: AlertId(9) }),
            limit: 50,
            ..AlertQuery::default()
        };
        check(query, "alerts_by_user (user=? AND last_seen>? AND (last_seen,id)<(?,?))");
    }
}
