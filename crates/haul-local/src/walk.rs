//! Listing a folder and everything below it.
//!
//! Owns the order (that of the whole paths' bytes, as stores list keys), what becomes of links and
//! of things that cannot be read, and that memory stays flat: the names of one folder for each
//! level, a page of entries, a few descriptors. It must never recurse, and never give up a walk for
//! one thing that cannot be looked at.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{Entry, EntryKind, Error, ErrorKind, Lister, Op, Page, RelPath, Result};
use rustix::fs::{AtFlags, FileType, fstat, readlinkat, statat};
use rustix::io::Errno;

use crate::folder::{self, Reader, modified};
use crate::names::{Kind, Names};
use crate::waiting;

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Symlinks {
    /// What they lead to is listed in their place.
    #[default]
    Follow,
    /// They are left out.
    Skip,
    /// They are listed as links.
    Keep,
}

/// Says that a folder is not to be descended into; its path ends in `/`.
pub type Prune = Arc<dyn Fn(&RelPath) -> bool + Send + Sync>;

/// How a folder is walked.
#[derive(Clone, Default)]
pub struct WalkOptions {
    /// What becomes of symbolic links.
    pub symlinks: Symlinks,
    /// Whether folders with nothing in them are entries.
    pub empty_folders: bool,
    /// Folders to leave out with all that is below them.
    pub prune: Option<Prune>,
}

impl fmt::Debug for WalkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalkOptions")
            .field("symlinks", &self.symlinks)
            .field("empty_folders", &self.empty_folders)
            .field("prune", &self.prune.is_some())
            .finish()
    }
}

/// Entries and problems in a page.
const PAGE: usize = 1_000;

/// Steps after which a page is handed over, however little is in it.
const STEPS: usize = 20_000;

/// Folders that are kept open, counted from the deepest.
const OPEN: usize = 16;

/// Lists a folder and everything below it, in the order in which a store would list it.
pub struct Walker {
    location: String,
    /// Away while a page is made, so that a page whose future was dropped is not skipped silently.
    walk: Option<Box<Walk>>,
}

impl Walker {
    /// A walk of the folder at `root`. Nothing is opened yet. A link as the root itself is followed.
    pub fn new(root: PathBuf, options: WalkOptions) -> Self {
        let location = root.to_string_lossy().into_owned();
        let reader = Reader::new(options.symlinks);
        let walk =
            Walk { root, options, reader, path: Vec::new(), levels: Vec::new(), begun: false };
        Self { location, walk: Some(Box::new(walk)) }
    }
}

impl fmt::Debug for Walker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it has read would fill screens.
        f.debug_struct("Walker").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Lister for Walker {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>> {
        async move {
            let Some(mut walk) = self.walk.take() else {
                return Err(Error::cancelled(Op::List, &self.location));
            };
            let page = move || {
                let page = walk.page();
                Ok((walk, page))
            };
            let (walk, page) = waiting(Op::List, &self.location, page).await?;
            self.walk = Some(walk);
            page
        }
        .boxed()
    }
}

/// The state between two pages.
struct Walk {
    root: PathBuf,
    options: WalkOptions,
    reader: Reader,
    /// The folder where the walk is, relative to the root, with a slash at the end.
    path: Vec<u8>,
    levels: Vec<Level>,
    begun: bool,
}

/// A folder on the way from the root to where the walk is.
struct Level {
    names: Names,
    /// Bytes of its path.
    prefix: usize,
    /// Closed when the walk is far below, and opened again when it comes back.
    fd: Option<OwnedFd>,
    /// Known where links are followed, to see cycles, and once it has been closed.
    id: Option<(u64, u64)>,
}

impl Walk {
    fn page(&mut self) -> Result<Option<Page>> {
        if !self.begun {
            self.begin()?;
        }
        let mut page = Page::default();
        for _ in 0..STEPS {
            if self.levels.is_empty() || page.entries.len() + page.problems.len() >= PAGE {
                break;
            }
            self.step(&mut page);
        }
        let over = self.levels.is_empty()
            && page.entries.is_empty()
            && page.problems.is_empty()
            && page.vanished.is_empty();
        Ok((!over).then_some(page))
    }

