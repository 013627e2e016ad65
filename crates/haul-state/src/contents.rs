//! Which contents stores have.
//!
//! Owns the table from a content to one object that has it. An object has one content, so what is
//! recorded for a key replaces what was. It must never be taken for the truth: objects are removed
//! and replaced by others, and the caller asks the store before it relies on one.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use haul_core::Result;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::database::Database;

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The store, by whatever text the caller tells stores apart by.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
}

/// An object that had a content when it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its key.
    pub key: String,
    /// Its ETag then, without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// A content and an object that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// BLAKE3 of its bytes.
    pub blake3: [u8; 32],
    /// The object.
    pub object: Known,
}

/// The index, in one file that several processes may use at once. All calls block; see
/// [`SharedIndex`](crate::SharedIndex).
#[derive(Debug)]
pub struct ContentIndex {
    pub(crate) database: Database,
}

impl ContentIndex {
    /// The index in the file at `path`. Nothing is opened or made before it is needed.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self { database: Database::new(path.into()) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.database.path()
    }

    /// An object in `place` that has the content `blake3` of `size` bytes.
    pub fn find(&self, place: &Place, blake3: &[u8; 32], size: u64) -> Result<Option<Known>> {
        let sql = "SELECT key, etag FROM contents JOIN places ON places.id = contents.place \
                   WHERE endpoint = ?1 AND bucket = ?2 AND blake3 = ?3 AND size = ?4";
        let of = params![place.endpoint, place.bucket, blake3, size.cast_signed()];
        self.database.read(|db| {
            db.query_row(sql, of, |row| Ok(Known { key: row.get(0)?, etag: row.get(1)?, size }))
                .optional()
        })
    }

    /// Records what objects in `place` have, all in one transaction.
    pub fn record(&self, place: &Place, contents: &[Content]) -> Result<()> {
        if contents.is_empty() {
            return Ok(());
        }
        let now = now();
        self.database.write(|db| {
            let place = place_id(db, place)?;
            // What the key had before is gone.
            let mut outdated =
                db.prepare("DELETE FROM contents WHERE place = ?1 AND key = ?2 AND blake3 <> ?3")?;
            let mut upsert = db.prepare(
                "INSERT INTO contents (place, blake3, key, etag, size, seen_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT DO UPDATE SET key = ?3, etag = ?4, size = ?5, seen_at = ?6",
            )?;
            for Content { blake3, object: Known { key, etag, size } } in contents {
                outdated.execute(params![place, key, blake3])?;
                upsert.execute(params![place, blake3, key, etag, size.cast_signed(), now])?;
            }
            Ok(())
        })
    }

    /// Forgets objects in `place` that are gone or have changed.
    pub fn forget<K: AsRef<str>>(&self, place: &Place, keys: &[K]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.database.write(|db| {
            let Some(place) = find_place(db, place)? else { return Ok(()) };
            let mut forget = db.prepare("DELETE FROM contents WHERE place = ?1 AND key = ?2")?;
            for key in keys {
                forget.execute(params![place, key.as_ref()])?;
            }
            Ok(())
        })
    }

    /// Forgets what was not recorded since `before`, files included.
    pub fn forget_before(&self, before: SystemTime) -> Result<()> {
        let before = seconds(before);
        self.database.write(|db| {
            db.execute("DELETE FROM contents WHERE seen_at < ?1", [before])?;
            db.execute("DELETE FROM files WHERE seen_at < ?1", [before])?;
            Ok(())
        })
    }
}

fn find_place(db: &Connection, place: &Place) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM places WHERE endpoint = ?1 AND bucket = ?2";
    db.query_row(sql, params![place.endpoint, place.bucket], |row| row.get(0)).optional()
}

fn place_id(db: &Connection, place: &Place) -> rusqlite::Result<i64> {
    if let Some(id) = find_place(db, place)? {
        return Ok(id);
    }
    let sql = "INSERT INTO places (endpoint, bucket) VALUES (?1, ?2)";
    db.execute(sql, params![place.endpoint, place.bucket])?;
    Ok(db.last_insert_rowid())
}

pub(crate) fn now() -> i64 {
    seconds(SystemTime::now())
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed())
}
