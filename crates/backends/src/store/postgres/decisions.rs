//! Proposals and decisions, and the other tables that blocking rests on.

use model::decision::{Decision, DecisionId, Ended, Measure, Origin, Proposal, Spared, Standing, Target};
use model::id::AlertId;
use model::network::Network;
use model::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::alerts::OwnedValues;
use super::audit;
use super::error::Fault;
use super::outbox;
use super::session::{Session, Values, cell, key_of, text_of, unsigned};
use super::text::stored;
use super::{alerts, borrowed};
use crate::store::decision_body::{Body, brake_of, decode_proposal, encode_proposal, standing_of};
use crate::store::decisions::{Admission, AuditEntry, DecisionQuery, Judged, Puller, Tell, WaitingProposal};
use crate::store::outbox::{OutboxRow, Subject};
use crate::store::unite::Written;
use crate::store::{Lease, StoreError, limit_of};

const COLUMNS: &str =
    "id, changed, scope, value, measure, origin, standing, brake, created_at, expires_at, ended_at, body";

/// Keeps the proposals that follow from alerts which are new with this commit.
pub(super) async fn propose(
    session: &Session,
    proposals: &[Proposal],
    raised: &[AlertId],
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "INSERT INTO proposals (alert, created_at, body) VALUES ($1, $2, $3) ON CONFLICT (alert) DO NOTHING";
    for proposal in proposals {
        let Some(alert) = proposal.basis.alert.filter(|it| raised.contains(it)) else { continue };
        session.execute(sql, &[&key_of(alert.0), &now.0, &stored(&encode_proposal(proposal))]).await?;
    }
    Ok(())
}

/// Removes decisions that ended before a time, at most `limit`.
pub(super) async fn prune(session: &Session, before: i64, limit: i64) -> Result<usize, Fault> {
    let sql = "DELETE FROM decisions WHERE id IN \
         (SELECT id FROM decisions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
    Ok(session.execute(sql, &[&before, &limit]).await? as usize)
}

pub(super) async fn proposals(session: &Session, limit: usize) -> Result<Vec<WaitingProposal>, Fault> {
    let sql = "SELECT number, created_at, body FROM proposals ORDER BY number LIMIT $1";
    let waiting_of = |row: &Row| {
        Ok(WaitingProposal {
            number: unsigned(row, 0)?,
            created_at: Timestamp(cell(row, 1)?),
            proposal: decode_proposal(&text_of(row, 2)?).ok_or(StoreError::broken("proposal"))?,
        })
    };
    session.rows(sql, &[&limit_of(limit)]).await?.iter().map(waiting_of).collect()
}

/// What an admission did.
pub(super) struct Admitted {
    pub(super) decisions: Vec<Decision>,
    /// How many messages were posted.
    pub(super) posted: usize,
}

pub(super) async fn admit(session: &Session, admission: &Admission<'_>) -> Result<Admitted, Fault> {
    check_lease(session, admission.lease).await?;
    if !admission.taken.is_empty() {
        let taken: Vec<i64> = admission.taken.iter().map(|it| it.cast_signed()).collect();
        session.execute("DELETE FROM proposals WHERE number = ANY($1)", &[&taken]).await?;
    }
    let decisions = insert(session, admission.judged, admission.now).await?;
    let mut posted = 0;
    if !admission.alarms.is_empty() {
        let written = alerts::write(session, admission.alarms, admission.now).await?;
        let raised = admission.alarms.iter().zip(written).filter(|it| it.1 == Written::Raised);
        let raised: Vec<_> = raised.map(|it| Subject::Alert(it.0.id)).collect();
        let news: Vec<_> = admission.outbox.iter().filter(|it| raised.contains(&it.subject)).collect();
        posted += outbox::post(session, &news, admission.now).await?;
    }
    let told: Vec<OutboxRow> = decisions.iter().flat_map(admission.tell.0).collect();
    posted += outbox::post(session, &told.iter().collect::<Vec<_>>(), admission.now).await?;
    audit::write(session, admission.audit).await?;
    Ok(Admitted { decisions, posted })
}

