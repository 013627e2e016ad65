//! A range of a source as a source of its own.
//!
//! Owns the arithmetic between the two. What is read stays pinned to one version of the whole.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};

use crate::error::{Error, ErrorKind, Op, Result};
use crate::limits::SourceLimits;
use crate::proof::Proof;
use crate::range::ByteRange;
use crate::source::{Body, Meta, Opened, ReadAt, Source};

/// A range of another source.
#[derive(Debug, Clone)]
pub struct RangeSource {
    whole: Arc<dyn Source>,
    range: ByteRange,
}

impl RangeSource {
    /// What `whole` has in `range`; less where it ends earlier.
    pub fn new(whole: Arc<dyn Source>, range: ByteRange) -> Self {
        Self { whole, range }
    }

    fn cut(&self, opened: Opened) -> Result<Opened> {
        let refuse = |kind, what: String| Err(Error::new(kind, Op::Open, self.location(), what));
        let Opened::Ranged(whole) = opened else {
            let what = "it can be read from its beginning only, and a range was asked for";
            return refuse(ErrorKind::Unsupported, what.to_owned());
        };
        let (ByteRange { start, end }, size) = (self.range, whole.meta().size);
        if start > end || start > size {
            let what = format!("there is no range from {start} to {end} in {size} bytes");
            return refuse(ErrorKind::Invalid, what);
        }
        // The checksum is that of the whole.
        let size = end.min(size) - start;
        let meta = Meta { size, checksum: None, ..whole.meta().clone() };
        Ok(Opened::Ranged(Arc::new(OpenRange { whole, start, meta })))
    }
}

impl Source for RangeSource {
    fn location(&self) -> String {
        self.whole.location()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        async move { self.cut(self.whole.open().await?) }.boxed()
    }

    fn limits(&self) -> SourceLimits {
        self.whole.limits()
    }
}

#[derive(Debug)]
struct OpenRange {
    whole: Arc<dyn ReadAt>,
    start: u64,
    meta: Meta,
}

impl ReadAt for OpenRange {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        self.whole.read_at(ByteRange::new(self.start + range.start, self.start + range.end))
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        self.whole.recheck()
    }

    fn proof(&self) -> Option<Proof> {
        self.whole.proof()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BytesSource;
    use futures::TryStreamExt as _;

    async fn read(start: u64, end: u64) -> Result<Vec<u8>> {
        let whole = BytesSource::new("memory", (0..100).collect::<Vec<u8>>());
        let range = ByteRange { start, end };
        let Opened::Ranged(open) = RangeSource::new(Arc::new(whole), range).open().await? else {
            unreachable!("bytes are read by range");
        };
        let body = open.read_at(ByteRange::new(0, open.meta().size)).await?;
        Ok(body.try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn a_range_is_cut_at_the_end_and_refused_beyond_it() {
        let all: Vec<u8> = (0..100).collect();
        for (start, end, want) in
            [(0, 100, &all[..]), (13, 29, &all[13..29]), (99, 500, &all[99..]), (100, 101, &[])]
        {
            assert_eq!(read(start, end).await.unwrap(), want, "{start}..{end}");
        }
        for (start, end) in [(101, 102), (5, 4)] {
            assert_eq!(read(start, end).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
