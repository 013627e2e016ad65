//! Durability before visibility.
//!
//! Owns the order fsync file, rename, fsync folder, and how many files share one flush. A file is
//! reported as done only after that, unless the user chose otherwise.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::{Error, Op, Result};
use tokio::sync::oneshot;

use crate::staged::Staged;
use crate::{blocking, waiting, writeback};

/// When files are forced to the disk before they become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FsyncPolicy {
    /// Every file, small ones in groups that share one flush of the file system.
    #[default]
    Auto,
    /// Every file by itself.
    Always,
    /// Never: the operating system writes when it likes, and a power cut may lose the content of
    /// files that were reported as done.
    Never,
}

/// Files below this size are flushed in groups: their data is less than what a flush costs.
const SMALL: u64 = 4 << 20;

/// Makes staged files durable and visible; clones share their groups.
#[derive(Debug, Clone, Default)]
pub struct Durability(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    policy: FsyncPolicy,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    // Bounded by the uploads in flight: each waits for its answer.
    waiting: Vec<Waiting>,
    /// Whether a thread flushes one group after the other.
    flushing: bool,
}

#[derive(Debug)]
struct Waiting {
    staged: Staged,
    done: oneshot::Sender<Result<()>>,
}

impl Durability {
    /// Durability by `policy`.
    pub fn new(policy: FsyncPolicy) -> Self {
        Self(Arc::new(Inner { policy, ..Inner::default() }))
    }

    /// What it goes by.
    pub fn policy(&self) -> FsyncPolicy {
        self.0.policy
    }

    /// Whether files are forced to the disk at all.
    pub fn syncs(&self) -> bool {
        self.0.policy != FsyncPolicy::Never
    }

