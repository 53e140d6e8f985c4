//! Proposals and decisions, and the other tables that blocking rests on.

use model::decision::{Decision, DecisionId, Ended, Measure, Origin, Proposal, Spared, Standing, Target};
use model::id::AlertId;
use model::network::Network;
use model::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};

use super::SqliteStore;
use super::alerts::{Writing, key_of};
use super::outbox;
use crate::failpoint;
use crate::store::decision_body::{Body, brake_of, decode_proposal, encode_proposal, standing_of};
use crate::store::decisions::{
    Admission, AuditEntry, DecisionQuery, DecisionStore, Judged, Puller, Tell, WaitingProposal,
};
use crate::store::outbox::Subject;
use crate::store::unite::Written;
use crate::store::{Lease, StoreError, limit_of};

const COLUMNS: &str =
    "id, changed, scope, value, measure, origin, standing, brake, created_at, expires_at, ended_at, body";

/// Keeps the proposals that follow from alerts which are new with this commit.
pub(super) fn propose(
    transaction: &Transaction<'_>,
    proposals: &[Proposal],
    raised: &[AlertId],
    now: Timestamp,
) -> Result<(), StoreError> {
    if proposals.is_empty() {
        return Ok(());
    }
    let sql = "INSERT OR IGNORE INTO proposals (alert, created_at, body) VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare(sql)?;
    for proposal in proposals {
        let Some(alert) = proposal.basis.alert.filter(|it| raised.contains(it)) else { continue };
        insert.execute(params![key_of(alert), now.0, encode_proposal(proposal)])?;
    }
    Ok(())
}

/// Removes decisions that ended before a time, at most `limit`.
pub(super) fn prune(transaction: &Transaction<'_>, before: i64, limit: i64) -> Result<usize, StoreError> {
    let sql = "DELETE FROM decisions WHERE id IN \
               (SELECT id FROM decisions WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";
    Ok(transaction.execute(sql, params![before, limit])?)
}

