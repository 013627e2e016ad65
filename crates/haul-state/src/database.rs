//! The file.
//!
//! Owns where it is, how it is opened and what its tables are. It is opened when it is first
//! needed, for its owner's eyes only. It must never touch a file that is not haul's.

use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use haul_core::{Error, Op, Result};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{explain, is_busy, unusable};

/// How long to wait for another process. Its transactions take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What SQLite calls the application that a file belongs to: "haul".
const APPLICATION: i32 = 0x6861_756c;

/// The steps from an empty file to what this version writes, each to the version of its number
/// (from 1). Steps that were shipped are never changed.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE places (
        id INTEGER PRIMARY KEY,
        endpoint TEXT NOT NULL,
        bucket TEXT NOT NULL,
        UNIQUE (endpoint, bucket)
    ) STRICT;
    CREATE TABLE contents (
        place INTEGER NOT NULL REFERENCES places (id),
        blake3 BLOB NOT NULL,
        key TEXT NOT NULL,
        etag TEXT NOT NULL,
        size INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (place, blake3)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX contents_by_key ON contents (place, key);
    CREATE TABLE files (
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        size INTEGER NOT NULL,
        modified_s INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL,
        changed_s INTEGER NOT NULL,
        changed_ns INTEGER NOT NULL,
        blake3 BLOB NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (device, inode)
    ) STRICT, WITHOUT ROWID;
"];

/// A file that is opened when it is needed.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl Database {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, connection: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with(|connection| work(connection))
    }

    /// Changes something, all or nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with(|connection| {
            // Locked at once: a reader that becomes a writer cannot wait for another.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *slot {
            Some(connection) => connection,
            closed => closed.insert(open(&self.path)?),
        };
        work(connection).map_err(|e| explain(&self.path, e))
    }
}

fn open(path: &Path) -> Result<Connection> {
    if let Err(e) = create_private(path)
        && !matches!(e.kind(), PermissionDenied | ReadOnlyFilesystem)
    {
        return Err(Error::io(Op::Open, path.display(), e));
    }
    let started = Instant::now();
    loop {
        match prepare(path) {
            // Switching to WAL and recovering from a crash do not wait for others by themselves.
            Err(Refused::Sqlite(e)) if is_busy(&e) && started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Refused::Sqlite(e)) => return Err(explain(path, e)),
            Err(Refused::Unusable(what)) => return Err(unusable(path, &what)),
            Ok(connection) => {
                let private = std::fs::Permissions::from_mode(0o600);
                let _best_effort = std::fs::set_permissions(path, private);
                return Ok(connection);
            }
        }
    }
}

/// Makes the file and its folder if they are missing, for their owner alone. SQLite gives the files
/// that it puts beside it the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    std::fs::File::options().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Why a file is not used.
enum Refused {
    Sqlite(rusqlite::Error),
    Unusable(String),
}

impl From<rusqlite::Error> for Refused {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

fn prepare(path: &Path) -> Result<Connection, Refused> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // Before anything is written to it, journal mode included; and in one transaction, or another
    // process could make its tables between two of the questions.
    let version = version_of(&connection.transaction()?)?;
    if version < MIGRATIONS.len() {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        migrate(&mut connection)?;
    }
    // A power cut may take the last records, which are found again; it damages nothing.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

/// The version of a file of ours; 0 for an empty one.
fn version_of(connection: &Transaction<'_>) -> Result<usize, Refused> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application, version, tables) != (0, 0, 0) {
        return Err(Refused::Unusable("it is the database of another program".to_owned()));
    }
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(version) if version <= known => Ok(version),
        _ => Err(Refused::Unusable(format!(
            "a newer version of haul has written it (format {version}; this one knows {known})"
        ))),
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Refused> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it in the meantime.
    let version = version_of(&transaction)?;
    for step in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(
        None,
        "user_version",
        i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX),
    )?;
    Ok(transaction.commit()?)
}