    /// Opens the root. Called again if that fails.
    fn begin(&mut self) -> Result<()> {
        let location = self.root.to_string_lossy();
        let fd = folder::open(&self.root).map_err(|e| match rustix::fs::stat(&self.root) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Directory => {
                Error::new(ErrorKind::Invalid, Op::List, &location, "it is no folder")
            }
            _ => Error::io(Op::List, &location, e.into()),
        })?;
        let id = fstat(&fd).ok().as_ref().map(folder::id);
        let (names, outcome) = self.reader.read(&fd);
        outcome.map_err(|e| Error::io(Op::List, &location, e.into()))?;
        self.levels.push(Level { names, prefix: 0, fd: Some(fd), id });
        self.begun = true;
        Ok(())
    }

    /// Takes one name.
    fn step(&mut self, page: &mut Page) {
        let Some(level) = self.levels.last_mut() else { return };
        self.path.truncate(level.prefix);
        let Some((name, kind)) = level.names.next() else {
            self.levels.pop();
            return;
        };
        self.path.extend(name.to_bytes());
        let fd = match &mut level.fd {
            Some(fd) => fd,
            closed => match reopen(&self.root, &self.path[..level.prefix], level.id) {
                Ok(fd) => closed.insert(fd),
                Err(e) => {
                    self.path.truncate(level.prefix);
                    self.unseen(e, page);
                    self.levels.pop();
                    return;
                }
            },
        };
        let outcome = match kind {
            Kind::Folder | Kind::LinkedFolder => {
                let pruned = self.options.prune.as_ref().is_some_and(|prune| {
                    let path = [self.path.as_slice(), b"/"].concat();
                    prune(&RelPath::new(OsString::from_vec(path)))
                });
                if pruned {
                    return;
                }
                let opened = folder::open_in(&*fd, name, kind == Kind::LinkedFolder);
                return self.descend(opened, page);
            }
            Kind::File => look(fd, name, AtFlags::SYMLINK_NOFOLLOW),
            Kind::LinkedFile => look(fd, name, AtFlags::empty()),
            Kind::Link => look_at_link(fd, name),
            Kind::Special => Err(Problem::Special),
        };
        match outcome {
            Ok(found) => page.entries.push(self.entry(found)),
            Err(Problem::Gone) => page.vanished.push(RelPath::new(self.here())),
            Err(problem) => self.unseen(problem, page),
        }
    }

    /// Goes into the folder that `path` names now.
    fn descend(&mut self, opened: rustix::io::Result<OwnedFd>, page: &mut Page) {
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return page.vanished.push(RelPath::new(self.here())),
            Err(e) => return self.unseen(Problem::System(e), page),
        };
        let mut id = None;
        if self.options.symlinks == Symlinks::Follow {
            id = fstat(&fd).ok().as_ref().map(folder::id);
            if id.is_some() && self.levels.iter().any(|l| l.id == id) {
                return self.unseen(Problem::Cycle, page);
            }
        }
        let (names, outcome) = self.reader.read(&fd);
        if outcome == Err(Errno::NOENT) {
            page.vanished.push(RelPath::new(self.here()));
        } else if let Err(e) = outcome {
            self.unseen(Problem::System(e), page);
        } else if names.is_empty() && self.options.empty_folders {
            self.path.push(b'/');
            let modified = fstat(&fd).ok().as_ref().and_then(modified);
            let changed = None;
            let folder = Found { kind: EntryKind::Folder, size: 0, modified, changed };
            page.entries.push(self.entry(folder));
        }
        if names.is_empty() {
            return;
        }
        self.path.push(b'/');
        self.levels.push(Level { names, prefix: self.path.len(), fd: Some(fd), id });
        self.close_far_above();
    }

    /// However deep the walk goes, few descriptors are open.
    fn close_far_above(&mut self) {
        let Some(far) = self.levels.len().checked_sub(OPEN + 1) else { return };
        let Some(level) = self.levels.get_mut(far) else { return };
        let Some(fd) = level.fd.take() else { return };
        if level.id.is_none() {
            level.id = fstat(&fd).ok().as_ref().map(folder::id);
        }
    }

    fn entry(&self, found: Found) -> Entry {
        let Found { kind, size, modified, changed } = found;
        Entry { kind, modified, changed, ..Entry::file(self.here(), size) }
    }

    /// Where the walk is.
    fn here(&self) -> OsString {
        OsString::from_vec(self.path.as_slice().to_vec())
    }

    /// Says that what is here, and below, is not seen.
    fn unseen(&self, problem: Problem, page: &mut Page) {
        page.problems.push(self.problem(problem));
        let mut here = self.here();
        let alone = matches!(problem, Problem::Special | Problem::Dangling);
        if !alone && !self.path.is_empty() && !self.path.ends_with(b"/") {
            here.push("/");
        }
        page.unseen.push(RelPath::new(here));
    }

    fn problem(&self, problem: Problem) -> Error {
        let path = self.root.join(OsStr::from_bytes(&self.path));
        let location = path.to_string_lossy();
        let say = |kind, what| Error::new(kind, Op::List, &location, what);
        match problem {
            Problem::System(e) => Error::io(Op::List, &location, e.into()),
            Problem::Gone => Error::io(Op::List, &location, Errno::NOENT.into()),
            Problem::Special => say(ErrorKind::Invalid, "it is no regular file"),
            Problem::Dangling => say(ErrorKind::NotFound, "it is a symbolic link to nothing"),
            Problem::Cycle => say(ErrorKind::Invalid, "it leads back to a folder above it"),
            Problem::Replaced => {
                say(ErrorKind::SourceChanged, "it was replaced while it was being listed")
            }
        }
    }
}

