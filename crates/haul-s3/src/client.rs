//! The client for one endpoint.
//!
//! Owns how credentials, region and endpoint are found (the AWS chain), the settings without which
//! the SDK is slow or wrong for other stores, and the endpoint's request gate.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Credentials, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::shared::IntoShared as _;
use haul_core::lanes;
use haul_core::{Error, ErrorKind, Gate, Op, Result, Retry, stall};

use crate::ObjectId;
use crate::checksum::ChecksumPolicy;
use crate::error::{Failure, failure};

/// An access key, for callers that do not want the AWS chain to look for one.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Access key id.
    pub id: String,
    /// Secret access key; never shown.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("secret", &"***").finish()
    }
}

/// How to reach a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3Options {
    /// Endpoint instead of AWS's own; without it, `AWS_ENDPOINT_URL(_S3)` and the profile decide.
    pub endpoint_url: Option<String>,
    /// Region; without it, the environment and the profile decide, and then `us-east-1`.
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Credentials; without them, the AWS chain looks in the environment, the profile, SSO, and
    /// the machine's role.
    pub access_key: Option<AccessKey>,
    /// Send requests without a signature, for public objects.
    pub no_sign_request: bool,
    /// Sign the bytes of bodies too (SHA-256 of everything), for plain HTTP on an untrusted network.
    pub sign_payload: bool,
    /// Bucket in the path instead of the host name; without it, a custom endpoint gets it.
    pub path_style: Option<bool>,
    /// Requests in flight to the endpoint.
    pub requests: usize,
    /// How long a small request may take. Requests with bodies have the engine's stall timer, and
    /// commits and copies a deadline of their own.
    pub timeout: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: None,
            profile: None,
            access_key: None,
            no_sign_request: false,
            sign_payload: false,
            path_style: None,
            requests: 4,
            timeout: Duration::from_secs(20),
        }
    }
}

/// The region when nothing names one: what MinIO and most other stores call themselves, and the
/// one region AWS answers for every bucket from.
const FALLBACK_REGION: &str = "us-east-1";

/// How long a connection may take. S3's own clients use 3.1 s; distant stores need a little more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for one endpoint; clones share connections and the gate.
#[derive(Clone)]
pub struct S3Client {
    sdk: Arc<LaneClients>,
    pub(crate) gate: Gate,
    pub(crate) checksums: Arc<ChecksumPolicy>,
    pub(crate) sign_payload: bool,
    pub(crate) equal_parts: bool,
    timeout: Duration,
    pub(crate) region: String,
    pub(crate) custom_endpoint: bool,
    /// For messages; `None` for AWS's own.
    endpoint: Option<Arc<str>>,
}

impl fmt::Debug for S3Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Client")
            .field("region", &self.region)
            .field("custom_endpoint", &self.custom_endpoint)
            .finish_non_exhaustive()
    }
}

impl S3Client {
    /// Finds credentials, region and endpoint. No request is sent to the store yet.
    pub async fn connect(options: &S3Options) -> Result<Self> {
        if let Some(url) = &options.endpoint_url {
            check_endpoint(url)?;
        }
        let shared = load(options).await;
        let region = shared.region().map_or(FALLBACK_REGION, |r| r.as_ref()).to_owned();
        let endpoint = endpoint_of(&shared);
        if let Some(url) = &endpoint {
            check_endpoint(url)?;
        }
        let plain = endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        let custom_endpoint = endpoint.as_deref().is_some_and(|url| !is_aws(url));
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(options.path_style.unwrap_or(custom_endpoint));
        if options.no_sign_request {
            config = config.allow_no_auth();
        }
        Ok(Self {
            sdk: Arc::new(LaneClients::new(config.build(), plain)),
            gate: Gate::new(options.requests),
            checksums: Arc::new(ChecksumPolicy::default()),
            sign_payload: options.sign_payload,
            equal_parts: endpoint.as_deref().is_some_and(wants_equal_parts),
            timeout: options.timeout,
            region,
            custom_endpoint,
            endpoint: endpoint.map(Into::into),
        })
    }

    /// The SDK's client for this thread.
    pub(crate) fn sdk(&self) -> &aws_sdk_s3::Client {
        self.sdk.here()
    }

    /// The same client with a gate of its own: for a transfer that reads from and writes to one
    /// store at the same time, where a request would wait for another that waits for it.
    #[must_use]
    pub fn with_own_gate(&self) -> Self {
        Self { gate: Gate::new(self.gate.limit()), ..self.clone() }
    }

    /// Understands a failed request to this endpoint.
    pub(crate) fn failure<E>(&self, op: Op, location: &str, e: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let Failure { error, code } = failure(op, location, e);
        let error = match (error.kind(), &self.endpoint) {
            (ErrorKind::Connect, Some(endpoint)) => {
                error.with_hint(format!("is the endpoint {endpoint} right, and does it run?"))
            }
            _ => error,
        };
        Failure { error, code }
    }

    /// Sends a small request through the gate, and waits for its answer as long as the time-out
    /// allows.
    pub(crate) async fn asking<F: Future>(
        &self,
        op: Op,
        object: &ObjectId,
        request: F,
    ) -> Result<F::Output> {
        let _permit = self.gate.enter().await;
        let late = || {
            let detail = format!("no answer within {} s", self.timeout.as_secs());
            Error::new(ErrorKind::Stalled, op, object, detail).with_retry(Retry::Backoff)
        };
        // Boxed: the SDK's futures are large.
        stall::within(self.timeout, Box::pin(request)).await.ok_or_else(late)
    }
}

