//! Recycled read buffers.
//!
//! Owns a small stock of equal slices. A fresh megabyte from the allocator costs a page fault every
//! 4 KiB; at a gigabyte a second those faults cost more than the copy. Slices come back when the
//! last [`Bytes`] that shows them is dropped.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes in one slice: fits a core's second-level cache, so that hashing and sending find it warm.
pub const SLICE: usize = 256 << 10;

/// A stock of slices; clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    stock: Arc<Mutex<Vec<Vec<u8>>>>,
    keep: usize,
}

impl Pool {
    /// A pool that keeps at most `bytes` worth of unused slices.
    pub fn new(bytes: u64) -> Self {
        Self { stock: Arc::default(), keep: (bytes as usize / SLICE).max(1) }
    }

    /// A slice of [`SLICE`] bytes with unspecified content.
    pub fn take(&self) -> PoolSlice {
        let recycled = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let data = recycled.unwrap_or_else(|| vec![0; SLICE]);
        PoolSlice { data, len: SLICE, pool: self.clone() }
    }
}

/// A slice on loan.
#[derive(Debug)]
pub struct PoolSlice {
    data: Vec<u8>,
    len: usize,
    pool: Pool,
}

impl PoolSlice {
    /// The whole slice, to be filled.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The first `len` bytes, shared without a copy; the slice returns to the pool when the last
    /// clone is dropped.
    pub fn freeze(mut self, len: usize) -> Bytes {
        self.len = len.min(self.data.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PoolSlice {
    fn as_ref(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

impl Drop for PoolSlice {
    fn drop(&mut self) {
        let mut stock = self.pool.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < self.pool.keep {
            stock.push(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3.23: clones share their bytes.
    #[test]
    fn slices_come_back_when_the_last_clone_goes() {
        let pool = Pool::new(SLICE as u64);
        let mut slice = pool.take();
        slice.buffer()[0] = 7;
        let bytes = slice.freeze(3);
        let clone = bytes.slice(1..);
        drop(bytes);
        assert_eq!(pool.stock.lock().unwrap().len(), 0);
        drop(clone);
        assert_eq!(pool.stock.lock().unwrap().len(), 1);
        drop((pool.take(), pool.take()));
        assert_eq!(pool.stock.lock().unwrap().len(), 1, "keeps no more than it should");
    }
}
