//! The names of one folder, held compactly and in order.
//!
//! Owns the layout: names lie end to end in blocks, each after its kind and length, and an order of
//! 4 bytes each points to them. A name costs 8 bytes more than its length, where a `Vec<OsString>`
//! would take 40. It must never touch a file system.

use std::cmp::Ordering;
use std::ffi::CStr;

/// What a name stands for, as far as reading the folder tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// A link that is followed and leads to no folder.
    LinkedFile,
    Folder,
    /// A link that is followed and leads to a folder.
    LinkedFolder,
    /// A link that is kept.
    Link,
    /// A socket, FIFO or device.
    Special,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::File, Self::LinkedFile, Self::Folder, Self::LinkedFolder, Self::Link, Self::Special];

    pub(crate) fn is_folder(self) -> bool {
        matches!(self, Self::Folder | Self::LinkedFolder)
    }
}

/// Bytes in a full block: growing by blocks never copies what is there, nor needs both at once.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 20;

/// Before a name: kind and length.
const HEAD: usize = 3;

/// Names, in the order in which paths that begin with them sort.
#[derive(Default)]
pub(crate) struct Names {
    blocks: Vec<Vec<u8>>,
    /// Where each name begins: block number and offset.
    order: Vec<u32>,
    next: usize,
}

impl Names {
    /// Adds a name; `false` if there is no room for it (some 4 GiB).
    pub(crate) fn push(&mut self, name: &CStr, kind: Kind) -> bool {
        let name = name.to_bytes_with_nul();
        let Ok(len) = u16::try_from(name.len()) else { return false };
        let need = HEAD + name.len();
        if self.blocks.last().is_none_or(|b| b.len() + need > BLOCK) {
            if self.blocks.len() == 1 << (u32::BITS - BLOCK_BITS) {
                return false;
            }
            // The first block grows as it needs: most folders are small.
            let capacity = if self.blocks.is_empty() { 0 } else { BLOCK };
            self.blocks.push(Vec::with_capacity(capacity));
        }
        let number = self.blocks.len() - 1;
        let Some(block) = self.blocks.last_mut() else { return false };
        self.order.push((number << BLOCK_BITS | block.len()) as u32);
        block.push(kind as u8);
        block.extend(len.to_le_bytes());
        block.extend(name);
        true
    }

    /// Puts the names in order, once all are there.
    pub(crate) fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        order.sort_unstable_by(|a, b| {
            let ((a, a_kind), (b, b_kind)) = (self.record(*a), self.record(*b));
            compare(a, a_kind.is_folder(), b, b_kind.is_folder())
        });
        self.order = order;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The next name.
    pub(crate) fn next(&mut self) -> Option<(&CStr, Kind)> {
        let at = *self.order.get(self.next)?;
        self.next += 1;
        let (name, kind) = self.record(at);
        let with_nul = self.with_nul(at, name.len());
        Some((CStr::from_bytes_with_nul(with_nul).unwrap_or_default(), kind))
    }

    /// Bytes that all of it takes.
    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum::<usize>() + 4 * self.order.capacity()
    }

    fn block(&self, at: u32) -> (&[u8], usize) {
        let at = at as usize;
        (&self.blocks[at >> BLOCK_BITS], at & (BLOCK - 1))
    }

    fn record(&self, at: u32) -> (&[u8], Kind) {
        let (block, at) = self.block(at);
        let len = usize::from(u16::from_le_bytes([block[at + 1], block[at + 2]]));
        (&block[at + HEAD..at + HEAD + len - 1], Kind::ALL[usize::from(block[at])])
    }

    fn with_nul(&self, at: u32, len: usize) -> &[u8] {
        let (block, at) = self.block(at);
        &block[at + HEAD..=at + HEAD + len]
    }
}

/// By bytes, a folder as if its name ended in `/`: the order of the whole paths.
fn compare(a: &[u8], a_folder: bool, b: &[u8], b_folder: bool) -> Ordering {
    let common = a.len().min(b.len());
    a[..common].cmp(&b[..common]).then_with(|| {
        let next = |name: &[u8], folder: bool| {
            name.get(common).copied().or_else(|| folder.then_some(b'/'))
        };
        next(a, a_folder).cmp(&next(b, b_folder))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[(&str, Kind)]) -> Vec<String> {
        let mut all = Names::default();
        for (name, kind) in names {
            assert!(all.push(&std::ffi::CString::new(*name).unwrap(), *kind));
        }
        all.sort();
        std::iter::from_fn(|| all.next().map(|(n, _)| n.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn folders_sort_with_their_slash() {
        let names = [
            ("a0", Kind::File),
            ("a", Kind::Folder),
            ("a.txt", Kind::File),
            ("a-b", Kind::Folder),
            ("ab", Kind::Link),
            ("A", Kind::LinkedFolder),
        ];
        assert_eq!(sorted(&names), ["A", "a-b", "a.txt", "a", "a0", "ab"]);
    }

    #[test]
    fn a_million_names_are_small() {
        let mut names = Names::default();
        for i in (0..1_000_000_u64).rev() {
            let name = format!("photo-{:07}.jpeg\0", i * 7919 % 1_000_003);
            assert!(names.push(CStr::from_bytes_with_nul(name.as_bytes()).unwrap(), Kind::File));
        }
        assert!(names.footprint() < 32 << 20, "{}", names.footprint());
        names.sort();
        let mut last = Vec::new();
        for _ in 0..1_000_000 {
            let (name, _) = names.next().unwrap();
            assert!(last.as_slice() < name.to_bytes());
            last = name.to_bytes().to_vec();
        }
        assert!(names.next().is_none());
    }
}
