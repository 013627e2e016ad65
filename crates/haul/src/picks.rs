//! One stream of what is meant, over all sources.
//!
//! Owns the way from roots to picks: listing with pages asked for ahead, filters, shards, and the
//! path below the destination. One path for cp, mv, publish and rm, so that all of them select
//! alike. What could not be listed comes out as a failed item, and the rest goes on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use futures::stream::{self, Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::{
    Engine, Entry, EntryKind, Error, ErrorKind, Filter, Foreign, Hint, Lister, Listing, Op, Page,
    RelPath, Result, Shard,
};
use haul_local::{WalkOptions, Walker};
use haul_s3::{ListSpec, ObjectId, S3Client, S3Lister};

use crate::listers::{FileList, Known, ObjectList, is_content};
use crate::roots::{Kind, Root};
use crate::{Selection, Symlinks};

/// Where one thing comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file, folder or link of this machine.
    File(PathBuf),
    /// An object.
    Object(ObjectId),
    /// A URL.
    Url(String),
}

impl From<&Origin> for Foreign {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::File(path) => path.as_path().into(),
            Origin::Object(object) => object.to_string().into(),
            Origin::Url(url) => haul_core::redact::url(url).into(),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Foreign::from(self).fmt(f)
    }
}

/// One thing that is meant.
#[derive(Debug)]
pub(crate) struct Pick {
    pub(crate) from: Origin,
    pub(crate) entry: Entry,
    /// Whether size and ETag were seen; objects that were named one by one are not looked at.
    pub(crate) seen: bool,
    /// Its path below the destination.
    pub(crate) to: RelPath,
}

/// What comes out of a selection.
#[derive(Debug)]
pub(crate) enum Picked {
    /// One thing.
    Item(Box<Pick>),
    /// Something that cannot be listed.
    Problem(Error),
    /// A listing that ended too soon: what would have followed is not known.
    Cut(Error),
}

/// How things are picked from roots.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) filter: Filter,
    pub(crate) shard: Option<Shard>,
    pub(crate) recursive: bool,
    pub(crate) flatten: bool,
    pub(crate) walk: WalkOptions,
    /// Whether folders are picked.
    pub(crate) folders: bool,
    /// Whether the marker of the listed folder itself is picked, too.
    pub(crate) own_marker: bool,
    /// For a single source whose destination is named in full.
    pub(crate) rename: Option<RelPath>,
    /// Whether objects that were named one by one are looked at, whatever the filter needs.
    pub(crate) look: bool,
    /// The client for objects, where there are any.
    pub(crate) client: Option<S3Client>,
}

impl Rules {
    pub(crate) fn new(select: &Selection, folders: bool, client: Option<S3Client>) -> Self {
        let filter = select.filter.clone();
        let mut walk = WalkOptions {
            symlinks: select.symlinks,
            empty_folders: folders,
            ..WalkOptions::default()
        };
        if !filter.rules.is_empty() {
            let filter = filter.clone();
            walk.prune = Some(std::sync::Arc::new(move |folder| filter.prunes(folder)));
        }
        Self {
            filter,
            shard: select.shard,
            recursive: select.recursive,
            flatten: false,
            walk,
            folders,
            own_marker: false,
            rename: None,
            look: false,
            client,
        }
    }

    fn client(&self, bucket: &str) -> Result<S3Client> {
        // Asked for by whoever found objects among the sources.
        let none =
            || Error::new(ErrorKind::Invalid, Op::List, format!("s3://{bucket}"), "no store");
        self.client.clone().ok_or_else(none)
    }

    /// A listing for a root, and what it is the listing of.
    fn lister(&self, kind: &Kind) -> Result<Box<dyn Lister>> {
        let keys = |bucket: &String, prefix: &str| -> Result<Box<dyn Lister>> {
            let spec = ListSpec::new(bucket.clone(), prefix);
            Ok(Box::new(S3Lister::new(self.client(bucket)?, spec)))
        };
        Ok(match kind {
            Kind::Folder(path) | Kind::DiskPattern(path, _) => {
                Box::new(Walker::new(path.clone(), self.walk.clone()))
            }
            Kind::Files(paths) => Box::new(FileList(paths.iter().cloned().collect())),
            Kind::Prefix(bucket, prefix) => keys(bucket, prefix)?,
            Kind::KeyPattern(bucket, pattern) => keys(bucket, pattern.literal())?,
            Kind::Objects(objects) => Box::new(ObjectList {
                client: self.client("")?,
                objects: objects.iter().cloned().collect(),
                look: self.look || self.filter.looks(),
            }),
            Kind::Urls(urls) => Box::new(Known(urls.clone().into_iter())),
            Kind::Nothing(_) => Box::new(Known(Vec::new().into_iter())),
        })
    }