/// Why a name is no entry.
#[derive(Debug, Clone, Copy)]
enum Problem {
    System(Errno),
    /// Not there any more: nothing to report, and nothing known.
    Gone,
    Special,
    Dangling,
    Cycle,
    Replaced,
}

impl From<Errno> for Problem {
    fn from(e: Errno) -> Self {
        if e == Errno::NOENT { Self::Gone } else { Self::System(e) }
    }
}

/// What a name turned out to be.
struct Found {
    kind: EntryKind,
    size: u64,
    modified: Option<SystemTime>,
    changed: Option<SystemTime>,
}

/// Looks at a file, through a link if `flags` say so.
fn look(folder: &OwnedFd, name: &CStr, flags: AtFlags) -> Result<Found, Problem> {
    let stat = statat(folder, name, flags).map_err(|e| {
        let there = || statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let dangling = e == Errno::NOENT && flags.is_empty() && there();
        if dangling { Problem::Dangling } else { e.into() }
    })?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Problem::Special);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let (modified, changed) = (modified(&stat), folder::changed(&stat));
    Ok(Found { kind: EntryKind::File, size, modified, changed })
}

/// Looks at a link itself.
fn look_at_link(folder: &OwnedFd, name: &CStr) -> Result<Found, Problem> {
    let target = readlinkat(folder, name, Vec::new())?;
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
    let (modified, changed) = (modified(&stat), folder::changed(&stat));
    Ok(Found { kind: EntryKind::Symlink(target), size: 0, modified, changed })
}

/// Opens a folder again that was closed, and makes sure that it is the same one.
fn reopen(root: &Path, path: &[u8], id: Option<(u64, u64)>) -> Result<OwnedFd, Problem> {
    let fd = folder::open_below(root, path).map_err(Problem::System)?;
    let now = fstat(&fd).map_err(Problem::System)?;
    if Some(folder::id(&now)) == id { Ok(fd) } else { Err(Problem::Replaced) }
}
