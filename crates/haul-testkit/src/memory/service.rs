//! The store as `s3s` sees it.
//!
//! Owns: nothing but the list of operations that exist here; each one lives in the module of its
//! name. Must never hold logic. What is not listed answers 501 NotImplemented.

use s3s::{S3, S3Request, S3Response, S3Result, dto};

use super::MemoryS3;

/// One method per operation, all alike.
macro_rules! operations {
    ($($name:ident: $input:ident -> $output:ident = $call:ident $($wait:ident)?;)+) => {
        #[async_trait::async_trait]
        impl S3 for MemoryS3 {
            $(
                async fn $name(
                    &self,
                    req: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    let bucket_itself = stringify!($name) == "head_bucket";
                    let signed = req.region.as_ref().map(s3s::region::Region::as_str);
                    self.check_region(&req.uri, signed, bucket_itself)?;
                    let answer = MemoryS3::$call(self, req);
                    $(let answer = operations!($wait answer);)?
                    answer
                }
            )+
        }
    };
    (wait $answer:ident) => { $answer.await };
}

operations! {
    create_bucket: CreateBucketInput -> CreateBucketOutput = put_bucket;
    head_bucket: HeadBucketInput -> HeadBucketOutput = head_bucket;
    delete_bucket: DeleteBucketInput -> DeleteBucketOutput = delete_bucket;
    list_buckets: ListBucketsInput -> ListBucketsOutput = list_buckets;
    get_bucket_location: GetBucketLocationInput -> GetBucketLocationOutput = get_bucket_location;
    put_bucket_versioning: PutBucketVersioningInput -> PutBucketVersioningOutput = put_bucket_versioning;
    get_bucket_versioning: GetBucketVersioningInput -> GetBucketVersioningOutput = get_bucket_versioning;
    get_object_tagging: GetObjectTaggingInput -> GetObjectTaggingOutput = get_object_tagging;
    put_object_tagging: PutObjectTaggingInput -> PutObjectTaggingOutput = put_object_tagging;
    delete_object_tagging: DeleteObjectTaggingInput -> DeleteObjectTaggingOutput = delete_object_tagging;
    put_object: PutObjectInput -> PutObjectOutput = put_object wait;
    get_object: GetObjectInput -> GetObjectOutput = get_object;
    head_object: HeadObjectInput -> HeadObjectOutput = head_object;
    copy_object: CopyObjectInput -> CopyObjectOutput = copy_object;
    delete_object: DeleteObjectInput -> DeleteObjectOutput = delete_object;
    delete_objects: DeleteObjectsInput -> DeleteObjectsOutput = delete_objects;
    create_multipart_upload: CreateMultipartUploadInput -> CreateMultipartUploadOutput = create_multipart_upload;
    upload_part: UploadPartInput -> UploadPartOutput = upload_part wait;
    upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput = upload_part_copy;
    list_parts: ListPartsInput -> ListPartsOutput = list_parts;
    list_multipart_uploads: ListMultipartUploadsInput -> ListMultipartUploadsOutput = list_multipart_uploads;
    complete_multipart_upload: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput = complete_multipart_upload;
    abort_multipart_upload: AbortMultipartUploadInput -> AbortMultipartUploadOutput = abort_multipart_upload;
    list_objects: ListObjectsInput -> ListObjectsOutput = list_objects;
    list_objects_v2: ListObjectsV2Input -> ListObjectsV2Output = list_objects_v2;
    list_object_versions: ListObjectVersionsInput -> ListObjectVersionsOutput = list_object_versions;
}
