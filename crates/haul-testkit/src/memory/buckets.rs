//! Buckets, their versioning, and the tags of objects.
//!
//! Owns: what can be said about a bucket as a whole. Must never delete one that holds anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use s3s::dto::{
    Bucket as ListedBucket, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetBucketVersioningInput, GetBucketVersioningOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectTaggingInput,
    PutObjectTaggingOutput, Tag, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::MemoryS3;
use super::listing::owner;
use super::state::{Bucket, Version, Versioning, custom_error, now};

/// Tags an object may have (S3 user guide, "Categorizing your objects using tags").
const MAX_TAGS: usize = 10;
/// What S3 calls the region that GetBucketLocation leaves empty.
pub(crate) const DEFAULT_REGION: &str = "us-east-1";

impl MemoryS3 {
    pub(super) fn put_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = req.input;
        let region = input.create_bucket_configuration.and_then(|c| c.location_constraint);
        let region = region.map_or_else(String::new, |r| r.as_str().to_owned());
        let mut state = self.lock();
        if state.buckets.contains_key(&input.bucket) {
            return Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it."
            ));
        }
        let bucket = Bucket {
            created: now(),
            region,
            versioning: Versioning::Never,
            objects: BTreeMap::new(),
        };
        state.buckets.insert(input.bucket.clone(), bucket);
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
    }

    pub(super) fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let state = self.lock();
        let bucket = state.bucket(&req.input.bucket)?;
        let region = if bucket.region.is_empty() { DEFAULT_REGION } else { bucket.region.as_str() };
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(region.to_owned()),
            ..HeadBucketOutput::default()
        }))
    }

    pub(super) fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let mut state = self.lock();
        if !state.bucket(&req.input.bucket)?.objects.is_empty() {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty."));
        }
        state.buckets.remove(&req.input.bucket);
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an operation like all others")]
    pub(super) fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = req.input;
        let max = usize::try_from(input.max_buckets.unwrap_or(i32::MAX)).unwrap_or(0);
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let state = self.lock();
        let mut rest =
            state.buckets.iter().filter(|(name, _)| name.starts_with(&prefix) && **name > after);
        let buckets: Vec<ListedBucket> = rest
            .by_ref()
            .take(max)
            .map(|(name, bucket)| ListedBucket {
                name: Some(name.clone()),
                creation_date: Some(Timestamp::from(bucket.created)),
                bucket_region: None,
            })
            .collect();
        let more = rest.next().is_some();
        let token = buckets.last().and_then(|b| b.name.clone()).filter(|_| more);
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(buckets),
            continuation_token: token,
            owner: Some(owner()),
            prefix: input.prefix,
        }))
    }

    pub(super) fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let state = self.lock();
        let region = state.bucket(&req.input.bucket)?.region.clone();
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: (!region.is_empty())
                .then(|| BucketLocationConstraint::from(region)),
        }))
    }

    pub(super) fn put_bucket_versioning(
        &self,
        req: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let input = req.input;
        let mut state = self.lock();
        let bucket = state.bucket_mut(&input.bucket)?;
        let status = input.versioning_configuration.status;
        bucket.versioning = match status.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            _ => return Err(s3_error!(IllegalVersioningConfigurationException)),
        };
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }

    pub(super) fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let state = self.lock();
        let status = match state.bucket(&req.input.bucket)?.versioning {
            Versioning::Never => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        Ok(S3Response::new(GetBucketVersioningOutput {
            status: status.map(BucketVersioningStatus::from_static),
            ..GetBucketVersioningOutput::default()
        }))
    }

    pub(super) fn get_object_tagging(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = req.input;
        let state = self.lock();
        let bucket = state.bucket(&input.bucket)?;
        let object = bucket.find(&input.key, input.version_id.as_deref())?;
        let tags = object
            .tags
            .iter()
            .map(|(name, value)| Tag { key: Some(name.clone()), value: Some(value.clone()) });
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set: tags.collect(),
            version_id: bucket.shown(&object.version_id),
        }))
    }

    pub(super) fn put_object_tagging(
        &self,
        req: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = req.input;
        if input.tagging.tag_set.len() > MAX_TAGS {
            let message = "Object tags cannot be greater than 10";
            return Err(custom_error("BadRequest", StatusCode::BAD_REQUEST, message));
        }
        let tags = input.tagging.tag_set.into_iter();
        let tags =
            tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
        let version = input.version_id.as_deref();
        let version_id = self.set_tags(&input.bucket, &input.key, version, tags)?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
    }

    pub(super) fn delete_object_tagging(
        &self,
        req: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = req.input;
        let version = input.version_id.as_deref();
        let version_id = self.set_tags(&input.bucket, &input.key, version, Vec::new())?;
        Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
    }

    fn set_tags(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        tags: Vec<(String, String)>,
    ) -> S3Result<Option<String>> {
        let mut state = self.lock();
        let bucket = state.bucket_mut(bucket)?;
        let id = bucket.find(key, version)?.version_id.clone();
        for version in bucket.objects.get_mut(key).into_iter().flatten() {
            if let Version::Object(object) = version
                && object.version_id == id
            {
                Arc::make_mut(object).tags.clone_from(&tags);
            }
        }
        Ok(bucket.shown(&id))
    }
}
