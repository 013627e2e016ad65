//! The three listings: ListObjectsV2, ListObjects, ListObjectVersions.
//!
//! Owns their requests, and how each says where the next page begins. One request each; must never
//! loop.

use aws_sdk_s3::types::EncodingType;
use haul_core::{Error, ErrorKind, Op, Result, Retry};

use super::entries::{Found, Reader};
use super::sheet::Sheet;
use super::{Position, S3Lister};
use crate::kept::Kept;

const DELIMITER: &str = "/";

impl S3Lister {
    /// Control characters do not survive XML, so stores are asked to encode keys.
    fn encoding(&self) -> Option<EncodingType> {
        self.client.quirks().url_encode_listing.then_some(EncodingType::Url)
    }

    fn delimiter(&self) -> Option<String> {
        self.spec.delimiter.then(|| DELIMITER.to_owned())
    }

    fn prefix(&self) -> Option<String> {
        (!self.spec.prefix.is_empty()).then(|| self.spec.prefix.clone())
    }

    pub(super) async fn v2_page(&self) -> Result<Found> {
        let token = match &self.next {
            Position::Token(token) => Some(token.clone()),
            _ => None,
        };
        let at = self.client.at(&self.spec.bucket).await;
        let kept = Kept::new("ListBucketResult");
        let request = at
            .list_objects_v2()
            .bucket(&self.spec.bucket)
            .set_prefix(self.prefix())
            .set_delimiter(self.delimiter())
            .set_encoding_type(self.encoding())
            .set_continuation_token(token)
            .customize()
            .interceptor(kept.clone());
        let sent = self.client.asking(Op::List, &self.location, request.send()).await?;
        let location = self.location.to_string();
        sent.map_err(|e| at.failure(Op::List, &location, e))?;
        let sheet = kept.read(Op::List, &location, Sheet::read)?;
        let mut reader = Reader::new(&self.spec.prefix, &self.location, sheet.encoded);
        reader.objects(sheet.objects)?;
        let prefixes = reader.len();
        reader.prefixes(sheet.prefixes)?;
        let next = match (sheet.truncated, sheet.token) {
            (true, Some(token)) => Position::Token(token),
            // A store that took no notice of `list-type=2`.
            (true, None) => self.behind(&reader)?,
            (false, _) => Position::End,
        };
        Ok(reader.finish(&[prefixes], next))
    }

    pub(super) async fn v1_page(&self) -> Result<Found> {
        let marker = match &self.next {
            Position::Marker(marker) => Some(marker.clone()),
            _ => None,
        };
        let at = self.client.at(&self.spec.bucket).await;
        let kept = Kept::new("ListBucketResult");
        let request = at
            .list_objects()
            .bucket(&self.spec.bucket)
            .set_prefix(self.prefix())
            .set_delimiter(self.delimiter())
            .set_encoding_type(self.encoding())
            .set_marker(marker)
            .customize()
            .interceptor(kept.clone());
        let sent = self.client.asking(Op::List, &self.location, request.send()).await?;
        let location = self.location.to_string();
        sent.map_err(|e| at.failure(Op::List, &location, e))?;
        let sheet = kept.read(Op::List, &location, Sheet::read)?;
        let mut reader = Reader::new(&self.spec.prefix, &self.location, sheet.encoded);
        reader.objects(sheet.objects)?;
        let prefixes = reader.len();
        reader.prefixes(sheet.prefixes)?;
        let next = match (sheet.truncated, sheet.marker) {
            (true, Some(marker)) => {
                let marker = reader.decode(marker).ok_or_else(|| self.lost())?;
                Position::Marker(marker)
            }
            // Without a delimiter there is no marker: the last key is it (API reference).
            (true, None) => self.behind(&reader)?,
            (false, _) => Position::End,
        };
        Ok(reader.finish(&[prefixes], next))
    }

    pub(super) async fn versions_page(&self) -> Result<Found> {
        let (key, version) = match &self.next {
            Position::Version(key, version) => (Some(key.clone()), version.clone()),
            _ => (None, None),
        };
        let at = self.client.at(&self.spec.bucket).await;
        let kept = Kept::new("ListVersionsResult");
        let request = at
            .list_object_versions()
            .bucket(&self.spec.bucket)
            .set_prefix(self.prefix())
            .set_delimiter(self.delimiter())
            .set_encoding_type(self.encoding())
            .set_key_marker(key)
            .set_version_id_marker(version)
            .customize()
            .interceptor(kept.clone());
        let sent = self.client.asking(Op::List, &self.location, request.send()).await?;
        let location = self.location.to_string();
        sent.map_err(|e| at.failure(Op::List, &location, e))?;
        let sheet = kept.read(Op::List, &location, Sheet::read)?;
        let mut reader = Reader::new(&self.spec.prefix, &self.location, sheet.encoded);
        reader.versions(sheet.objects)?;
        let markers = reader.len();
        reader.markers(sheet.markers)?;
        let prefixes = reader.len();
        reader.prefixes(sheet.prefixes)?;
        let next = match (sheet.truncated, sheet.marker) {
            (true, Some(key)) => {
                let key = reader.decode(key).ok_or_else(|| self.lost())?;
                Position::Version(key, sheet.version_marker)
            }
            (true, None) => return Err(self.lost()),
            (false, _) => Position::End,
        };
        Ok(reader.finish(&[markers, prefixes], next))
    }

    /// Behind the last thing that was listed.
    fn behind(&self, reader: &Reader<'_>) -> Result<Position> {
        reader.last_key().map(Position::Marker).ok_or_else(|| self.lost())
    }

    fn lost(&self) -> Error {
        let what = "the store has more, and does not say where";
        Error::new(ErrorKind::Protocol, Op::List, &self.location, what).with_retry(Retry::Backoff)
    }
}
