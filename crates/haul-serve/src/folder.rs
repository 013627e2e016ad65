//! S3 on a folder: `s3s` for the protocol, [`Folder`] for the files.
//!
//! Owns: the wiring and the limits of that stack, and who may ask. Must never touch the folder
//! itself: reading and writing it is [`Folder`]'s business.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};

use crate::files::Folder;
use crate::{Credentials, Server};

/// Largest XML body read into memory. A CompleteMultipartUpload of 10,000 parts (the S3 quota),
/// each with an ETag and five checksums, takes about 4 MB; a DeleteObjects of 1,000 keys of 1,024
/// bytes, each escaped sixfold, about 7 MB.
const XML_MAX: usize = 20 * 1024 * 1024;

/// What can go wrong before the first request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is missing, is not a folder, or cannot be read.
    #[error("failed to open the folder {}", path.display())]
    Folder {
        /// The folder asked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address is taken or not ours.
    #[error("failed to listen on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// An S3 service whose buckets are the sub-folders of `dir`.
///
/// Path-style requests only (`/bucket/key`). Object bodies stream and have no size limit; only XML
/// bodies are held in memory, up to 20 MiB.
pub fn folder_service(dir: &Path, creds: &Credentials) -> Result<S3Service, Error> {
    let folder = |source| Error::Folder { path: dir.to_path_buf(), source };
    if !std::fs::metadata(dir).map_err(folder)?.is_dir() {
        return Err(folder(io::ErrorKind::NotADirectory.into()));
    }
    let mut builder = S3ServiceBuilder::new(Folder::new(dir).map_err(folder)?);
    builder.set_access(Gatekeeper { root: dir.to_path_buf() });
    builder.set_auth(SimpleAuth::from_single(creds.access_key.clone(), creds.secret_key.clone()));
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_MAX;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    Ok(builder.build())
}

/// Lets in who signed, to a bucket that exists.
struct Gatekeeper {
    root: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for Gatekeeper {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        // A custom access check replaces s3s's own, which asks for a signature.
        if cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "a signature is required"));
        }
        let S3Path::Object { bucket, .. } = cx.s3_path() else { return Ok(()) };
        // s3s-fs would create the bucket of an upload.
        if tokio::fs::metadata(self.root.join(&**bucket)).await.is_err() {
            return Err(s3_error!(NoSuchBucket, "the bucket does not exist"));
        }
        Ok(())
    }
}

/// Serves `dir` on `addr` until the returned [`Server`] is stopped or dropped. Port 0 takes a free
/// port; [`Server::addr`] says which.
pub async fn serve_folder(
    dir: &Path,
    addr: SocketAddr,
    creds: &Credentials,
) -> Result<Server, Error> {
    let service = folder_service(dir, creds)?;
    Server::start(addr, service).map_err(|source| Error::Bind { addr, source })
}