    /// What an entry of a root stands for, if it is meant.
    fn pick(&self, root: &Root, entry: Entry) -> Option<Pick> {
        let own_marker = entry.kind == EntryKind::Folder && entry.path.is_root();
        if !(is_content(&entry) || own_marker && self.own_marker) {
            return None;
        }
        let (from, rel, seen) = place(&root.kind, &entry, self.recursive)?;
        let folder = entry.kind == EntryKind::Folder;
        if folder && !self.folders || entry.kind != EntryKind::File && self.flatten {
            return None;
        }
        if matches!(entry.kind, EntryKind::Symlink(_)) && self.walk.symlinks != Symlinks::Keep {
            return None;
        }
        let named = Entry { path: rel, ..entry };
        if !self.filter.admits(&named) {
            return None;
        }
        let rel = &named.path;
        let to = match &self.rename {
            Some(name) => name.clone(),
            None if self.flatten => RelPath::new(rel.name()),
            None => rel.below(&root.base),
        };
        if self.shard.is_some_and(|shard| !shard.holds(&to)) {
            return None;
        }
        Some(Pick { from, entry: named, seen, to })
    }
}

/// Where an entry comes from, and its path below the root; `None` when a pattern does not match.
fn place(kind: &Kind, entry: &Entry, below: bool) -> Option<(Origin, RelPath, bool)> {
    let object = |bucket: &str, key: String| Origin::Object(ObjectId::new(bucket, key));
    let path = entry.path.as_os_str();
    match kind {
        Kind::Folder(root) => {
            let file = Origin::File(join(root, &entry.path));
            Some((file, entry.path.clone(), true))
        }
        Kind::DiskPattern(root, pattern) => {
            let full = join(root, &entry.path);
            let named = full.strip_prefix("./").unwrap_or(&full);
            let matches =
                pattern.matches(if pattern.parent().is_empty() { named } else { &full }, below);
            matches.then(|| (Origin::File(full.clone()), entry.path.clone(), true))
        }
        Kind::Files(_) => {
            let name = Path::new(path).file_name()?;
            Some((Origin::File(PathBuf::from(path)), RelPath::new(name), true))
        }
        Kind::Prefix(bucket, prefix) => {
            let key = format!("{prefix}{}", entry.path.to_str()?);
            Some((object(bucket, key), entry.path.clone(), true))
        }
        Kind::KeyPattern(bucket, pattern) => {
            let key = format!("{}{}", pattern.literal(), entry.path.to_str()?);
            let rel = RelPath::new(key.strip_prefix(pattern.parent())?);
            pattern.matches(Path::new(&key), below).then(|| (object(bucket, key), rel, true))
        }
        Kind::Objects(objects) => {
            let key = entry.path.to_str()?;
            let known = objects.iter().find(|o| o.key == key)?;
            let name = key.rsplit('/').next().unwrap_or(key);
            Some((Origin::Object(known.clone()), RelPath::new(name), entry.etag.is_some()))
        }
        Kind::Urls(_) => {
            let url = entry.path.to_str()?;
            let name = url::Url::parse(url).ok().and_then(|u| haul_http::file_name(&u));
            Some((Origin::Url(url.to_owned()), RelPath::new(name.unwrap_or_default()), false))
        }
        Kind::Nothing(_) => None,
    }
}

fn join(root: &Path, rel: &RelPath) -> PathBuf {
    let rel = Path::new(rel.as_os_str());
    if root == Path::new("") { rel.to_owned() } else { root.join(rel) }
}

/// The state of a selection that is being listed.
struct Picking {
    engine: Engine,
    cx: JobContext,
    rules: Rules,
    roots: VecDeque<Root>,
    current: Option<(Root, Listing)>,
    ready: VecDeque<Picked>,
    /// Whether the current root gave anything.
    found: bool,
}

/// The picks of `roots`, in the order of the roots and, within each, of its listing.
pub(crate) fn picks(
    engine: &Engine,
    cx: &JobContext,
    roots: Vec<Root>,
    rules: Rules,
) -> impl Stream<Item = Picked> + Send + use<> {
    let picking = Picking {
        engine: engine.clone(),
        cx: cx.clone(),
        rules,
        roots: roots.into(),
        current: None,
        ready: VecDeque::new(),
        found: false,
    };
    stream::unfold(picking, |mut picking| async move {
        let picked = picking.next().await?;
        Some((picked, picking))
    })
}