/// The decisions that are ended, and how many messages were posted about them.
pub(super) async fn end(
    session: &Session,
    ids: &[DecisionId],
    ended: &Ended,
    entries: &[AuditEntry],
    tell: Tell<'_>,
) -> Result<(Vec<Decision>, usize), Fault> {
    let (mut changed, mut told) = (Vec::new(), Vec::new());
    for id in ids {
        let Some(decision) = held(session, *id).await?.filter(|it| it.ended.is_none()) else { continue };
        let decision = Decision { ended: Some(ended.clone()), changed: next_change(session, 1).await?, ..decision };
        update(session, &decision).await?;
        told.extend((tell.0)(&decision));
        changed.push(decision);
    }
    if !changed.is_empty() {
        audit::write(session, entries).await?;
    }
    let posted = outbox::post(session, &told.iter().collect::<Vec<_>>(), ended.at).await?;
    Ok((changed, posted))
}

/// The decision that is released, and how many messages were posted about it.
pub(super) async fn release(
    session: &Session,
    id: DecisionId,
    expires_at: Timestamp,
    entry: &AuditEntry,
    tell: Tell<'_>,
) -> Result<Option<(Decision, usize)>, Fault> {
    let waits = |it: &Decision| it.ended.is_none() && it.standing != Standing::InForce;
    let Some(decision) = held(session, id).await?.filter(waits) else { return Ok(None) };
    let changed = next_change(session, 1).await?;
    let decision = Decision { standing: Standing::InForce, expires_at, changed, ..decision };
    update(session, &decision).await?;
    audit::write(session, std::slice::from_ref(entry)).await?;
    let told = (tell.0)(&decision);
    let at = decision.created_at.max(entry.at);
    let posted = outbox::post(session, &told.iter().collect::<Vec<_>>(), at).await?;
    Ok(Some((decision, posted)))
}

pub(super) async fn one(session: &Session, id: DecisionId) -> Result<Option<Decision>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM decisions WHERE id = $1");
    session.row(&sql, &[&id.0.cast_signed()]).await?.map(|it| read(&it)).transpose()
}

/// Reads a decision that is to be changed. Changes wait for one another at the counter first: whoever holds it sees what
/// the one before has done, and locks are taken in one order.
async fn held(session: &Session, id: DecisionId) -> Result<Option<Decision>, Fault> {
    session.row("SELECT value FROM counters WHERE name = 'decision_changes' FOR UPDATE", &[]).await?;
    one(session, id).await
}

pub(super) async fn list(session: &Session, query: &DecisionQuery) -> Result<Vec<Decision>, Fault> {
    let (mut sql, mut values) = (format!("SELECT {COLUMNS} FROM decisions WHERE TRUE"), OwnedValues::new());
    let mut and = |condition: &str, value: Box<dyn ToSql + Sync + Send>| {
        values.push(value);
        sql.push_str(&format!(" AND {}", condition.replace('?', &format!("${}", values.len()))));
    };
    let text = |it: &str| Box::new(stored(it).into_owned());
    if let Some(target) = &query.target {
        and("left(value, 64) = left(?::text, 64) AND value = ?::text", text(&target.to_string()));
        and("scope = ?", text(target.scope()));
    }
    if let Some(origin) = query.origin {
        and("origin = ?", text(origin.as_str()));
    }
    if let Some(rule) = &query.rule_id {
        and("left(rule_id, 64) = left(?::text, 64) AND rule_id = ?::text", text(rule));
    }
    if let Some(standing) = &query.standing {
        and("standing = ?", text(standing));
    }
    if let Some(at) = query.open_at {
        and("ended_at IS NULL AND ? < expires_at", Box::new(at.0));
    }
    if let Some(from) = query.created_from {
        and("? <= created_at", Box::new(from.0));
    }
    if let Some(before) = query.before {
        and("id < ?", Box::new(before.0.cast_signed()));
    }
    values.push(Box::new(limit_of(query.limit)));
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ${}", values.len()));
    collect(session, &sql, &borrowed(&values)).await
}

pub(super) async fn changed(
    session: &Session,
    changed: u64,
    expires_from: Timestamp,
    limit: usize,
) -> Result<Vec<Decision>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM decisions WHERE standing = 'in_force' AND $1 < changed AND $2 <= expires_at \
         ORDER BY changed LIMIT $3"
    );
    collect(session, &sql, &[&changed.cast_signed(), &expires_from.0, &limit_of(limit)]).await
}