    /// Makes `staged`, of `size` bytes, durable and then visible.
    ///
    /// While one group is being flushed the next one gathers, so that the number of flushes
    /// follows the speed of the disk and not the number of files.
    pub(crate) async fn publish(&self, staged: Staged, size: u64, location: &str) -> Result<()> {
        let policy = self.0.policy;
        if policy == FsyncPolicy::Never {
            return blocking(Op::Commit, location, move || alone(staged, policy)).await;
        }
        // A flush may take long: never on a lane, where other files would wait for it.
        if policy == FsyncPolicy::Always || size >= SMALL {
            return waiting(Op::Commit, location, move || alone(staged, policy)).await;
        }
        let (done, answer) = oneshot::channel();
        let idle = {
            let mut queue = self.0.queue();
            queue.waiting.push(Waiting { staged, done });
            !std::mem::replace(&mut queue.flushing, true)
        };
        if idle {
            let flusher = Flusher { inner: Arc::clone(&self.0), over: false };
            drop(tokio::task::spawn_blocking(move || flusher.run())); // it answers each by itself
        }
        answer.await.unwrap_or_else(|_| Err(Error::cancelled(Op::Commit, location)))
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flushes groups as long as there are any. Whoever finishes while one is being flushed is in the
/// next, and hears of it without waiting for the one after that.
struct Flusher {
    inner: Arc<Inner>,
    over: bool,
}

impl Flusher {
    fn run(mut self) {
        loop {
            let group = {
                let mut queue = self.inner.queue();
                if queue.waiting.is_empty() {
                    // Under the lock: whoever comes after this starts another.
                    (queue.flushing, self.over) = (false, true);
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            flush(group, &Kernel);
        }
    }
}

impl Drop for Flusher {
    /// A runtime that ends may drop the work before it has begun: then nobody may wait for it.
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.inner.queue();
            queue.flushing = false;
            let given_up = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(given_up);
        }
    }
}

fn alone(mut staged: Staged, policy: FsyncPolicy) -> Result<()> {
    if policy == FsyncPolicy::Never {
        return staged.publish();
    }
    sync_file(&staged)?;
    staged.publish()?;
    staged.sync_folder()
}

fn sync_file(staged: &Staged) -> Result<()> {
    synced(staged, Kernel.sync_file(&staged.file))
}

fn synced(staged: &Staged, outcome: io::Result<()>) -> Result<()> {
    outcome.map_err(|e| Error::io(Op::Commit, staged.location(), e))
}

/// What a flush asks of the system.
trait Disk {
    /// Forces one file to the disk.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Forces all of the file system that `file` is on to the disk. `false` where that promises less
    /// than [`sync_file`](Self::sync_file) for each of its files.
    fn sync_file_system(&self, file: &File) -> bool;
    /// Whether what was written to `file` has come to the disk without an error, once its file system
    /// was forced there. Costs no flush.
    fn written(&self, file: &File) -> io::Result<()>;
}

/// The system itself.
struct Kernel;

impl Disk for Kernel {
    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self, file: &File) -> bool {
        // The magic number has 32 bits; its type differs between architectures.
        let known =
            rustix::fs::fstatfs(file).is_ok_and(|fs| flushes_whole(fs.f_type as u32, kernel()));
        known && rustix::fs::syncfs(file).is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_file_system(&self, _: &File) -> bool {
        false
    }

    fn written(&self, file: &File) -> io::Result<()> {
        writeback::outcome(file)
    }
}

/// The kernel's version, as far as it tells: `6.1` of `6.1.0-18-amd64`.
#[cfg(target_os = "linux")]
fn kernel() -> Option<(u32, u32)> {
    static VERSION: std::sync::OnceLock<Option<(u32, u32)>> = std::sync::OnceLock::new();
    *VERSION.get_or_init(|| version(rustix::system::uname().release().to_str().ok()?))
}

#[cfg(any(target_os = "linux", test))]
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether `syncfs` on such a file system forces every file of it to the disk. On others it may do
/// nothing and say that it went well: the kernel does not pass it on to FUSE, and over the network or
/// above another file system (overlayfs) it misses errors. Before Linux 5.8 it reports none at all
/// (syncfs(2), "BUGS"). The numbers are those of `linux/magic.h`.
#[cfg(any(target_os = "linux", test))]
fn flushes_whole(magic: u32, kernel: Option<(u32, u32)>) -> bool {
    const EXT: u32 = 0xEF53;
    const XFS: u32 = 0x5846_5342;
    const BTRFS: u32 = 0x9123_683E;
    const F2FS: u32 = 0xF2F5_2010;
    const TMPFS: u32 = 0x0102_1994;
    kernel >= Some((5, 8)) && matches!(magic, EXT | XFS | BTRFS | F2FS | TMPFS)
}

/// Flushes a group: one flush a file system when there are several files, then the renames, then
/// the folders. Files whose job has been given up are left out, and vanish.
fn flush(mut group: Vec<Waiting>, disk: &impl Disk) {
    group.retain(|w| !w.done.is_closed());
    let together = group.len() > 1 && sync_file_systems(&group, disk);
    let mut published = Vec::new();
    for mut waiting in group {
        let file = &waiting.staged.file;
        // An error of one file is told once for a whole file system, perhaps to an earlier group: each
        // file is asked for its own.
        let outcome = if together { disk.written(file) } else { disk.sync_file(file) };
        match synced(&waiting.staged, outcome).and_then(|()| waiting.staged.publish()) {
            Ok(()) => published.push(waiting),
            Err(e) => {
                // What becomes of the file is settled before anybody hears of it.
                drop(waiting.staged);
                drop(waiting.done.send(Err(e)));
            }
        }
    }
    // A folder is flushed once for all of its files, unless that fails: then each hears why.
    let mut flushed = BTreeSet::new();
    for waiting in published {
        let folder = waiting.staged.folder_id();
        let known = folder.is_some_and(|f| flushed.contains(&f));
        let synced = if known { Ok(()) } else { waiting.staged.sync_folder() };
        if synced.is_ok() {
            flushed.extend(folder);
        }
        drop(waiting.done.send(synced));
    }
}

/// Whether all file systems of the group could be flushed as a whole; where anything is off, each
/// file is flushed by itself.
fn sync_file_systems(group: &[Waiting], disk: &impl Disk) -> bool {
    let mut devices = BTreeSet::new();
    group.iter().all(|w| match w.staged.device() {
        Ok(device) if devices.insert(device) => disk.sync_file_system(&w.staged.file),
        Ok(_) => true,
        Err(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::spot::Place;
    use crate::staged::Plan;

    /// A.12: `syncfs` is no flush on FUSE, on overlayfs, over a network, or before Linux 5.8.
    #[test]
    fn only_some_file_systems_are_flushed_as_a_whole() {
        let (new, old) = (version("5.8.0-rc1"), version("5.7.19-100.fc31.x86_64"));
        for good in [0xEF53, 0x5846_5342, 0x9123_683E] {
            assert!(flushes_whole(good, new) && flushes_whole(good, version("6.18.44")));
            assert!(!flushes_whole(good, old) && !flushes_whole(good, version("unknown")));
        }
        let (fuse, overlay, nfs, cifs) = (0x6573_5546, 0x794c_7630, 0x6969, 0xFF53_4D42);
        for bad in [fuse, overlay, nfs, cifs, 0] {
            assert!(!flushes_whole(bad, new), "{bad:x}");
        }
        assert_eq!(version("4.18.0-553.el8"), Some((4, 18)));
        assert_eq!(version(""), None);
    }

    /// A disk that says what it was asked.
    #[derive(Default)]
    struct Fake {
        whole: bool,
        /// The inode whose content never came to the disk.
        broken: Option<u64>,
        asked: RefCell<Vec<&'static str>>,
    }

    impl Fake {
        fn of(&self, file: &File) -> io::Result<()> {
            use std::os::unix::fs::MetadataExt as _;
            let broken = Some(file.metadata()?.ino()) == self.broken;
            if broken { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
        }
    }

    impl Disk for Fake {
        fn sync_file(&self, file: &File) -> io::Result<()> {
            self.asked.borrow_mut().push("file");
            self.of(file)
        }

        fn sync_file_system(&self, _: &File) -> bool {
            self.asked.borrow_mut().push("file system");
            self.whole
        }

        fn written(&self, file: &File) -> io::Result<()> {
            self.asked.borrow_mut().push("written");
            self.of(file)
        }
    }

    fn group(dir: &std::path::Path) -> (Vec<Waiting>, Vec<oneshot::Receiver<Result<()>>>) {
        ["a", "b"]
            .map(|name| {
                let place = Place::Path(dir.join(name));
                let plan =
                    Plan { place, size: Some(0), overwrite: true, durable: true, mode: None };
                let (done, answer) = oneshot::channel();
                (Waiting { staged: Staged::create(&plan).unwrap(), done }, answer)
            })
            .into_iter()
            .unzip()
    }

    /// A.12: that the flush of a file system went well says nothing about a file of it whose error was
    /// told to somebody else.
    #[test]
    fn each_file_is_asked_for_its_own_error() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (waiting, answers) = group(dir.path());
        let broken = Some(waiting[1].staged.file.metadata().unwrap().ino());
        let disk = Fake { whole: true, broken, ..Fake::default() };
        flush(waiting, &disk);
        let told: Vec<_> = answers.into_iter().map(|mut a| a.try_recv().unwrap().is_ok()).collect();
        assert_eq!(told, [true, false]);
        let there = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(there.collect::<Vec<_>>(), ["a"]);
        assert_eq!(*disk.asked.borrow(), ["file system", "written", "written"]);
    }

    /// A.12: where the file system as a whole cannot be relied upon, each file is flushed.
    #[test]
    fn each_file_is_flushed_where_the_whole_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (waiting, answers) = group(dir.path());
        let disk = Fake::default();
        flush(waiting, &disk);
        assert!(answers.into_iter().all(|mut a| a.try_recv().unwrap().is_ok()));
        assert_eq!(*disk.asked.borrow(), ["file system", "file", "file"]);
    }
}
