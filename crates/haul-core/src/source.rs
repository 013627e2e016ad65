//! Where bytes come from.
//!
//! Owns the traits that backends implement to be read. Every read is pinned to what was seen at
//! opening: content that has changed since is an error, never data.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::limits::SourceLimits;
use crate::proof::Proof;
use crate::range::ByteRange;
use crate::target::Attributes;

/// Bytes of one range as they arrive. An error ends it; the engine goes on from where it broke.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// What pins a read to one version of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validator {
    /// A strong entity tag, sent as `If-Match`.
    StrongEtag(String),
    /// A version id, which names immutable content.
    Version(String),
    /// Size, times and identity of a file.
    File,
    /// A weak entity tag or a time of modification, compared with those of every answer.
    Weak,
    /// Nothing: only lengths can be checked.
    Unpinned,
}

/// What is known about a source once it is open.
#[derive(Debug, Clone)]
pub struct Meta {
    /// The source, for messages.
    pub location: String,
    /// Bytes in all.
    pub size: u64,
    /// What pins every read.
    pub validator: Validator,
    /// The store's own checksum over the whole, to compare with.
    pub checksum: Option<Checksum>,
    /// Last modification.
    pub modified: Option<SystemTime>,
    /// Content type and the like, carried over where the target has a place for them.
    pub attributes: Attributes,
}

/// What is known about a stream once it is open: what there is of a [`Meta`].
#[derive(Debug, Clone, Default)]
pub struct StreamMeta {
    /// Bytes in all, where the source knows: any other number of them is an error then.
    pub size: Option<u64>,
    /// The store's own checksum over the whole, to compare with.
    pub checksum: Option<Checksum>,
    /// Last modification.
    pub modified: Option<SystemTime>,
    /// Content type and the like, carried over where the target has a place for them.
    pub attributes: Attributes,
}

impl StreamMeta {
    /// The same of `location`, now that `len` bytes of it have come.
    pub(crate) fn seen(&self, location: &str, len: u64) -> Meta {
        Meta {
            location: location.to_owned(),
            size: self.size.unwrap_or(len),
            validator: Validator::Unpinned,
            checksum: self.checksum,
            modified: self.modified,
            attributes: self.attributes.clone(),
        }
    }
}

/// Something that can be opened for reading.
pub trait Source: fmt::Debug + Send + Sync {
    /// The source, for messages.
    fn location(&self) -> String;
    /// Looks at the source and pins it. One attempt: the engine retries.
    fn open(&self) -> BoxFuture<'_, Result<Opened>>;
    /// What the source can do.
    fn limits(&self) -> SourceLimits;
    /// Bytes in all, where they are known before it is opened and few enough to be asked for at once:
    /// [`open_whole`](Self::open_whole) does that then. A hint: there may be more or fewer by now.
    fn size_hint(&self) -> Option<u64> {
        None
    }
    /// The same as [`open`](Self::open), and begins to read all of it where that takes no other
    /// request. The body holds a permit of the source's gate until it is read or dropped: the caller
    /// has room for it, and reads it before it waits for anything that other requests may hold.
    fn open_whole(&self) -> BoxFuture<'_, Result<(Opened, Option<Body>)>> {
        Box::pin(async move { Ok((self.open().await?, None)) })
    }
}

/// An open source.
#[derive(Debug)]
pub enum Opened {
    /// Any range, at any time, several at once.
    Ranged(Arc<dyn ReadAt>),
    /// Once, from the beginning.
    Stream(Box<dyn ReadStream>),
}

/// Reads by range. One attempt each: the engine retries, resumes and counts.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// What was seen at opening.
    fn meta(&self) -> &Meta;
    /// Starts to read `range`, which is never empty and within the size. The body must be exactly
    /// that range of exactly that content, or an error.
    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>>;
    /// Asks whether the content is still what it was at opening, where reads alone do not tell
    /// (files); called when a range has been read, before its last bytes are used.
    fn recheck(&self) -> BoxFuture<'_, Result<()>>;
    /// What the content is that every read is pinned to; `None` where nothing tells.
    fn proof(&self) -> Option<Proof> {
        None
    }
}

/// Reads once, in order. One attempt each: the engine retries and counts.
pub trait ReadStream: fmt::Debug + Send {
    /// What was seen at opening.
    fn meta(&self) -> &StreamMeta;
    /// The next bytes; `None` at the end. Where bytes come over a network a silence is ended by
    /// dropping the future; [`resume`](Self::resume) is what follows then.
    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>>;
    /// Goes on, after a failure or a silence, with the byte that follows the last one that was
    /// read, of exactly the content that was opened. `None` where there is no way to: then the
    /// failure is final. Nothing happens before the future is polled.
    fn resume(&mut self) -> Option<BoxFuture<'_, Result<()>>> {
        None
    }
}
