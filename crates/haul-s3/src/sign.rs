//! Signatures.
//!
//! Owns how a request is signed for S3: its path as it is, once encoded and never tidied up. Must never
//! keep a secret, nor change what is asked for.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::Request;

/// Who signs, for where, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) region: &'a str,
    pub(crate) time: SystemTime,
}

impl Signer<'_> {
    /// Adds the signature to a request. `None` if it has headers that cannot be signed.
    pub(crate) fn sign(
        self,
        mut request: Request<()>,
        body: SignableBody<'_>,
    ) -> Option<Request<()>> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(self.identity)
            .region(self.region)
            .name("s3")
            .time(self.time)
            .settings(settings)
            .build()
            .ok()?
            .into();
        let uri = request.uri().to_string();
        let headers: Option<Vec<_>> = request
            .headers()
            .iter()
            .map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let method = request.method().clone();
        let signable =
            SignableRequest::new(method.as_str(), uri, headers?.into_iter(), body).ok()?;
        let (signature, _) = sign(signable, &parameters).ok()?.into_parts();
        signature.apply_to_request_http1x(&mut request);
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use std::time::Duration;

    fn signed(request: http::request::Builder, body: SignableBody<'_>) -> String {
        let identity = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "test",
        )
        .into();
        // 20130524T000000Z
        let time = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 15_849);
        let signer = Signer { identity: &identity, region: "us-east-1", time };
        let request = signer.sign(request.body(()).unwrap(), body).unwrap();
        let value = request.headers()["authorization"].to_str().unwrap().to_owned();
        value.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// The examples of the S3 API reference, "Signature Calculations for the Authorization Header:
    /// Transferring Payload in a Single Chunk" (S1.18).
    #[test]
    fn amazon_s_examples() {
        let get = Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
            .header("range", "bytes=0-9");
        assert_eq!(
            signed(get, SignableBody::Bytes(b"")),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let put = Request::put("https://examplebucket.s3.amazonaws.com/test%24file.text")
            .header("date", "Fri, 24 May 2013 00:00:00 GMT")
            .header("x-amz-storage-class", "REDUCED_REDUNDANCY");
        assert_eq!(
            signed(put, SignableBody::Bytes(b"Welcome to Amazon S3.")),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        let list = Request::get("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J");
        assert_eq!(
            signed(list, SignableBody::Bytes(b"")),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn what_cannot_be_signed_is_not_sent() {
        let identity = Credentials::new("id", "secret", None, None, "test").into();
        let time = SystemTime::UNIX_EPOCH;
        let signer = Signer { identity: &identity, region: "r", time };
        let odd = http::HeaderValue::from_bytes("ü".as_bytes()).unwrap();
        let request = Request::get("http://h/b/k").header("x-amz-meta-a", odd).body(()).unwrap();
        assert!(signer.sign(request, SignableBody::UnsignedPayload).is_none());
    }
}