/// Checks that the leader still leads, and keeps another from becoming it until the end of the transaction.
async fn check_lease(session: &Session, lease: Lease) -> Result<(), Fault> {
    let sql = "SELECT 1 FROM partitions WHERE partition = $1 AND epoch = $2 FOR UPDATE";
    let found = session.row(sql, &[&i64::from(lease.partition.0), &lease.epoch.cast_signed()]).await?;
    found.map(|_| ()).ok_or_else(|| StoreError::Fenced { partition: lease.partition }.into())
}

/// Takes `count` numbers of changes and returns the first.
async fn next_change(session: &Session, count: usize) -> Result<u64, Fault> {
    let count = limit_of(count);
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'decision_changes' RETURNING value";
    let last: i64 = session.value(sql, &[&count]).await?;
    Ok((last - count + 1).cast_unsigned())
}

async fn insert(session: &Session, judged: &[Judged], now: Timestamp) -> Result<Vec<Decision>, Fault> {
    let numbers = next_change(session, judged.len()).await?..;
    let mut admitted = Vec::with_capacity(judged.len());
    for (changed, judged) in numbers.zip(judged) {
        let decision = judged.decision(now, changed);
        admitted.push(Decision { id: insert_one(session, &decision).await?, ..decision });
    }
    Ok(admitted)
}

async fn insert_one(session: &Session, decision: &Decision) -> Result<DecisionId, Fault> {
    let sql = "INSERT INTO decisions (changed, scope, value, measure, origin, standing, brake, rule_id, created_at, \
         expires_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id";
    let id: i64 = session
        .value(
            sql,
            &[
                &decision.changed.cast_signed(),
                &decision.target.scope(),
                &stored(&decision.target.to_string()),
                &decision.measure.as_str(),
                &decision.origin.as_str(),
                &decision.standing.as_str(),
                &brake_of(decision.standing),
                &stored(&decision.basis.rule_id),
                &decision.created_at.0,
                &decision.expires_at.0,
                &stored(&Body::of(decision).encode()),
            ],
        )
        .await?;
    Ok(DecisionId(id.cast_unsigned()))
}

async fn update(session: &Session, decision: &Decision) -> Result<(), Fault> {
    let sql = "UPDATE decisions SET changed = $2, standing = $3, brake = $4, expires_at = $5, ended_at = $6, body = $7 \
         WHERE id = $1";
    session
        .execute(
            sql,
            &[
                &decision.id.0.cast_signed(),
                &decision.changed.cast_signed(),
                &decision.standing.as_str(),
                &brake_of(decision.standing),
                &decision.expires_at.0,
                &decision.ended.as_ref().map(|it| it.at.0),
                &stored(&Body::of(decision).encode()),
            ],
        )
        .await?;
    Ok(())
}

