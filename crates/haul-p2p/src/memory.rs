//! Contents that are in memory: what describes a share to peers that know nothing but contents, and
//! test data.
//!
//! Owns reading them like any other source. It must never be used for what a person sends.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::target::Attributes;
use haul_core::{Body, ByteRange, Meta, Opened, ReadAt, Result, Source, SourceLimits, Validator};

/// A content in memory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) data: Bytes,
    meta: Meta,
    /// The most bytes that are given at once.
    cut: usize,
}

impl Memory {
    pub(crate) fn new(location: &str, data: Bytes) -> Self {
        let meta = Meta {
            location: location.to_owned(),
            size: data.len() as u64,
            validator: Validator::File,
            checksum: None,
            modified: None,
            attributes: Attributes::default(),
        };
        Self { cut: data.len().max(1), data, meta }
    }

    /// Bytes that differ from place to place, given in pieces of `cut`.
    #[cfg(test)]
    pub(crate) fn patterned(size: usize, cut: usize) -> Self {
        let data: Vec<u8> = (0..size).map(|i| (i * 31 + i / 251) as u8).collect();
        Self { cut, ..Self::new("memory", data.into()) }
    }
}

impl Source for Memory {
    fn location(&self) -> String {
        self.meta.location.clone()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        std::future::ready(Ok(Opened::Ranged(Arc::new(self.clone())))).boxed()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: None, network: false, cheap_reread: true }
    }
}

impl ReadAt for Memory {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let whole = self.data.len();
        let at = |offset: u64| usize::try_from(offset).unwrap_or(whole).min(whole);
        let (mut rest, cut) = (self.data.slice(at(range.start)..at(range.end)), self.cut);
        let pieces = std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| Ok(rest.split_to(cut.min(rest.len()))))
        });
        std::future::ready(Ok(futures::stream::iter(pieces).boxed())).boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }
}
