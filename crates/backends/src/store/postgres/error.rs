//! What PostgreSQL says, as what the caller can do about it.

use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why a statement or a transaction failed, as the store's own loops need to know it.
#[derive(Debug)]
pub(super) enum Fault {
    /// Two transactions were in one another's way: the same one succeeds later.
    Again(Error),
    /// The connection is gone, or leads to a server that does not serve.
    Lost(StoreError),
    /// What the caller is told.
    Store(StoreError),
}

impl Fault {
    /// What the caller is told, once the loops have given up.
    pub(super) fn told(self) -> StoreError {
        match self {
            Self::Again(error) => StoreError::Unavailable(error.into()),
            Self::Lost(error) | Self::Store(error) => error,
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Some(code) = error.code() else { return of_driver(error) };
        match (code, &code.code()[..2]) {
            (
                &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::LOCK_NOT_AVAILABLE,
                _,
            ) => Self::Again(error),
            // Cancelled by the time limit of statements: the session is as it was.
            (&SqlState::QUERY_CANCELED, _) => Self::Store(StoreError::Unavailable(error.into())),
            // Connection, operator, a server that only reads, a session that was ended while it idled.
            (_, "08" | "57" | "25") => Self::Lost(StoreError::Unavailable(error.into())),
            // Resources, and trouble of the system below.
            (_, "53" | "58") => Self::Store(StoreError::Unavailable(error.into())),
            (_, "23") => Self::Store(StoreError::Refused(format!("what was to be stored is refused: {error}"))),
            _ => Self::Store(StoreError::Corrupt { what: "table", source: Some(error.into()) }),
        }
    }
}

/// An error without a code of the server: the connection failed, or what came cannot be read.
fn of_driver(error: Error) -> Fault {
    let is_of_value =
        error.to_string().starts_with("error deserializing") || error.to_string().starts_with("error serializing");
    if is_of_value {
        return Fault::Store(StoreError::Corrupt { what: "row", source: Some(error.into()) });
    }
    Fault::Lost(StoreError::Unavailable(error.into()))
}

/// Whether no later try will do: who may not come in does not get in by waiting.
pub(super) fn is_final(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // It asks for a password where there is none, or in a way that is not spoken here.
        let text = error.to_string();
        return text.starts_with("invalid configuration") || text.starts_with("authentication error");
    };
    code.code().starts_with("28") || [SqlState::INVALID_CATALOG_NAME, SqlState::INSUFFICIENT_PRIVILEGE].contains(code)
}

/// Nobody can say whether a commit was done: who knew it does not answer, and whoever answers now is another server.
#[derive(Debug, thiserror::Error)]
#[error("the answer to a commit was lost, and another server has taken over: whether it was done is unknown")]
pub(super) struct Unknowable;

/// What took too long, or never came.
pub(super) fn timed_out() -> StoreError {
    StoreError::Unavailable(io::Error::from(io::ErrorKind::TimedOut).into())
}
