//! What SQLite says, as what the caller can do about it.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Whether the same statement may succeed later: somebody else holds the file, or its disk is full or fails.
const fn is_transient(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::SchemaChanged
    )
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(code) if is_transient(code) => Self::Unavailable(error.into()),
            Some(ErrorCode::ConstraintViolation) => Self::Refused(format!("what was to be stored is refused: {error}")),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { what: "file", source: Some(error.into()) }
            }
            _ => Self::Corrupt { what: "table", source: Some(error.into()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[track_caller]
    fn check(code: i32, is_transient: bool, text: &str) {
        let error = StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert_eq!((error.is_transient(), error.to_string().as_str()), (is_transient, text), "{code}");
    }

    #[test]
    fn what_may_pass_is_told_from_what_is_broken() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_FSYNC]
        {
            check(code, true, "the store is not available");
        }
        check(ffi::SQLITE_CORRUPT, false, "the store holds a broken file");
        check(ffi::SQLITE_NOTADB, false, "the store holds a broken file");
        check(ffi::SQLITE_ERROR, false, "the store holds a broken table");
    }
}
