//! Contents as peers ask for them: ranges with the hashes that prove them.
//!
//! Owns the response to one range request: size, then nodes and leaves of the tree in pre-order, as
//! `bao-tree` and `iroh-blobs` define it. A group is read once, hashed, and held against the
//! outline before any byte of it is sent: content that has changed since it was hashed is an error,
//! never data. It must never hold more than one group of a content, nor keep that one for a peer that
//! does not read while others wait for the room.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{BaoTree, ChunkNum, ChunkRanges, TreeNode};
use blake3::Hash;
use bytes::Bytes;
use haul_core::{ByteRange, Error, ErrorKind, Op, Result};
use iroh_blobs::store::IROH_BLOCK_SIZE;

use crate::content;
use crate::copies::Copies;
use crate::outline::{self, GROUP, Outline};
use crate::room::{Held, Room};

/// Bytes of a leaf: the protocol's chunk group.
pub(crate) const LEAF: usize = 16 << 10;

/// How long a peer may take what it is sent before the group behind it makes room for others that
/// wait. Longer than a fast peer ever takes, so that nothing is read twice for those.
const GRACE: Duration = Duration::from_millis(250);

/// Where a response goes.
pub(crate) trait Sink {
    /// Hashes and sizes.
    fn note(&mut self, bytes: &[u8]);
    /// Content.
    fn content(&mut self, bytes: Bytes);
    /// Whether what there is is worth handing on; asked between any two items.
    fn is_due(&self) -> bool;
    /// Hands on what there is.
    fn pass_on(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Writes the response for `ranges` of a content.
pub(crate) async fn encode(
    copies: &mut Copies<'_>,
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
        let hash = expected.pop().ok_or_else(|| malformed(copies))?;
        let (start, above) = match item {
            BaoChunk::Parent { node, .. } => (node.chunk_range().start, outline.pair(node)),
            BaoChunk::Leaf { start_chunk, .. } => (start_chunk, None),
        };
        if above.is_none() {
            // The first item of a group stands for all of it: one comparison proves every leaf.
            let known = group.take().filter(|group| group.holds(start));
            group = Some(match known {
                Some(group) if group.has_bytes() => group,
                Some(given_up) => Group::read(copies, given_up.start, size, given_up.hash).await?,
                None => Group::read(copies, start, size, hash).await?,
            });
        }
        match item {
            BaoChunk::Parent { node, left, right, .. } => {
                let pair = above.or_else(|| group.as_ref()?.pair(node));
                let pair = pair.ok_or_else(|| malformed(copies))?;
                sink.note(&outline::pair_bytes(&pair));
                expected.extend(right.then_some(pair.1));
                expected.extend(left.then_some(pair.0));
            }
            BaoChunk::Leaf { start_chunk, size, .. } => {
                let bytes = group.as_ref().and_then(|g| g.bytes(start_chunk, size));
                sink.content(bytes.ok_or_else(|| malformed(copies))?);
            }
        }
        if sink.is_due() {
            hand_on(sink, &mut group, &copies.reader.room).await?;
        }
    }
    Ok(())
}

/// Hands on what there is, and gives the group up for others while the peer does not take it.
async fn hand_on(
    sink: &mut (impl Sink + Send),
    group: &mut Option<Group>,
    room: &Room,
) -> Result<()> {
    let mut passing = pin!(sink.pass_on());
    loop {
        if let Ok(passed) = tokio::time::timeout(GRACE, &mut passing).await {
            return passed;
        }
        if let Some(group) = group.as_mut().filter(|_| room.is_wanted()) {
            group.give_up();
        }
    }
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

fn malformed(copies: &Copies<'_>) -> Error {
    let what = "its tree has no such node";
    Error::new(ErrorKind::Invalid, Op::Read, copies.location(), what)
}

/// The leaves of a group and the nodes above them.
struct Group {
    start: ChunkNum,
    /// Its bytes, unless they were given up.
    leaves: Vec<Bytes>,
    /// By the leaf in the middle: it is another for each node.
    pairs: Vec<Option<(Hash, Hash)>>,
    hash: Hash,
    held: Option<Held>,
}

impl Group {
    /// Reads the group that `at` is in, which `expected` names.
    async fn read(
        copies: &mut Copies<'_>,
        at: ChunkNum,
        size: u64,
        expected: Hash,
    ) -> Result<Self> {
        let from = at.to_bytes() / GROUP * GROUP;
        let range = ByteRange::new(from, from.saturating_add(GROUP).min(size));
        let held = copies.reader.room.take(range.len()).await;
        let proof = |bytes| {
            let leaves = content::cut(bytes, LEAF);
            let (pairs, hash) = (vec![None; leaves.len()], [0; 32].into());
            let start = ChunkNum(from >> 10);
            let mut group = Self { start, leaves, pairs, hash, held: None };
            group.hash = group.sum(0, group.leaves.len(), size <= GROUP);
            (group.hash == expected).then_some(group)
        };
        let mut group = copies.read(range, proof).await?;
        group.held = Some(held);
        // On a lane nothing else waits for anybody: others get their turn.
        tokio::task::yield_now().await;
        Ok(group)
    }

    /// Makes room for others: what is missed is read again.
    fn give_up(&mut self) {
        self.leaves = Vec::new();
        self.held = None;
    }

    fn has_bytes(&self) -> bool {
        self.held.is_some()
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
        self.place(chunk).is_some_and(|(leaf, _)| leaf < self.pairs.len().max(1))
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
    use crate::content::Content;
    use crate::copies::Reader;
    use crate::room::House;
    use crate::testing::{pattern, patterned};
    use bao_tree::io::outboard::PostOrderMemOutboard;
    use bao_tree::io::sync::encode_ranges_validated;
    use haul_core::handle::JobContext;
    use haul_core::meter::ChunkMeter;
    use haul_core::{BytesSource, Engine, EngineOptions, Meter, Source};
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
        fn is_due(&self) -> bool {
            false
        }
        async fn pass_on(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn reader() -> Reader {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        let room = House::new(engine.budget().clone()).room();
        Reader { engine, cx, room }
    }

    fn source(bytes: BytesSource) -> Arc<dyn Source> {
        Arc::new(bytes)
    }

    /// The pattern with one bit turned at `at`.
    fn damaged(size: usize, at: usize) -> BytesSource {
        let mut data = pattern(size).to_vec();
        data[at] ^= 1;
        BytesSource::new("memory", data).in_pieces(LEAF)
    }

    async fn outline(reader: &Reader, source: &Arc<dyn Source>) -> Outline {
        let content = Content::open(&reader.engine, source, &reader.cx).await.unwrap();
        content.outline(&ChunkMeter::new(Meter::new())).await.unwrap()
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
            let data = pattern(size);
            let mut ranges = if whole { ChunkRanges::all() } else { ChunkRanges::last_chunk() };
            if !starts.is_empty() {
                ranges = ChunkRanges::empty();
            }
            for (start, len) in starts {
                ranges |= ChunkRanges::bytes(start..start + len);
            }
            let mut ours = Collected::default();
            block(async {
                let (reader, source) = (reader(), source(patterned(size, cut)));
                let outline = outline(&reader, &source).await;
                assert_eq!(outline.root(), blake3::hash(&data));
                let mut copies = Copies::new(&reader, vec![source]);
                encode(&mut copies, &outline, &ranges, &mut ours).await.unwrap();
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
        let before = patterned(3 << 20, LEAF);
        let after = damaged(3 << 20, 2 << 20);
        let mut sink = Collected::default();
        let e = block(async {
            let reader = reader();
            let outline = outline(&reader, &source(before)).await;
            let mut copies = Copies::new(&reader, vec![source(after)]);
            encode(&mut copies, &outline, &ChunkRanges::all(), &mut sink).await.unwrap_err()
        });
        assert_eq!(e.kind(), ErrorKind::SourceChanged);
        assert!((2 << 20..2 << 20 | 1 << 18).contains(&sink.0.len()), "{}", sink.0.len());
    }

    /// A peer that takes nothing for a while after each piece.
    #[derive(Default)]
    struct Slow(Collected, u64);

    impl Sink for Slow {
        fn note(&mut self, bytes: &[u8]) {
            self.0.note(bytes);
        }
        fn content(&mut self, bytes: Bytes) {
            self.1 += bytes.len() as u64;
            self.0.content(bytes);
        }
        fn is_due(&self) -> bool {
            self.1 >= 256 << 10
        }
        async fn pass_on(&mut self) -> Result<()> {
            self.1 = 0;
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(())
        }
    }

    /// D3: peers that are slow have no room while they are, so that many get through with room for
    /// one group, and what they get is the same.
    #[tokio::test(start_paused = true)]
    async fn slow_peers_give_their_room_to_others() {
        let bytes = patterned(5 << 20, 256 << 10);
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        let house = House::new(haul_core::Budget::new(GROUP));
        let reader = || Reader { engine: engine.clone(), cx: cx.clone(), room: house.room() };
        let outline = outline(&reader(), &source(bytes.clone())).await;
        let mut expected = Collected::default();
        let one = reader();
        let mut copies = Copies::new(&one, vec![source(bytes.clone())]);
        encode(&mut copies, &outline, &ChunkRanges::all(), &mut expected).await.unwrap();
        drop(copies);
        let started = tokio::time::Instant::now();
        let slow = (0..10).map(|_| async {
            let (reader, mut sink) = (reader(), Slow::default());
            let mut copies = Copies::new(&reader, vec![source(bytes.clone())]);
            encode(&mut copies, &outline, &ChunkRanges::all(), &mut sink).await.unwrap();
            assert!(sink.0.0 == expected.0);
        });
        futures::future::join_all(slow).await;
        // Each is slow for 20 times 10 s; one after the other they would take ten times as long.
        assert!(started.elapsed() < Duration::from_secs(20 * 10 * 2), "{:?}", started.elapsed());
    }

    /// D6: of files with the same bytes one is enough, and one that goes half-way is replaced by
    /// another.
    #[test]
    fn another_copy_takes_over() {
        let bytes = patterned(3 << 20, LEAF);
        let damaged = damaged(3 << 20, 2 << 20);
        let (mut whole, mut pieced) = (Collected::default(), Collected::default());
        block(async {
            let reader = reader();
            let outline = outline(&reader, &source(bytes.clone())).await;
            for (sources, sink) in [
                (vec![source(bytes.clone())], &mut whole),
                (vec![source(damaged), source(bytes)], &mut pieced),
            ] {
                let mut copies = Copies::new(&reader, sources);
                encode(&mut copies, &outline, &ChunkRanges::all(), sink).await.unwrap();
            }
        });
        assert!(whole.0 == pieced.0);
    }
}
