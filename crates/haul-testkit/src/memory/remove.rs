//! DeleteObject and DeleteObjects.
//!
//! Owns: delete markers. Must never complain about a key that is not there: S3 does not.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::MemoryS3;
use super::conditions::check_write;
use super::intake::check_support;
use super::state::{State, Version, Versioning, now};

/// Keys in one DeleteObjects (API reference: "up to 1,000 keys").
const MAX_DELETE: usize = 1000;

/// What became of one key.
struct Removed {
    version_id: Option<String>,
    marker: bool,
}

impl MemoryS3 {
    pub(super) fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        let mut state = self.lock();
        if input.if_match.is_some() {
            let current = state.bucket(&input.bucket)?.current(&input.key).map(|o| &**o);
            check_write(input.if_match.as_ref(), None, current)?;
        }
        let version = input.version_id.as_deref().filter(|_| self.rules().versions);
        let removed = remove(&mut state, &input.bucket, &input.key, version)?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: removed.marker.then_some(true),
            version_id: removed.version_id,
            ..DeleteObjectOutput::default()
        }))
    }

    pub(super) fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        if !self.rules().delete_objects {
            return Err(s3_error!(NotImplemented, "DeleteObjects is not implemented"));
        }
        check_support(self.rules(), &req.headers)?;
        let protected = req.headers.keys().any(|name| {
            let name = name.as_str();
            name == "content-md5" || name == "x-amz-trailer" || name.starts_with("x-amz-checksum-")
        });
        if !protected {
            return Err(s3_error!(
                InvalidRequest,
                "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            ));
        }
        let input = req.input;
        if input.delete.objects.is_empty() || input.delete.objects.len() > MAX_DELETE {
            return Err(s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our schema"
            ));
        }
        let mut state = self.lock();
        state.bucket(&input.bucket)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let version = object.version_id.as_deref().filter(|_| self.rules().versions);
            let condition = object.e_tag.clone().map(ETagCondition::ETag);
            let current = state.bucket(&input.bucket)?.current(&object.key).map(|o| &**o);
            let removed = check_write(condition.as_ref(), None, current)
                .and_then(|()| remove(&mut state, &input.bucket, &object.key, version));
            match removed {
                Ok(removed) => deleted.push(DeletedObject {
                    delete_marker: removed.marker.then_some(true),
                    delete_marker_version_id: removed.version_id.filter(|_| removed.marker),
                    key: Some(object.key),
                    version_id: object.version_id,
                }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: object.version_id,
                }),
            }
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }
}

/// With a version id, that version is gone; without one, a versioned bucket gets a delete marker.
fn remove(state: &mut State, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Removed> {
    if let Some(id) = version {
        let bucket = state.bucket_mut(bucket)?;
        let Some(history) = bucket.objects.get_mut(key) else {
            return Ok(Removed { version_id: Some(id.to_owned()), marker: false });
        };
        let marker = history.iter().any(|v| v.id() == id && matches!(v, Version::Marker { .. }));
        history.retain(|v| v.id() != id);
        if history.is_empty() {
            bucket.objects.remove(key);
        }
        return Ok(Removed { version_id: Some(id.to_owned()), marker });
    }
    if state.bucket(bucket)?.versioning == Versioning::Never {
        state.bucket_mut(bucket)?.objects.remove(key);
        return Ok(Removed { version_id: None, marker: false });
    }
    let id = state.version_id(bucket)?;
    let marker = Version::Marker { id: id.clone(), modified: now() };
    state.bucket_mut(bucket)?.push(key, marker);
    Ok(Removed { version_id: Some(id), marker: true })
}
