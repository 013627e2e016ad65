//! What the tests of many files stand on: a job in one line, and the times of files.
//!
//! Owns: how requests are run to their end, and the sets that are compared. Must never decide what
//! is right.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use haul::{
    Change, Location, Options, Outcome, PublishRequest, RemoveRequest, Skip, SyncRequest, Verified,
};
use haul_testkit::{Op, StoreRules};

use crate::kit::{BUCKET, Kit, Many, all, s3};

/// A store with pages of `max_keys`.
pub(crate) fn pages_of(max_keys: u32) -> StoreRules {
    StoreRules { max_keys, ..StoreRules::default() }
}

/// A request with something else about it.
pub(crate) fn with<T>(mut request: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut request);
    request
}

/// Nothing is removed by default, and times are compared.
pub(crate) fn sync_of(from: &Location, to: &Location) -> SyncRequest {
    SyncRequest::new(from.clone(), to.clone())
}

/// The same, removing what only the destination has.
pub(crate) fn mirror_of(from: &Location, to: &Location) -> SyncRequest {
    with(sync_of(from, to), |r| r.delete = true)
}

impl Kit {
    pub(crate) async fn sync(&self, request: SyncRequest) -> Many {
        all(Box::pin(self.haul.sync(request)).await.unwrap()).await
    }

    pub(crate) async fn check(&self, request: SyncRequest) -> Many {
        all(Box::pin(self.haul.check(request)).await.unwrap()).await
    }

    pub(crate) async fn publish(&self, request: PublishRequest) -> Many {
        all(Box::pin(self.haul.publish(request)).await.unwrap()).await
    }

    pub(crate) async fn remove_tree(&self, request: RemoveRequest) -> Many {
        all(Box::pin(self.haul.remove_tree(request)).await.unwrap()).await
    }

    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        self.server.store().put(BUCKET, key, content.to_vec());
    }

    /// The content of an object.
    #[track_caller]
    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        self.stored(key).unwrap().bytes().to_vec()
    }

    /// Says that a file was modified so many seconds from now.
    pub(crate) fn set_age(&self, path: &str, seconds_from_now: i64) {
        let shift = Duration::from_secs(seconds_from_now.unsigned_abs());
        let now = SystemTime::now();
        let time = if seconds_from_now < 0 { now - shift } else { now + shift };
        self.set_time(path, time);
    }

    pub(crate) fn set_time(&self, path: &str, time: SystemTime) {
        let file = std::fs::File::options().write(true).open(self.path(path)).unwrap();
        file.set_modified(time).unwrap();
    }

    /// The same number of bytes, one of them another, and the time that it had: nothing but the
    /// content tells.
    pub(crate) fn edit_in_secret(&self, path: &str) {
        let mut content = std::fs::read(self.path(path)).unwrap();
        let time = std::fs::metadata(self.path(path)).unwrap().modified().unwrap();
        let last = content.len() - 1;
        content[last] ^= 1;
        std::fs::write(self.path(path), content).unwrap();
        self.set_time(path, time);
    }

    /// What was asked of the store since it was asked last.
    pub(crate) fn asked(&self) -> Vec<(Op, usize)> {
        let asked = self.server.calls().summary().into_iter().collect();
        self.server.calls().clear();
        asked
    }

    /// Keys that begin with `prefix`, without it.
    pub(crate) fn keys_below(&self, prefix: &str) -> Vec<String> {
        let keys = self.keys().into_iter();
        keys.filter_map(|k| k.strip_prefix(prefix).map(str::to_owned)).collect()
    }

    /// Names below a folder.
    pub(crate) fn names(&self, root: &str) -> Vec<String> {
        self.tree(root).into_iter().map(|(name, _)| name).collect()
    }

    /// Objects below a prefix are what is in a folder, to the byte.
    #[track_caller]
    pub(crate) fn assert_alike(&self, prefix: &str, folder: &str) {
        let objects: Vec<_> = self.keys_below(prefix);
        let objects = objects.into_iter().map(|k| {
            let content = self.bytes(&format!("{prefix}{k}"));
            (k, content)
        });
        assert!(objects.collect::<Vec<_>>() == self.tree(folder), "{prefix} is not {folder}");
    }

    /// Whether files here remember what they are copies of; says so where they do not.
    pub(crate) fn keeps_origins(&self) -> bool {
        self.write("xattr-probe", b"x");
        let path = self.path("xattr-probe");
        let flags = rustix::fs::XattrFlags::empty();
        let kept = rustix::fs::setxattr(&path, "user.haul.probe", b"1", flags).is_ok();
        std::fs::remove_file(path).unwrap();
        if !kept {
            println!("skipped in part: this file system keeps no extended attributes");
        }
        kept
    }
}

impl Many {
    /// What was changed, or would have been: whether it went, from, to.
    pub(crate) fn changes(&self) -> BTreeSet<(bool, String, String)> {
        let change = |s: &haul::Settled| match &s.outcome {
            Outcome::Copied(_) | Outcome::Would(Change::Copy | Change::Move) => {
                Some((false, s.from.exact().into_owned(), s.to.exact().into_owned()))
            }
            Outcome::Removed | Outcome::Would(Change::Remove) => {
                Some((true, s.from.exact().into_owned(), s.to.exact().into_owned()))
            }
            _ => None,
        };
        self.items.iter().filter_map(change).collect()
    }

    /// How those were shown to be the same that were skipped after a closer look.
    pub(crate) fn skipped_by(&self) -> Vec<Verified> {
        let by = |s: &haul::Settled| match &s.outcome {
            Outcome::Skipped(Skip::Same(by)) => Some(*by),
            _ => None,
        };
        self.items.iter().filter_map(by).collect()
    }

    /// The links, in order; empty where there is none.
    pub(crate) fn links(&self) -> Vec<String> {
        let link = |s: &haul::Settled| s.link.as_ref().map(|l| l.0.clone()).unwrap_or_default();
        self.items.iter().map(link).collect()
    }
}

/// Another store, and a [`haul::Haul`] that reads from it and writes to the kit's.
pub(crate) async fn second_store(kit: &Kit) -> (haul_testkit::TestServer, haul::Haul) {
    let other = haul_testkit::TestServer::start().await.unwrap();
    other.store().create_bucket(BUCKET);
    let haul =
        kit.haul.with_stores(crate::kit::s3_options(&other), crate::kit::s3_options(&kit.server));
    (other, haul)
}

/// The whole bucket.
pub(crate) fn bucket() -> Location {
    s3("")
}

/// With time enough for requests that a test holds.
pub(crate) fn patient(options: &mut Options) {
    let long = Duration::from_mins(1);
    (options.source.timeout, options.dest.timeout) = (long, long);
    options.engine.stall = long;
}
