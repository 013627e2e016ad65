//! The upper part of a BLAKE3 tree.
//!
//! Owns the nodes of a content's tree down to groups of 1 MiB: 64 bytes a group, so that a terabyte
//! takes 64 MiB and a small file nothing. What lies below a group is computed again when the group
//! is read, which also shows whether it is still what it was. It must never do I/O.
//!
//! Node numbers and the order of nodes are those of `bao-tree`, whose response format peers speak.

use std::ops::Range;

use bao_tree::iter::BaoChunk;
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode};
use blake3::Hash;
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use bytes::Bytes;
use haul_core::ByteRange;

/// Bytes of a group. Contents up to this size have no outline but their hash.
pub(crate) const GROUP: u64 = 1 << 20;

/// A group in the units of `bao-tree`: 2^10 chunks of 1 KiB.
const GROUP_BLOCK: BlockSize = BlockSize::from_chunk_log(10);

/// Bytes of a pair of hashes.
pub(crate) const PAIR: usize = 64;

/// The geometry of a content's groups.
pub(crate) fn groups_of(size: u64) -> BaoTree {
    BaoTree::new(size, GROUP_BLOCK)
}

/// Where a group of a content of `size` bytes is; empty behind its end.
pub(crate) fn group_range(number: u64, size: u64) -> ByteRange {
    let start = number.saturating_mul(GROUP).min(size);
    ByteRange::new(start, start.saturating_add(GROUP).min(size))
}

/// Bytes that the outline of `size` bytes takes.
pub(crate) fn outline_size(size: u64) -> u64 {
    size.div_ceil(GROUP).saturating_sub(1) * PAIR as u64
}

/// Where the pair of `node` is in the outline, in bytes; `None` for nodes within a group.
pub(crate) fn offset_of(groups: &BaoTree, node: TreeNode) -> Option<u64> {
    groups.post_order_offset(node).map(|offset| offset.value() * PAIR as u64)
}

/// The hash of a subtree, from its pieces in order.
pub(crate) fn subtree(start_chunk: ChunkNum, pieces: &[Bytes], is_root: bool) -> Hash {
    let mut hasher = blake3::Hasher::new();
    if !is_root {
        hasher.set_input_offset(start_chunk.to_bytes());
    }
    for piece in pieces {
        hasher.update(piece);
    }
    if is_root { hasher.finalize() } else { Hash::from(hasher.finalize_non_root()) }
}

/// The hash of two subtrees side by side.
pub(crate) fn parent(left: &Hash, right: &Hash, is_root: bool) -> Hash {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if is_root {
        merge_subtrees_root(left, right, Mode::Hash)
    } else {
        Hash::from(merge_subtrees_non_root(left, right, Mode::Hash))
    }
}

/// Two hashes as they are written.
pub(crate) fn pair_bytes((left, right): &(Hash, Hash)) -> [u8; PAIR] {
    let mut bytes = [0; PAIR];
    bytes[..32].copy_from_slice(left.as_bytes());
    bytes[32..].copy_from_slice(right.as_bytes());
    bytes
}

/// Two hashes as they were written; `None` if there are not enough bytes.
pub(crate) fn pair_from(bytes: &[u8]) -> Option<(Hash, Hash)> {
    let left: [u8; 32] = bytes.get(..32)?.try_into().ok()?;
    let right: [u8; 32] = bytes.get(32..PAIR)?.try_into().ok()?;
    Some((left.into(), right.into()))
}

/// The hash of a content, with the nodes above its groups.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    groups: BaoTree,
    root: Hash,
    /// Post-order.
    pairs: Bytes,
}

impl Outline {
    /// The content's hash.
    pub(crate) fn root(&self) -> Hash {
        self.root
    }

    /// The content's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.groups.size()
    }

    /// All nodes, as they are kept: not a copy.
    pub(crate) fn pairs(&self) -> Bytes {
        self.pairs.clone()
    }

    /// The hashes below `node`; `None` for nodes within a group.
    pub(crate) fn pair(&self, node: TreeNode) -> Option<(Hash, Hash)> {
        let at = usize::try_from(offset_of(&self.groups, node)?).ok()?;
        pair_from(self.pairs.get(at..)?)
    }
}

/// Makes an outline of groups that come in order.
#[derive(Debug)]
pub(crate) struct Builder {
    groups: BaoTree,
    stack: Vec<Hash>,
    pairs: Vec<u8>,
    done: u64,
}

