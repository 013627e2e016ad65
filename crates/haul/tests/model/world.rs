//! The real thing: a folder with several names, two stores with several names.
//!
//! Owns: set-up, edits by others, and reading all of it into a [`State`]. Must never decide what is
//! right.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use haul::{AccessKey, FsyncPolicy, Haul, Location, Options, RetryPolicy, S3Options};
use haul_testkit::{Fault, StoreRules, TestServer};

use crate::state::{At, BUCKETS, Node, Space, State};
use crate::steps::{Content, Spot, Step};

/// The one real folder, below the temporary one.
const REAL: &str = "w";
/// The same folder by a link, and by a mount.
const LINK: &str = "l";
const MOUNT: &str = "m";

pub(crate) struct World {
    dir: tempfile::TempDir,
    mounted: bool,
    pub(crate) servers: [TestServer; 2],
    pub(crate) haul: Haul,
    written: u64,
}

impl World {
    /// An empty world. Stores list in pages of `page` keys.
    pub(crate) async fn new(page: u32) -> Self {
        let rules = || StoreRules { max_keys: page, ..StoreRules::default() };
        let servers = [
            TestServer::with_rules(rules()).await.unwrap(),
            TestServer::with_rules(rules()).await.unwrap(),
        ];
        for (store, name) in BUCKETS {
            servers[store].store().create_bucket(name);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path(REAL)).unwrap();
        fs::create_dir(path(MOUNT)).unwrap();
        symlink(path(REAL), path(LINK)).unwrap();
        let mounted = mount(&path(REAL), &path(MOUNT));
        let mut options = Options::default();
        options.engine.retry = RetryPolicy::with_tries(2);
        options.engine.stall = Duration::from_secs(2);
        options.engine.lanes = 0;
        options.fsync = FsyncPolicy::Never;
        let haul = Haul::new(options);
        Self { dir, mounted, servers, haul, written: 0 }
    }

    /// Empties it, and forgets what haul has learned.
    pub(crate) fn clear(&mut self) {
        for entry in fs::read_dir(self.path(REAL)).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() { fs::remove_dir_all(entry) } else { fs::remove_file(entry) }
                .unwrap();
        }
        let _none_yet = fs::remove_dir_all(self.path("state"));
        for (store, bucket) in BUCKETS {
            let store = self.servers[store].store();
            store.keys(bucket).iter().for_each(|key| store.remove(bucket, key));
        }
        self.servers.iter().for_each(|s| {
            s.faults().clear();
            s.calls().clear();
        });
        self.haul = Haul::new(self.haul.options().clone());
        self.written = 0;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the content index is.
    pub(crate) fn index(&self) -> PathBuf {
        fs::create_dir_all(self.path("state")).unwrap();
        self.path("state").join("index.sqlite")
    }

    fn real(&self, path: &str) -> PathBuf {
        self.path(REAL).join(path)
    }

    /// A place as it is typed.
    pub(crate) fn location(&self, spot: &Spot) -> Location {
        let text = spot.typed();
        match spot.space {
            Space::Disk => {
                let root = match spot.alias {
                    0 => REAL.to_owned(),
                    1 => LINK.to_owned(),
                    _ if self.mounted => MOUNT.to_owned(),
                    _ => format!("{LINK}/../{REAL}"),
                };
                // Joining would lose the slash.
                Location::Local(PathBuf::from(format!(
                    "{}/{root}/{text}",
                    self.dir.path().display()
                )))
            }
            Space::Bucket(i) => Location::S3 { bucket: BUCKETS[i].1.to_owned(), key: text },
        }
    }

    /// How a store is reached, by one of its names; a disk needs none.
    pub(crate) fn store(&self, spot: &Spot) -> Option<S3Options> {
        let server = &self.servers[spot.space.store()?];
        let mut s3 = S3Options::default();
        let port = server.addr().port();
        let host = if spot.alias == 1 { "localhost" } else { "127.0.0.1" };
        s3.endpoint_url = Some(format!("http://{host}:{port}"));
        s3.region = Some(if spot.alias == 2 { "eu-west-1" } else { server.region() }.to_owned());
        s3.access_key = Some(AccessKey {
            id: server.access_key().to_owned(),
            secret: server.secret_key().to_owned(),
            session_token: None,
        });
        s3.timeout = Duration::from_secs(2);
        Some(s3)
    }

    /// haul between these places.
    pub(crate) fn between(&self, from: &Spot, to: &Spot) -> Haul {
        let (source, dest) = (self.store(from), self.store(to));
        let either = source.clone().or_else(|| dest.clone()).unwrap_or_default();
        self.haul.with_stores(source.unwrap_or_else(|| either.clone()), dest.unwrap_or(either))
    }

    /// What is shown of a place, whatever it was called: as [`At::shown`] does.
    pub(crate) fn shown(&self, text: &str) -> String {
        let base = format!("{}/", self.dir.path().display());
        let Some(rest) = text.strip_prefix(&base) else { return text.to_owned() };
        let other = format!("{LINK}/../{REAL}/");
        let names = [&*other, "w/", "l/", "m/"];
        let path = names.iter().find_map(|n| rest.strip_prefix(n)).unwrap_or(rest);
        path.replace("//", "/").trim_end_matches('/').to_owned()
    }

    /// Content that nothing has had before, or what is asked for.
    pub(crate) fn content(&mut self, what: Content, state: &State) -> Rc<str> {
        self.written += 1;
        match what {
            Content::Fresh => format!("{:05}", self.written).into(),
            Content::Long => format!("{:07}+", self.written).into(),
            Content::Empty => "".into(),
            Content::Again(i) => {
                let contents: Vec<_> = state.values().filter_map(|n| n.content.clone()).collect();
                contents.get(i).cloned().unwrap_or_else(|| "again".into())
            }
        }
    }

