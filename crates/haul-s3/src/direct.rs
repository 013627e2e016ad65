//! The hot requests without the SDK, which takes five times as long for one as HTTP and signature do.
//!
//! Owns their making: URL, headers, signature. Whatever is unusual (S3 Express and other buckets with
//! rules of their own, keys and headers that the SDK has words against) is left to the SDK: then there
//! is no request here. Must never give an answer a meaning.

use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::SignableBody;
use haul_core::Attributes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, RANGE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use percent_encoding::utf8_percent_encode;

use crate::address::Address;
use crate::attributes::{ENCODE, ENCODE_KEY, metadata_of, tagging_of};
use crate::clock::Clock;
use crate::credentials::Keys;
use crate::interceptor::PAYER;
use crate::sign::Signer;
use crate::wire::{Get, Put, What};

/// Who we are.
const NAME: HeaderValue = HeaderValue::from_static(concat!("haul/", env!("CARGO_PKG_VERSION")));

/// Makes requests about the keys of one bucket.
pub(crate) struct Direct<'a> {
    pub(crate) address: Arc<Address>,
    /// What to sign with; `None` for requests without a signature.
    pub(crate) keys: Option<&'a Keys>,
    /// When to sign for.
    pub(crate) clock: &'a Clock,
    /// Whether the store decodes what is stored as gzip, unless it is told not to.
    pub(crate) bare: bool,
    /// Whether to say that whoever asks pays.
    pub(crate) payer: bool,
}

/// A request that is ready but for its body, or `None` where the SDK knows better.
pub(crate) type Prepared = Result<Option<Request<()>>, CredentialsError>;

impl Direct<'_> {
    /// GetObject.
    pub(crate) async fn get(&self, get: &Get<'_>) -> Prepared {
        let mut query = Query::default();
        if let Some(version) = get.version {
            query.add("versionId", version);
        }
        let mut headers = Headers::default();
        headers.add(IF_MATCH, get.etag);
        headers.add(RANGE, get.range.as_deref());
        headers.add(amz("x-amz-checksum-mode"), get.checksum.then_some("ENABLED"));
        let request = self.request(Method::GET, get.key, query, headers);
        let mut signed = self.signed(request, SignableBody::Bytes(b"")).await?;
        if let Some(request) = signed.as_mut() {
            // Not signed, because it is for whoever stands in between. Google's store decodes what is
            // stored as gzip, and does not say how long that is, for whoever does not take gzip.
            let takes = if self.bare { "gzip" } else { "identity" };
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(takes));
        }
        Ok(signed)
    }

    /// PutObject or UploadPart; `body` where its bytes take part in the signature.
    pub(crate) async fn put(&self, put: &Put<'_>, body: Option<&[u8]>) -> Prepared {
        let (mut query, mut headers) = (Query::default(), Headers::default());
        headers.0.as_mut().map(|all| all.insert(CONTENT_LENGTH, put.length.into()));
        headers.add(amz("x-amz-checksum-crc64nvme"), put.checksum.as_deref());
        match &put.what {
            What::Object(spec) => {
                headers.add(IF_NONE_MATCH, (!spec.overwrite).then_some("*"));
                headers.add_attributes(&spec.attributes);
            }
            What::Part { upload, number } => {
                query.add("partNumber", &number.to_string());
                query.add("uploadId", upload);
            }
        }
        headers.add_default(CONTENT_TYPE, "application/octet-stream");
        let request = self.request(Method::PUT, put.key, query, headers);
        self.signed(request, body.map_or(SignableBody::UnsignedPayload, SignableBody::Bytes)).await
    }

    fn request(
        &self,
        method: Method,
        key: &str,
        query: Query,
        headers: Headers,
    ) -> Option<Request<()>> {
        // The SDK says what is wrong with those.
        if key.trim().is_empty() {
            return None;
        }
        let mut headers = headers;
        headers.add(amz(PAYER), self.payer.then_some("requester"));
        let mut uri = format!("{}/{}", self.address.base, utf8_percent_encode(key, ENCODE_KEY));
        uri.push_str(&query.0);
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::try_from(uri).ok()?;
        *request.headers_mut() = headers.0?;
        Some(request)
    }

    async fn signed(&self, request: Option<Request<()>>, body: SignableBody<'_>) -> Prepared {
        let (Some(mut request), keys) = (request, self.keys) else { return Ok(None) };
        if let Some(keys) = keys {
            let identity = keys.identity().await?;
            let region = &self.address.region;
            let by = Signer { identity: &identity, region, time: self.clock.now() };
            match by.sign(request, body) {
                Some(signed) => request = signed,
                None => return Ok(None),
            }
        }
        request.headers_mut().insert(USER_AGENT, NAME);
        Ok(Some(request))
    }
}

