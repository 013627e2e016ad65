//! haul's local backend: files and standard streams.
//!
//! Owns everything that touches the local file system: reads by position, staged writes with a
//! rename at the end, durability, and pipes. It must never leave a partial file under a
//! destination's name, follow a symbolic link to the place it writes, or block an async thread on
//! a disk.

mod durable;
mod source;
mod staged;
mod stdio;
mod target;
mod writeback;

pub use durable::{Durability, FsyncPolicy};
pub use source::{LocalSource, content_type_of};
pub use stdio::{PipeTarget, StdinSource};
pub use target::LocalTarget;

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