impl DecisionStore for SqliteStore {
    fn proposals(&self, limit: usize) -> Result<Vec<WaitingProposal>, StoreError> {
        let reader = self.connections.reader()?;
        let mut statement =
            reader.prepare("SELECT number, created_at, body FROM proposals ORDER BY number LIMIT ?1")?;
        let mut rows = statement.query([limit_of(limit)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let body: String = row.get(2)?;
            found.push(WaitingProposal {
                number: row.get::<_, i64>(0)?.cast_unsigned(),
                created_at: Timestamp(row.get(1)?),
                proposal: decode_proposal(&body).ok_or(StoreError::broken("proposal"))?,
            });
        }
        Ok(found)
    }

    fn admit(&self, admission: &Admission<'_>) -> Result<Vec<Decision>, StoreError> {
        let mut posted = 0;
        let admitted = self.write(|transaction| {
            check_lease(transaction, admission.lease)?;
            {
                let mut delete = transaction.prepare("DELETE FROM proposals WHERE number = ?1")?;
                for number in admission.taken {
                    delete.execute([number.cast_signed()])?;
                }
            }
            let admitted = insert(transaction, admission.judged, admission.now)?;
            if !admission.alarms.is_empty() {
                let mut writing = Writing::new(transaction, admission.now)?;
                let mut raised = Vec::new();
                for alarm in admission.alarms {
                    if writing.write(alarm)? == Written::Raised {
                        raised.push(Subject::Alert(alarm.id));
                    }
                }
                let news = admission.outbox.iter().filter(|it| raised.contains(&it.subject));
                posted += outbox::post(transaction, news, admission.now)?;
            }
            let told: Vec<_> = admitted.iter().flat_map(admission.tell.0).collect();
            posted += outbox::post(transaction, &told, admission.now)?;
            write_audit(transaction, admission.audit)?;
            failpoint::visit("store.before_admit");
            Ok(admitted)
        })?;
        failpoint::visit("store.after_admit");
        if !admission.alarms.is_empty() {
            self.changed();
        }
        if 0 < posted {
            self.wake();
        }
        Ok(admitted)
    }

    fn end_decisions(
        &self,
        ids: &[DecisionId],
        ended: &Ended,
        audit: &[AuditEntry],
        tell: Tell<'_>,
    ) -> Result<Vec<Decision>, StoreError> {
        let mut posted = 0;
        let changed = self.write(|transaction| {
            let mut changed = Vec::new();
            posted = 0;
            for id in ids {
                let Some(decision) = one(transaction, *id)?.filter(|it| it.ended.is_none()) else { continue };
                let decision =
                    Decision { ended: Some(ended.clone()), changed: next_change(transaction, 1)?, ..decision };
                update(transaction, &decision)?;
                posted += outbox::post(transaction, &(tell.0)(&decision), ended.at)?;
                changed.push(decision);
            }
            if !changed.is_empty() {
                write_audit(transaction, audit)?;
            }
            Ok(changed)
        })?;
        if 0 < posted {
            self.wake();
        }
        Ok(changed)
    }

    fn release_decision(
        &self,
        id: DecisionId,
        expires_at: Timestamp,
        audit: &AuditEntry,
        tell: Tell<'_>,
    ) -> Result<Option<Decision>, StoreError> {
        let mut posted = 0;
        let released = self.write(|transaction| {
            let waits = |it: &Decision| it.ended.is_none() && it.standing != Standing::InForce;
            let Some(decision) = one(transaction, id)?.filter(waits) else { return Ok(None) };
            let changed = next_change(transaction, 1)?;
            let decision = Decision { standing: Standing::InForce, expires_at, changed, ..decision };
            update(transaction, &decision)?;
            write_audit(transaction, std::slice::from_ref(audit))?;
            posted = outbox::post(transaction, &(tell.0)(&decision), decision.created_at.max(audit.at))?;
            Ok(Some(decision))
        })?;
        if 0 < posted {
            self.wake();
        }
        Ok(released)
    }

    fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError> {
        one(&*self.connections.reader()?, id)
    }

    fn decisions(&self, query: &DecisionQuery) -> Result<Vec<Decision>, StoreError> {
        let (mut sql, mut values) = (format!("SELECT {COLUMNS} FROM decisions WHERE TRUE"), Vec::<Value>::new());
        let mut and = |condition: &str, value: Value| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        };
        if let Some(target) = &query.target {
            and("value = ?", target.to_string().into());
            and("scope = ?", target.scope().to_owned().into());
        }
        if let Some(origin) = query.origin {
            and("origin = ?", origin.as_str().to_owned().into());
        }
        if let Some(rule) = &query.rule_id {
            and("rule_id = ?", rule.clone().into());
        }
        if let Some(standing) = &query.standing {
            and("standing = ?", standing.clone().into());
        }
        if let Some(at) = query.open_at {
            and("ended_at IS NULL AND ? < expires_at", at.0.into());
        }
        if let Some(from) = query.created_from {
            and("? <= created_at", from.0.into());
        }
        if let Some(before) = query.before {
            and("id < ?", before.0.cast_signed().into());
        }
        sql.push_str(" ORDER BY id DESC LIMIT ?");
        values.push(limit_of(query.limit).into());
        collect(&*self.connections.reader()?, &sql, values)
    }

    fn decisions_changed(
        &self,
        changed: u64,
        expires_from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Decision>, StoreError> {
        let sql = changed_sql();
        let values = vec![changed.cast_signed().into(), expires_from.0.into(), limit_of(limit).into()];
        collect(&*self.connections.reader()?, &sql, values)
    }

    fn spared(&self) -> Result<Vec<Spared>, StoreError> {
        let reader = self.connections.reader()?;
        let mut statement = reader.prepare("SELECT network, reason, actor, created_at FROM spared ORDER BY network")?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let network: String = row.get(0)?;
            found.push(Spared {
                network: Network::parse(&network).ok_or(StoreError::broken("spared network"))?,
                reason: row.get(1)?,
                actor: row.get(2)?,
                created_at: Timestamp(row.get(3)?),
            });
        }
        Ok(found)
    }

