//! The one admitter of an installation: proposals of rules, people and lists come in, decisions with numbers come out.
//!
//! Who is to be blocked is judged here and nowhere else, under one lock. A decision is stored before anybody enforces it, and
//! is on the [`Board`] before the call that made it returns.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use backends::store::decisions::{
    Admission as Admitting, AuditEntry, DecisionQuery, Judged, LEADER, SWITCH_MODE, SWITCH_PAUSED, SWITCH_REPORTED,
    Tell,
};
use backends::store::outbox::OutboxRow;
use backends::store::{Lease, Store, StoreError};
use decision::admission::{Admission, Brakes, Circumstances, Mode, SHARE_SPAN, Verdict};
use decision::board::Board;
use decision::report::Report;
use decision::set::GONE_KEPT;
use decision::spared::SparedList;
use hashbrown::HashMap;
use model::alert::Alert;
use model::decision::{Decision, DecisionId, Ended, Measure, Origin, Proposal, Spared, Standing, Target};
use model::network::Network;
use model::time::Timestamp;

use crate::alarm::{self, Alarms, Held};
use crate::detect::Announce;
use crate::ingest::{chain, now};
use crate::progress::Progress;

/// How many proposals are judged in one transaction.
const BATCH: usize = 500;
/// How many decisions are read at once at the start.
const PAGE: usize = 1000;
/// How long to wait for a proposal before looking at what has expired.
const IDLE: Duration = Duration::from_secs(1);
/// How long to wait before the store is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long an installation is in dry run until it says by itself what it would have blocked.
pub const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// How often is looked whether that time has come.
const REPORT_EVERY: Duration = Duration::from_secs(3600);
/// How many decisions such a report is made of at most: the newest.
const REPORTED_MAX: usize = 10_000;
/// Who tells of dry run, for the audit.
const ACTOR_REPORT: &str = "dry run";
/// Who ends decisions about crawlers that are verified later.
const ACTOR_CRAWLERS: &str = "crawlers";
/// How many decisions of one target are ended by one call.
const OF_TARGET_MAX: usize = 10_000;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a decision; it may be in force, in dry run, or held.
    Decided(Box<Decision>),
    /// Nothing new is needed: something in force, or before it in the same call, does as much.
    Covered,
    /// Nobody may block this: what is on the never-block list, and why.
    Spared(Network, String),
}

/// Is told of decisions that are new or changed.
pub type OnDecided = Arc<dyn Fn(&[Decision]) + Send + Sync>;

/// Says of a network which verified crawler has an address in it, and which address: nobody blocks those.
pub type FindCrawler = Arc<dyn Fn(&Network) -> Option<(Network, String)> + Send + Sync>;

/// What the admitter works with.
#[derive(Clone)]
pub struct AdmitterParts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where enforcers look.
    pub board: Arc<Board>,
    /// Where the number of clients is.
    pub progress: Arc<Progress>,
    /// How hard the brakes are.
    pub brakes: Brakes,
    /// Who is spared beside those on the list of the store: what the configuration says, with why.
    pub spared: Vec<(Network, String)>,
    /// Whether local addresses are spared.
    pub spares_local: bool,
    /// Who is spared because of who he was found to be.
    pub find_crawler: FindCrawler,
    /// Is told of decisions that are new or changed, once they are stored and on the board.
    pub on_decided: OnDecided,
}

/// Says whether what a proposal rests on may be forged, beyond the events that it names.
pub type Suspect = Arc<dyn Fn(&Proposal) -> bool + Send + Sync>;

/// Makes the messages about a decision that is new, or that was ended.
pub type AnnounceDecision = Arc<dyn Fn(&Decision) -> Vec<OutboxRow> + Send + Sync>;

/// Who is sent a message: of alarms, and of decisions in force.
#[derive(Clone)]
pub struct Announcers {
    /// Makes the messages about a new alarm.
    pub alarm: Announce,
    /// Makes the messages about a decision.
    pub decision: AnnounceDecision,
}

/// The admitter.
pub struct Admitter {
    parts: AdmitterParts,
    state: Mutex<State>,
    wanted: Condvar,
    is_wanted: AtomicBool,
    announcers: OnceLock<Announcers>,
    suspect: OnceLock<Suspect>,
}

