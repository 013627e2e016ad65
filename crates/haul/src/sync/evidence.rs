//! Whether the two sides of a pair are the same.
//!
//! Owns the rules by which a pair is left alone: what the listings alone tell, and what a closer look
//! at times and contents tells.

use std::time::{Duration, SystemTime};

use haul_core::handle::JobContext;
use haul_core::{
    Difference, Entry, EntryKind, Foreign, Outcome, RelPath, Result, Settled, Verified,
};
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

    /// A disk keeps the time of what was copied to it, so only the same time is the same. A store has
    /// the time of the upload in its listing, and the file's own only for those who ask.
    fn glance_at_times(&self, source: &Entry, dest: &Entry) -> Glance {
        let inner = &*self.0;
        let times = source.modified.zip(dest.modified);
        // As exactly as the destination keeps it: the source's may be a whole second by chance.
        let equal = || times.is_some_and(|(s, d)| d == truncated(s, d));
        match (&inner.from, inner.to()) {
            (_, Place::Disk(..)) if equal() => Glance::Same,
            (Place::Disk(..), Place::Disk(..)) => Glance::Differs,
            (Place::Disk(..), Place::Store { .. }) if uploaded_since(source, dest) => Glance::Same,
            // The object may carry the file's own time.
            (Place::Disk(..), _) | (_, Place::Disk(..)) => Glance::Look,
            (Place::Store { client: a, .. }, Place::Store { client: b, .. }) => {
                let not_older = times.is_some_and(|(s, d)| later(d, s));
                let etags = ((a, source.etag.as_deref()), (b, dest.etag.as_deref()));
                match compare::etags(etags.0, etags.1) {
                    Verdict::Same(_) => Glance::Same,
                    // Not proven: what was encrypted has an ETag that looks like an MD5.
                    Verdict::Differs(_) => Glance::Look,
                    Verdict::Unknown if not_older => Glance::Same,
                    Verdict::Unknown => Glance::Differs,
                }
            }
        }
    }

    /// Whether a file and an object of one size are of one time, as far as either remembers. Between
    /// stores a look is for ETags that differ, whatever the times are: only a checksum settles that.
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
            (Origin::Object(_), Place::Store { .. }) => return self.same_content(pick, cx).await,
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
                    Place::Store { client: theirs, .. } => {
                        let other = inner.to().object(&pick.to)?;
                        let other = compare::look(inner.engine(), cx, theirs, &other).await?;
                        Ok(compare::objects((client, &info), (theirs, &other)))
                    }
                }
            }
            (Origin::Url(_), _) => Ok(Verdict::Differs(Difference::Content)),
        }
    }

    /// One pair of a comparison.
    pub(super) async fn check(self, step: Step, cx: JobContext) -> Settled {
        let inner = &*self.0;
        let path = step.entry().map_or_else(|| RelPath::new(""), |e| e.path.clone());
        let (from, to) = (Foreign::from(&inner.from.origin(&path)), inner.to().name(&path));
        let outcome = match step {
            Step::Source(_) | Step::SourceNear(_) => {
                Outcome::Differs(Difference::MissingAtDestination)
            }
            Step::Dest(_) => Outcome::Differs(Difference::MissingAtSource),
            Step::Unlisted(e) | Step::Hidden(e) => Outcome::Failed(e),
            Step::BothFull(_) => Outcome::Same(Verified::Size),
            Step::Both(source, dest) => match self.check_both(source, &dest, &cx).await {
                Ok(Verdict::Same(by)) => Outcome::Same(by),
                Ok(Verdict::Differs(how)) => Outcome::Differs(how),
                Ok(Verdict::Unknown) => Outcome::Unknown,
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
        // Where the listings tell no more, or that they differ, a HEAD of each may tell a checksum.
        if let (Place::Store { client: a, .. }, Place::Store { client: b, .. }) =
            (&inner.from, inner.to())
            && let same @ Verdict::Same(_) =
                compare::etags((a, source.etag.as_deref()), (b, dest.etag.as_deref()))
        {
            return Ok(same);
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

/// Whether an object is newer than anything that was done to the file, by what the listings tell. The
/// same second, for a store that knows only seconds, decides nothing about an edit: a file may have
/// been edited in the second in which it was uploaded. That somebody gave the file another time, or put
/// another file in its place, shows in a time that cannot be set.
fn uploaded_since(file: &Entry, object: &Entry) -> bool {
    let (Some(modified), Some(uploaded)) = (file.modified, object.modified) else { return false };
    uploaded > truncated(modified, uploaded)
        && file.changed.is_none_or(|changed| later(uploaded, changed))
}

/// Whether `a` is not before `b`, in the resolution of `a`.
fn later(a: SystemTime, b: SystemTime) -> bool {
    a >= truncated(b, a)
}

/// What clocks of file systems and stores count in, in nanoseconds, the coarsest first: seconds, exFAT,
/// milliseconds, NFS servers, NTFS.
const TICKS: [u32; 5] = [1_000_000_000, 10_000_000, 1_000_000, 1_000, 100];

/// A time in the resolution of another: file systems and stores that keep whole seconds must not look
/// older for it.
fn truncated(time: SystemTime, like: SystemTime) -> SystemTime {
    let since = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).ok();
    let (Some(of), Some(told)) = (since(time), since(like)) else { return time };
    let divides = |tick: &&u32| told.subsec_nanos().is_multiple_of(**tick);
    let Some(tick) = TICKS.iter().find(divides) else { return time };
    let nanos = of.subsec_nanos();
    SystemTime::UNIX_EPOCH + Duration::new(of.as_secs(), nanos - nanos % tick)
}

/// Whether two times are the same, in the resolution of the coarser one.
fn equal_times(a: Option<SystemTime>, b: Option<SystemTime>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    truncated(a, b) == truncated(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_in_the_coarser_resolution() {
        let at = |s, n| SystemTime::UNIX_EPOCH + Duration::new(s, n);
        assert!(at(5, 0) >= truncated(at(5, 900), at(5, 0)));
        assert!(at(5, 100) < truncated(at(5, 900), at(5, 100)));
        assert!(equal_times(Some(at(5, 0)), Some(at(5, 7))));
        assert!(!equal_times(Some(at(5, 1)), Some(at(5, 7))));
        assert!(!equal_times(None, Some(at(5, 7))));
        assert!(equal_times(Some(at(5, 123_456_789)), Some(at(5, 123_456_700))), "NTFS");
        assert!(equal_times(Some(at(5, 123_456_789)), Some(at(5, 120_000_000))), "exFAT");
        assert!(!equal_times(Some(at(5, 123_456_789)), Some(at(5, 110_000_000))));
        assert!(!equal_times(Some(at(4, 999_999_999)), Some(at(5, 0))));
        let before = |s| SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(s));
        assert!(!equal_times(before(5), before(6)) && equal_times(before(5), before(5)));
    }

    /// A.26: the time that a file says it has is not the only one that counts.
    #[test]
    fn a_file_that_was_given_an_old_time_after_the_upload_is_looked_at() {
        let at = |s| Some(SystemTime::UNIX_EPOCH + Duration::new(s, 5));
        let file = |modified, changed| Entry { modified, changed, ..Entry::file("f", 1) };
        let second = |s| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let object = Entry { modified: second(100), ..Entry::file("f", 1) };
        assert!(uploaded_since(&file(at(50), at(100)), &object), "the second of the upload");
        assert!(!uploaded_since(&file(at(50), at(101)), &object), "another file, or another time");
        assert!(!uploaded_since(&file(at(100), at(100)), &object), "edited in that second");
        // M.8: a file keeps the time of the object that it was downloaded from, which need not be this one.
        assert!(
            !uploaded_since(&file(second(100), at(100)), &object),
            "the second of another object"
        );
        assert!(!uploaded_since(&file(at(101), at(101)), &object), "edited since");
    }
}
