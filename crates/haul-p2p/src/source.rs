//! A sender's file as a source like any other.
//!
//! Owns reading its ranges: each is asked for with its proof, and cut to size here. For places that
//! are no folder: a store, a pipe.

use std::sync::Arc;

use bao_tree::ChunkRanges;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Attributes, Body, ByteRange, Meta, Opened, ReadAt, Result, Source, SourceLimits, Validator,
};
use iroh_blobs::protocol::ChunkRangesExt as _;

use crate::reading::{Named, Piece, Reading};
use crate::receive::File;
use crate::session::Session;

/// A sender's file.
#[derive(Debug, Clone)]
pub(crate) struct PeerSource {
    session: Arc<Session>,
    named: Named,
    meta: Meta,
}

impl PeerSource {
    pub(crate) fn new(session: &Arc<Session>, file: File) -> Self {
        let meta = Meta {
            location: file.path.exact().into_owned(),
            size: file.named.size,
            validator: Validator::Version(blake3::Hash::from(file.named.hash).to_hex().to_string()),
            checksum: None,
            modified: file.modified,
            attributes: Attributes::default(),
        };
        Self { session: Arc::clone(session), named: file.named, meta }
    }
}

impl Source for PeerSource {
    fn location(&self) -> String {
        self.meta.location.clone()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        std::future::ready(Ok(Opened::Ranged(Arc::new(self.clone())))).boxed()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: None, network: true, cheap_reread: false }
    }
}

impl ReadAt for PeerSource {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let (session, named) = (Arc::clone(&self.session), self.named);
        async move {
            let ranges = ChunkRanges::bytes(range.start..range.end);
            let reading = session.line().await?.ask(named, ranges).await?;
            let pieces = futures::stream::try_unfold(reading, move |mut reading| async move {
                Ok(next(&mut reading, range).await?.map(|bytes| (bytes, reading)))
            });
            Ok(pieces.boxed())
        }
        .boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        // Its hash names it: there is nothing that could have changed.
        std::future::ready(Ok(())).boxed()
    }
}

/// The next bytes that are in `range`.
async fn next(reading: &mut Reading, range: ByteRange) -> Result<Option<Bytes>> {
    while let Some(piece) = reading.next().await? {
        let Piece::Bytes(offset, bytes) = piece else { continue };
        let end = offset + bytes.len() as u64;
        let (from, to) = (offset.max(range.start), end.min(range.end));
        if from < to {
            return Ok(Some(bytes.slice((from - offset) as usize..(to - offset) as usize)));
        }
    }
    Ok(None)
}
