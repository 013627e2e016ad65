//! A source without bytes.
//!
//! Owns what a folder's marker in a store is made of.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Attributes, Body, ByteRange, Meta, Opened, ReadAt, Result, Source, SourceLimits, Validator,
};

/// Nothing, zero bytes of it.
#[derive(Debug)]
pub(crate) struct Empty;

#[derive(Debug)]
struct Open(Meta);

impl Source for Empty {
    fn location(&self) -> String {
        "an empty folder".to_owned()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { cheap_reread: true, ..SourceLimits::default() }
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        let mut attributes = Attributes::default();
        // What consoles and gateways take for a folder (as the AWS console writes it).
        attributes.content_type = Some("application/x-directory".to_owned());
        let meta = Meta {
            location: self.location(),
            size: 0,
            validator: Validator::File,
            checksum: None,
            modified: None,
            attributes,
        };
        std::future::ready(Ok(Opened::Ranged(Arc::new(Open(meta)) as Arc<dyn ReadAt>))).boxed()
    }
}

impl ReadAt for Open {
    fn meta(&self) -> &Meta {
        &self.0
    }

    fn read_at(&self, _: ByteRange) -> BoxFuture<'static, Result<Body>> {
        std::future::ready(Ok(futures::StreamExt::boxed(futures::stream::empty()))).boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }
}
