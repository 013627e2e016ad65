//! One content, wherever a copy of it can be read.
//!
//! Owns which copy is read: the first that is there and still what it was. Files with the same bytes
//! are one content, and one that is removed or changed does not take the others with it. Nothing that
//! is read here is believed: whoever reads says what proves it.

use std::sync::Arc;

use bytes::Bytes;
use haul_core::handle::JobContext;
use haul_core::{ByteRange, Engine, Error, ErrorKind, Op, Result, Source};

use crate::content::Content;
use crate::room::Room;

/// Those who read for one receiver, and what they need for it.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) engine: Engine,
    pub(crate) cx: JobContext,
    pub(crate) room: Room,
}

/// The copies of one content, one of which is read.
#[derive(Debug)]
pub(crate) struct Copies<'a> {
    pub(crate) reader: &'a Reader,
    sources: Vec<Arc<dyn Source>>,
    /// The one that is read.
    at: usize,
    open: Option<Content>,
}

impl<'a> Copies<'a> {
    /// The copies in `sources`, of which there is one at least.
    pub(crate) fn new(reader: &'a Reader, sources: Vec<Arc<dyn Source>>) -> Self {
        Self { reader, sources, at: 0, open: None }
    }

    /// What `proof` makes of `range`, of the first copy that it accepts.
    pub(crate) async fn read<T>(
        &mut self,
        range: ByteRange,
        proof: impl Fn(Vec<Bytes>) -> Option<T>,
    ) -> Result<T> {
        loop {
            let read = self.read_this(range).await.and_then(|bytes| {
                proof(bytes).ok_or_else(|| {
                    let what = "it is not what it was when it was hashed";
                    Error::new(ErrorKind::SourceChanged, Op::Read, self.location(), what)
                })
            });
            match read {
                Err(e) if e.kind() != ErrorKind::Cancelled && self.at + 1 < self.sources.len() => {
                    (self.at, self.open) = (self.at + 1, None);
                }
                read => return read,
            }
        }
    }

    async fn read_this(&mut self, range: ByteRange) -> Result<Vec<Bytes>> {
        let content = match &mut self.open {
            Some(content) => content,
            none => {
                let source = self.sources.get(self.at).ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, Op::Read, "it", "no copy of it is known")
                })?;
                let Reader { engine, cx, .. } = self.reader;
                none.insert(Content::open(engine, source, cx).await?)
            }
        };
        content.read(range).await
    }

    /// Where the copy that is read is.
    pub(crate) fn location(&self) -> String {
        self.sources.get(self.at).map(|source| source.location()).unwrap_or_default()
    }
}
