//! Listings of single things that were named one by one.
//!
//! Owns the listers of files and objects without a tree around them. Everything else is listed by
//! its backend.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::vec;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{Entry, EntryKind, Error, Lister, Op, Page, Result};
use haul_s3::{ObjectId, S3Client};

/// Files in a page.
const PAGE: usize = 1000;

/// Files that were named one by one; an entry's path is the file's, as it was named.
#[derive(Debug)]
pub(crate) struct FileList(pub(crate) VecDeque<PathBuf>);

impl Lister for FileList {
    fn location(&self) -> String {
        "the files".to_owned()
    }

    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>> {
        let paths: Vec<_> = self.0.iter().take(PAGE).cloned().collect();
        async move {
            if paths.is_empty() {
                return Ok(None);
            }
            let count = paths.len();
            let looked = tokio::task::spawn_blocking(move || look_at(paths)).await;
            self.0.drain(..count);
            let crashed = |e| Error::io(Op::List, "the files", std::io::Error::other(e));
            looked.map(Some).map_err(crashed)
        }
        .boxed()
    }
}

fn look_at(paths: Vec<PathBuf>) -> Page {
    let mut page = Page::default();
    for path in paths {
        match std::fs::metadata(&path) {
            Ok(metadata) => page.entries.push(Entry {
                modified: metadata.modified().ok(),
                ..Entry::file(path, metadata.len())
            }),
            Err(e) => page.problems.push(Error::io(Op::Open, path.display(), e)),
        }
    }
    page
}

/// Objects that were named one by one; an entry's path is the key. They are looked at only where a
/// filter needs to know more than their names.
#[derive(Debug)]
pub(crate) struct ObjectList {
    pub(crate) client: S3Client,
    pub(crate) objects: VecDeque<ObjectId>,
    pub(crate) look: bool,
}

impl Lister for ObjectList {
    fn location(&self) -> String {
        "the objects".to_owned()
    }

    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>> {
        async move {
            if !self.look {
                let all = std::mem::take(&mut self.objects);
                let entries: Vec<_> = all.into_iter().map(|o| Entry::file(o.key, 0)).collect();
                return Ok((!entries.is_empty()).then(|| Page { entries, ..Page::default() }));
            }
            let Some(object) = self.objects.front() else { return Ok(None) };
            let mut page = Page::default();
            match haul_s3::stat(&self.client, object, Op::Open).await {
                Ok(info) => page.entries.push(Entry {
                    modified: info.modified,
                    etag: info.etag,
                    ..Entry::file(object.key.clone(), info.size)
                }),
                Err(e) if e.retry() == haul_core::Retry::Never => page.problems.push(e),
                Err(e) => return Err(e),
            }
            self.objects.pop_front();
            Ok(Some(page))
        }
        .boxed()
    }
}

/// Entries that are known already.
#[derive(Debug)]
pub(crate) struct Known(pub(crate) vec::IntoIter<String>);

impl Lister for Known {
    fn location(&self) -> String {
        "the addresses".to_owned()
    }

    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>> {
        let entries: Vec<_> = self.0.by_ref().take(PAGE).map(|url| Entry::file(url, 0)).collect();
        let page = (!entries.is_empty()).then(|| Page { entries, ..Page::default() });
        std::future::ready(Ok(page)).boxed()
    }
}

/// Whether an entry is something to copy: a file, a folder to keep, a link to keep.
pub(crate) fn is_content(entry: &Entry) -> bool {
    match entry.kind {
        // A marker of the listed folder itself.
        EntryKind::Folder => !entry.path.is_root(),
        EntryKind::File | EntryKind::Symlink(_) => true,
        _ => false,
    }
}
