//! What the stores do differently, as data.
//!
//! Owns the table, and which row an endpoint gets. Code decides by a row's fields and must never ask
//! which store it is: a new store is a new row.

use std::fmt;
use std::str::FromStr;

use haul_core::Algorithm;

use crate::multipart::{MAX_PART, MAX_PARTS};
use crate::region::region_in_host;

/// A store, or a family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// Amazon S3.
    Aws,
    /// MinIO.
    Minio,
    /// Cloudflare R2.
    R2,
    /// Garage.
    Garage,
    /// Ceph's RADOS gateway.
    Ceph,
    /// Google Cloud Storage, its XML interface.
    Gcs,
    /// Backblaze B2.
    B2,
    /// Wasabi.
    Wasabi,
    /// Any other: what most can do is tried, and what a store refuses is left out from then on.
    Generic,
}

/// Which listing a store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListVersion {
    /// ListObjects.
    V1,
    /// ListObjectsV2.
    V2,
}

/// The region to sign for when nothing names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefaultRegion {
    /// The one that most stores answer to.
    Usual,
    /// A name of the store's own.
    Named(&'static str),
    /// The part of the host name behind `s3.`, where there is one.
    InHost,
}

/// How a store differs from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// The checksum to send with bytes, and to ask for, until the store refuses it.
    pub checksum: Option<Algorithm>,
    /// Whether all parts but the last must have one size.
    pub equal_parts: bool,
    /// Most parts of an upload.
    pub max_parts: u64,
    /// Whether the bucket goes into the path of a custom endpoint.
    pub path_style: bool,
    /// The listing to ask for.
    pub list: ListVersion,
    /// Whether listings are asked to encode keys.
    pub url_encode_listing: bool,
    /// Whether the store copies parts of objects by itself.
    pub upload_part_copy: bool,
    /// Whether the ETag of an object of one part, not encrypted with a key of its own, is its MD5.
    pub etag_is_md5: bool,
    /// Whether the ETag of a multipart object is known to be the MD5 of its parts' MD5s.
    pub multipart_etag: bool,
    /// The region when nothing names one.
    pub region: DefaultRegion,
    /// Largest object that one CopyObject takes.
    pub copy_limit: u64,
    /// Whether the row is about a known store: then what it refuses without a word is not guessed at.
    pub known: bool,
    /// Whether the store breaks the signature of what its front end rewrites (`Accept-Encoding`) and
    /// of the `x-id` that the SDK adds.
    pub bare_requests: bool,
    /// Whether the store is known to remove an object only if it has the ETag that `If-Match` names.
    pub conditional_delete: bool,
    /// Whether a bucket's name means the same at all of the store's endpoints.
    pub one_namespace: bool,
}

/// What AWS does, from which the other rows depart.
const AWS: Quirks = Quirks {
    checksum: Some(Algorithm::Crc64Nvme),
    equal_parts: false,
    max_parts: MAX_PARTS,
    path_style: false,
    list: ListVersion::V2,
    url_encode_listing: true,
    upload_part_copy: true,
    etag_is_md5: true,
    multipart_etag: true,
    region: DefaultRegion::InHost,
    copy_limit: MAX_PART,
    known: true,
    bare_requests: false,
    // "Conditional deletes": general purpose buckets since September 2025.
    conditional_delete: true,
    one_namespace: true,
};

/// The table: name, what endpoints' hosts end in, and the row.
const TABLE: [(Provider, &str, &[&str], Quirks); 9] = [
    // S3 API reference and user guide.
    (Provider::Aws, "aws", &["amazonaws.com", "amazonaws.com.cn"], AWS),
    // rclone's provider file: path style and nothing else.
    (
        Provider::Minio,
        "minio",
        &[],
        Quirks {
            path_style: true,
            region: DefaultRegion::Usual,
            one_namespace: false,
            conditional_delete: false,
            ..AWS
        },
    ),
    // Cloudflare's documentation ("parts must be of equal size", region `auto`, CRC64NVME of the full
    // object); rclone's provider file: path style, ETags of multipart objects are random.
    (
        Provider::R2,
        "r2",
        &["r2.cloudflarestorage.com"],
        Quirks {
            equal_parts: true,
            path_style: true,
            multipart_etag: false,
            region: DefaultRegion::Named("auto"),
            one_namespace: false,
            conditional_delete: false,
            ..AWS
        },
    ),
    // Garage's documentation on S3 compatibility; its configuration examples name the region `garage`
    // and it refuses to be signed for another.
    (
        Provider::Garage,
        "garage",
        &[],
        Quirks {
            path_style: true,
            region: DefaultRegion::Named("garage"),
            one_namespace: false,
            conditional_delete: false,
            ..AWS
        },
    ),
    // rclone's provider file: ListObjects version 1, path style, no encoding of keys.
    (
        Provider::Ceph,
        "ceph",
        &[],
        Quirks {
            path_style: true,
            list: ListVersion::V1,
            url_encode_listing: false,
            region: DefaultRegion::Usual,
            one_namespace: false,
            conditional_delete: false,
            ..AWS
        },
    ),
    // rclone's provider file: Accept-Encoding must not be signed, no `x-id`, no UploadPartCopy, and
    // CopyObject of any size. Amazon's checksum headers are refused as ExcessHeaderValues
    // (milvus-io/milvus-storage#480).
    (
        Provider::Gcs,
        "gcs",
        &["storage.googleapis.com"],
        Quirks {
            checksum: None,
            path_style: true,
            upload_part_copy: false,
            region: DefaultRegion::Named("auto"),
            copy_limit: u64::MAX,
            bare_requests: true,
            conditional_delete: false,
            ..AWS
        },
    ),
    // Backblaze's documentation: the region is part of the host name, and checksum headers are not
    // supported: even `x-amz-checksum-mode` is refused (vatesfr/xen-orchestra#8358). What ETags of
    // multipart objects are made of is not said.
    (
        Provider::B2,
        "b2",
        &["backblazeb2.com"],
        Quirks {
            checksum: None,
            path_style: true,
            multipart_etag: false,
            conditional_delete: false,
            ..AWS
        },
    ),
    // Wasabi's documentation: the region is part of the host name.
    (
        Provider::Wasabi,
        "wasabi",
        &["wasabisys.com"],
        Quirks { path_style: true, conditional_delete: false, ..AWS },
    ),
    // Nothing is known: what most stores do is tried, and a refusal is learned. An ETag of parts that
    // is not made of their MD5s looks like a difference then, which is the safe mistake (U0.5).
    (
        Provider::Generic,
        "generic",
        &[],
        Quirks {
            path_style: true,
            region: DefaultRegion::Usual,
            known: false,
            one_namespace: false,
            conditional_delete: false,
            ..AWS
        },
    ),
];