/// One SDK client for each lane, and one for all other threads. A connection is driven by the
/// runtime that opened it; were the pool shared, bytes would cross threads on their way.
struct LaneClients {
    config: aws_sdk_s3::Config,
    /// Whether the endpoint is plain HTTP, which needs no certificates.
    plain: bool,
    clients: Vec<OnceLock<aws_sdk_s3::Client>>,
}

/// The most lanes that get a pool of their own.
const MOST_LANES: usize = 64;

impl LaneClients {
    fn new(config: aws_sdk_s3::Config, plain: bool) -> Self {
        let clients = std::iter::repeat_with(OnceLock::new).take(MOST_LANES + 1).collect();
        Self { config, plain, clients }
    }

    fn here(&self) -> &aws_sdk_s3::Client {
        let slot = lanes::current().map_or(0, |lane| 1 + lane % MOST_LANES);
        self.clients[slot].get_or_init(|| {
            let http = http_client(self.plain);
            aws_sdk_s3::Client::from_conf(self.config.to_builder().http_client(http).build())
        })
    }
}

/// An HTTP client with a pool of its own, made on its first request. The SDK would make it, and read
/// all certificates, when a client is configured; credentials rarely need it, and plain HTTP never.
#[derive(Debug)]
struct LazyHttp {
    plain: bool,
    client: OnceLock<SharedHttpClient>,
}

fn http_client(plain: bool) -> SharedHttpClient {
    LazyHttp { plain, client: OnceLock::new() }.into_shared()
}

impl HttpClient for LazyHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let plain = self.plain;
        let make = || {
            let builder = aws_smithy_http_client::Builder::new();
            builder.build_with_connector_fn(move |settings, components| {
                connector(plain, settings, components)
            })
        };
        self.client.get_or_init(make).http_connector(settings, components)
    }
}

/// Connects directly or through the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`).
fn connector(
    plain: bool,
    settings: Option<&HttpConnectorSettings>,
    components: Option<&RuntimeComponents>,
) -> Connector {
    let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
    builder.set_connector_settings(settings.cloned());
    builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
    if plain {
        return builder.build_http();
    }
    builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
}

async fn load(options: &S3Options) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(false))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(key) = &options.access_key {
        let AccessKey { id, secret } = key.clone();
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "haul"));
    }
    if options.no_sign_request {
        loader = loader.no_credentials();
    }
    loader.region(region_chain(options)).load().await
}

/// The region: asked for, else from the environment or the profile, else the fallback. The
/// instance metadata service is not asked: off EC2 that costs seconds, and on EC2 a bucket's
/// region is the bucket's, not the machine's.
fn region_chain(options: &S3Options) -> RegionProviderChain {
    use aws_config::environment::EnvironmentVariableRegionProvider;
    use aws_config::profile::ProfileFileRegionProvider;
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &options.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(FALLBACK_REGION)
}

/// The endpoint that the SDK will use, looked up as it does: the S3 one before the general one.
fn endpoint_of(shared: &SdkConfig) -> Option<String> {
    if shared.get_origin("endpoint_url").is_client_config() {
        return shared.endpoint_url().map(str::to_owned);
    }
    let key = aws_types::service_config::ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok();
    key.and_then(|key| shared.service_config()?.load_config(key))
        .or_else(|| shared.endpoint_url().map(str::to_owned))
}

/// Whether an endpoint is one of AWS's, which keep the SDK's own addressing rules.
fn is_aws(url: &str) -> bool {
    let host = host_of(url);
    host == "amazonaws.com"
        || host.ends_with(".amazonaws.com")
        || host.ends_with(".amazonaws.com.cn")
}

/// Whether a store insists on parts of equal size: Cloudflare's R2 does, at completion.
fn wants_equal_parts(url: &str) -> bool {
    host_of(url).ends_with(".r2.cloudflarestorage.com")
}

fn host_of(url: &str) -> &str {
    let host = url.split("://").nth(1).unwrap_or(url);
    host.split(['/', ':']).next().unwrap_or(host)
}

fn check_endpoint(url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let has_host = rest.is_some_and(|r| !r.is_empty() && !r.starts_with(['/', ':', '?']));
    let clean = url.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if has_host && clean {
        return Ok(());
    }
    let shown = match url.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"), // what stands before may be a password
        None => url.to_owned(),
    };
    Err(Error::new(ErrorKind::Invalid, Op::Configure, shown, "it is no endpoint URL")
        .with_hint("an endpoint looks like https://s3.example.com or http://127.0.0.1:9000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert!(check_endpoint("http://127.0.0.1:9000").is_ok());
        for bad in ["", "localhost:9000", "ftp://x", "http://", "http:///x", "http://a b"] {
            assert!(check_endpoint(bad).is_err(), "{bad}");
        }
        assert!(is_aws("https://s3.eu-west-1.amazonaws.com"));
        assert!(!is_aws("https://s3.amazonaws.com.evil.example"));
        assert!(!is_aws("http://127.0.0.1:9000"));
    }
}
