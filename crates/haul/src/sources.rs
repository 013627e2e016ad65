//! Picks as things that can be read.
//!
//! Owns the choice of a backend for each pick, with what it shares with others: buffers, clients.

use std::path::Path;
use std::sync::Arc;

use haul_core::pool::Pool;
use haul_core::{Error, ErrorKind, Op, RelPath, Result, Source};
use haul_http::{HttpClient, HttpSource};
use haul_local::{DestinationRoot, LocalSource};
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
    /// Folders beneath which no link is followed.
    pub(crate) beneath: Vec<Arc<DestinationRoot>>,
}

impl Haul {
    /// What the sources of picks by `rules` share.
    pub(crate) fn sources(&self, rules: &Rules) -> Sources {
        let (pool, http) = (self.engine.pool().clone(), self.http_client());
        Sources { pool, store: rules.client.clone(), http, beneath: Vec::new() }
    }
}

impl Sources {
    fn file(&self, path: &Path) -> LocalSource {
        let beneath = self.beneath.iter().find_map(|root| {
            let rel = path.strip_prefix(root.path()).ok().filter(|rel| !rel.as_os_str().is_empty());
            rel.map(|rel| (Arc::clone(root), RelPath::new(rel)))
        });
        match beneath {
            Some((root, rel)) => LocalSource::beneath(root, rel, self.pool.clone()),
            None => LocalSource::new(path, self.pool.clone()),
        }
    }

    /// What reads a pick.
    pub(crate) fn of(&self, pick: &Pick) -> Result<Arc<dyn Source>> {
        Ok(match &pick.from {
            Origin::File(path) => Arc::new(self.file(path)),
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