/// A header of Amazon's own.
fn amz(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// The part of a URL behind its path, question mark included.
#[derive(Default)]
struct Query(String);

impl Query {
    fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, ENCODE));
    }
}

/// Headers; `None` once there was something that cannot be one.
struct Headers(Option<HeaderMap>);

impl Default for Headers {
    fn default() -> Self {
        Self(Some(HeaderMap::with_capacity(16)))
    }
}

impl Headers {
    fn add(&mut self, name: HeaderName, value: Option<&str>) {
        let (Some(all), Some(value)) = (&mut self.0, value) else { return };
        match HeaderValue::from_str(value) {
            Ok(value) => drop(all.insert(name, value)),
            Err(_) => self.0 = None,
        }
    }

    fn add_default(&mut self, name: HeaderName, value: &'static str) {
        if let Some(all) = &mut self.0 {
            all.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }

    /// The same fields that [`set_attributes`](crate::attributes::set_attributes) sets.
    fn add_attributes(&mut self, a: &Attributes) {
        self.add(CONTENT_TYPE, a.content_type.as_deref());
        self.add(CACHE_CONTROL, a.cache_control.as_deref());
        self.add(CONTENT_ENCODING, a.content_encoding.as_deref());
        self.add(CONTENT_DISPOSITION, a.content_disposition.as_deref());
        self.add(CONTENT_LANGUAGE, a.content_language.as_deref());
        self.add(amz("x-amz-storage-class"), a.storage_class.as_deref());
        self.add(amz("x-amz-acl"), a.acl.as_deref());
        self.add(amz("x-amz-server-side-encryption"), a.encryption.as_deref());
        let key_id = amz("x-amz-server-side-encryption-aws-kms-key-id");
        self.add(key_id, a.kms_key_id.as_deref());
        self.add(amz("x-amz-tagging"), tagging_of(a).as_deref());
        for (name, value) in metadata_of(a).unwrap_or_default() {
            match HeaderName::try_from(format!("x-amz-meta-{name}")) {
                Ok(name) => self.add(name, Some(&value)),
                Err(_) => self.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haul_core::UploadSpec;
    use std::sync::LazyLock;

    fn direct() -> Direct<'static> {
        static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::default);
        let address = Address { base: "http://h:1/b".into(), region: "r".into() };
        Direct { address: address.into(), keys: None, clock: &CLOCK, bare: false, payer: false }
    }

    fn get(key: &str) -> Get<'_> {
        Get { key, version: None, etag: None, range: None, checksum: false }
    }

    fn put(spec: &UploadSpec) -> Put<'_> {
        Put { key: "k", what: What::Object(spec), length: 3, checksum: None }
    }

    #[tokio::test]
    async fn a_get_says_what_is_wanted_and_no_more() {
        let get = Get { version: Some("v+1"), range: Some("bytes=0-1".into()), ..get("a/ü +%?.") };
        let request = direct().get(&get).await.unwrap().unwrap();
        assert_eq!(request.uri(), "http://h:1/b/a/%C3%BC%20%2B%25%3F.?versionId=v%2B1");
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "range", "user-agent"]);
        let bare = Direct { bare: true, ..direct() };
        let request = bare.get(&self::get("k")).await.unwrap().unwrap();
        assert_eq!(request.headers()[ACCEPT_ENCODING], "gzip");
    }

    /// S1.6: what is unusual goes through the SDK.
    #[tokio::test]
    async fn a_put_carries_attributes_and_an_odd_one_is_left_to_the_sdk() {
        let mut attributes = Attributes::default();
        attributes.metadata.insert("A-b".into(), "c".into());
        let mut spec = UploadSpec { plan: None, attributes, overwrite: false, read: None };
        let request = direct().put(&put(&spec), None).await.unwrap().unwrap();
        for (name, value) in [
            ("x-amz-meta-a-b", "c"),
            ("if-none-match", "*"),
            ("content-length", "3"),
            ("content-type", "application/octet-stream"),
        ] {
            assert_eq!(request.headers()[name], value);
        }
        spec.attributes.metadata.insert("no name".into(), "x".into());
        assert!(direct().put(&put(&spec), None).await.unwrap().is_none());
        assert!(direct().get(&get(" ")).await.unwrap().is_none());
    }
}
