//! The three listings: ListObjectsV2, ListObjects, ListObjectVersions.
//!
//! Owns their requests, and how each says where the next page begins. One request each; must never
//! loop.

use aws_sdk_s3::types::EncodingType;
use haul_core::{Error, ErrorKind, Op, Result, Retry};

use super::entries::{Found, Reader};
use super::{Position, S3Lister};

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
        let request = at
            .list_objects_v2()
            .bucket(&self.spec.bucket)
            .set_prefix(self.prefix())
            .set_delimiter(self.delimiter())
            .set_encoding_type(self.encoding())
            .set_continuation_token(token);
        let sent = self.client.asking(Op::List, &self.location, request.send()).await?;
        let answer = sent.map_err(|e| at.failure(Op::List, &self.location.to_string(), e))?;
        let mut reader =
            Reader::new(&self.spec.prefix, &self.location, answer.encoding_type.as_ref());
        reader.objects(answer.contents)?;
        let prefixes = reader.len();
        reader.prefixes(answer.common_prefixes)?;
        let next = match (answer.is_truncated, answer.next_continuation_token) {
            (Some(true), Some(token)) => Position::Token(token),
            // A store that took no notice of `list-type=2`.
            (Some(true), None) => self.behind(&reader)?,
            _ => Position::End,
        };
        Ok(reader.finish(&[prefixes], next))
    }

    pub(super) async fn v1_page(&self) -> Result<Found> {
        let marker = match &self.next {
            Position::Marker(marker) => Some(marker.clone()),
            _ => None,
        };
        let at = self.client.at(&self.spec.bucket).await;
        let request = at
            .list_objects()
            .bucket(&self.spec.bucket)
            .set_prefix(self.prefix())
            .set_delimiter(self.delimiter())
            .set_encoding_type(self.encoding())
            .set_marker(marker);
        let sent = self.client.asking(Op::List, &self.location, request.send()).await?;
        let answer = sent.map_err(|e| at.failure(Op::List, &self.location.to_string(), e))?;
        let mut reader =
            Reader::new(&self.spec.prefix, &self.location, answer.encoding_type.as_ref());
        reader.objects(answer.contents)?;
        let prefixes = reader.len();
        reader.prefixes(answer.common_prefixes)?;
        let named = answer.next_marker.filter(|marker| !marker.is_empty());
        let next = match (answer.is_truncated, named) {
            (Some(true), Some(marker)) => {
                let marker = reader.decode(marker).ok_or_else(|| self.lost())?;
                Position::Marker(marker)
            }
            // Without a delimiter there is no marker: the last key is it (API reference).
            (Some(true), None) => self.behind(&reader)?,
            _ => Position::End,
        };
        Ok(reader.finish(&[prefixes], next))
    }

    pub(super) async fn versions_page(&self) -> Result<Found> {
        let (key, version) = match &self.next {
            Position::Version(key, version) => (Some(key.clone()), version.clone()),
            _ => (None, None),
        };
        let at = self.client.at(&self.spec.bucket).await;
        let request = at
            .list_object_versions()
            .bucket(&self.spec.bucket)
            .set_prefix(self.prefix())
            .set_delimiter(self.delimiter())
            .set_encoding_type(self.encoding())
            .set_key_marker(key)
            .set_version_id_marker(version);
        let sent = self.client.asking(Op::List, &self.location, request.send()).await?;
        let answer = sent.map_err(|e| at.failure(Op::List, &self.location.to_string(), e))?;
        let mut reader =
            Reader::new(&self.spec.prefix, &self.location, answer.encoding_type.as_ref());
        reader.versions(answer.versions)?;
        let markers = reader.len();
        reader.markers(answer.delete_markers)?;
        let prefixes = reader.len();
        reader.prefixes(answer.common_prefixes)?;
        let named = answer.next_key_marker.filter(|marker| !marker.is_empty());
        let next = match (answer.is_truncated, named) {
            (Some(true), Some(key)) => {
                let key = reader.decode(key).ok_or_else(|| self.lost())?;
                let version = answer.next_version_id_marker.filter(|v| !v.is_empty());
                Position::Version(key, version)
            }
            (Some(true), None) => return Err(self.lost()),
            _ => Position::End,
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
