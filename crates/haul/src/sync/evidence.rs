//! Whether the two sides of a pair are the same.
//!
//! Owns the rules by which a pair is left alone: what the listings alone tell, and what a closer look
//! at times and contents tells.

use std::time::SystemTime;

use haul_core::handle::JobContext;
use haul_core::{Difference, Entry, EntryKind, Outcome, RelPath, Result, Settled, Verified};
use haul_local::recall_all;

use super::Pairs;
use crate::Compare;
use crate::compare::{self, Verdict};
use crate::join::Step;
use crate::picks::{Origin, Pick};
use crate::place::Place;

/// What the listings alone tell about a pair.
pub(super) enum Glance {
    Same,
    Differs,
    /// A closer look is needed.
    Look,
}

impl Pairs {
    /// What the listings alone tell.
    pub(super) fn glance(&self, source: &Entry, dest: &Entry) -> Glance {
        let inner = &*self.0;
        match (&source.kind, &dest.kind) {
            (EntryKind::Folder, EntryKind::Folder) => return Glance::Same,
            (EntryKind::File, EntryKind::File) => {}
            (a, b) if a == b => return Glance::Same,
            _ => return Glance::Differs,
        }
        if source.size != dest.size {
            return Glance::Differs;
        }
        match inner.compare {
            Compare::Size => Glance::Same,
            Compare::Content => Glance::Look,
            Compare::Times => self.glance_at_times(source, dest),
        }
    }

    fn glance_at_times(&self, source: &Entry, dest: &Entry) -> Glance {
        let inner = &*self.0;
        let not_older = match (source.modified, dest.modified) {
            // The same second, for a store that knows only seconds, decides nothing: a file may have
            // been edited in the second in which it was uploaded.
            (Some(source), Some(dest)) if matches!(inner.to(), Place::Store { .. }) => {
                dest > truncated(source, dest) || dest == source
            }
            (Some(source), Some(dest)) => dest >= truncated(source, dest),
            _ => false,
        };
        match (&inner.from, inner.to()) {
            _ if not_older => Glance::Same,
            (Place::Store { .. }, Place::Store { .. }) => {
                let verdict = compare::etags(source.etag.as_deref(), dest.etag.as_deref());
                match verdict {
                    Some(Verdict::Same(_)) => Glance::Same,
                    _ => Glance::Differs,
                }
            }
            // The object may carry the file's own time, older than the upload.
            (Place::Disk(..), Place::Store { .. }) | (Place::Store { .. }, Place::Disk(..)) => {
                Glance::Look
            }
            (Place::Disk(..), Place::Disk(..)) => Glance::Differs,
        }
    }

    /// Whether a file and an object of one size are of one time, as far as either remembers.
    pub(super) async fn same_times(
        &self,
        pick: &Pick,
        dest: &Entry,
        cx: &JobContext,
    ) -> Result<Verdict> {
        let inner = &*self.0;
        let differs = Verdict::Differs(Difference::Content);
        let same = Verdict::Same(Verified::Size);
        let (client, object, file_time) = match (&pick.from, inner.to()) {
            (Origin::File(_), Place::Store { client, .. }) => {
                (client, inner.to().object(&pick.to)?, pick.entry.modified)
            }
            (Origin::Object(object), Place::Disk(root, _)) => {
                let path = root.join(pick.to.as_os_str());
                let remembered = recall_all(vec![path]).await?.pop().flatten();
                if remembered.is_some() && remembered == pick.entry.etag {
                    return Ok(same);
                }
                let Some(client) = &inner.mover.0.sources.store else { return Ok(differs) };
                (client, object.clone(), dest.modified)
            }
            _ => return Ok(differs),
        };
        let info = compare::look(inner.engine(), cx, client, &object).await?;
        let kept = info.kept_modified();
        let equal = match kept {
            Some(_) => equal_times(kept, file_time),
            // Nobody kept a time. The same second is then the best that is known.
            None => equal_times(pick.entry.modified, dest.modified),
        };
        Ok(if equal && info.size == pick.entry.size { same } else { differs })
    }

