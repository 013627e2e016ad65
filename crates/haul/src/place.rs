//! A tree's place: a folder of this machine, or a prefix in a store.
//!
//! Owns what a path below it is called, as a file and as an object, and how it is listed. Both sides
//! of a sync, the destination of a copy and what is removed are places.

use std::path::PathBuf;
use std::sync::Arc;

use haul_core::handle::JobContext;
use haul_core::{
    Attributes, BytesSource, Engine, Error, ErrorKind, Hint, Listing, Location, MAX_KEY, Op,
    RelPath, Result,
};
use haul_local::{DestinationRoot, WalkOptions, Walker, name_beneath};
use haul_s3::{ListSpec, ObjectId, S3Client, S3Lister};

use crate::picks::Origin;

/// What an empty folder is in a store: nothing, of the type that consoles and gateways take for a folder
/// (as the AWS console writes it).
pub(crate) fn folder_marker() -> BytesSource {
    let mut attributes = Attributes::default();
    attributes.content_type = Some("application/x-directory".to_owned());
    BytesSource::new("an empty folder", "").with_attributes(attributes)
}

/// Where a tree is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A folder of this machine; opened once, where it is written to.
    Disk(PathBuf, Option<Arc<DestinationRoot>>),
    /// A prefix in a store, with its slash.
    Store { client: S3Client, bucket: String, prefix: String },
}

impl Place {
    /// The place that a location names, not opened yet; `None` for what cannot hold a tree, and for
    /// a store without its client.
    pub(crate) fn of(location: &Location, client: Option<S3Client>) -> Option<Self> {
        match (location, client) {
            (Location::Local(path), _) => Some(Self::Disk(path.clone(), None)),
            (Location::S3 { bucket, key }, Some(client)) => {
                let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
                let prefix = format!("{key}{slash}");
                Some(Self::Store { client, bucket: bucket.clone(), prefix })
            }
            _ => None,
        }
    }

    /// What a path below it is called.
    pub(crate) fn name(&self, to: &RelPath) -> String {
        match self {
            Self::Disk(root, _) => name_beneath(root, to.as_os_str()),
            Self::Store { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}{}", to.exact()),
        }
    }

    /// What is at a path below it, to be read.
    pub(crate) fn origin(&self, path: &RelPath) -> Origin {
        match self {
            Self::Disk(root, _) => Origin::File(root.join(path.as_os_str())),
            Self::Store { bucket, prefix, .. } => {
                Origin::Object(ObjectId::new(bucket, format!("{prefix}{}", path.exact())))
            }
        }
    }

    /// The object that a path below it becomes.
    pub(crate) fn object(&self, to: &RelPath) -> Result<ObjectId> {
        let Self::Store { bucket, prefix, .. } = self else {
            return Err(Error::new(ErrorKind::Invalid, Op::Begin, to.shown(), "it is no object"));
        };
        if to.is_root() {
            let what = "it has no name of its own, and no key can be made for it";
            return Err(Error::new(ErrorKind::Invalid, Op::Begin, self.name(to), what)
                .with_hint(Hint::CopyAlone));
        }
        let Some(text) = to.to_str() else {
            let what = "its name is not UTF-8, and S3 keys are";
            return Err(Error::new(ErrorKind::Invalid, Op::Begin, self.name(to), what)
                .with_hint(Hint::Rename));
        };
        let key = format!("{prefix}{text}");
        if key.len() > MAX_KEY {
            let what = format!("the key would be {} bytes long, and S3 stops at 1,024", key.len());
            return Err(Error::new(ErrorKind::Invalid, Op::Begin, self.name(to), what));
        }
        Ok(ObjectId::new(bucket, key))
    }

    /// Starts to list it in the order of bytes, for a merge.
    pub(crate) fn listing(&self, engine: &Engine, cx: &JobContext, walk: WalkOptions) -> Listing {
        match self {
            Self::Disk(path, _) => engine.listing(Box::new(Walker::new(path.clone(), walk)), cx),
            Self::Store { client, bucket, prefix } => {
                let mut spec = ListSpec::new(bucket.clone(), prefix.clone());
                spec.require_order = true;
                engine.listing(Box::new(S3Lister::new(client.clone(), spec)), cx)
            }
        }
    }
}
