//! What a listing showed of something that is to be removed.
//!
//! Owns the comparison with what is there now, and the note by which it is kept on disk meanwhile.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul_core::{Entry, EntryKind};
use haul_s3::ObjectInfo;

/// What a listing showed of something, as far as it tells whether it is still that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(super) file: haul_local::Seen,
    etag: Option<String>,
}

impl Seen {
    pub(crate) fn of(entry: &Entry) -> Self {
        let link = matches!(entry.kind, EntryKind::Symlink(_));
        let file = haul_local::Seen { link, size: entry.size, modified: entry.modified };
        Self { file, etag: entry.etag.clone() }
    }

    /// Its ETag without quotes, where the listing told one.
    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref().map(bare)
    }

    /// Whether an object is still what was seen.
    pub(super) fn is(&self, now: &ObjectInfo) -> bool {
        match (&self.etag, &now.etag) {
            (Some(seen), Some(now)) => bare(seen) == bare(now),
            _ => self.file.size == now.size && seconds(self.file.modified) == seconds(now.modified),
        }
    }

    /// As a note.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let haul_local::Seen { link, size, modified } = self.file;
        let modified = modified.map_or(i128::MIN, |time| match time.duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        });
        let etag =
            self.etag.as_deref().map_or_else(Vec::new, |etag| [b"=", etag.as_bytes()].concat());
        [&[u8::from(link)], &size.to_le_bytes()[..], &modified.to_le_bytes(), &etag].concat()
    }

    /// What a note says, if it can be read.
    pub(crate) fn from_bytes(note: &[u8]) -> Option<Self> {
        let (link, rest) = note.split_first()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (modified, etag) = rest.split_first_chunk()?;
        let nanos = i128::from_le_bytes(*modified);
        let since = duration(nanos.unsigned_abs());
        let modified = match nanos {
            i128::MIN => None,
            0.. => UNIX_EPOCH.checked_add(since),
            _ => UNIX_EPOCH.checked_sub(since),
        };
        let etag = etag.strip_prefix(b"=").map(|etag| String::from_utf8_lossy(etag).into_owned());
        let file = haul_local::Seen { link: *link != 0, size: u64::from_le_bytes(*size), modified };
        Some(Self { file, etag })
    }
}

fn duration(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32) // below 10^9
}

/// Stores tell a time by the second in one answer and more exactly in another.
fn seconds(time: Option<SystemTime>) -> Option<u64> {
    Some(time?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// An ETag without its quotes.
fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_comes_back_from_its_note() {
        let at = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        let before = UNIX_EPOCH - Duration::new(5, 1);
        for (modified, etag) in [(Some(at), Some("abc-2")), (Some(before), Some("")), (None, None)]
        {
            let file = haul_local::Seen { link: etag.is_none(), size: 1 << 40, modified };
            let seen = Seen { file, etag: etag.map(str::to_owned) };
            assert_eq!(Seen::from_bytes(&seen.to_bytes()), Some(seen));
        }
        assert_eq!(Seen::from_bytes(&[1, 2, 3]), None);
    }
}
