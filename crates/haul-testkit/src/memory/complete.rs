//! CompleteMultipartUpload.
//!
//! Owns: every check between a list of parts and an object. Must never leave a trace when one of
//! them fails: the upload stays as it was, and can be completed again.

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::{read_checksums, write_checksums};
use super::conditions::check_write;
use super::intake::{bad_digest, check_support};
use super::multipart::kind;
use super::objects::hex;
use super::state::{Finished, NULL_VERSION, StoredPart, Upload, now};
use super::{Algorithm, Checksums, Content, MemoryS3, StoreRules, StoredObject};

impl MemoryS3 {
    pub(super) fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        // x-amz-checksum-type here tells how to read what was already accepted.
        check_support(self.rules(), &req.headers)?;
        self.check_conditions_supported(input.if_match.is_some() || input.if_none_match.is_some())?;
        let mut state = self.lock();
        if let Some(finished) = state.finished.get(&input.upload_id) {
            return Ok(S3Response::new(answer(input.bucket, input.key, finished)));
        }
        let upload = state.upload(&input.bucket, &input.key, &input.upload_id)?;
        let parts = chosen_parts(&self.rules, upload, &input)?;
        let object = assemble(upload, &parts, self.default_algorithms());
        check_claims(&input, upload, &object)?;
        let current = state.bucket(&input.bucket)?.current(&input.key).map(|o| &**o);
        check_write(input.if_match.as_ref(), input.if_none_match.as_ref(), current)?;

        let (etag, checksums) = (object.etag.clone(), object.checksums.clone());
        let version_id = state.store(&input.bucket, &input.key, object)?;
        state.uploads.remove(&input.upload_id);
        let finished = Finished { etag, checksums, version_id };
        let out = answer(input.bucket, input.key, &finished);
        if self.rules.complete_again {
            state.finished.insert(input.upload_id, finished);
        }
        Ok(S3Response::new(out))
    }
}

fn answer(bucket: String, key: String, finished: &Finished) -> CompleteMultipartUploadOutput {
    let mut out = CompleteMultipartUploadOutput {
        location: Some(format!("/{bucket}/{key}")),
        bucket: Some(bucket),
        key: Some(key),
        e_tag: Some(ETag::Strong(finished.etag.clone())),
        checksum_type: finished.checksums.kind(),
        version_id: finished.version_id.clone(),
        ..CompleteMultipartUploadOutput::default()
    };
    write_checksums!(out, &finished.checksums);
    out
}

/// The parts a request lists, if it may list them.
fn chosen_parts<'a>(
    rules: &StoreRules,
    upload: &'a Upload,
    input: &CompleteMultipartUploadInput,
) -> S3Result<Vec<&'a StoredPart>> {
    let listed = input.multipart_upload.as_ref().and_then(|m| m.parts.as_deref());
    let listed = listed
        .filter(|parts| !parts.is_empty())
        .ok_or_else(|| s3_error!(MalformedXML, "You must specify at least one part"))?;
    let mut parts = Vec::with_capacity(listed.len());
    let mut last = 0;
    for claimed in listed {
        let number = claimed.part_number.unwrap_or_default();
        if number <= last {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order."
            ));
        }
        last = number;
        parts.push(chosen_part(upload, claimed, number)?);
    }
    let sizes: Vec<u64> = parts.iter().map(|part| part.content.len()).collect();
    check_sizes(rules, &sizes)?;
    if input.mpu_object_size.is_some_and(|size| size as u64 != sizes.iter().sum::<u64>()) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed."
        ));
    }
    Ok(parts)
}

fn chosen_part<'a>(
    upload: &'a Upload,
    claimed: &CompletedPart,
    number: i32,
) -> S3Result<&'a StoredPart> {
    let invalid = || {
        s3_error!(
            InvalidPart,
            "One or more of the specified parts could not be found. The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag."
        )
    };
    let part = upload.parts.get(&(number as u32)).ok_or_else(invalid)?;
    if claimed.e_tag.as_ref().is_none_or(|etag| etag.value() != part.etag) {
        return Err(invalid());
    }
    let sums = read_checksums!(claimed);
    for (algorithm, value) in sums.iter() {
        if part.checksums.get(algorithm) != Some(value) {
            return Err(invalid());
        }
    }
    if upload.composite && sums.is_empty() {
        let name = upload.algorithm.map_or("", Algorithm::name).to_ascii_lowercase();
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {name} checksum. The complete request must include the \
             checksum for each part. It was missing for part {number} in the request."
        ));
    }
    Ok(part)
}

fn check_sizes(rules: &StoreRules, sizes: &[u64]) -> S3Result<()> {
    let Some((last, full)) = sizes.split_last() else { return Ok(()) };
    if full.iter().any(|size| *size < rules.min_part_size) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    let first = full.first().unwrap_or(last);
    if rules.equal_parts && (full.iter().any(|size| size != first) || last > first) {
        return Err(s3_error!(InvalidPart, "All non-trailing parts must have the same length."));
    }
    Ok(())
}

/// The object that the parts make. Its id and date are set when it is stored.
fn assemble(upload: &Upload, parts: &[&StoredPart], default: &[Algorithm]) -> StoredObject {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(&part.md5);
    }
    let algorithm = upload.algorithm.or_else(|| default.first().copied());
    let mut checksums = Checksums::default();
    if let Some(algorithm) = algorithm {
        let sums: Option<Vec<(String, u64)>> = parts
            .iter()
            .map(|part| Some((part.checksums.get(algorithm)?.to_owned(), part.content.len())))
            .collect();
        let whole = sums.and_then(|sums| {
            if upload.composite { algorithm.composite(&sums) } else { algorithm.full_object(&sums) }
        });
        checksums.insert(algorithm, whole);
        checksums.composite = upload.composite;
    }
    StoredObject {
        content: Content::concat(parts.iter().map(|part| &part.content)),
        etag: format!("{}-{}", hex(&md5.finalize()), parts.len()),
        checksums,
        attributes: upload.attributes.clone(),
        tags: upload.tags.clone(),
        part_sizes: parts.iter().map(|part| part.content.len()).collect(),
        version_id: NULL_VERSION.to_owned(),
        modified: now(),
    }
}

/// The checksum of the whole that the request claims.
fn check_claims(
    input: &CompleteMultipartUploadInput,
    upload: &Upload,
    object: &StoredObject,
) -> S3Result<()> {
    let stated = input.checksum_type.as_ref().map(ChecksumType::as_str);
    if upload.algorithm.is_some() && stated.is_some_and(|s| s != kind(upload.composite).as_str()) {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using the {} checksum mode. The complete request must use the \
             same checksum mode.",
            kind(upload.composite).as_str()
        ));
    }
    for (algorithm, claimed) in read_checksums!(input).iter() {
        // A composite value may come with or without its number of parts.
        let real = object.checksums.get(algorithm);
        let bare = real.and_then(|real| real.split('-').next());
        if real.is_some() && real != Some(claimed) && bare != Some(claimed) {
            return Err(bad_digest(algorithm));
        }
        if real.is_none() && upload.algorithm.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, actual checksum Type: {}",
                algorithm.name().to_ascii_lowercase()
            ));
        }
    }
    Ok(())
}