struct State {
    /// The right to admit, taken with the first decision.
    lease: Option<Lease>,
    admission: Admission,
    mode: Mode,
    /// Who paused decisions, and why.
    paused: Option<String>,
    alarms: Alarms,
}

/// What is switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Whether decisions of machines are enforced.
    pub mode: Mode,
    /// Who paused decisions, and why; `None` when they are not.
    pub paused: Option<String>,
}

impl Admitter {
    /// Puts on the board what is in force. The lead is taken with the first decision.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn open(parts: AdmitterParts) -> Result<Self, StoreError> {
        let store = parts.store.as_ref();
        let spared = spared_list(&parts)?;
        let mode = store.switch(SWITCH_MODE)?.and_then(|it| Mode::from_word(&it)).unwrap_or_default();
        let paused = store.switch(SWITCH_PAUSED)?.filter(|it| !it.is_empty());
        let mut admission = Admission::new(parts.brakes, spared.clone());
        parts.board.spare(spared);
        load(&parts, &mut admission)?;
        let state = State { lease: None, admission, mode, paused, alarms: Alarms::default() };
        Ok(Self {
            parts,
            state: Mutex::new(state),
            wanted: Condvar::new(),
            is_wanted: AtomicBool::new(true),
            announcers: OnceLock::new(),
            suspect: OnceLock::new(),
        })
    }

    /// Says who is sent messages from now on; a second call changes nothing.
    pub fn announce_by(&self, announcers: Announcers) {
        let _ = self.announcers.set(announcers);
    }

    /// Has proposals of rules looked through before they are judged; a second call changes nothing.
    pub fn suspect_by(&self, suspect: Suspect) {
        let _ = self.suspect.set(suspect);
    }

    /// Where enforcers look.
    #[must_use]
    pub const fn board(&self) -> &Arc<Board> {
        &self.parts.board
    }

    /// Says that there may be proposals in the store.
    pub fn wake(&self) {
        self.is_wanted.store(true, Ordering::Release);
        self.wanted.notify_one();
    }

    /// Says once what would have been blocked, when the installation has been in dry run for [`WEEK`]: by an alert, and so
    /// by a message, and in the log. Returns whether it said so now.
    ///
    /// # Errors
    ///
    /// What the store says; then it is said the next time.
    pub fn tell_of_dry_run(&self, now: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let store = self.parts.store.as_ref();
        if state.mode == Mode::Live || store.switch(SWITCH_REPORTED)?.is_some() {
            return Ok(false);
        }
        let dry = self.dry_decisions(now)?;
        let is_old = dry.last().is_some_and(|it| it.created_at <= now.minus(WEEK));
        let report = Report::of(&dry);
        if !is_old || report.targets == 0 {
            return Ok(false);
        }
        let lease = self.lease(&mut state)?;
        let alarm = Alert { incarnation: lease.epoch, ..alarm::would_have_blocked(&report, now) };
        let outbox: Vec<OutboxRow> = self.announcers.get().map_or_else(Vec::new, |it| (it.alarm)(&alarm));
        let audit = entry(now, ACTOR_REPORT, "decisions.reported", "dry-run", &alarm.details);
        let tell = |_: &Decision| Vec::new();
        store.admit(&Admitting {
            lease,
            taken: &[],
            judged: &[],
            alarms: std::slice::from_ref(&alarm),
            outbox: &outbox,
            tell: Tell(&tell),
            audit: &[],
            now,
        })?;
        store.set_switch(SWITCH_REPORTED, "told", &audit)?;
        tracing::info!(targets = report.targets, "{}", alarm.details);
        Ok(true)
    }

    /// The decisions that were in dry run, newest first, back to one of a week ago.
    fn dry_decisions(&self, now: Timestamp) -> Result<Vec<Decision>, StoreError> {
        let (mut found, mut before): (Vec<Decision>, Option<DecisionId>) = (Vec::new(), None);
        for _ in 0..REPORTED_MAX / PAGE {
            let query = DecisionQuery {
                standing: Some(Standing::DryRun.as_str().to_owned()),
                before,
                limit: PAGE,
                ..DecisionQuery::default()
            };
            let page = self.parts.store.decisions(&query)?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            let is_whole = last.created_at <= now.minus(WEEK);
            found.extend(page.into_iter().filter(|it| !it.is_synthetic));
            if is_whole {
                break;
            }
        }
        Ok(found)
    }

    /// The right to admit, taken when there is none yet.
    fn lease(&self, state: &mut State) -> Result<Lease, StoreError> {
        Ok(match state.lease {
            Some(lease) => lease,
            None => *state.lease.insert(self.parts.store.acquire(LEADER)?),
        })
    }

    /// Judges the proposals of the store as they come, until `stop` is set.
    ///
    /// # Errors
    ///
    /// When another process leads, or the store holds what makes no sense.
    pub fn run(&self, stop: &AtomicBool) -> Result<(), StoreError> {
        let (mut is_checked, mut report_at) = (false, Timestamp::MIN);
        while !stop.load(Ordering::Relaxed) {
            let state = self.lock();
            let waits = |_: &mut State| !self.is_wanted.load(Ordering::Acquire) && !stop.load(Ordering::Relaxed);
            let waited = self.wanted.wait_timeout_while(state, IDLE, waits).unwrap_or_else(PoisonError::into_inner);
            drop(waited);
            self.is_wanted.store(false, Ordering::Release);
            self.parts.board.apply(&[], now());
            let checked = if is_checked { Ok(()) } else { self.end_spared() };
            let checked = checked.and_then(|()| self.remind(&mut report_at, now()));
            match checked.and_then(|()| self.judge_waiting()) {
                Ok(()) => is_checked = true,
                Err(error) if error.is_transient() => {
                    tracing::warn!(reason = %chain(&error), "Proposals cannot be judged; it is tried again");
                    std::thread::sleep(RETRY);
                    self.is_wanted.store(true, Ordering::Release);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks whether there is something to tell of dry run, once in [`REPORT_EVERY`].
    fn remind(&self, report_at: &mut Timestamp, now: Timestamp) -> Result<(), StoreError> {
        if now < *report_at {
            return Ok(());
        }
        self.tell_of_dry_run(now)?;
        *report_at = now.plus(REPORT_EVERY);
        Ok(())
    }

    /// Ends what is in force about who is spared by now: the configuration may have changed since it was decided, and enforcers
    /// elsewhere keep what nobody takes back.
    fn end_spared(&self) -> Result<(), StoreError> {
        let state = self.lock();
        let now = now();
        let spared = state.admission.spared();
        let hit: Vec<(DecisionId, String)> = self.parts.board.with_set(|set| {
            let reason = |it: &Target| spared.why(it).map(|(network, why)| spared_text(it, &network, &why));
            set.all(now).filter_map(|it| Some((it.id, reason(&it.target)?))).collect()
        });
        for (id, reason) in hit {
            let ended = Ended { at: now, actor: "configuration".to_owned(), reason: reason.clone() };
            self.end(&state, &[id], &ended, &reason)?;
        }
        Ok(())
    }

    /// Judges every proposal that waits in the store.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn judge_waiting(&self) -> Result<(), StoreError> {
        loop {
            let mut state = self.lock();
            let waiting = self.parts.store.proposals(BATCH)?;
            if waiting.is_empty() {
                return Ok(());
            }
            let taken: Vec<u64> = waiting.iter().map(|it| it.number).collect();
            let mut proposals: Vec<Proposal> = waiting.into_iter().map(|it| it.proposal).collect();
            if let Some(suspect) = self.suspect.get() {
                proposals.iter_mut().for_each(|it| it.is_spoofable = it.is_spoofable || suspect(it));
            }
            self.admit(&mut state, proposals, &taken, "")?;
        }
    }

    /// Judges proposals at once, of a person or a list; `reason` of the audit is why, beside what each says.
    ///
    /// # Errors
    ///
    /// What the store says; then nothing is decided.
    pub fn decide(&self, proposals: Vec<Proposal>) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(proposals.len());
        let mut proposals = proposals.into_iter().peekable();
        while proposals.peek().is_some() {
            let batch = proposals.by_ref().take(10 * BATCH).collect();
            outcomes.extend(self.admit(&mut self.lock(), batch, &[], "decision.add")?);
        }
        Ok(outcomes)
    }

    /// Ends everything that is open about a target, or with `is_mine` only what the same actor decided; returns what was
    /// ended.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn end_target(&self, target: &Target, ended: &Ended, is_mine: bool) -> Result<Vec<Decision>, StoreError> {
        let query = DecisionQuery {
            target: Some(target.clone()),
            open_at: Some(ended.at),
            limit: OF_TARGET_MAX,
            ..DecisionQuery::default()
        };
        let state = self.lock();
        let open = self.parts.store.decisions(&query)?;
        let meant = open.iter().filter(|it| !is_mine || it.actor == ended.actor);
        let ids: Vec<DecisionId> = meant.map(|it| it.id).collect();
        self.end(&state, &ids, ended, &target.to_string())
    }

    /// Ends one decision; `None` when there is no open one of that number.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn end_one(&self, id: DecisionId, ended: &Ended) -> Result<Option<Decision>, StoreError> {
        let state = self.lock();
        let target = self.parts.store.decision(id)?.map(|it| it.target.to_string()).unwrap_or_default();
        Ok(self.end(&state, &[id], ended, &target)?.pop())
    }

    /// Gives a decision that is held or in dry run into force, on somebody's word; the never-block list still wins.
    ///
    /// # Errors
    ///
    /// What the store says; [`StoreError::Refused`] for somebody who is never blocked.
    pub fn release(&self, id: DecisionId, actor: &str, reason: &str) -> Result<Option<Decision>, StoreError> {
        let state = self.lock();
        let Some(decision) = self.parts.store.decision(id)? else { return Ok(None) };
        if let Some((network, why)) = self.spared_in(&state, &decision.target) {
            return Err(StoreError::Refused(spared_text(&decision.target, &network, &why)));
        }
        if decision.is_synthetic {
            return Err(StoreError::Refused(format!("{} is of demo data, and is never enforced", decision.target)));
        }
        let now = now();
        let lasts = decision.expires_at.since(decision.created_at);
        let audit = entry(now, actor, "decision.release", &decision.target.to_string(), reason);
        let announcers = self.announcers.get();
        let tell = |decision: &Decision| announcers.map_or_else(Vec::new, |it| (it.decision)(decision));
        let released = self.parts.store.release_decision(id, now.plus(lasts), &audit, Tell(&tell))?;
        self.parts.board.apply(released.as_slice(), now);
        (self.parts.on_decided)(released.as_slice());
        Ok(released)
    }

    /// Never blocks a network from now on, and ends every decision that hits it; returns those.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn spare(&self, spared: &Spared) -> Result<Vec<Decision>, StoreError> {
        let mut state = self.lock();
        let audit = entry(spared.created_at, &spared.actor, "spare", &spared.network.to_string(), &spared.reason);
        self.parts.store.spare(spared, &audit)?;
        self.respare(&mut state)?;
        let reason = format!("{} is never blocked: {}", spared.network, spared.reason);
        let ended = Ended { at: spared.created_at, actor: spared.actor.clone(), reason };
        self.end_hitting(&state, &spared.network, &ended)
    }

    /// Ends every decision that hits an address of a crawler that is verified now; returns those.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn end_of_crawler(&self, address: IpAddr, name: &str) -> Result<Vec<Decision>, StoreError> {
        let state = self.lock();
        let (network, at) = (Network::of(address), now());
        let reason = format!("{network} is never blocked: {}", crawler_reason(name));
        self.end_hitting(&state, &network, &Ended { at, actor: ACTOR_CRAWLERS.to_owned(), reason })
    }

    /// Takes a network off the list of the store; returns whether it was on it.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn unspare(&self, network: &Network, actor: &str, reason: &str) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let audit = entry(now(), actor, "unspare", &network.to_string(), reason);
        let was_on = self.parts.store.unspare(network, &audit)?;
        self.respare(&mut state)?;
        Ok(was_on)
    }

    /// Who is spared, those of the configuration too; what is local comes as one line each.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn spared(&self) -> Result<Vec<Spared>, StoreError> {
        let configured = self.parts.spared.iter().map(|(network, reason)| Spared {
            network: *network,
            reason: reason.clone(),
            actor: "configuration".to_owned(),
            created_at: Timestamp::default(),
        });
        let mut all: Vec<Spared> = configured.collect();
        all.extend(self.parts.store.spared()?);
        Ok(all)
    }

    /// What is switched.
    #[must_use]
    pub fn switches(&self) -> Switches {
        let state = self.lock();
        Switches { mode: state.mode, paused: state.paused.clone() }
    }

    /// Says whether decisions of machines are enforced from now on. What was decided before stays as it is.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn set_mode(&self, mode: Mode, actor: &str, reason: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        let audit = entry(now(), actor, "decisions.mode", mode.as_str(), reason);
        self.parts.store.set_switch(SWITCH_MODE, mode.as_str(), &audit)?;
        state.mode = mode;
        Ok(())
    }

    /// Pauses decisions of machines, or lets them go on. What is in force stays so.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn set_paused(&self, is_paused: bool, actor: &str, reason: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        let paused = is_paused.then(|| if reason.is_empty() { actor.to_owned() } else { format!("{actor}: {reason}") });
        let subject = if is_paused { "pause" } else { "resume" };
        let audit = entry(now(), actor, "decisions.pause", subject, reason);
        self.parts.store.set_switch(SWITCH_PAUSED, paused.as_deref().unwrap_or_default(), &audit)?;
        state.paused = paused;
        Ok(())
    }

    /// Says why a target is never blocked, if it is not.
    #[must_use]
    pub fn why_spared(&self, target: &Target) -> Option<(Network, String)> {
        self.spared_in(&self.lock(), target)
    }

    fn spared_in(&self, state: &State, target: &Target) -> Option<(Network, String)> {
        let listed = state.admission.spared().why(target).map(|(network, why)| (network, why.to_string()));
        listed.or_else(|| self.crawler_in(target))
    }

    fn crawler_in(&self, target: &Target) -> Option<(Network, String)> {
        let (network, name) = (self.parts.find_crawler)(target.network()?)?;
        Some((network, crawler_reason(&name)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(
        &self,
        state: &mut State,
        proposals: Vec<Proposal>,
        taken: &[u64],
        action: &str,
    ) -> Result<Vec<Outcome>, StoreError> {
        let now = now();
        let clients = self.parts.progress.done().clients;
        let circumstances = Circumstances { now, mode: state.mode, is_paused: state.paused.is_some(), clients };
        let (mut outcomes, mut judged, mut audit, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // What counts for brakes and alarms is forgotten again when nothing is stored.
        let (mut admission, mut alarms) = (state.admission.clone(), state.alarms.clone());
        let mut in_batch: HashMap<(Target, Measure), Timestamp> = HashMap::new();
        for proposal in proposals {
            let until = now.plus(proposal.lasts);
            let key = (proposal.target.clone(), proposal.measure);
            // What a person says is done as it is said; machines and lists repeat themselves.
            let is_covered = proposal.origin != Origin::Manual && in_batch.get(&key).is_some_and(|it| until <= *it);
            let verdict = if is_covered {
                Verdict::Covered(DecisionId::default())
            } else {
                let spared = self.crawler_in(&proposal.target);
                self.parts.board.with_set(|set| admission.judge(&proposal, spared, set, circumstances))
            };
            outcomes.push(match verdict {
                Verdict::Covered(_) => Some(Outcome::Covered),
                Verdict::Spared(network, why) => Some(Outcome::Spared(network, why)),
                Verdict::Admitted(standing) => {
                    if let Standing::Held(brake) = standing {
                        held.push(Held { brake, target: proposal.target.clone(), is_synthetic: proposal.is_synthetic });
                    } else {
                        in_batch.insert(key, until);
                    }
                    if !action.is_empty() {
                        let subject = format!("{} {}", proposal.measure.as_str(), proposal.target);
                        audit.push(entry(now, &proposal.actor, action, &subject, &proposal.reason));
                    }
                    judged.push(Judged { proposal, standing });
                    None
                }
            });
        }
        let lease = self.lease(state)?;
        // While nothing is enforced nobody has to be woken.
        let raised = if state.mode == Mode::Live { alarms.take(&held, now, lease.epoch) } else { Vec::new() };
        let announcers = self.announcers.get();
        let outbox: Vec<OutboxRow> =
            announcers.iter().flat_map(|it| raised.iter().flat_map(|alarm| (it.alarm)(alarm))).collect();
        let tell = |decision: &Decision| announcers.map_or_else(Vec::new, |it| (it.decision)(decision));
        let admitting = Admitting {
            lease,
            taken,
            judged: &judged,
            alarms: &raised,
            outbox: &outbox,
            tell: Tell(&tell),
            audit: &audit,
            now,
        };
        let decisions = self.parts.store.admit(&admitting)?;
        (state.admission, state.alarms) = (admission, alarms);
        self.parts.board.apply(&decisions, now);
        (self.parts.on_decided)(&decisions);
        let mut decisions = decisions.into_iter();
        let whole =
            outcomes.into_iter().map(|it| it.or_else(|| decisions.next().map(|it| Outcome::Decided(Box::new(it)))));
        Ok(whole.flatten().collect())
    }

    fn end(
        &self,
        _state: &MutexGuard<'_, State>,
        ids: &[DecisionId],
        ended: &Ended,
        subject: &str,
    ) -> Result<Vec<Decision>, StoreError> {
        let audit = entry(ended.at, &ended.actor, "decision.end", subject, &ended.reason);
        let announcers = self.announcers.get();
        let tell = |decision: &Decision| announcers.map_or_else(Vec::new, |it| (it.decision)(decision));
        let changed = self.parts.store.end_decisions(ids, ended, &[audit], Tell(&tell))?;
        self.parts.board.apply(&changed, ended.at);
        if !changed.is_empty() {
            (self.parts.on_decided)(&changed);
        }
        Ok(changed)
    }

    /// Ends every decision that has an address in common with `network`.
    fn end_hitting(
        &self,
        state: &MutexGuard<'_, State>,
        network: &Network,
        ended: &Ended,
    ) -> Result<Vec<Decision>, StoreError> {
        let hits = |it: &Target| it.network().is_some_and(|it| it.overlaps(network));
        let ids: Vec<DecisionId> =
            self.parts.board.with_set(|set| set.all(ended.at).filter(|it| hits(&it.target)).map(|it| it.id).collect());
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.end(state, &ids, ended, &network.to_string())
    }

    fn respare(&self, state: &mut State) -> Result<(), StoreError> {
        let list = spared_list(&self.parts)?;
        state.admission.spare(list.clone());
        self.parts.board.spare(list);
        Ok(())
    }
}

/// Who is never blocked: local addresses, those of the configuration, and those of the store.
fn spared_list(parts: &AdmitterParts) -> Result<SparedList, StoreError> {
    let mut list = if parts.spares_local { SparedList::of_local() } else { SparedList::new() };
    parts.spared.iter().for_each(|(network, why)| list.add(*network, why));
    parts.store.spared()?.iter().for_each(|it| list.add(it.network, &it.reason));
    Ok(list)
}

/// Why a crawler is spared.
fn crawler_reason(name: &str) -> String {
    format!("a verified crawler ({name})")
}

/// Puts on the board what is or was in force, and counts for the brakes what machines decided lately.
fn load(parts: &AdmitterParts, admission: &mut Admission) -> Result<(), StoreError> {
    let (now, mut after) = (now(), 0);
    loop {
        let page = parts.store.decisions_changed(after, now.minus(GONE_KEPT), PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.changed;
        parts.board.apply(&page, now);
    }
    for origin in Origin::ALL.into_iter().filter(|it| it.is_automatic()) {
        let query = DecisionQuery {
            origin: Some(origin),
            created_from: Some(now.minus(SHARE_SPAN)),
            limit: OF_TARGET_MAX,
            ..DecisionQuery::default()
        };
        for decision in parts.store.decisions(&query)?.iter().rev() {
            if !matches!(decision.standing, Standing::Held(_)) {
                admission.remember(&decision.target, decision.created_at);
            }
        }
    }
    Ok(())
}

/// Says that somebody is never blocked, and why.
#[must_use]
pub fn spared_text(target: &Target, network: &Network, why: &str) -> String {
    if target.network() == Some(network) {
        format!("{target} is never blocked: {why}")
    } else {
        format!("{target} is never blocked: {network} is {why}")
    }
}

fn entry(at: Timestamp, actor: &str, action: &str, subject: &str, reason: &str) -> AuditEntry {
    let [actor, action, subject, reason] = [actor, action, subject, reason].map(str::to_owned);
    AuditEntry { at, actor, action, subject, reason }
}

#[cfg(test)]
#[path = "admitter_tests.rs"]
mod tests;
