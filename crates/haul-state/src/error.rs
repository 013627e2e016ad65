//! What SQLite's errors mean.
//!
//! Owns the mapping to haul's error, with the way out. A file that cannot be read is never repaired
//! and never removed: it may be somebody else's.

use std::path::Path;

use haul_core::{Error, ErrorKind, Hint, Op};
use rusqlite::ErrorCode;

/// The error for a file that is not what it should be: nothing in it is needed.
pub(crate) fn unusable(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Invalid, Op::Open, path.display(), what).with_hint(Hint::RemoveIndex)
}

/// What `error` means for the file at `path`.
pub(crate) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    let at = path.display();
    let damaged = "it is damaged, or not a file of haul's";
    let explained = match &error {
        rusqlite::Error::SqliteFailure(failure, text) => match failure.code {
            // The last is "no such table" and the like: somebody has been at it.
            ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown => {
                unusable(path, damaged)
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Error::new(ErrorKind::Io, Op::Open, at, "another process keeps it locked")
                    .with_hint(Hint::StopOthers)
            }
            ErrorCode::DiskFull => {
                Error::new(ErrorKind::NoSpace, Op::Write, at, "no space left on device")
            }
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
                let what = "it, or the folder that it is in, may not be written";
                Error::new(ErrorKind::AccessDenied, Op::Open, at, what)
            }
            _ => {
                let what = text.clone().unwrap_or_else(|| failure.to_string());
                Error::new(ErrorKind::Io, Op::Open, at, what)
            }
        },
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::SqlInputError { .. } => unusable(path, damaged),
        other => Error::new(ErrorKind::Io, Op::Open, at, other),
    };
    explained.with_source(error)
}

/// Whether another process is in the way, and will not be for long.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    let busy = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| busy.contains(&code))
}
