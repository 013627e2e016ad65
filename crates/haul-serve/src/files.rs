//! The files of `s3s-fs`, with what it gets wrong put right.
//!
//! Owns: [`Folder`], the S3 operations on a folder. Must never read or write an object itself (that
//! is `s3s-fs`'s business), nor delete a file with its bucket.

use std::io;
use std::path::{Path, PathBuf};

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CopySource,
    CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, GetBucketLocationInput,
    GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    PutObjectInput, PutObjectOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

use crate::keys::{self, Place, Write};
use crate::listing;
use crate::parts;

/// What an operation answers.
type Answer<T> = S3Result<S3Response<T>>;

/// A folder whose sub-folders are buckets.
pub(crate) struct Folder {
    root: PathBuf,
    files: FileSystem,
}

impl Folder {
    /// Opens `root`.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        // The error of s3s-fs implements no `Error`: its text is all it has.
        let files = FileSystem::new(&root).map_err(|e| io::Error::other(format!("{e:?}")))?;
        Ok(Self { root, files })
    }

    async fn readable(&self, bucket: &str, key: &str) -> S3Result<()> {
        keys::readable(&self.root.join(bucket), key).await
    }

    async fn writable(&self, bucket: &str, key: &str, how: Write) -> S3Result<()> {
        keys::writable(&self.root, bucket, key, how).await
    }

    async fn source(&self, from: &CopySource) -> S3Result<()> {
        match from {
            CopySource::Bucket { bucket, key, .. } => self.readable(bucket, key).await,
            // s3s-fs refuses these.
            CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => Ok(()),
        }
    }

    /// Refuses a part whose upload ended while it was being written.
    async fn still(&self, upload: &str, part: i32) -> S3Result<()> {
        if parts::belongs(&self.root, upload, part).await.map_err(S3Error::internal_error)? {
            return Ok(());
        }
        Err(s3_error!(NoSuchUpload, "the upload has ended meanwhile"))
    }

    /// Whether `s3s-fs` would delete just what `key` names. Any other key names nothing, and
    /// deleting nothing succeeds.
    async fn deletable(&self, bucket: &str, key: &str) -> S3Result<bool> {
        Ok(match keys::place(&self.root.join(bucket), key).await? {
            Place::File => true,
            Place::Folder => key.ends_with('/'),
            Place::Nothing | Place::Never(_) => false,
        })
    }
}

#[async_trait::async_trait]
impl S3 for Folder {
    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        self.files.list_buckets(req).await
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        self.files.create_bucket(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.files.head_bucket(req).await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        self.files.get_bucket_location(req).await
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        let bucket = self.root.join(&req.input.bucket);
        let removed = tokio::task::spawn_blocking(move || remove_folders(&bucket)).await;
        match removed.map_err(S3Error::internal_error)? {
            Ok(()) => Ok(S3Response::new(DeleteBucketOutput {})),
            Err(e) => Err(match e.kind() {
                io::ErrorKind::NotFound => s3_error!(NoSuchBucket, "the bucket does not exist"),
                io::ErrorKind::DirectoryNotEmpty => s3_error!(BucketNotEmpty, "it holds objects"),
                _ => S3Error::internal_error(e),
            }),
        }
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        let marker = req.input.marker.clone();
        let mut page = self.files.list_objects(req).await?;
        page.output.marker = marker;
        listing::encode(&mut page.output);
        Ok(page)
    }

