//! Looking at what is there: `ls`, `du`.
//!
//! Owns what a location means when it is listed: one level, all levels, all versions, or the single
//! thing that it names.

use haul_core::handle::JobContext;
use haul_core::{
    Entry, EntryKind, Error, ErrorKind, Filter, Foreign, Listing, Location, Op, Page, Pattern,
    RelPath, Result,
};
use haul_local::{Symlinks, WalkOptions, Walker};
use haul_s3::{ListSpec, S3Lister};

use crate::{Haul, ListRequest, Stat};

/// A listing to read page by page; memory does not depend on its length.
#[derive(Debug)]
pub struct Listed {
    listing: Option<Listing>,
    /// A page that is known already.
    first: Option<Page>,
    filter: Filter,
    pattern: Option<Pattern>,
    /// The name of the one key that is meant; entries come with what follows it.
    only: Option<RelPath>,
    /// What stands before the entries' paths.
    base: String,
    /// Whether anything has been found, for what must not be empty.
    expects: Option<Error>,
}

impl Listed {
    /// The next page; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Page>> {
        if let Some(page) = self.first.take() {
            return Some(Ok(page));
        }
        let listing = self.listing.as_mut()?;
        let Some(page) = listing.next().await else {
            return self.expects.take().map(Err);
        };
        Some(page.map(|mut page| {
            let (filter, pattern, base) = (&self.filter, &self.pattern, &self.base);
            page.entries.retain(|entry| {
                let named = pattern.as_ref().is_none_or(|pattern| {
                    let full = format!("{}{}", key_part(base), entry.path.exact());
                    pattern.matches(std::path::Path::new(full.trim_end_matches('/')), false)
                });
                let folder = entry.kind == EntryKind::Prefix;
                named && (folder || filter.admits(entry))
            });
            if let Some(name) = &self.only {
                page.entries.retain(|entry| entry.path.is_root());
                page.entries.iter_mut().for_each(|entry| entry.path = name.clone());
            }
            if !page.entries.is_empty() || !page.problems.is_empty() {
                self.expects = None;
            }
            page
        }))
    }

    /// What an entry is called in full.
    pub fn location_of(&self, entry: &Entry) -> Foreign {
        format!("{}{}", self.base, entry.path.exact()).into()
    }
}

/// The key in `s3://bucket/key`.
fn key_part(base: &str) -> &str {
    base.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).map_or("", |(_, key)| key)
}

impl Haul {
    /// Starts to list.
    ///
    /// # Errors
    ///
    /// `Invalid` where the location cannot be listed or its pattern is none, `NotFound` where there
    /// is no such file or folder, and what [requests and disks](crate#errors) may end with. That
    /// there is nothing below a prefix is told by the first page.
    pub async fn list(&self, request: ListRequest) -> Result<Listed> {
        let this = self.begin();
        match request.location.clone() {
            Location::Local(path) => this.list_disk(request, path).await,
            Location::S3 { bucket, key } => this.list_store(request, bucket, key).await,
            other => {
                let what = "it cannot be listed: a folder, a bucket or a prefix is needed";
                Err(Error::new(ErrorKind::Invalid, Op::List, other, what))
            }
        }
    }

    async fn list_disk(&self, request: ListRequest, path: std::path::PathBuf) -> Result<Listed> {
        let base = format!("{}/", path.display().to_string().trim_end_matches('/'));
        if let Stat::File { size, modified, folder: false } =
            self.stat(&request.location, None).await?
        {
            let entry = Entry { modified, ..Entry::file(path.as_os_str(), size) };
            return Ok(Listed::only(entry, String::new()));
        }
        let mut walk = WalkOptions::default();
        (walk.symlinks, walk.empty_folders) = (Symlinks::Keep, true);
        if !request.recursive {
            // One level: what is deeper is pruned, and shows as its folder.
            return one_level(path, base).await;
        }
        let cx = JobContext::unwatched(self.stop.token());
        let listing = self.engine.listing(Box::new(Walker::new(path, walk)), &cx);
        Ok(Listed::new(listing, base, request.filter))
    }

