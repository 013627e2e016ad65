//! From the sources that the user named to trees that can be listed.
//!
//! Owns the meaning of a source: a file, a folder, an object, a prefix, a pattern; and the rule on
//! what of its name is kept below the destination. Looks at the disk and asks for single objects; it
//! must never list more than it takes to tell whether there is one.

use std::path::{Path, PathBuf};

use haul_core::handle::JobContext;
use haul_core::{Error, ErrorKind, Hint, Location, Op, Pattern, RelPath, Result, name};
use haul_s3::{ListSpec, ObjectId, S3Lister};

use crate::{Haul, Selection};

/// Something to list, and where below the destination it goes.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) kind: Kind,
    /// Put before every path below the destination.
    pub(crate) base: RelPath,
}

/// What a source turned out to be.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A folder with all below it.
    Folder(PathBuf),
    /// What matches a pattern, below the folder that the pattern begins with.
    DiskPattern(PathBuf, Pattern),
    /// Single files.
    Files(Vec<PathBuf>),
    /// A bucket or prefix with all below it.
    Prefix(String, String),
    /// What matches a pattern in a bucket.
    KeyPattern(String, Pattern),
    /// Single objects.
    Objects(Vec<ObjectId>),
    /// Single URLs.
    Urls(Vec<String>),
    /// Nothing that could be listed: an item that has failed.
    Nothing(Error),
}

impl Root {
    /// The same to list once more; `None` when there is nothing to list.
    pub(crate) fn again(&self) -> Option<Self> {
        let kind = match &self.kind {
            Kind::Folder(path) => Kind::Folder(path.clone()),
            Kind::DiskPattern(path, pattern) => Kind::DiskPattern(path.clone(), pattern.clone()),
            Kind::Files(files) => Kind::Files(files.clone()),
            Kind::Prefix(bucket, prefix) => Kind::Prefix(bucket.clone(), prefix.clone()),
            Kind::KeyPattern(bucket, pattern) => Kind::KeyPattern(bucket.clone(), pattern.clone()),
            Kind::Objects(objects) => Kind::Objects(objects.clone()),
            Kind::Urls(urls) => Kind::Urls(urls.clone()),
            Kind::Nothing(_) => return None,
        };
        Some(Self { kind, base: self.base.clone() })
    }
}

impl Kind {
    /// Whether it is one thing that a destination can name in full.
    pub(crate) fn is_single(&self) -> bool {
        match self {
            Self::Files(files) => files.len() == 1,
            Self::Objects(objects) => objects.len() == 1,
            Self::Urls(urls) => urls.len() == 1,
            _ => false,
        }
    }

    /// The folder of this machine that is walked for it.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) | Self::DiskPattern(path, _) => Some(path),
            _ => None,
        }
    }

    /// The folder or prefix that all of it is in, where there is one.
    pub(crate) fn top(&self) -> Option<Location> {
        match self {
            Self::DiskPattern(path, _) => Some(Location::Local(path.clone())),
            Self::KeyPattern(bucket, pattern) => {
                let key = pattern.parent().to_owned();
                Some(Location::S3 { bucket: bucket.clone(), key })
            }
            _ => self.tree(),
        }
    }

    /// The folder or prefix that all of it is, if it is one.
    pub(crate) fn tree(&self) -> Option<Location> {
        match self {
            Self::Folder(path) => Some(Location::Local(path.clone())),
            Self::Prefix(bucket, prefix) => {
                Some(Location::S3 { bucket: bucket.clone(), key: prefix.clone() })
            }
            _ => None,
        }
    }

    /// Whether everything of it goes to a path of its own for certain: paths below one root are
    /// different, names of single files need not be.
    pub(crate) fn is_tree(&self) -> bool {
        !matches!(self, Self::Files(_) | Self::Objects(_) | Self::Urls(_))
    }
}

/// Whether a text ends in a slash, and so names what is in a folder.
pub(crate) fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

