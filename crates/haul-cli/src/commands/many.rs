//! What the commands for many files share.
//!
//! Owns the way from sources, manifests and filters on the command line to a selection.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use haul::{Error, Location, Op, Pattern, Selection};

use crate::args::{FilterArgs, LinkArgs, ShareArgs};
use crate::exit::{self, Exit};
use crate::session::Session;
use crate::settings;

/// Whether a source may be a pattern: the library decides, once it knows whether something has
/// exactly this name. What is no pattern after all, such as `a[`, is a name.
pub(crate) fn is_pattern(source: &Location) -> bool {
    let may_be = |text: &str| Pattern::is_one(text) && Pattern::new(text).is_ok();
    match source {
        Location::Local(path) => {
            path.to_str().is_some_and(may_be) && path.symlink_metadata().is_err()
        }
        Location::S3 { key, .. } => may_be(key),
        _ => false,
    }
}

/// Does the same for one place after the other. Of several, one that fails says so and stops no other.
pub(crate) async fn each<'a>(
    places: &'a [OsString],
    session: &Session,
    mut run: impl AsyncFnMut(&'a OsString) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let [_, _, ..] = places else {
        return match places.first() {
            Some(place) => run(place).await,
            None => Ok(Exit::Done),
        };
    };
    let mut exit = Exit::Done;
    for place in places {
        match run(place).await {
            Ok(Exit::Done) => {}
            Ok(_) => exit = Exit::Failed,
            Err(e) => match exit::explain(&e, session.common.verbose > 0) {
                over @ (Exit::Unread | Exit::Interrupted | Exit::Terminated) => return Ok(over),
                _ => exit = Exit::Failed,
            },
        }
    }
    Ok(exit)
}

/// The sources of the command line, and those of a manifest.
pub(crate) fn sources(
    typed: &[OsString],
    files_from: Option<&Path>,
) -> anyhow::Result<Vec<Location>> {
    let mut sources =
        typed.iter().map(|s| settings::location(s)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(path) = files_from {
        for line in manifest(path)? {
            sources.push(settings::location(&line)?);
        }
    }
    Ok(sources)
}

/// The lines of a manifest, raw: a name may hold anything but a line break.
fn manifest(path: &Path) -> haul::Result<Vec<OsString>> {
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut text).map(drop)
    } else {
        std::fs::read(path).map(|bytes| text = bytes)
    };
    read.map_err(|e| Error::io(Op::Read, path.display(), e))?;
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| OsString::from_vec(line.to_vec())).collect())
}

/// What is selected.
pub(crate) fn selection(
    sources: Vec<Location>,
    recursive: bool,
    filter: &FilterArgs,
    links: Option<&LinkArgs>,
    share: &ShareArgs,
) -> anyhow::Result<Selection> {
    let mut select = Selection::default();
    select.sources = sources;
    select.recursive = recursive;
    select.filter = settings::filter(filter)?;
    select.shard = share.shard;
    if let Some(links) = links {
        select.symlinks = links.mode();
        select.empty_folders = links.empty_folders;
    }
    Ok(select)
}