impl Builder {
    /// For a content of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Self { groups: groups_of(size), stack: Vec::new(), pairs: Vec::new(), done: 0 }
    }

    /// The bytes of the next group; empty once all are there.
    pub(crate) fn next_group(&self) -> ByteRange {
        group_range(self.done, self.groups.size())
    }

    /// All groups, in order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = ByteRange> + Send + use<> {
        let size = self.groups.size();
        (0..size.div_ceil(GROUP)).map(move |number| group_range(number, size))
    }

    /// Adds the next group.
    pub(crate) fn push(&mut self, pieces: &[Bytes]) {
        let is_root = self.groups.size() <= GROUP;
        let start = ChunkNum((self.done * GROUP) >> 10);
        self.push_hash(subtree(start, pieces, is_root));
    }

    /// Adds the next group by its hash.
    pub(crate) fn push_hash(&mut self, hash: Hash) {
        self.stack.push(hash);
        self.done += 1;
        // As many full subtrees end here as the number of groups has zeros at its end.
        let whole = self.groups.blocks();
        let mut ended = self.done;
        while ended.is_multiple_of(2) && self.done < whole {
            self.merge(false);
            ended /= 2;
        }
        if self.done == whole {
            while self.stack.len() > 1 {
                let is_root = self.stack.len() == 2;
                self.merge(is_root);
            }
        }
    }

    fn merge(&mut self, is_root: bool) {
        let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) else { return };
        self.pairs.extend(pair_bytes(&(left, right)));
        self.stack.push(parent(&left, &right, is_root));
    }

    /// The outline, once all groups are there.
    pub(crate) fn finish(mut self) -> Outline {
        let root = self.stack.pop().unwrap_or_else(|| blake3::hash(b""));
        Outline { groups: self.groups, root, pairs: Bytes::from(self.pairs.into_boxed_slice()) }
    }
}

/// Which groups of a content are there, found out from the top: `pair` gives the hashes below a
/// node and `group` that of a group, each `None` where it is not there. Only what hangs together
/// with `root` is believed.
pub(crate) fn valid(
    size: u64,
    root: Hash,
    mut pair: impl FnMut(u64) -> Option<(Hash, Hash)>,
    mut group: impl FnMut(Range<u64>, bool) -> Option<Hash>,
) -> ChunkRanges {
    let groups = groups_of(size);
    let (mut there, mut expected) = (ChunkRanges::empty(), vec![Some(root)]);
    for item in groups.ranges_pre_order_chunks_iter_ref(&ChunkRanges::all(), 0) {
        let hash = expected.pop().flatten();
        match item {
            BaoChunk::Parent { node, is_root, .. } => {
                let found = hash.and_then(|hash| {
                    let found = pair(offset_of(&groups, node)?)?;
                    (parent(&found.0, &found.1, is_root) == hash).then_some(found)
                });
                expected.push(found.map(|pair| pair.1));
                expected.push(found.map(|pair| pair.0));
            }
            BaoChunk::Leaf { start_chunk, size, is_root, .. } => {
                let start = start_chunk.to_bytes();
                let range = start..start + size as u64;
                if hash.is_some_and(|hash| group(range.clone(), is_root) == Some(hash)) {
                    let end = ChunkNum(range.end.div_ceil(1024));
                    there |= ChunkRanges::from(start_chunk..end);
                }
            }
        }
    }
    there
}

#[cfg(test)]
mod tests {
    use super::*;
    use bao_tree::io::outboard::PostOrderMemOutboard;
    use bao_tree::io::sync::Outboard as _;
    use proptest::prelude::*;

    pub(crate) fn content(size: usize) -> Bytes {
        (0..size).map(|i| (i * 31 + i / 251) as u8).collect::<Vec<_>>().into()
    }

    fn outline(data: &Bytes) -> Outline {
        let mut builder = Builder::new(data.len() as u64);
        loop {
            let range = builder.next_group();
            if range.is_empty() {
                return builder.finish();
            }
            let (start, end) = (range.start as usize, range.end as usize);
            let middle = start + (end - start) / 3;
            builder.push(&[data.slice(start..middle), data.slice(middle..end)]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The hash is the one that everybody computes, and the nodes are those of the library.
        #[test]
        fn outlines_agree_with_the_library(groups in 0_usize..9, rest in 0_usize..(1 << 20)) {
            let data = content((groups << 20) + rest);
            let ours = outline(&data);
            prop_assert_eq!(ours.root(), blake3::hash(&data));
            let theirs = PostOrderMemOutboard::create(&data, GROUP_BLOCK);
            prop_assert_eq!(ours.pairs.len() as u64, outline_size(data.len() as u64));
            for node in theirs.tree.pre_order_nodes_iter() {
                prop_assert_eq!(ours.pair(node), theirs.load(node).unwrap());
            }
        }

        /// What was damaged is missed, and nothing else.
        #[test]
        fn damage_is_found(groups in 1_u64..9, rest in 0_u64..(1 << 20), bad in 0_u64..9) {
            let data = content(((groups << 20) + rest) as usize);
            let ours = outline(&data);
            let bad = bad % (data.len() as u64).div_ceil(GROUP);
            let there = valid(
                ours.size(),
                ours.root(),
                |at| pair_from(&ours.pairs[at as usize..]),
                |range, is_root| {
                    let piece = data.slice(range.start as usize..range.end as usize);
                    let damaged = range.start == bad * GROUP;
                    (!damaged).then(|| subtree(ChunkNum(range.start >> 10), &[piece], is_root))
                },
            );
            for chunk in 0..(data.len() as u64).div_ceil(1024) {
                prop_assert_eq!(there.contains(&ChunkNum(chunk)), chunk >> 10 != bad, "{}", chunk);
            }
        }
    }
}
