//! Reading and writing: which connection is used, what is done again, and what a lost answer means.

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

use super::PostgresStore;
use super::connections::Lent;
use super::error::{Fault, Unknowable, timed_out};
use super::session::Session;
use super::wait::wait;
use crate::store::StoreError;

/// How often a transaction is tried that others were in the way of.
const TRIES: u32 = 10;
/// How long is waited before the second try; before each further one twice as long.
const PAUSE: Duration = Duration::from_millis(2);
/// How long it is tried to find out what became of a commit whose answer was lost; a server that was killed is back
/// within a few seconds. After it the caller must ask again.
const RESOLVE: Duration = Duration::from_secs(5);
/// How often it is tried.
const RESOLVE_EVERY: Duration = Duration::from_millis(100);

/// A transaction that was not done, as far as is known.
pub(super) struct Undone<T> {
    pub(super) error: StoreError,
    /// What it did if it was done after all: its end was sent, and no answer came.
    pub(super) doubtful: Option<T>,
}

/// How a try ended.
enum Tried<T> {
    Done(T),
    Failed(Fault),
    /// The end of the transaction was sent, and no answer came.
    Unanswered(T, Transaction, StoreError),
}

/// A transaction as its server calls it.
struct Transaction {
    number: String,
    /// Which server that is; on another the number means nothing, or another transaction.
    server: Option<String>,
}

/// What became of a transaction.
enum Ended {
    Committed,
    Aborted,
    /// It could not be found out in time.
    Unanswered,
    /// Nobody knows any more.
    Unknowable,
}

impl PostgresStore {
    /// A connection whose other end was there just now.
    pub(super) fn lend_and_ask(&self) -> Result<Lent<'_>, StoreError> {
        let lent = self.connections.lend()?;
        if !lent.is_used || matches!(wait(lent.session().run(""), self.connections.patience()), Some(Ok(()))) {
            return Ok(lent);
        }
        lent.give_up();
        self.connections.lend_new()
    }

    /// Asks. A connection that turns out to be gone is replaced once.
    pub(super) fn read<T>(&self, ask: impl AsyncFn(&Session) -> Result<T, Fault>) -> Result<T, StoreError> {
        let mut lent = self.connections.lend()?;
        loop {
            let answer = wait(ask(lent.session()), self.connections.patience());
            match answer.unwrap_or_else(|| Err(Fault::Lost(timed_out()))) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Lost(error)) => {
                    let may_try_again = lent.is_used;
                    lent.give_up();
                    if !may_try_again {
                        return Err(error);
                    }
                    lent = self.connections.lend_new()?;
                }
                Err(fault) => return Err(fault.told()),
            }
        }
    }

    /// Does `work` in one transaction, and nothing of it when it fails.
    pub(super) fn write<T>(&self, work: impl AsyncFn(&Session) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.write_or_doubt(work).map_err(|it| it.error)
    }

    /// The same; where it stays unknown whether it was done, the error says what it did then.
    pub(super) fn write_or_doubt<T>(&self, work: impl AsyncFn(&Session) -> Result<T, Fault>) -> Result<T, Undone<T>> {
        let certain = |error: StoreError| Undone { error, doubtful: None };
        let mut lent = self.connections.lend().map_err(certain)?;
        let mut pause = PAUSE;
        for tries in 1.. {
            match try_once(&lent, &work, self.connections.patience()) {
                Tried::Done(done) => return Ok(done),
                Tried::Failed(Fault::Again(_)) if tries < TRIES => {
                    thread::sleep(pause);
                    pause *= 2;
                }
                Tried::Failed(Fault::Lost(error)) => {
                    let may_try_again = lent.is_used && tries < TRIES;
                    lent.give_up();
                    if !may_try_again {
                        return Err(certain(error));
                    }
                    lent = self.connections.lend_new().map_err(certain)?;
                }
                Tried::Failed(fault) => return Err(certain(fault.told())),
                Tried::Unanswered(done, transaction, error) => {
                    lent.give_up();
                    let error = match self.end_of(&transaction) {
                        Ended::Committed => return Ok(done),
                        Ended::Aborted => {
                            lent = self.connections.lend_new().map_err(certain)?;
                            continue;
                        }
                        Ended::Unanswered => error,
                        Ended::Unknowable => StoreError::Unavailable(Unknowable.into()),
                    };
                    return Err(Undone { error, doubtful: Some(done) });
                }
            }
        }
        Err(certain(timed_out()))
    }

    /// Asks what became of a transaction.
    fn end_of(&self, transaction: &Transaction) -> Ended {
        let began = Instant::now();
        while began.elapsed() < RESOLVE {
            if let Ok(lent) = self.connections.lend_new() {
                if transaction.server.is_none() || lent.session().server() != transaction.server.as_deref() {
                    return Ended::Unknowable;
                }
                let sql = "SELECT pg_xact_status($1::text::xid8)";
                let asked = async { lent.session().value::<Option<String>>(sql, &[&transaction.number]).await };
                match wait(asked, RESOLVE).and_then(Result::ok).flatten().as_deref() {
                    Some("committed") => return Ended::Committed,
                    Some("aborted") => return Ended::Aborted,
                    // Its session has not noticed yet that we are gone, or does what it was told last.
                    _ => {}
                }
            }
            thread::sleep(RESOLVE_EVERY);
        }
        Ended::Unanswered
    }
}

/// Does `work` in one transaction of a connection. One that may go on afterwards is left without a transaction.
fn try_once<T>(lent: &Lent<'_>, work: &impl AsyncFn(&Session) -> Result<T, Fault>, patience: Duration) -> Tried<T> {
    let session = lent.session();
    // What was done, once its end has been sent.
    let ending = RefCell::new(None);
    let running = async {
        session.run("BEGIN").await?;
        let done = work(session).await?;
        // Without a number it changed nothing.
        let number: Option<String> = session.value("SELECT pg_current_xact_id_if_assigned()::text", &[]).await?;
        *ending.borrow_mut() = Some((done, number));
        session.run("COMMIT").await
    };
    let ended = wait(running, patience).unwrap_or_else(|| Err(Fault::Lost(timed_out())));
    match (ended, ending.into_inner()) {
        (Ok(()), Some((done, _))) | (Err(Fault::Lost(_)), Some((done, None))) => Tried::Done(done),
        (Err(Fault::Lost(error)), Some((done, Some(number)))) => {
            let server = session.server().map(str::to_owned);
            Tried::Unanswered(done, Transaction { number, server }, error)
        }
        (Ok(()), None) => Tried::Failed(Fault::Store(StoreError::broken("transaction"))),
        (Err(Fault::Lost(error)), None) => Tried::Failed(Fault::Lost(error)),
        (Err(fault), _) => {
            // Where this fails, the connection is gone; whoever uses it next is told.
            match wait(session.run("ROLLBACK"), patience) {
                Some(Ok(())) => Tried::Failed(fault),
                _ => Tried::Failed(match fault {
                    Fault::Store(error) => Fault::Store(error),
                    other => Fault::Lost(other.told()),
                }),
            }
        }
    }
}
