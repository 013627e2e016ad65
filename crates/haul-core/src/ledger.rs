//! What has landed of one upload.
//!
//! Owns the sums of the whole, put together as chunks land, and the receipts where the target has a use
//! for them. Must never grow with the number of chunks where it has none: a stream without end has more
//! chunks than there is memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::checksum::Sums;
use crate::target::Receipt;

/// What lands, as it does. Chunks that follow each other are one run, so that there are no more runs than
/// chunks in work.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Landed>);

/// What has landed.
#[derive(Debug, Default)]
pub(crate) struct Landed {
    /// Runs of chunks by the place of their first: the place after their last, and their sums.
    runs: BTreeMap<u64, (u64, Sums)>,
    receipts: Option<Vec<Receipt>>,
}

impl Ledger {
    /// Nothing has landed. `receipts` says whether they are kept.
    pub(crate) fn new(receipts: bool) -> Self {
        Self(Mutex::new(Landed { receipts: receipts.then(Vec::new), ..Landed::default() }))
    }

    /// Enters a chunk.
    pub(crate) fn enter(&self, receipt: Receipt) {
        let mut landed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Landed { runs, receipts } = &mut *landed;
        let (mut first, mut next) = (receipt.chunk.index, receipt.chunk.index + 1);
        let mut sums = receipt.sums.clone();
        if let Some((after, later)) = runs.remove(&next) {
            (next, sums) = (after, sums.then(&later));
        }
        let before = runs.range(..first).next_back().filter(|(_, (end, _))| *end == first);
        if let Some(start) = before.map(|(start, _)| *start)
            && let Some((_, earlier)) = runs.remove(&start)
        {
            (first, sums) = (start, earlier.then(&sums));
        }
        runs.insert(first, (next, sums));
        if let Some(receipts) = receipts {
            receipts.push(receipt);
        }
    }

    /// What has landed; nothing has from now on.
    pub(crate) fn take(&self) -> Landed {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Landed {
    /// The sums of the whole.
    pub(crate) fn whole(&self) -> Sums {
        Sums::combine(self.runs.values().map(|(_, sums)| sums)).unwrap_or_default()
    }

    /// The receipts in the order of the plan; none where they were not kept.
    pub(crate) fn into_receipts(self) -> Vec<Receipt> {
        let mut receipts = self.receipts.unwrap_or_default();
        receipts.sort_by_key(|r| r.chunk.index);
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{Algorithm, Hasher};
    use crate::range::{ByteRange, ChunkSpec};

    fn sums_of(bytes: &[u8]) -> Sums {
        let mut hasher = Hasher::new([Algorithm::Crc64Nvme].into_iter().collect());
        hasher.update(bytes);
        hasher.sums()
    }

    fn receipt(index: u64, bytes: &[u8]) -> Receipt {
        let start = index * bytes.len() as u64;
        let range = ByteRange::new(start, start + bytes.len() as u64);
        Receipt { chunk: ChunkSpec { index, range }, sums: sums_of(bytes), etag: None }
    }

    /// A.25: a million chunks that land somewhat out of order take the room of those in between.
    #[test]
    fn it_does_not_grow_with_the_number_of_chunks() {
        let ledger = Ledger::new(false);
        for base in (0..1_000_000).step_by(8) {
            for index in [3, 0, 1, 7, 2, 6, 4, 5] {
                ledger.enter(receipt(base + index, b""));
                assert!(ledger.0.lock().unwrap().runs.len() <= 5);
            }
        }
        let landed = ledger.take();
        assert_eq!(landed.runs.len(), 1);
        assert!(landed.receipts.is_none() && landed.into_receipts().is_empty());
    }

    #[test]
    fn the_whole_is_that_of_its_chunks_in_order() {
        let text = b"four score and seven years ago";
        let ledger = Ledger::new(true);
        for index in [4, 0, 2, 1, 5, 3] {
            let chunk = &text[usize::try_from(index).unwrap() * 5..][..5];
            ledger.enter(receipt(index, chunk));
        }
        let landed = ledger.take();
        assert_eq!(landed.whole(), sums_of(text));
        let order: Vec<_> = landed.into_receipts().iter().map(|r| r.chunk.index).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert_eq!(Ledger::new(true).take().whole(), Sums::default());
    }
}