    async fn list_objects_v2(
        &self,
        mut req: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let token = req.input.continuation_token.take();
        req.input.continuation_token = token.as_deref().map(listing::key_of).transpose()?;
        let mut page = self.files.list_objects_v2(req).await?;
        let out = &mut page.output;
        out.continuation_token = token;
        out.next_continuation_token = out.next_continuation_token.as_deref().map(listing::token);
        listing::encode_v2(out);
        Ok(page)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        self.readable(&req.input.bucket, &req.input.key).await?;
        self.files.head_object(req).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        self.readable(&req.input.bucket, &req.input.key).await?;
        self.files.get_object(req).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        self.writable(&req.input.bucket, &req.input.key, Write::Put).await?;
        self.files.put_object(req).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        self.source(&req.input.copy_source).await?;
        self.writable(&req.input.bucket, &req.input.key, Write::Copy).await?;
        self.files.copy_object(req).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        if !self.deletable(&req.input.bucket, &req.input.key).await? {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        self.files.delete_object(req).await
    }

    async fn delete_objects(
        &self,
        mut req: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        let mut nothing = Vec::new();
        for object in std::mem::take(&mut req.input.delete.objects) {
            if self.deletable(&req.input.bucket, &object.key).await? {
                req.input.delete.objects.push(object);
            } else {
                let (key, version_id) = (Some(object.key), object.version_id);
                nothing.push(DeletedObject { key, version_id, ..DeletedObject::default() });
            }
        }
        let mut answer = self.files.delete_objects(req).await?;
        answer.output.deleted.get_or_insert_default().extend(nothing);
        Ok(answer)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.writable(&req.input.bucket, &req.input.key, Write::Multipart).await?;
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let (upload, part) = (req.input.upload_id.clone(), req.input.part_number);
        let answer = self.files.upload_part(req).await?;
        self.still(&upload, part).await?;
        Ok(answer)
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        self.source(&req.input.copy_source).await?;
        let (upload, part) = (req.input.upload_id.clone(), req.input.part_number);
        let answer = self.files.upload_part_copy(req).await?;
        self.still(&upload, part).await?;
        Ok(answer)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        self.files.list_parts(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        self.writable(&req.input.bucket, &req.input.key, Write::Multipart).await?;
        let upload = req.input.upload_id.clone();
        let answer = self.files.complete_multipart_upload(req).await?;
        parts::sweep(&self.root, &upload).await.map_err(S3Error::internal_error)?;
        Ok(answer)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let upload = req.input.upload_id.clone();
        let answer = self.files.abort_multipart_upload(req).await?;
        parts::sweep(&self.root, &upload).await.map_err(S3Error::internal_error)?;
        Ok(answer)
    }
}

/// Removes `top` with its sub-folders, or nothing and fails with `DirectoryNotEmpty` if there is a
/// file anywhere. A file that arrives meanwhile survives: only empty folders are removed.
fn remove_folders(top: &Path) -> io::Result<()> {
    let mut folders = vec![top.to_path_buf()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            folders.push(entry.path());
        }
        next += 1;
    }
    // A folder comes after the one that holds it: the other way round, all are empty.
    folders.iter().rev().try_for_each(std::fs::remove_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<T>(input: T) -> S3Request<T> {
        S3Request {
            input,
            method: hyper::Method::PUT,
            uri: hyper::Uri::default(),
            headers: hyper::HeaderMap::default(),
            extensions: hyper::http::Extensions::default(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        }
    }

    /// F.16: what is being written while its upload is aborted is gone with it.
    #[tokio::test]
    async fn a_part_does_not_outlive_its_upload() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        let folder = std::sync::Arc::new(Folder::new(dir.path()).unwrap());
        let (bucket, key) = ("b".to_owned(), "k".to_owned());
        let wanted = CreateMultipartUploadInput::builder().bucket(bucket.clone()).key(key.clone());
        let begun = folder.create_multipart_upload(request(wanted.build().unwrap())).await.unwrap();
        let id = begun.output.upload_id.unwrap();
        let (sender, receiver) = futures::channel::mpsc::unbounded::<io::Result<bytes::Bytes>>();
        let part = UploadPartInput::builder()
            .bucket(bucket.clone())
            .key(key.clone())
            .upload_id(id.clone())
            .part_number(1)
            .body(Some(s3s::dto::StreamingBlob::wrap(receiver)));
        let part = request(part.build().unwrap());
        sender.unbounded_send(Ok("one".into())).unwrap();
        let writing = tokio::spawn({
            let folder = std::sync::Arc::clone(&folder);
            async move { folder.upload_part(part).await.map(drop) }
        });
        while std::fs::read_dir(dir.path()).unwrap().count() < 3 {
            tokio::task::yield_now().await; // the bucket, the upload, and the part under construction
        }
        let abort = AbortMultipartUploadInput::builder().bucket(bucket).key(key).upload_id(id);
        folder.abort_multipart_upload(request(abort.build().unwrap())).await.unwrap();
        drop(sender);
        let e = writing.await.unwrap().unwrap_err();
        assert_eq!(e.code(), &s3s::S3ErrorCode::NoSuchUpload);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn only_folders_without_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("a/b/c")).unwrap();
        std::fs::create_dir_all(top.join("d")).unwrap();
        std::fs::write(top.join("a/b/file"), b"").unwrap();
        let refused = remove_folders(&top).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert!(top.join("a/b/c").is_dir() && top.join("d").is_dir(), "nothing was removed");
        std::fs::remove_file(top.join("a/b/file")).unwrap();
        remove_folders(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(remove_folders(&top).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