    fn spare(&self, spared: &Spared, audit: &AuditEntry) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO spared (network, reason, actor, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![spared.network.to_string(), spared.reason, spared.actor, spared.created_at.0],
            )?;
            write_audit(transaction, std::slice::from_ref(audit))
        })
    }

    fn unspare(&self, network: &Network, audit: &AuditEntry) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let removed = transaction.execute("DELETE FROM spared WHERE network = ?1", [network.to_string()])?;
            if removed != 0 {
                write_audit(transaction, std::slice::from_ref(audit))?;
            }
            Ok(removed != 0)
        })
    }

    fn switch(&self, name: &str) -> Result<Option<String>, StoreError> {
        let reader = self.connections.reader()?;
        Ok(reader.query_row("SELECT value FROM switches WHERE name = ?1", [name], |row| row.get(0)).optional()?)
    }

    fn set_switch(&self, name: &str, value: &str, audit: &AuditEntry) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "INSERT OR REPLACE INTO switches (name, value) VALUES (?1, ?2)";
            transaction.execute(sql, [name, value])?;
            write_audit(transaction, std::slice::from_ref(audit))
        })
    }

    fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        let reader = self.connections.reader()?;
        let before = before.map_or(i64::MAX, u64::cast_signed);
        let mut statement = reader.prepare(
            "SELECT number, at, actor, action, subject, reason FROM audit WHERE number < ?1 \
             ORDER BY number DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![before, limit_of(limit)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get::<_, i64>(0)?.cast_unsigned(), entry_of(row)?));
        }
        Ok(found)
    }

    fn check_audit(&self) -> Result<Option<u64>, StoreError> {
        let reader = self.connections.reader()?;
        let mut statement =
            reader.prepare("SELECT number, at, actor, action, subject, reason, digest FROM audit ORDER BY number")?;
        let mut rows = statement.query([])?;
        let (mut before, mut expected) = ([0_u8; 16], 1);
        while let Some(row) = rows.next()? {
            let (number, digest): (i64, Vec<u8>) = (row.get(0)?, row.get(6)?);
            before = entry_of(row)?.chained(before);
            if digest != before || number != expected {
                return Ok(Some(number.min(expected).cast_unsigned()));
            }
            expected += 1;
        }
        Ok(None)
    }

    fn note_pullers(&self, pullers: &[Puller]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare(
                "INSERT INTO pullers (name, address, agent, kind, first_at, last_at, changed, pulls, lag_millis, \
                 reported) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                 ON CONFLICT (name, address, kind) DO UPDATE SET agent = excluded.agent, \
                 last_at = max(last_at, excluded.last_at), changed = excluded.changed, pulls = excluded.pulls, \
                 lag_millis = coalesce(excluded.lag_millis, lag_millis), \
                 reported = CASE WHEN excluded.reported = '' THEN reported ELSE excluded.reported END",
            )?;
            for it in pullers {
                statement.execute(params![
                    it.name,
                    it.address,
                    it.agent,
                    it.kind,
                    it.first_at.0,
                    it.last_at.0,
                    it.changed.cast_signed(),
                    it.pulls.cast_signed(),
                    it.lag_millis.map(u64::cast_signed),
                    it.reported,
                ])?;
            }
            Ok(())
        })
    }

    fn pullers(&self) -> Result<Vec<Puller>, StoreError> {
        let reader = self.connections.reader()?;
        let mut statement = reader.prepare(
            "SELECT name, address, agent, kind, first_at, last_at, changed, pulls, lag_millis, reported FROM pullers \
             ORDER BY name, address, kind",
        )?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Puller {
                name: row.get(0)?,
                address: row.get(1)?,
                agent: row.get(2)?,
                kind: row.get(3)?,
                first_at: Timestamp(row.get(4)?),
                last_at: Timestamp(row.get(5)?),
                changed: row.get::<_, i64>(6)?.cast_unsigned(),
                pulls: row.get::<_, i64>(7)?.cast_unsigned(),
                lag_millis: row.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
                reported: row.get(9)?,
            });
        }
        Ok(found)
    }

    fn forget_puller(&self, name: &str) -> Result<bool, StoreError> {
        self.write(|it| Ok(it.execute("DELETE FROM pullers WHERE name = ?1", [name])? != 0))
    }
}

fn check_lease(transaction: &Transaction<'_>, lease: Lease) -> Result<(), StoreError> {
    let sql = "SELECT TRUE FROM partitions WHERE partition = ?1 AND epoch = ?2";
    let values = params![lease.partition.0, lease.epoch.cast_signed()];
    let found: Option<bool> = transaction.query_row(sql, values, |row| row.get(0)).optional()?;
    if found.is_some() { Ok(()) } else { Err(StoreError::Fenced { partition: lease.partition }) }
}

/// Takes `count` numbers of changes and returns the first.
fn next_change(transaction: &Transaction<'_>, count: usize) -> Result<u64, StoreError> {
    let count = limit_of(count);
    let sql = "UPDATE counters SET value = value + ?1 WHERE name = 'decision_changes' RETURNING value";
    let last: i64 = transaction.query_row(sql, [count], |row| row.get(0))?;
    Ok((last - count + 1).cast_unsigned())
}