    async fn list_store(
        &self,
        request: ListRequest,
        bucket: String,
        key: String,
    ) -> Result<Listed> {
        let client = self.source_client().await?;
        let cx = JobContext::unwatched(self.stop.token());
        // A pattern may have to be looked for deeper than one level.
        let special = key.find(['*', '?', '[', '{']).map_or("", |i| &key[i..]);
        let deep = special.contains('/') || special.contains("**");
        let list = |prefix: &str| {
            let mut spec = ListSpec::new(bucket.clone(), prefix);
            (spec.delimiter, spec.versions) = (!request.recursive && !deep, request.versions);
            let listing = self.engine.listing(Box::new(S3Lister::new(client.clone(), spec)), &cx);
            let base = format!("s3://{bucket}/{prefix}");
            Listed::new(listing, base, request.filter.clone())
        };
        if key.is_empty() {
            return Ok(list(""));
        }
        let nothing =
            Error::new(ErrorKind::NotFound, Op::List, &request.location, "there is nothing there");
        if key.ends_with('/') {
            return Ok(Listed { expects: Some(nothing), ..list(&key) });
        }
        // A name in full: an object, or a folder to look into, or a pattern.
        match self.stat(&request.location, None).await {
            Ok(Stat::Object(info)) if !request.versions => {
                let entry = Entry {
                    modified: info.modified,
                    etag: info.etag,
                    storage_class: info.storage_class,
                    ..Entry::file(key.clone(), info.size)
                };
                return Ok(Listed::only(entry, format!("s3://{bucket}/")));
            }
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AccessDenied) => {
                if Pattern::is_one(&key) {
                    let pattern = Pattern::new(&key)
                        .map_err(|e| Error::new(ErrorKind::Invalid, Op::Parse, &key, e))?;
                    let prefix = pattern.literal().to_owned();
                    let pattern = Some(pattern);
                    return Ok(Listed { expects: Some(nothing), pattern, ..list(&prefix) });
                }
            }
            Err(e) => return Err(e),
        }
        if request.versions {
            // Versions of this key alone; others may begin like it.
            let (folder, name) = key.rsplit_once('/').map_or(("", &*key), |(f, n)| (f, n));
            let slash = if folder.is_empty() { "" } else { "/" };
            let base = format!("s3://{bucket}/{folder}{slash}");
            let only = Some(RelPath::new(name));
            return Ok(Listed { expects: Some(nothing), only, base, ..list(&key) });
        }
        Ok(Listed { expects: Some(nothing), ..list(&format!("{key}/")) })
    }
}

impl Listed {
    fn new(listing: Listing, base: String, filter: Filter) -> Self {
        Self {
            listing: Some(listing),
            first: None,
            filter,
            pattern: None,
            only: None,
            base,
            expects: None,
        }
    }

    fn only(entry: Entry, base: String) -> Self {
        let first = Some(Page { entries: vec![entry], ..Page::default() });
        let filter = Filter::default();
        Self { listing: None, first, filter, pattern: None, only: None, base, expects: None }
    }
}

/// What is directly in a folder, in order.
async fn one_level(path: std::path::PathBuf, base: String) -> Result<Listed> {
    let place = path.display().to_string();
    let io = move |e| Error::io(Op::List, &place, e);
    let read = tokio::task::spawn_blocking(move || {
        let mut page = Page::default();
        for entry in std::fs::read_dir(&path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let mut found = Entry::file(entry.file_name(), metadata.len());
            found.modified = metadata.modified().ok();
            if metadata.is_dir() {
                let mut name = entry.file_name();
                name.push("/");
                (found.path, found.kind, found.size) = (RelPath::new(name), EntryKind::Prefix, 0);
            }
            page.entries.push(found);
        }
        page.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(page)
    });
    let page = read.await.map_err(std::io::Error::other).flatten().map_err(io)?;
    Ok(Listed { first: Some(page), ..Listed::only(Entry::file("", 0), base) })
}
