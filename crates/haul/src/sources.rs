//! Picks as things that can be read.
//!
//! Owns the choice of a backend for each pick, with what it shares with others: buffers, clients.

use std::sync::Arc;

use haul_core::pool::Pool;
use haul_core::{Error, ErrorKind, Op, Result, Source};
use haul_http::{HttpClient, HttpSource};
use haul_local::LocalSource;
use haul_s3::{S3Client, S3Source};

use crate::Haul;
use crate::picks::{Origin, Pick, Rules};

/// What sources share.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pool: Pool,
    /// The store that objects come from, where there are any.
    pub(crate) store: Option<S3Client>,
    http: HttpClient,
}

impl Haul {
    /// What the sources of picks by `rules` share.
    pub(crate) fn sources(&self, rules: &Rules) -> Sources {
        let (pool, http) = (self.engine.pool().clone(), self.http_client());
        Sources { pool, store: rules.client.clone(), http }
    }
}

impl Sources {
    /// What reads a pick.
    pub(crate) fn of(&self, pick: &Pick) -> Result<Arc<dyn Source>> {
        Ok(match &pick.from {
            Origin::File(path) => Arc::new(LocalSource::new(path, self.pool.clone())),
            Origin::Object(object) => {
                let lost =
                    || Error::new(ErrorKind::Invalid, Op::Open, object, "its store is not known");
                let client = self.store.clone().ok_or_else(lost)?;
                match &pick.entry.etag {
                    Some(etag) if pick.seen => Arc::new(S3Source::listed(
                        client,
                        object.clone(),
                        pick.entry.size,
                        etag.clone(),
                    )),
                    _ => Arc::new(S3Source::new(client, object.clone())),
                }
            }
            Origin::Url(url) => {
                Arc::new(HttpSource::new(self.http.clone(), crate::web::parse(url)?))
            }
        })
    }
}
