//! What is on this disk already.
//!
//! Owns reading it, as much at once as there are cores, and counting it: somebody waits meanwhile. What
//! was read once and has not changed since is not read again.

use std::sync::Arc;

use bao_tree::ChunkNum;
use blake3::Hash;
use futures::StreamExt as _;
use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::{Engine, RelPath, Source};
use haul_local::{DestinationRoot, Known, LocalSource, PartialReader};
use tokio_util::task::AbortOnDropHandle;

use crate::content::Content;
use crate::outline::{self, GROUP};
use crate::reading::Named;

/// The hashes of the groups of a file under construction that is to have `size` bytes, as far as
/// there is something.
pub(crate) async fn groups(
    engine: &Engine,
    file: &PartialReader,
    size: u64,
    cx: &JobContext,
) -> Vec<Option<Hash>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let crew = engine.crew(cores);
    let hashing = |group: u64| {
        let (file, meter) = (file.clone(), Arc::clone(&cx.meter));
        let range = outline::group_range(group, size);
        let hashing = async move {
            // What cannot be read is not there.
            let bytes = file.written(range.start, range.len() as usize).await.ok()??;
            meter.add_checked(range.len());
            Some(outline::subtree(ChunkNum(range.start >> 10), &[bytes], false))
        };
        AbortOnDropHandle::new(crew.lanes.handle(group as usize).spawn(hashing))
    };
    let hashes = futures::stream::iter((0..size.div_ceil(GROUP)).map(hashing));
    hashes.buffered(crew.workers).map(|hash| hash.ok().flatten()).collect().await
}

/// S4.42: whether the file at `path` has the content `named`. It must have its size.
pub(crate) async fn has(
    engine: &Engine,
    (root, path): (&Arc<DestinationRoot>, &RelPath),
    named: Named,
    cx: &JobContext,
) -> bool {
    // Of a small one it takes longer to ask than to read it.
    let known = match named.size {
        0..=GROUP => None,
        _ => Known::open(Arc::clone(root), path.clone()).await.ok(),
    };
    if let Some(known) = &known
        && let Some(hash) = known.hash().await
    {
        return hash == named.hash;
    }
    let source = LocalSource::beneath(Arc::clone(root), path.clone(), engine.pool().clone());
    let source: Arc<dyn Source> = Arc::new(source);
    let hashing = async {
        let content = Content::open(engine, &source, cx).await?;
        content.outline(&ChunkMeter::of_checks(Arc::clone(&cx.meter))).await
    };
    // What cannot be read is not the same; writing there tells why.
    let Ok(outline) = hashing.await else { return false };
    let hash = *outline.root().as_bytes();
    if let Some(known) = known {
        known.remember(hash).await;
    }
    hash == named.hash
}
