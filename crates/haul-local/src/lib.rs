//! haul's local backend: files, folders and standard streams.
//!
//! Owns everything that touches the local file system: walks, reads by position, digests, staged
//! writes with a rename at the end, downloads that can be resumed, durability, and pipes. It must never leave a partial file under
//! a destination's name, follow a symbolic link to the place it writes, let a name lead out of the
//! folder it is put beneath, or block an async thread on a disk.

mod attribute;
mod beneath;
mod claim;
mod digest;
mod durable;
mod fold;
mod folder;
mod found;
mod free;
mod holes;
mod known;
mod manage;
mod names;
mod origin;
mod partial;
mod pinned;
mod removal;
mod rename;
mod root;
mod source;
mod spot;
mod staged;
mod stdio;
mod target;
mod walk;
mod whereabouts;
mod writeback;

pub use digest::{Digests, Wanted, digest};
pub use durable::{Durability, FsyncPolicy};
pub use found::{Found, FoundKind, mode_of};
pub use free::free_names;
pub use known::Known;
pub use manage::Seen;
pub use origin::{Origin, recall, recall_all, remember};
pub use partial::{CommitSpec, Partial, PartialReader, PartialSpec};
pub use pinned::{stamp_at, stamp_of};
pub use removal::{remove_proven, sweep};
pub use rename::{exists, rename, same_file};
pub use root::{DestinationRoot, name_beneath};
pub use source::{LocalSource, content_type_of};
pub use stdio::{PipeTarget, StdinSource};
pub use target::LocalTarget;
pub use walk::{Prune, Symlinks, WalkOptions, Walker};
pub use whereabouts::Whereabouts;

use haul_core::lanes;
use haul_core::{Error, ErrorKind, Op, Result};

/// Runs work on files off the async threads. A lane may wait for a disk: it is there for nothing
/// else.
async fn blocking<T: Send + 'static>(
    op: Op,
    location: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if lanes::current().is_some() {
        return work();
    }
    waiting(op, location, work).await
}

/// Runs work that may wait for somebody else, such as the reader of a pipe: off every async thread,
/// so that a cancelled job does not have to wait with it.
async fn waiting<T: Send + 'static>(
    op: Op,
    location: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(Error::new(ErrorKind::Io, op, location, "the file system call crashed").with_source(e))
    })
}
