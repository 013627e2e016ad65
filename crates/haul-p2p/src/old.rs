//! What an older version of a file has of the new one already (S4.43).
//!
//! Owns the comparison, group by group at the same places: the sender tells the upper nodes of the
//! new content, and a group of the old file whose hash is among them need not be sent. The old file
//! is read only, and what is taken over is proven like everything else.

use std::ops::Range;
use std::sync::Arc;

use bao_tree::{ChunkNum, ChunkRanges};
use blake3::Hash;
use bytes::Bytes;
use haul_core::handle::JobContext;
use haul_core::{RelPath, Result, Source};
use haul_local::{FoundKind, LocalSource, Partial};

use crate::content::Content;
use crate::outline::{self, GROUP};
use crate::reading::Named;
use crate::take::Taker;

/// Copies what the file at `path` has of `named` to `partial`, but for what is `there`; gives what
/// was copied. That there is nothing, or no way to know, is no error: then all of it is fetched.
pub(crate) async fn take_over(
    taker: &Taker,
    (path, partial): (&RelPath, &Partial),
    named: Named,
    there: &ChunkRanges,
    cx: &JobContext,
) -> Result<ChunkRanges> {
    let nothing = ChunkRanges::empty();
    if !taker.session.of_haul() || named.size <= GROUP {
        return Ok(nothing);
    }
    match taker.root.look(path).await? {
        Some(found) if found.kind == FoundKind::File && found.size >= GROUP => {}
        _ => return Ok(nothing),
    }
    let engine = &taker.session.engine;
    let (root, pool) = (Arc::clone(&taker.root), engine.pool().clone());
    let source: Arc<dyn Source> = Arc::new(LocalSource::beneath(root, path.clone(), pool));
    let Ok(old) = Content::open(engine, &source, cx).await else { return Ok(nothing) };
    let Some(pairs) = ask(taker, named).await else { return Ok(nothing) };
    let hashes = groups(&old, named.size, cx).await;
    let pair = |at: u64| outline::pair_from(pairs.get(usize::try_from(at).ok()?..)?);
    let group = |range: Range<u64>, _| *hashes.get(usize::try_from(range.start / GROUP).ok()?)?;
    let same = outline::valid(named.size, named.hash.into(), pair, group);
    // They prove what is copied to a process that goes on later.
    partial.write_all_at(vec![pairs.clone()], named.size).await?;
    let mut copied = nothing;
    for (at, hash) in hashes.iter().enumerate() {
        let range = outline::group_range(at as u64, named.size);
        let chunks = ChunkNum(range.start >> 10)..ChunkNum(range.end.div_ceil(1024));
        if !same.contains(&chunks.start) || there.contains(&chunks.start) {
            continue;
        }
        // It may have changed since it was compared.
        let Ok(bytes) = old.read(range).await else { break };
        if Some(outline::subtree(chunks.start, &bytes, false)) == *hash {
            partial.write_all_at(bytes, range.start).await?;
            copied |= ChunkRanges::from(chunks);
        }
        tokio::task::yield_now().await;
    }
    Ok(copied)
}

/// The upper nodes of a content, if its sender can tell them. They prove themselves.
pub(crate) async fn ask(taker: &Taker, named: Named) -> Option<Bytes> {
    if !taker.session.of_haul() {
        return None;
    }
    Some(taker.session.line().await.ok()?.ask_outline(named).await.ok()?.into())
}

/// The hashes of the groups that a content of `size` bytes would have where the old one is.
async fn groups(old: &Content, size: u64, cx: &JobContext) -> Vec<Option<Hash>> {
    let mut hashes = Vec::new();
    for group in 0..size.div_ceil(GROUP) {
        let range = outline::group_range(group, size);
        if range.end > old.meta().size {
            break;
        }
        let read = old.read(range).await.ok();
        cx.meter.add_checked(range.len());
        let start = ChunkNum(range.start >> 10);
        hashes.push(read.map(|bytes| outline::subtree(start, &bytes, false)));
        tokio::task::yield_now().await; // others get their turn, and the end is heard
    }
    hashes
}