    pub(super) async fn same_content(&self, pick: &Pick, cx: &JobContext) -> Result<Verdict> {
        let inner = &*self.0;
        match (&pick.from, inner.to()) {
            (Origin::File(a), Place::Disk(root, _)) => {
                compare::files(cx, a, &root.join(pick.to.as_os_str())).await
            }
            (Origin::File(path), Place::Store { client, .. }) => {
                let object = inner.to().object(&pick.to)?;
                let info = compare::look(inner.engine(), cx, client, &object).await?;
                compare::file_with_object(inner.engine(), cx, path, (client, &object, &info)).await
            }
            (Origin::Object(object), to) => {
                let Some(client) = &inner.mover.0.sources.store else {
                    return Ok(Verdict::Differs(Difference::Content));
                };
                let info = compare::look(inner.engine(), cx, client, object).await?;
                match to {
                    Place::Disk(root, _) => {
                        let path = root.join(pick.to.as_os_str());
                        let theirs = (client, object, &info);
                        compare::file_with_object(inner.engine(), cx, &path, theirs).await
                    }
                    Place::Store { client, .. } => {
                        let other = inner.to().object(&pick.to)?;
                        let other = compare::look(inner.engine(), cx, client, &other).await?;
                        Ok(compare::objects(&info, &other))
                    }
                }
            }
            (Origin::Url(_), _) => Ok(Verdict::Differs(Difference::Content)),
        }
    }

    /// One pair of a comparison.
    pub(super) async fn check(self, step: Step, cx: JobContext) -> Settled {
        let inner = &*self.0;
        let path = match &step {
            Step::Source(e) | Step::Dest(e) | Step::Both(e, _) => e.path.clone(),
            Step::Unlisted(e) => RelPath::new(e.location()),
        };
        let (from, to) = (inner.from.origin(&path).to_string(), inner.to().name(&path));
        let outcome = match step {
            Step::Source(_) => Outcome::Differs(Difference::MissingAtDestination),
            Step::Dest(_) => Outcome::Differs(Difference::MissingAtSource),
            Step::Unlisted(e) => Outcome::Failed(e),
            Step::Both(source, dest) => match self.check_both(source, &dest, &cx).await {
                Ok(Verdict::Same(by)) => Outcome::Same(by),
                Ok(Verdict::Differs(how)) => Outcome::Differs(how),
                Err(e) => Outcome::Failed(e),
            },
        };
        Settled::new(from, to, outcome)
    }

    async fn check_both(&self, source: Entry, dest: &Entry, cx: &JobContext) -> Result<Verdict> {
        let inner = &*self.0;
        if source.kind != dest.kind {
            return Ok(Verdict::Differs(Difference::Content));
        }
        if source.kind != EntryKind::File {
            return Ok(Verdict::Same(Verified::Size));
        }
        if source.size != dest.size {
            return Ok(Verdict::Differs(Difference::Size));
        }
        if inner.compare == Compare::Size || source.size == 0 {
            return Ok(Verdict::Same(Verified::Size));
        }
        if let Some(verdict) = compare::etags(source.etag.as_deref(), dest.etag.as_deref()) {
            return Ok(verdict);
        }
        let pick = Pick {
            from: inner.from.origin(&source.path),
            to: source.path.clone(),
            seen: true,
            entry: source,
        };
        self.same_content(&pick, cx).await
    }
}

/// The source's time in the resolution of the destination's: file systems and stores that keep whole
/// seconds must not look older for it.
fn truncated(source: SystemTime, dest: SystemTime) -> SystemTime {
    let since = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since(dest).subsec_nanos() == 0 {
        return SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since(source).as_secs());
    }
    source
}

/// Whether two times are the same, in the resolution of the coarser one.
fn equal_times(a: Option<SystemTime>, b: Option<SystemTime>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    truncated(a, b) == truncated(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_compared_in_the_coarser_resolution() {
        let at = |s, n| SystemTime::UNIX_EPOCH + Duration::new(s, n);
        assert!(at(5, 0) >= truncated(at(5, 900), at(5, 0)));
        assert!(at(5, 100) < truncated(at(5, 900), at(5, 100)));
        assert!(equal_times(Some(at(5, 0)), Some(at(5, 7))));
        assert!(!equal_times(Some(at(5, 1)), Some(at(5, 7))));
        assert!(!equal_times(None, Some(at(5, 7))));
    }
}