fn insert(transaction: &Transaction<'_>, judged: &[Judged], now: Timestamp) -> Result<Vec<Decision>, StoreError> {
    let numbers = next_change(transaction, judged.len())?..;
    let mut statement = transaction.prepare(
        "INSERT INTO decisions (changed, scope, value, measure, origin, standing, brake, rule_id, created_at, \
         expires_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id",
    )?;
    let mut admitted = Vec::with_capacity(judged.len());
    for (changed, judged) in numbers.zip(judged) {
        let mut decision = judged.decision(now, changed);
        let values = params![
            changed.cast_signed(),
            decision.target.scope(),
            decision.target.to_string(),
            decision.measure.as_str(),
            decision.origin.as_str(),
            decision.standing.as_str(),
            brake_of(decision.standing),
            decision.basis.rule_id,
            now.0,
            decision.expires_at.0,
            Body::of(&decision).encode(),
        ];
        decision.id = DecisionId(statement.query_row(values, |row| row.get::<_, i64>(0))?.cast_unsigned());
        admitted.push(decision);
    }
    Ok(admitted)
}

fn update(transaction: &Transaction<'_>, decision: &Decision) -> Result<(), StoreError> {
    transaction.execute(
        "UPDATE decisions SET changed = ?2, standing = ?3, brake = ?4, expires_at = ?5, ended_at = ?6, body = ?7 \
         WHERE id = ?1",
        params![
            decision.id.0.cast_signed(),
            decision.changed.cast_signed(),
            decision.standing.as_str(),
            brake_of(decision.standing),
            decision.expires_at.0,
            decision.ended.as_ref().map(|it| it.at.0),
            Body::of(decision).encode(),
        ],
    )?;
    Ok(())
}

fn one(connection: &Connection, id: DecisionId) -> Result<Option<Decision>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM decisions WHERE id = ?1");
    connection.query_row(&sql, [id.0.cast_signed()], |row| Ok(read(row))).optional()?.transpose()
}

fn collect(connection: &Connection, sql: &str, values: Vec<Value>) -> Result<Vec<Decision>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Decision, StoreError> {
    let word = |at: usize| row.get::<_, String>(at);
    let (scope, value, measure, origin, standing) = (word(2)?, word(3)?, word(4)?, word(5)?, word(6)?);
    let brake: Option<String> = row.get(7)?;
    let body = Body::decode(&word(11)?).ok_or(StoreError::broken("decision"))?;
    Ok(Decision {
        id: DecisionId(row.get::<_, i64>(0)?.cast_unsigned()),
        changed: row.get::<_, i64>(1)?.cast_unsigned(),
        target: Target::read(&scope, &value).ok_or(StoreError::broken("target of a decision"))?,
        measure: Measure::from_word(&measure).ok_or(StoreError::broken("measure of a decision"))?,
        origin: Origin::from_word(&origin).ok_or(StoreError::broken("origin of a decision"))?,
        standing: standing_of(&standing, brake.as_deref()).ok_or(StoreError::broken("standing of a decision"))?,
        created_at: Timestamp(row.get(8)?),
        expires_at: Timestamp(row.get(9)?),
        ended: body.ended_at(row.get(10)?),
        reason: body.reason,
        actor: body.actor,
        basis: body.basis,
        is_synthetic: body.is_synthetic,
    })
}

fn write_audit(transaction: &Transaction<'_>, entries: &[AuditEntry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let sql = "SELECT digest FROM audit ORDER BY number DESC LIMIT 1";
    let last: Option<Vec<u8>> = transaction.query_row(sql, [], |row| row.get(0)).optional()?;
    let mut digest: [u8; 16] = match last {
        Some(last) => last.try_into().map_err(|_| StoreError::broken("digest of the audit"))?,
        None => [0; 16],
    };
    let mut insert = transaction
        .prepare("INSERT INTO audit (at, actor, action, subject, reason, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for entry in entries {
        digest = entry.chained(digest);
        insert.execute(params![entry.at.0, entry.actor, entry.action, entry.subject, entry.reason, digest])?;
    }
    Ok(())
}

fn entry_of(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        at: Timestamp(row.get(1)?),
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        reason: row.get(5)?,
    })
}

/// What is or was in force, page after page in the order of changes: a start reads all of it.
fn changed_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM decisions INDEXED BY decisions_by_change \
         WHERE standing = 'in_force' AND ?1 < changed AND ?2 <= expires_at \
         ORDER BY changed LIMIT ?3"
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::sqlite::schema::migrate;

    #[test]
    fn a_start_with_many_decisions_reads_each_page_by_its_index_and_sorts_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", changed_sql())).unwrap();
        let rows = statement.query_map([1, 2, 3], |row| row.get::<_, String>("detail")).unwrap();
        let plan: Vec<String> = rows.map(Result::unwrap).collect();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].contains("USING INDEX decisions_by_change (standing=? AND changed>?)"), "{plan:?}");
    }
}