async fn collect(session: &Session, sql: &str, values: Values<'_>) -> Result<Vec<Decision>, Fault> {
    session.rows(sql, values).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Decision, Fault> {
    let word = |at: usize| text_of(row, at);
    let brake: Option<String> = cell(row, 7)?;
    let broken = StoreError::broken;
    let body = Body::decode(&word(11)?).ok_or(broken("decision"))?;
    Ok(Decision {
        id: DecisionId(unsigned(row, 0)?),
        changed: unsigned(row, 1)?,
        target: Target::read(&word(2)?, &word(3)?).ok_or(broken("target of a decision"))?,
        measure: Measure::from_word(&word(4)?).ok_or(broken("measure of a decision"))?,
        origin: Origin::from_word(&word(5)?).ok_or(broken("origin of a decision"))?,
        standing: standing_of(&word(6)?, brake.as_deref()).ok_or(broken("standing of a decision"))?,
        created_at: Timestamp(cell(row, 8)?),
        expires_at: Timestamp(cell(row, 9)?),
        ended: body.ended_at(cell(row, 10)?),
        reason: body.reason,
        actor: body.actor,
        basis: body.basis,
        is_synthetic: body.is_synthetic,
    })
}

pub(super) async fn spared(session: &Session) -> Result<Vec<Spared>, Fault> {
    let spared_of = |row: &Row| {
        Ok(Spared {
            network: Network::parse(&text_of(row, 0)?).ok_or(StoreError::broken("spared network"))?,
            reason: text_of(row, 1)?,
            actor: text_of(row, 2)?,
            created_at: Timestamp(cell(row, 3)?),
        })
    };
    let sql = "SELECT network, reason, actor, created_at FROM spared ORDER BY network";
    session.rows(sql, &[]).await?.iter().map(spared_of).collect()
}

pub(super) async fn spare(session: &Session, spared: &Spared, entry: &AuditEntry) -> Result<(), Fault> {
    let sql = "INSERT INTO spared (network, reason, actor, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (network) \
         DO UPDATE SET reason = excluded.reason, actor = excluded.actor, created_at = excluded.created_at";
    let network = spared.network.to_string();
    session.execute(sql, &[&network, &stored(&spared.reason), &stored(&spared.actor), &spared.created_at.0]).await?;
    audit::write(session, std::slice::from_ref(entry)).await
}

pub(super) async fn unspare(session: &Session, network: &Network, entry: &AuditEntry) -> Result<bool, Fault> {
    let removed = session.execute("DELETE FROM spared WHERE network = $1", &[&network.to_string()]).await?;
    if removed != 0 {
        audit::write(session, std::slice::from_ref(entry)).await?;
    }
    Ok(removed != 0)
}

pub(super) async fn switch(session: &Session, name: &str) -> Result<Option<String>, Fault> {
    let row = session.row("SELECT value FROM switches WHERE name = $1", &[&stored(name)]).await?;
    row.map(|it| text_of(&it, 0)).transpose()
}

pub(super) async fn set_switch(session: &Session, name: &str, value: &str, entry: &AuditEntry) -> Result<(), Fault> {
    let sql =
        "INSERT INTO switches (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    session.execute(sql, &[&stored(name), &stored(value)]).await?;
    audit::write(session, std::slice::from_ref(entry)).await
}

pub(super) async fn note_pullers(session: &Session, pullers: &[Puller]) -> Result<(), Fault> {
    let sql = "INSERT INTO pullers AS it (name, address, agent, kind, first_at, last_at, changed, pulls, lag_millis, reported) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name, address, kind) DO UPDATE \
         SET agent = excluded.agent, last_at = greatest(it.last_at, excluded.last_at), changed = excluded.changed, \
         pulls = excluded.pulls, lag_millis = coalesce(excluded.lag_millis, it.lag_millis), \
         reported = CASE WHEN excluded.reported = '' THEN it.reported ELSE excluded.reported END";
    for it in pullers {
        session
            .execute(
                sql,
                &[
                    &stored(&it.name),
                    &stored(&it.address),
                    &stored(&it.agent),
                    &stored(&it.kind),
                    &it.first_at.0,
                    &it.last_at.0,
                    &it.changed.cast_signed(),
                    &it.pulls.cast_signed(),
                    &it.lag_millis.map(u64::cast_signed),
                    &stored(&it.reported),
                ],
            )
            .await?;
    }
    Ok(())
}

pub(super) async fn pullers(session: &Session) -> Result<Vec<Puller>, Fault> {
    let puller_of = |row: &Row| {
        Ok(Puller {
            name: text_of(row, 0)?,
            address: text_of(row, 1)?,
            agent: text_of(row, 2)?,
            kind: text_of(row, 3)?,
            first_at: Timestamp(cell(row, 4)?),
            last_at: Timestamp(cell(row, 5)?),
            changed: unsigned(row, 6)?,
            pulls: unsigned(row, 7)?,
            lag_millis: cell::<Option<i64>>(row, 8)?.map(i64::cast_unsigned),
            reported: text_of(row, 9)?,
        })
    };
    let sql = "SELECT name, address, agent, kind, first_at, last_at, changed, pulls, lag_millis, reported FROM pullers \
         ORDER BY name, address, kind";
    session.rows(sql, &[]).await?.iter().map(puller_of).collect()
}

pub(super) async fn forget_puller(session: &Session, name: &str) -> Result<bool, Fault> {
    Ok(session.execute("DELETE FROM pullers WHERE name = $1", &[&stored(name)]).await? != 0)
}
