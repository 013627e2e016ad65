//! Request bodies: read once, hashed on the way, checked against what the client claimed.
//!
//! Owns: BadDigest, InvalidDigest, IncompleteBody and their conditions. Must never store a byte
//! before every claim about the body held.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};

use super::checksums::hasher;
use super::state::custom_error;
use super::{Algorithm, ChecksumSupport, Checksums, Content, StoreRules};

/// A body that passed its checks.
pub(super) struct Taken {
    pub(super) content: Content,
    pub(super) md5: [u8; 16],
    /// Whether `md5` is the MD5 of the content: synthetic content is not hashed.
    pub(super) hashed: bool,
    /// The checksums to keep.
    pub(super) checksums: Checksums,
}

/// What a request said about its body.
pub(super) struct Claims {
    checksums: Checksums,
    announced: Option<Algorithm>,
    trailer: Option<TrailingHeaders>,
    md5: Option<[u8; 16]>,
    length: Option<u64>,
}

impl Claims {
    /// `checksums` are the header values.
    pub(super) fn new(
        headers: &HeaderMap,
        trailer: Option<TrailingHeaders>,
        checksums: Checksums,
    ) -> S3Result<Self> {
        for (algorithm, value) in checksums.iter() {
            if !algorithm.accepts(value) {
                return Err(invalid_value(algorithm));
            }
        }
        let trailing = header(headers, "x-amz-trailer")
            .and_then(|name| Algorithm::ALL.into_iter().find(|a| a.header() == name));
        if checksums.len() + usize::from(trailing.is_some()) > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        let sdk = header(headers, "x-amz-sdk-checksum-algorithm").and_then(Algorithm::parse);
        let announced = checksums.iter().next().map(|(a, _)| a).or(trailing);
        if announced.is_none() && sdk.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
                 x-amz-trailer headers were found."
            ));
        }
        Ok(Self {
            announced,
            checksums,
            trailer,
            md5: header(headers, "content-md5").map(decode_md5).transpose()?,
            length: header(headers, "content-length").and_then(|len| len.parse().ok()),
        })
    }

    /// The algorithm the client chose, if it chose one.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.announced
    }

    fn verify(self, computed: &Checksums, md5: [u8; 16], length: u64) -> S3Result<()> {
        if self.length.is_some_and(|claimed| claimed != length) {
            return Err(s3_error!(IncompleteBody, "The request body terminated unexpectedly"));
        }
        if self.md5.is_some_and(|claimed| claimed != md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let mut claimed = self.checksums;
        if let Some(trailer) = self.trailer.and_then(|trailer| trailer.take()) {
            for algorithm in Algorithm::ALL {
                let value = header(&trailer, &algorithm.header()).map(str::to_owned);
                if value.as_deref().is_some_and(|value| !algorithm.accepts(value)) {
                    return Err(invalid_value(algorithm));
                }
                claimed.insert(algorithm, value);
            }
        }
        for (algorithm, value) in claimed.iter() {
            if computed.get(algorithm) != Some(value) {
                return Err(bad_digest(algorithm));
            }
        }
        Ok(())
    }
}

/// Reads a body to its end and checks it. `keep` names the checksums to store, computed here if the
/// client sent none.
pub(super) async fn take(
    body: Option<StreamingBlob>,
    claims: Claims,
    keep: &[Algorithm],
    sink: bool,
) -> S3Result<Taken> {
    let mut algorithms = keep.to_vec();
    algorithms.extend(claims.announced);
    let mut sums = hasher(&algorithms);
    let mut md5 = Md5::new();
    let mut length = 0u64;
    // The header may lie: trust it for a buffer of one part at most.
    let mut bytes = BytesMut::new();
    if !sink {
        bytes.reserve(claims.length.unwrap_or(0).min(64 << 20) as usize);
    }
    let mut body = body;
    while let Some(frame) = match &mut body {
        Some(body) => body.next().await,
        None => None,
    } {
        let frame: Bytes = frame.map_err(broken_body)?;
        md5.update(&frame);
        sums.update(&frame);
        length += frame.len() as u64;
        if !sink {
            bytes.extend_from_slice(&frame);
        }
    }
    let (md5, computed) = (md5.finalize(), Checksums::from(sums.finalize()));
    claims.verify(&computed, md5, length)?;
    let content = if sink { Content::sunk(length) } else { Content::from(bytes.freeze()) };
    Ok(Taken { content, md5, hashed: true, checksums: computed.keep(keep) })
}

/// The same for bytes the store already has.
pub(super) fn rehash(content: &Content, keep: &[Algorithm]) -> Taken {
    let mut sums = hasher(keep);
    let mut md5 = Md5::new();
    if content.is_real() {
        for frame in content.frames() {
            md5.update(&frame);
            sums.update(&frame);
        }
        let checksums = Checksums::from(sums.finalize());
        let md5 = md5.finalize();
        return Taken { content: content.clone(), md5, hashed: true, checksums };
    }
    // Synthetic content is not hashed: at 10 GB that is what a test would spend its time on.
    md5.update(b"synthetic");
    md5.update(&content.len().to_be_bytes());
    let md5 = md5.finalize();
    Taken { content: content.clone(), md5, hashed: false, checksums: Checksums::default() }
}

/// Refuses what a store without checksum support refuses.
pub(super) fn check_support(rules: &StoreRules, headers: &HeaderMap) -> S3Result<()> {
    let code = match rules.checksums {
        ChecksumSupport::Accept => return Ok(()),
        ChecksumSupport::InvalidArgument | ChecksumSupport::NotEvenAskedFor => {
            S3ErrorCode::InvalidArgument
        }
        ChecksumSupport::NotImplemented => S3ErrorCode::NotImplemented,
    };
    let sent = headers.keys().map(http::HeaderName::as_str).find(|name| {
        let asked = *name == "x-amz-checksum-mode";
        let checksum = name.starts_with("x-amz-checksum-")
            && (!asked || rules.checksums == ChecksumSupport::NotEvenAskedFor);
        checksum || *name == "x-amz-sdk-checksum-algorithm" || *name == "x-amz-trailer"
    });
    sent.map_or(Ok(()), |name| {
        Err(S3Error::with_message(code, format!("header {name} is not supported")))
    })
}

pub(super) fn bad_digest(algorithm: Algorithm) -> S3Error {
    let name = algorithm.name();
    s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum.")
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn invalid_value(algorithm: Algorithm) -> S3Error {
    let name = algorithm.header();
    s3_error!(InvalidRequest, "Value for {name} header is invalid.")
}

fn decode_md5(value: &str) -> S3Result<[u8; 16]> {
    let raw = STANDARD.decode(value).ok();
    raw.and_then(|raw| raw.try_into().ok())
        .ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."))
}

/// `s3s` checks signed payloads while they are read; its error types are private, their text is not.
fn broken_body(error: s3s::StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let message =
            "The provided 'x-amz-content-sha256' header does not match what was computed.";
        return custom_error("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message);
    }
    if text.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch);
    }
    S3Error::with_source(S3ErrorCode::IncompleteBody, error)
}