impl Haul {
    /// What the sources are. `into`: whether folders keep their names below the destination.
    pub(crate) async fn roots(&self, select: &Selection, into: bool) -> Result<Vec<Root>> {
        let mut roots: Vec<Root> = Vec::new();
        for source in &select.sources {
            let (kind, base) = match source {
                Location::Local(path) => on_disk(path, select.recursive, into).await,
                Location::S3 { bucket, key } => {
                    self.in_store(bucket, key, select.recursive, into).await?
                }
                Location::Http(url) => (Kind::Urls(vec![url.clone()]), None),
                _ => {
                    let what = "a stream cannot be one of many sources";
                    let e = Error::new(ErrorKind::Invalid, Op::Open, source, what)
                        .with_hint(Hint::CopyStreamAlone);
                    return Err(e);
                }
            };
            // Thousands of names on the command line are one root: looked at together.
            match (roots.last_mut().map(|r| &mut r.kind), kind) {
                (Some(Kind::Files(all)), Kind::Files(more)) => all.extend(more),
                (Some(Kind::Objects(all)), Kind::Objects(more)) => all.extend(more),
                (Some(Kind::Urls(all)), Kind::Urls(more)) => all.extend(more),
                (_, kind) => roots.push(Root { kind, base: base.unwrap_or(RelPath::new("")) }),
            }
        }
        Ok(roots)
    }

    async fn in_store(
        &self,
        bucket: &str,
        key: &str,
        recursive: bool,
        into: bool,
    ) -> Result<(Kind, Option<RelPath>)> {
        let location = Location::S3 { bucket: bucket.to_owned(), key: key.to_owned() };
        if key.is_empty() || key.ends_with('/') {
            if !recursive {
                let what = if key.is_empty() { "it is a bucket" } else { "it is a prefix" };
                let e = Error::new(ErrorKind::Invalid, Op::Open, location, what);
                return Ok((Kind::Nothing(e.with_hint(Hint::Recurse)), None));
            }
            return Ok((Kind::Prefix(bucket.to_owned(), key.to_owned()), None));
        }
        let object = || Kind::Objects(vec![ObjectId::new(bucket, key)]);
        let pattern = Pattern::is_one(key);
        if !recursive && !pattern {
            return Ok((object(), None));
        }
        // A key is raw text: what exists under exactly this name is meant by it.
        match self.stat(&location, None).await {
            Ok(_) => Ok((object(), None)),
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AccessDenied) => Err(e),
            // Stores deny a look at what is there, and at what is not: a listing tells them apart.
            Err(e) if e.kind() == ErrorKind::AccessDenied && self.lists(bucket, key).await => {
                Ok((object(), None))
            }
            Err(_) if pattern => Ok(match Pattern::new(key) {
                Ok(pattern) => (Kind::KeyPattern(bucket.to_owned(), pattern), None),
                // A name with half a pattern in it: it is not there, and says so.
                Err(_) => (object(), None),
            }),
            Err(_) => {
                let base = name::file_name(key).filter(|_| into).map(RelPath::new);
                Ok((Kind::Prefix(bucket.to_owned(), format!("{key}/")), base))
            }
        }
    }
}

impl Haul {
    /// Whether a listing shows an object of exactly this name. What cannot be listed says so later.
    async fn lists(&self, bucket: &str, key: &str) -> bool {
        let Ok(client) = self.source_client().await else { return false };
        let cx = JobContext::unwatched(self.stop.token());
        let lister = Box::new(S3Lister::new(client, ListSpec::new(bucket, key)));
        // In the order of keys, the shortest name that begins so comes first.
        let page = self.engine.listing(lister, &cx).next().await;
        page.is_some_and(|page| {
            page.is_ok_and(|page| page.entries.iter().any(|e| e.path.is_root()))
        })
    }
}

async fn on_disk(path: &Path, recursive: bool, into: bool) -> (Kind, Option<RelPath>) {
    let looked = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || std::fs::metadata(looked)).await;
    match looked.map_err(std::io::Error::other).flatten() {
        Ok(metadata) if metadata.is_dir() => {
            if !recursive {
                let e = Error::new(ErrorKind::Invalid, Op::Open, path.display(), "it is a folder");
                return (Kind::Nothing(e.with_hint(Hint::Recurse)), None);
            }
            let base = path.file_name().filter(|_| into && !ends_in_slash(path)).map(RelPath::new);
            (Kind::Folder(path.to_owned()), base)
        }
        Ok(_) => (Kind::Files(vec![path.to_owned()]), None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => missing(path, e),
        Err(e) => (Kind::Nothing(Error::io(Op::Open, path.display(), e)), None),
    }
}

/// A path that does not exist may be a pattern that the shell has left alone.
fn missing(path: &Path, e: std::io::Error) -> (Kind, Option<RelPath>) {
    let text = path.to_str().filter(|text| Pattern::is_one(text));
    let kind = match text.and_then(|text| Pattern::new(text).ok()) {
        Some(pattern) => {
            let folder = if pattern.parent().is_empty() { "." } else { pattern.parent() };
            Kind::DiskPattern(PathBuf::from(folder), pattern)
        }
        None => Kind::Nothing(Error::io(Op::Open, path.display(), e)),
    };
    (kind, None)
}
