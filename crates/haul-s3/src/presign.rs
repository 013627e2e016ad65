//! Links that carry their own signature.
//!
//! Owns presigned GET and PUT. Signing is local: no request is sent, and credentials are asked for once
//! and kept by the SDK. A link is a secret as long as it lives: must never show one by accident.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use haul_core::{Error, ErrorKind, Hint, Op, Result};

use crate::ObjectId;
use crate::client::{At, S3Client};
use crate::credentials::Keys;

/// Longest life of a link (S3 user guide, "Sharing objects with presigned URLs").
pub const LONGEST_LINK: Duration = Duration::from_hours(7 * 24);

/// A link that carries its own signature.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presigned {
    /// The link. Whoever has it may use it.
    pub url: String,
    /// The method it is for.
    pub method: String,
    /// Headers that have to go along, because they were signed.
    pub headers: Vec<(String, String)>,
    /// How long it was made for.
    pub expires_in: Duration,
    /// When the credentials expire that it was signed with, if they do: it does not outlive them.
    pub credentials_expire: Option<SystemTime>,
}

impl Presigned {
    /// Whether the credentials expire before the link, counted from now.
    pub fn cut_short(&self) -> bool {
        let end = SystemTime::now() + self.expires_in;
        self.credentials_expire.is_some_and(|expiry| expiry < end)
    }
}

impl fmt::Debug for Presigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Presigned")
            .field("url", &format!("{address}?***"))
            .field("method", &self.method)
            .field("expires_in", &self.expires_in)
            .field("credentials_expire", &self.credentials_expire)
            .finish_non_exhaustive()
    }
}

/// A link that downloads `object`, of the version it names, for as long as `expires_in`.
pub async fn presign_get(
    client: &S3Client,
    object: &ObjectId,
    expires_in: Duration,
) -> Result<Presigned> {
    let config = config(client, object, expires_in)?;
    let at = client.at(&object.bucket).await;
    let request = at
        .get_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone());
    let signed = request.presigned(config).await;
    finish(client, &at, object, signed).map(|link| Presigned { expires_in, ..link })
}

/// A link that uploads `object`, for as long as `expires_in`. With a content type, the upload has to
/// send that one.
pub async fn presign_put(
    client: &S3Client,
    object: &ObjectId,
    expires_in: Duration,
    content_type: Option<&str>,
) -> Result<Presigned> {
    let config = config(client, object, expires_in)?;
    let at = client.at(&object.bucket).await;
    let request = at
        .put_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_content_type(content_type.map(str::to_owned));
    let signed = request.presigned(config).await;
    finish(client, &at, object, signed).map(|link| Presigned { expires_in, ..link })
}

/// Checks what can be known before signing.
fn config(client: &S3Client, object: &ObjectId, expires_in: Duration) -> Result<PresigningConfig> {
    let invalid = |what: &str| Error::new(ErrorKind::Invalid, Op::Presign, object, what);
    if !client.signed {
        return Err(invalid("there is nothing to sign with").with_hint(Hint::SignRequests));
    }
    if expires_in > LONGEST_LINK {
        return Err(invalid("links live for 7 days at most").with_hint(Hint::ShorterLife));
    }
    if expires_in < Duration::from_secs(1) {
        return Err(
            invalid("a link that has expired already is of no use").with_hint(Hint::LongerLife)
        );
    }
    PresigningConfig::expires_in(expires_in)
        .map_err(|e| invalid("it cannot live that long").with_source(e))
}

fn finish<E>(
    client: &S3Client,
    at: &At<'_>,
    object: &ObjectId,
    signed: Result<PresignedRequest, SdkError<E, HttpResponse>>,
) -> Result<Presigned>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let request =
        signed.map_err(|e| Error::from(at.failure(Op::Presign, &object.to_string(), e)))?;
    let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Presigned {
        url: request.uri().to_owned(),
        method: request.method().to_owned(),
        headers: headers.collect(),
        expires_in: Duration::ZERO,
        credentials_expire: client.keys.as_ref().and_then(Keys::expiry),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_shown() {
        let link = Presigned {
            url: "https://h/b/k?X-Amz-Signature=secret".into(),
            method: "GET".into(),
            headers: Vec::new(),
            expires_in: Duration::from_mins(1),
            credentials_expire: Some(SystemTime::now() + Duration::from_secs(5)),
        };
        let shown = format!("{link:?}");
        assert!(shown.contains("https://h/b/k?***") && !shown.contains("secret"), "{shown}");
        assert!(link.cut_short());
    }
}
