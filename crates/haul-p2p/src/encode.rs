//! Contents as peers ask for them: ranges with the hashes that prove them.
//!
//! Owns the response to one range request: size, then nodes and leaves of the tree in pre-order, as
//! `bao-tree` and `iroh-blobs` define it. A group is read once, hashed, and held against the
//! outline before any byte of it is sent: content that has changed since it was hashed is an error,
//! never data. It must never hold more than one group of a content.

use std::future::Future;

use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{BaoTree, ChunkNum, ChunkRanges, TreeNode};
use blake3::Hash;
use bytes::Bytes;
use haul_core::{BudgetPermit, ByteRange, Error, ErrorKind, Op, Result};
use iroh_blobs::store::IROH_BLOCK_SIZE;

use crate::content::{self, Content};
use crate::outline::{self, GROUP, Outline};

/// Bytes of a leaf: the protocol's chunk group.
pub(crate) const LEAF: usize = 16 << 10;

/// Where a response goes.
pub(crate) trait Sink {
    /// Hashes and sizes.
    fn note(&mut self, bytes: &[u8]);
    /// Content.
    fn content(&mut self, bytes: Bytes);
    /// Hands on what there is, once it is worth it; called between any two items.
    fn pass_on(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Writes the response for `ranges` of a content.
pub(crate) async fn encode(
    content: &Content,
    outline: &Outline,
    ranges: &ChunkRanges,
    sink: &mut (impl Sink + Send),
) -> Result<()> {
    let size = outline.size();
    sink.note(&size.to_le_bytes());
    let tree = BaoTree::new(size, IROH_BLOCK_SIZE);
    let mut expected = vec![outline.root()];
    let mut group: Option<Group> = None;
    for item in ResponseIter::new(tree, within(ranges, size)) {
        let hash = expected.pop().ok_or_else(|| malformed(content))?;
        let (start, above) = match item {
            BaoChunk::Parent { node, .. } => (node.chunk_range().start, outline.pair(node)),
            BaoChunk::Leaf { start_chunk, .. } => (start_chunk, None),
        };
        if above.is_none() && !group.as_ref().is_some_and(|g| g.holds(start)) {
            // The first item of a group stands for all of it: one comparison proves every leaf.
            drop(group.take());
            let read = Group::read(content, start, size).await?;
            if read.hash != hash {
                return Err(changed(content));
            }
            group = Some(read);
        }
        match item {
            BaoChunk::Parent { node, left, right, .. } => {
                let pair = above.or_else(|| group.as_ref()?.pair(node));
                let pair = pair.ok_or_else(|| malformed(content))?;
                sink.note(&outline::pair_bytes(&pair));
                expected.extend(right.then_some(pair.1));
                expected.extend(left.then_some(pair.0));
            }
            BaoChunk::Leaf { start_chunk, size, .. } => {
                let bytes = group.as_ref().and_then(|g| g.bytes(start_chunk, size));
                sink.content(bytes.ok_or_else(|| malformed(content))?);
            }
        }
        sink.pass_on().await?;
    }
    Ok(())
}

/// `ranges` of a content of `size` bytes; whatever lies behind its end means its last chunk, by
/// which a peer learns the size for certain.
fn within(ranges: &ChunkRanges, size: u64) -> ChunkRanges {
    let last = ChunkNum(size.div_ceil(1024).saturating_sub(1));
    let mut within = ranges & &ChunkRanges::from(..last);
    let end = ChunkRanges::from(last..);
    if !ranges.is_disjoint(&end) {
        within |= end;
    }
    within
}

fn changed(content: &Content) -> Error {
    let what = "it is not what it was when it was hashed";
    Error::new(ErrorKind::SourceChanged, Op::Read, &content.meta().location, what)
}

fn malformed(content: &Content) -> Error {
    let what = "its tree has no such node";
    Error::new(ErrorKind::Invalid, Op::Read, &content.meta().location, what)
}

/// The leaves of a group and the nodes above them.
struct Group {
    start: ChunkNum,
    leaves: Vec<Bytes>,
    /// By the leaf in the middle: it is another for each node.
    pairs: Vec<Option<(Hash, Hash)>>,
    hash: Hash,
    /// Its share of the budget.
    _room: Option<BudgetPermit>,
}

impl Group {
    /// Reads the group that `at` is in.
    async fn read(content: &Content, at: ChunkNum, size: u64) -> Result<Self> {
        let from = at.to_bytes() / GROUP * GROUP;
        let range = ByteRange::new(from, from.saturating_add(GROUP).min(size));
        let room = content.room(range.len()).await;
        let leaves = content::cut(content.read(range).await?, LEAF);
        // On a lane nothing else waits for anybody: others get their turn.
        tokio::task::yield_now().await;
        let start = ChunkNum(from >> 10);
        let (pairs, hash) = (vec![None; leaves.len()], [0; 32].into());
        let mut group = Self { start, pairs, leaves, hash, _room: room };
        group.hash = group.sum(0, group.leaves.len(), size <= GROUP);
        Ok(group)
    }

    /// The hash of some leaves, noting the nodes on the way.
    fn sum(&mut self, from: usize, to: usize, is_root: bool) -> Hash {
        let leaves = to - from;
        if leaves <= 1 {
            let start = ChunkNum(self.start.0 + ((from * LEAF) >> 10) as u64);
            return outline::subtree(start, &self.leaves[from..to], is_root);
        }
        let middle = from + leaves.next_power_of_two() / 2;
        let pair = (self.sum(from, middle, false), self.sum(middle, to, false));
        self.pairs[middle] = Some(pair);
        outline::parent(&pair.0, &pair.1, is_root)
    }

    /// The leaf that a chunk is in, and where in the leaf it begins.
    fn place(&self, chunk: ChunkNum) -> Option<(usize, usize)> {
        let offset = usize::try_from(chunk.0.checked_sub(self.start.0)? << 10).ok()?;
        Some((offset / LEAF, offset % LEAF))
    }

    fn holds(&self, chunk: ChunkNum) -> bool {
        // An empty content has one chunk with nothing in it.
        self.place(chunk).is_some_and(|(leaf, _)| leaf < self.leaves.len().max(1))
    }

    fn pair(&self, node: TreeNode) -> Option<(Hash, Hash)> {
        let (leaf, at) = self.place(node.mid())?;
        if at == 0 {
            return *self.pairs.get(leaf)?;
        }
        // Within a leaf: asked for only where less than the leaf is.
        let range = node.chunk_range();
        let half = ((node.mid().0 - range.start.0) << 10) as usize;
        let left = self.bytes(range.start, half)?;
        let right = self.leaves.get(leaf)?;
        let right = right.slice(at..right.len().min(at + half));
        let sum = |start, bytes| outline::subtree(start, &[bytes], false);
        Some((sum(range.start, left), sum(node.mid(), right)))
    }

    fn bytes(&self, chunk: ChunkNum, len: usize) -> Option<Bytes> {
        if len == 0 {
            return Some(Bytes::new());
        }
        let (leaf, at) = self.place(chunk)?;
        let leaf = self.leaves.get(leaf)?;
        (at + len <= leaf.len()).then(|| leaf.slice(at..at + len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use bao_tree::io::outboard::PostOrderMemOutboard;
    use bao_tree::io::sync::encode_ranges_validated;
    use haul_core::handle::JobContext;
    use haul_core::meter::ChunkMeter;
    use haul_core::{Engine, EngineOptions, Meter, Source};
    use iroh_blobs::protocol::ChunkRangesExt as _;
    use proptest::prelude::*;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    #[derive(Default)]
    struct Collected(Vec<u8>);

    impl Sink for Collected {
        fn note(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn content(&mut self, bytes: Bytes) {
            self.0.extend_from_slice(&bytes);
        }
        async fn pass_on(&mut self) -> Result<()> {
            Ok(())
        }
    }

    async fn open(memory: Memory) -> Content {
        let source: Arc<dyn Source> = Arc::new(memory);
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        Content::open(&engine, &source, &cx).await.unwrap()
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Any ranges of any content come out as the library writes them, whatever the pieces that
        /// the content is read in.
        #[test]
        fn responses_are_those_of_the_library(
            size in prop_oneof![0_usize..40_000, 1_000_000_usize..1_100_000, 0_usize..6_000_000],
            cut in prop_oneof![Just(16 << 10), Just(256 << 10), 1_000_usize..70_000],
            starts in proptest::collection::vec((0_u64..6_000_000, 0_u64..900_000), 0..4),
            whole in any::<bool>(),
        ) {
            let memory = Memory::patterned(size, cut);
            let data = memory.data.clone();
            let mut ranges = if whole { ChunkRanges::all() } else { ChunkRanges::last_chunk() };
            if !starts.is_empty() {
                ranges = ChunkRanges::empty();
            }
            for (start, len) in starts {
                ranges |= ChunkRanges::bytes(start..start + len);
            }
            let mut ours = Collected::default();
            block(async {
                let content = open(memory).await;
                let outline = content.outline(&ChunkMeter::new(Meter::new())).await.unwrap();
                assert_eq!(outline.root(), blake3::hash(&data));
                encode(&content, &outline, &ranges, &mut ours).await.unwrap();
            });
            let outboard = PostOrderMemOutboard::create(&data, IROH_BLOCK_SIZE);
            let mut theirs = Vec::from((size as u64).to_le_bytes());
            let ranges = within(&ranges, size as u64);
            encode_ranges_validated(&data[..], &outboard, &ranges, &mut theirs).unwrap();
            prop_assert!(ours.0 == theirs, "{} and {} bytes", ours.0.len(), theirs.len());
        }
    }

    #[test]
    fn changed_content_is_not_sent() {
        let before = Memory::patterned(3 << 20, LEAF);
        let mut after = Memory::patterned(3 << 20, LEAF);
        let mut data = after.data.to_vec();
        data[2 << 20] ^= 1;
        after.data = data.into();
        let mut sink = Collected::default();
        let e = block(async {
            let before = open(before).await;
            let outline = before.outline(&ChunkMeter::new(Meter::new())).await.unwrap();
            encode(&open(after).await, &outline, &ChunkRanges::all(), &mut sink).await.unwrap_err()
        });
        assert_eq!(e.kind(), ErrorKind::SourceChanged);
        assert!((2 << 20..2 << 20 | 1 << 18).contains(&sink.0.len()), "{}", sink.0.len());
    }
}