impl Picking {
    async fn next(&mut self) -> Option<Picked> {
        loop {
            if let Some(picked) = self.ready.pop_front() {
                return Some(picked);
            }
            let Some((root, listing)) = &mut self.current else {
                let root = self.roots.pop_front()?;
                self.begin(root);
                continue;
            };
            match listing.next().await {
                Some(Ok(Page { entries, problems, .. })) => {
                    self.found |= !entries.is_empty() || !problems.is_empty();
                    self.ready.extend(problems.into_iter().map(Picked::Problem));
                    let picks = entries.into_iter().filter_map(|e| self.rules.pick(root, e));
                    self.ready.extend(picks.map(|pick| Picked::Item(Box::new(pick))));
                }
                Some(Err(e)) => {
                    self.current = None;
                    return Some(Picked::Cut(e));
                }
                None => {
                    let problem = if self.found { None } else { nothing(&root.kind) };
                    self.current = None;
                    self.ready.extend(problem.map(Picked::Problem));
                }
            }
        }
    }

    fn begin(&mut self, root: Root) {
        self.found = false;
        match root.kind {
            Kind::Nothing(e) => self.ready.push_back(Picked::Problem(e)),
            _ => match self.rules.lister(&root.kind) {
                Ok(lister) => self.current = Some((root, self.engine.listing(lister, &self.cx))),
                Err(e) => self.ready.push_back(Picked::Cut(e)),
            },
        }
    }
}

/// What is said of a pattern that finds nothing: most often because of what `*` does not cross.
const NO_MATCH: &str = "nothing matches the pattern (* stops at a slash, ** does not)";

/// A prefix or pattern with nothing in it is a typing error more often than not.
fn nothing(kind: &Kind) -> Option<Error> {
    let missing =
        |place: String, what: &str| Some(Error::new(ErrorKind::NotFound, Op::Open, place, what));
    match kind {
        Kind::Prefix(bucket, prefix) if !prefix.is_empty() => {
            missing(format!("s3://{bucket}/{prefix}"), "there is nothing below it")
        }
        Kind::KeyPattern(bucket, pattern) => {
            missing(format!("s3://{bucket}/{}*", pattern.literal()), NO_MATCH)
        }
        Kind::DiskPattern(_, pattern) => missing(format!("{}*", pattern.literal()), NO_MATCH),
        _ => None,
    }
}

/// U0.6: refuses sources that would end under one name, before anything is written. A pass over all
/// names, for the cases in which the roots alone do not tell; it keeps 8 bytes a name, and settles a
/// doubt by a second pass.
pub(crate) async fn refuse_collisions(
    engine: &Engine,
    cx: &JobContext,
    roots: &[Root],
    rules: &Rules,
) -> Result<()> {
    if !rules.flatten && !several(roots) {
        return Ok(());
    }
    let again = || roots.iter().filter_map(Root::again).collect();
    let (mut seen, mut doubtful) = (HashSet::new(), HashSet::new());
    let mut names = std::pin::pin!(picks(engine, cx, again(), rules.clone()));
    while let Some(picked) = names.next().await {
        let Some(pick) = named(picked)? else { continue };
        let hash = hash_of(&pick.to);
        if !seen.insert(hash) {
            doubtful.insert(hash);
        }
    }
    drop(seen);
    if doubtful.is_empty() {
        return Ok(());
    }
    let mut first = HashMap::new();
    let mut names = std::pin::pin!(picks(engine, cx, again(), rules.clone()));
    while let Some(picked) = names.next().await {
        let Some(pick) = named(picked)? else { continue };
        if !doubtful.contains(&hash_of(&pick.to)) {
            continue;
        }
        if let Some(other) = first.insert(pick.to.clone(), pick.from.to_string()) {
            let what = format!("{other} would get the same name there, {}", pick.to.shown());
            return Err(Error::new(ErrorKind::Invalid, Op::Copy, &pick.from, what)
                .with_hint(Hint::DifferentPlaces));
        }
    }
    Ok(())
}

/// What is picked, for a look at all names: names that are not known may collide as well.
fn named(picked: Picked) -> Result<Option<Box<Pick>>> {
    match picked {
        Picked::Item(pick) => Ok(Some(pick)),
        Picked::Problem(_) => Ok(None),
        Picked::Cut(e) => Err(e.with_hint(Hint::NothingWritten)),
    }
}

/// Whether there are several sources: paths below one root are different in any case.
fn several(roots: &[Root]) -> bool {
    roots.len() > 1 || roots.iter().any(|r| !r.kind.is_single() && !r.kind.is_tree())
}

fn hash_of(name: &RelPath) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