impl Provider {
    /// All of them, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The one that an endpoint belongs to; no endpoint is AWS.
    pub fn of_endpoint(url: Option<&str>) -> Self {
        let Some(url) = url else { return Self::Aws };
        let host = host_of(url).to_ascii_lowercase();
        let within = |domain: &&str| {
            let rest = host.strip_suffix(*domain);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        TABLE.iter().find(|row| row.2.iter().any(within)).map_or(Self::Generic, |row| row.0)
    }

    /// What it does differently.
    pub fn quirks(self) -> &'static Quirks {
        &self.row().3
    }

    fn row(self) -> &'static (Self, &'static str, &'static [&'static str], Quirks) {
        // Every provider has a row: a test says so. The last is the one that claims nothing.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[TABLE.len() - 1])
    }
}

impl Quirks {
    /// The region to sign for when nothing names one.
    pub(crate) fn default_region<'a>(&self, endpoint: Option<&'a str>) -> &'a str {
        match self.region {
            DefaultRegion::Named(region) => region,
            DefaultRegion::Usual => USUAL_REGION,
            DefaultRegion::InHost => endpoint.and_then(region_in_host).unwrap_or(USUAL_REGION),
        }
    }
}

/// The region when nothing names one: what MinIO and most other stores call themselves, and the
/// one region AWS answers for every bucket from.
pub(crate) const USUAL_REGION: &str = "us-east-1";

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

/// There is no provider of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownProvider(String);

impl fmt::Display for UnknownProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = TABLE.iter().map(|row| row.1).collect();
        write!(f, "{:?} is no provider: there are {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownProvider {}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        let row = TABLE.iter().find(|row| row.1.eq_ignore_ascii_case(name));
        row.map(|row| row.0).ok_or_else(|| UnknownProvider(name.to_owned()))
    }
}

/// The host of an endpoint.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split("://").nth(1).unwrap_or(url);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    host.split(':').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_has_one_row_and_a_name_that_is_read_back() {
        let all: Vec<_> = Provider::all().collect();
        for provider in &all {
            assert_eq!(all.iter().filter(|p| *p == provider).count(), 1);
            assert_eq!(provider.to_string().parse(), Ok(*provider));
            assert_eq!(provider.row().0, *provider);
        }
        assert!("amazon".parse::<Provider>().unwrap_err().to_string().contains("aws, minio"));
    }

    /// S1.20: R2 is known by its host.
    #[test]
    fn endpoints_choose_their_row() {
        for (url, provider) in [
            ("https://s3.eu-west-1.amazonaws.com", Provider::Aws),
            ("https://s3.cn-north-1.amazonaws.com.cn", Provider::Aws),
            ("https://abc.r2.cloudflarestorage.com/x", Provider::R2),
            ("https://storage.googleapis.com:443", Provider::Gcs),
            ("https://s3.us-west-004.BackblazeB2.com", Provider::B2),
            ("https://s3.wasabisys.com", Provider::Wasabi),
            ("https://s3.amazonaws.com.evil.example", Provider::Generic),
            ("https://amazonaws.com@evil.example", Provider::Generic),
            ("https://notamazonaws.com", Provider::Generic),
            ("http://127.0.0.1:9000", Provider::Generic),
        ] {
            assert_eq!(Provider::of_endpoint(Some(url)), provider, "{url}");
        }
        assert_eq!(Provider::of_endpoint(None), Provider::Aws);
    }
}
