//! What files hashed to, so that a file that has not changed is not read again.
//!
//! Owns the table of digests and the rule when one may be kept: a file that was changed a moment ago
//! may change again within the same tick of its file system's clock, and nothing would show it.

use haul_core::Result;
use rusqlite::{OptionalExtension as _, params};

use crate::contents::{ContentIndex, now};

/// Seconds that a file must have been left alone: the coarsest clock, FAT's, ticks every 2.
const AT_REST: i64 = 3;

/// A file in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content was changed last: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
    /// When anything about it was changed last.
    pub changed: (i64, i64),
}

impl ContentIndex {
    /// BLAKE3 of the file in this state, if it was remembered.
    pub fn file_digest(&self, file: &FileId) -> Result<Option<[u8; 32]>> {
        let sql = "SELECT blake3 FROM files WHERE device = ?1 AND inode = ?2 AND size = ?3 \
                   AND modified_s = ?4 AND modified_ns = ?5 AND changed_s = ?6 AND changed_ns = ?7";
        let (device, inode) = (file.device.cast_signed(), file.inode.cast_signed());
        let ((ms, mn), (cs, cn)) = (file.modified, file.changed);
        let of = params![device, inode, file.size.cast_signed(), ms, mn, cs, cn];
        self.database.read(|db| db.query_row(sql, of, |row| row.get(0)).optional())
    }

    /// Remembers what a file hashed to.
    pub fn remember_file_digest(&self, file: &FileId, blake3: &[u8; 32]) -> Result<()> {
        self.remember_file_digests(&[(*file, *blake3)])
    }

    /// Remembers what files hashed to, all in one transaction. Files that were changed only a
    /// moment ago are left out.
    pub fn remember_file_digests(&self, files: &[(FileId, [u8; 32])]) -> Result<()> {
        let now = now();
        let at_rest = |file: &FileId| file.modified.0.max(file.changed.0) < now - AT_REST;
        if !files.iter().any(|(file, _)| at_rest(file)) {
            return Ok(());
        }
        self.database.write(|db| {
            let mut upsert = db.prepare(
                "INSERT OR REPLACE INTO files (device, inode, size, modified_s, modified_ns, \
                 changed_s, changed_ns, blake3, seen_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for (file, blake3) in files.iter().filter(|(file, _)| at_rest(file)) {
                let (device, inode) = (file.device.cast_signed(), file.inode.cast_signed());
                let ((ms, mn), (cs, cn)) = (file.modified, file.changed);
                let size = file.size.cast_signed();
                upsert.execute(params![device, inode, size, ms, mn, cs, cn, blake3, now])?;
            }
            Ok(())
        })
    }
}
