//! Buckets as a whole.
//!
//! Owns making, removing, finding and listing them. Each is one attempt; the engine's retry policy
//! goes around. Must never remove what is in one.

use std::time::SystemTime;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use haul_core::{Error, ErrorKind, Op, Result};

use crate::ObjectId;
use crate::client::S3Client;
use crate::kept::Kept;
use crate::xml::{Malformed, Parsed, Xml};

/// A bucket of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// Name.
    pub name: String,
    /// When it was created.
    pub created: Option<SystemTime>,
}

/// Whose doing it is that a bucket exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was created just now.
    New,
    /// The caller had it before, perhaps by a request whose answer was lost.
    OursAlready,
}

/// Creates a bucket in the client's region.
pub async fn make_bucket(client: &S3Client, bucket: &str) -> Result<Created> {
    // AWS wants the region named everywhere but in us-east-1, where it refuses it; other stores
    // have one region and do not ask.
    let constraint = (!client.custom_endpoint && client.region() != "us-east-1").then(|| {
        CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(client.region()))
            .build()
    });
    let at = client.at(bucket).await;
    let request = at.create_bucket().bucket(bucket).set_create_bucket_configuration(constraint);
    let location = ObjectId::new(bucket, "");
    let sent = client.asking(Op::MakeBucket, &location, request.send()).await?;
    match sent {
        Ok(_) => Ok(Created::New),
        Err(e) if e.code() == Some("BucketAlreadyOwnedByYou") => Ok(Created::OursAlready),
        Err(e) => Err(at.failure(Op::MakeBucket, &location.to_string(), e).into()),
    }
}

/// Removes a bucket, which must be empty.
pub async fn remove_bucket(client: &S3Client, bucket: &str) -> Result<()> {
    let location = ObjectId::new(bucket, "");
    let at = client.at(bucket).await;
    let request = at.delete_bucket().bucket(bucket);
    let sent = client.asking(Op::RemoveBucket, &location, request.send()).await?;
    sent.map_err(|e| at.failure(Op::RemoveBucket, &location.to_string(), e))?;
    Ok(())
}

/// Whether a bucket exists. One that belongs to somebody else is an error: it is there, and closed.
pub async fn bucket_exists(client: &S3Client, bucket: &str) -> Result<bool> {
    let location = ObjectId::new(bucket, "");
    let at = client.at(bucket).await;
    let request = at.head_bucket().bucket(bucket);
    let sent = client.asking(Op::Stat, &location, request.send()).await?;
    match sent.map_err(|e| Error::from(at.failure(Op::Stat, &location.to_string(), e))) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// All buckets of the caller.
pub async fn list_buckets(client: &S3Client) -> Result<Vec<BucketInfo>> {
    const EVERYTHING: &str = "the buckets";
    let at = client.at("").await;
    let (mut buckets, mut token) = (Vec::new(), None::<String>);
    loop {
        let kept = Kept::new("ListAllMyBucketsResult");
        let request = at.list_buckets().set_continuation_token(token.clone());
        let request = request.customize().interceptor(kept.clone());
        let sent = client.asking(Op::List, &EVERYTHING, request.send()).await?;
        sent.map_err(|e| at.failure(Op::List, EVERYTHING, e))?;
        let (page, next) = kept.read(Op::List, EVERYTHING, page)?;
        let before = buckets.len();
        buckets.extend(page);
        match next {
            None => return Ok(buckets),
            // Every page but the last has something new, or there is no end.
            Some(next) if Some(&next) != token.as_ref() && buckets.len() > before => {
                token = Some(next);
            }
            Some(_) => {
                let what = "the store sends the same buckets again and again";
                return Err(Error::new(ErrorKind::Protocol, Op::List, EVERYTHING, what));
            }
        }
    }
}

/// One page, and the token of the next. There is nothing in it that says how many there are.
fn page(text: &[u8], root: &'static str) -> Parsed<(Vec<BucketInfo>, Option<String>)> {
    let (mut buckets, mut token) = (Vec::new(), None);
    Xml::document(text, root, |xml, name| match name {
        b"Buckets" => xml.children(|xml, name| {
            if name == b"Bucket" {
                buckets.push(bucket(xml)?);
            }
            Ok(())
        }),
        b"ContinuationToken" => {
            token = xml.some_text()?;
            Ok(())
        }
        _ => Ok(()),
    })?;
    Ok((buckets, token))
}

fn bucket(xml: &mut Xml<'_>) -> Parsed<BucketInfo> {
    let (mut name, mut created) = (None, None);
    xml.children(|xml, field| {
        match field {
            b"Name" => name = xml.some_text()?,
            b"CreationDate" => created = xml.time()?,
            _ => {}
        }
        Ok(())
    })?;
    let name = name.ok_or_else(|| Malformed::new("it lists a bucket without its name"))?;
    Ok(BucketInfo { name, created })
}