    /// Writes a thing, if nothing of another kind is in its way.
    pub(crate) fn write(&self, at: &At, content: &str, age: usize) {
        let Space::Bucket(i) = at.space else {
            let path = self.real(&at.path);
            let Some(parent) = path.parent() else { return };
            if fs::create_dir_all(parent).is_err() || fs::write(&path, content).is_err() {
                return;
            }
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_000_250_000_001);
            let time = match age {
                0 => long_ago,
                1 => long_ago + Duration::from_secs(100),
                2 => SystemTime::now(),
                _ => SystemTime::now() + Duration::from_hours(1),
            };
            let file = fs::File::options().write(true).open(&path).unwrap();
            return file.set_modified(time).unwrap();
        };
        let (store, bucket) = BUCKETS[i];
        self.servers[store].store().put(bucket, &at.path, content.as_bytes().to_vec());
    }

    /// The same, once a request comes.
    pub(crate) fn editing(&self, at: &At, content: &str) -> Fault {
        let content = content.to_owned();
        let Space::Bucket(i) = at.space else {
            let path = self.real(&at.path);
            return Fault::hook(move |_| drop(fs::write(&path, &content)));
        };
        let (store, bucket) = BUCKETS[i];
        let (store, key) = (self.servers[store].store().clone(), at.path.clone());
        Fault::hook(move |_| drop(store.put(bucket, &key, content.as_bytes().to_vec())))
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&self) {
        self.servers.iter().for_each(|s| s.faults().clear());
    }

    /// What others do.
    pub(crate) fn edit(&mut self, step: &Step, state: &State) {
        match step {
            Step::Write(at, content, age) => {
                let content = self.content(*content, state);
                self.write(at, &content, *age);
            }
            Step::Folder(at) if at.space.is_disk() => {
                let _a_file_is_there = fs::create_dir_all(self.real(&at.path));
            }
            Step::Folder(at) => self.write(at, "", 0),
            Step::Drop(at) => self.drop_all(at),
            Step::Run(_) => {}
        }
    }

    fn drop_all(&self, at: &At) {
        match at.space {
            Space::Disk => {
                let path = self.real(&at.path);
                let _gone =
                    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
            Space::Bucket(i) => {
                let (store, bucket) = BUCKETS[i];
                let store = self.servers[store].store();
                let below = format!("{}/", at.path.trim_end_matches('/'));
                let doomed = store.keys(bucket).into_iter();
                doomed
                    .filter(|k| *k == at.path || k.starts_with(&below))
                    .for_each(|k| store.remove(bucket, &k));
            }
        }
    }

    /// All that is there.
    pub(crate) fn look(&self) -> State {
        let mut state = State::new();
        let root = self.path(REAL);
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                let there = fs::symlink_metadata(&path).unwrap();
                let content = if there.is_dir() { None } else { Some(read(&path)) };
                let modified = there.modified().unwrap();
                let changed = u64::try_from(there.ctime()).unwrap_or_default();
                let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
                let origin = content.is_some() && remembers(&path);
                state.insert(
                    At::new(Space::Disk, name),
                    Node { content, modified, changed, kept: None, origin },
                );
                if there.is_dir() {
                    folders.push(path);
                }
            }
        }
        for (i, (store, bucket)) in BUCKETS.iter().enumerate() {
            let store = self.servers[*store].store();
            for key in store.keys(bucket) {
                let Some(object) = store.object(bucket, &key) else { continue };
                let text = String::from_utf8_lossy(&object.bytes()).into_owned();
                let content = (!key.ends_with('/')).then(|| Rc::from(text));
                let kept = object.metadata("mtime").and_then(time);
                let modified = object.modified;
                let node = Node { content, modified, changed: modified, kept, origin: false };
                state.insert(At::new(Space::Bucket(i), key), node);
            }
        }
        state
    }

    /// What a job must not leave behind: temporary names, unfinished uploads.
    pub(crate) fn leftovers(&self, state: &State) -> Vec<String> {
        let temporary = |at: &&At| {
            let name = crate::state::name_of(&at.path).strip_prefix(".haul-");
            name.is_some_and(|rest| rest.len() == 12)
        };
        let mut left: Vec<_> = state.keys().filter(temporary).map(|at| format!("{at:?}")).collect();
        for (store, bucket) in BUCKETS {
            let uploads = self.servers[store].store().uploads(bucket);
            left.extend(uploads.iter().map(|u| format!("an upload of {}", u.key)));
        }
        left
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.mounted {
            let _best_effort = std::process::Command::new("umount").arg(self.path(MOUNT)).status();
        }
    }
}

/// Mounts a folder a second time; says so where it may not.
fn mount(from: &Path, to: &Path) -> bool {
    let done = std::process::Command::new("mount").arg("--bind").arg(from).arg(to).output();
    let mounted = done.is_ok_and(|d| d.status.success());
    if !mounted {
        println!("skipped: folders that are mounted twice (no right to mount)");
    }
    mounted
}

fn read(path: &Path) -> Rc<str> {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into()
}

fn remembers(path: &Path) -> bool {
    let mut value = [0; 512];
    let got: Result<usize, _> = rustix::fs::getxattr(path, "user.haul.origin", &mut value);
    got.map_err(io::Error::from).is_ok()
}

/// Seconds since 1970 with decimals.
fn time(text: &str) -> Option<SystemTime> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::new(seconds.parse().ok()?, nanoseconds))
}
