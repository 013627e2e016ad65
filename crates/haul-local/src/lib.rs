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
pub use source::LocalSource;
pub use stdio::{PipeTarget, StdinSource};
pub use target::LocalTarget;

use haul_core::lanes;
use haul_core::{Error, ErrorKind, Op, Result};

/// Runs blocking work off the async threads. A lane may block: it is there for nothing else.
async fn blocking<T: Send + 'static>(
    op: Op,
    location: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if lanes::current().is_some() {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(Error::new(ErrorKind::Io, op, location, "the file system call crashed").with_source(e))
    })
}
