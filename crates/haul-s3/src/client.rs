//! The client for one endpoint.
//!
//! Owns how credentials, region and endpoint are found (the AWS chain), the settings without which
//! the SDK is slow or wrong for other stores, the endpoint's request gate, and what was learned about
//! the store. Must never retry: a request that is worth another try says so in its error.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{
    Credentials, IdentityCache, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::body::SdkBody;
use haul_core::{Error, ErrorKind, Gate, Heard, Hint, Op, Result, Retry, stall};
use haul_net::{Incoming, NetOptions};

use crate::address::Addresses;
use crate::checksum::ChecksumPolicy;
use crate::clock::Clock;
use crate::credentials::{Again, Keys};
use crate::direct::Direct;
use crate::error::{
    Denied, Failure, Redirect, Refused, bucket_region, failure, no_credentials, undelivered,
};
use crate::interceptor::{Bare, Payer};
use crate::profile::Named;
use crate::provider::{Provider, Quirks, USUAL_REGION};
use crate::region::{Place, Regions};
use crate::sdk::Http;
use crate::store::StoreId;

/// An access key, for callers that do not want the AWS chain to look for one.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct AccessKey {
    /// Access key id.
    pub id: String,
    /// Secret access key; never shown.
    pub secret: String,
    /// The token of a session, for keys that hold for a while; never shown.
    pub session_token: Option<String>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How to reach a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct S3Options {
    /// Endpoint instead of AWS's own; without it, the profile if one is named, `AWS_ENDPOINT_URL(_S3)`
    /// and the usual profile decide.
    pub endpoint_url: Option<String>,
    /// Region; without it, the profile if one is named, the environment and the usual profile decide, and
    /// then `us-east-1`.
    pub region: Option<String>,
    /// Profile of the AWS configuration files: what it says comes before the environment, and its keys
    /// are the only ones.
    pub profile: Option<String>,
    /// Credentials; without them, the AWS chain looks in the environment, the profile, SSO, and
    /// the machine's role.
    pub access_key: Option<AccessKey>,
    /// Send requests without a signature, for public objects.
    pub no_sign_request: bool,
    /// Say in every request that whoever asks pays for it, where the owner of a bucket wants that.
    pub requester_pays: bool,
    /// Sign the bytes of bodies too (SHA-256 of everything), for plain HTTP on an untrusted network.
    pub sign_payload: bool,
    /// Bucket in the path instead of the host name; without it, a custom endpoint gets it.
    pub path_style: Option<bool>,
    /// Which store it is; without it, the endpoint's host name decides.
    pub provider: Option<Provider>,
    /// Most parts of an upload, where a store takes fewer than its provider says.
    pub max_parts: Option<u64>,
    /// A file of certificates (PEM) to trust instead of the system's, as `AWS_CA_BUNDLE` names one: it
    /// is for the caller to look there.
    pub ca_bundle: Option<PathBuf>,
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
            requester_pays: false,
            sign_payload: false,
            path_style: None,
            provider: None,
            max_parts: None,
            ca_bundle: None,
            requests: 4,
            timeout: Duration::from_secs(20),
        }
    }
}

/// A client for one endpoint; clones share connections and the gate.
#[derive(Clone)]
pub struct S3Client {
    regions: Arc<Regions>,
    pub(crate) gate: Gate,
    pub(crate) checksums: Arc<ChecksumPolicy>,
    pub(crate) learned: Arc<Learned>,
    pub(crate) sign_payload: bool,
    /// Whether requests are signed at all.
    pub(crate) signed: bool,
    requester_pays: bool,
    /// Most parts of an upload.
    pub(crate) max_parts: u64,
    /// What to sign with, where requests are signed.
    pub(crate) keys: Option<Keys>,
    /// When to sign for.
    pub(crate) clock: Clock,
    http: Http,
    addresses: Arc<Addresses>,
    provider: Provider,
    timeout: Duration,
    pub(crate) custom_endpoint: bool,
    /// For messages; `None` for AWS's own.
    endpoint: Option<Arc<str>>,
}

/// What a store turned out not to know, so that it is asked once.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) no_list_v2: AtomicBool,
    pub(crate) no_delete_objects: AtomicBool,
    pub(crate) removes_plainly: AtomicBool,
}

impl fmt::Debug for S3Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Client")
            .field("provider", &self.provider)
            .field("region", &self.region())
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
        let profile = match &options.profile {
            Some(name) => Some(Named::find(name).await?),
            None => None,
        };
        let named = region_chain(options, profile.as_ref()).region().await;
        let mut net = NetOptions::default();
        net.ca_bundle.clone_from(&options.ca_bundle);
        let http = Http::new(net);
        let mut shared = load(options, (profile.as_ref(), named.as_ref()), &http).await;
        if profile.is_some()
            && options.endpoint_url.is_none()
            && let Some(url) = configured(&shared, NOWHERE)
        {
            let options = S3Options { endpoint_url: Some(url), ..options.clone() };
            shared = load(&options, (profile.as_ref(), named.as_ref()), &http).await;
        }
        let endpoint: Option<Arc<str>> = endpoint_of(&shared).map(Into::into);
        if let Some(url) = &endpoint {
            check_endpoint(url)?;
        }
        let provider =
            options.provider.unwrap_or_else(|| Provider::of_endpoint(endpoint.as_deref()));
        let quirks = provider.quirks();
        let named_region = named.clone();
        let region = named
            .unwrap_or_else(|| Region::new(quirks.default_region(endpoint.as_deref()).to_owned()));
        let again = sources(options, (profile.clone(), named_region), &http);
        let keys = shared.credentials_provider().map(|found| Keys::new(found, again));
        let clock = Clock::default();
        let config = configure(options, &shared, quirks, keys.as_ref())
            // Ours is for all requests, and the SDK's would come on top of it.
            .time_source(clock.clone())
            .disable_clock_skew_correction(true)
            .region(region.clone())
            .force_path_style(options.path_style.unwrap_or(endpoint.is_some() && quirks.path_style))
            .build();
        Ok(Self {
            regions: Arc::new(Regions::new(
                region.as_ref(),
                aws_sdk_s3::Client::from_conf(config),
                endpoint.clone(),
            )),
            gate: Gate::new(options.requests),
            checksums: Arc::new(ChecksumPolicy::new(quirks.checksum)),
            learned: Arc::default(),
            sign_payload: options.sign_payload,
            signed: !options.no_sign_request,
            requester_pays: options.requester_pays,
            max_parts: options.max_parts.unwrap_or(quirks.max_parts).min(quirks.max_parts).max(1),
            keys,
            clock,
            http,
            addresses: Arc::default(),
            provider,
            timeout: options.timeout,
            custom_endpoint: endpoint.is_some() && provider != Provider::Aws,
            endpoint,
        })
    }

    /// Which store it is.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// How the store differs from others.
    pub fn quirks(&self) -> &'static Quirks {
        self.provider.quirks()
    }

    /// The endpoint, where it is another than AWS's own for the region.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Which store it is: the same for every way to name it.
    pub fn store(&self) -> StoreId {
        StoreId::of(self.endpoint(), self.region())
    }

    /// The region that requests are signed for until a bucket turns out to be elsewhere.
    pub fn region(&self) -> &str {
        self.regions.home()
    }

    /// Where to send requests about `bucket`.
    pub(crate) async fn at<'a>(&'a self, bucket: &'a str) -> At<'a> {
        let mut place = self.regions.of(bucket);
        if place.ask {
            self.ask_region(bucket, &place).await;
            place = self.regions.of(bucket);
        }
        let Place { region, sdk, .. } = place;
        let generation = self.keys.as_ref().map(Keys::generation).unwrap_or_default();
        At { client: self, bucket, region, sdk, generation }
    }

    /// Asks where a bucket is, after a redirect that did not say. Failing to find out is no error:
    /// the request itself will say what is wrong.
    async fn ask_region(&self, bucket: &str, place: &Place) {
        let request = place.sdk.head_bucket().bucket(bucket);
        let asking = stall::within(self.timeout, Box::pin(request.send()));
        // Whoever asks may be through the gate already.
        let heard =
            |answer: &Option<_>| answer.as_ref().map_or(Heard::Nothing, crate::error::heard);
        let answer = self.gate.pass_aside(asking, heard).await;
        let region = match &answer {
            Some(Ok(found)) => found.bucket_region().map(str::to_owned),
            Some(Err(SdkError::ServiceError(refused))) => bucket_region(refused.raw()),
            _ => return,
        };
        self.regions.answered(bucket, region.as_deref());
    }

    /// The same client with a gate of its own: for a transfer that reads from and writes to one
    /// store at the same time, where a request would wait for another that waits for it.
    #[must_use]
    pub fn with_own_gate(&self) -> Self {
        Self { gate: self.gate.twin(), ..self.clone() }
    }

    /// Sends a small request through the gate, and waits for its answer as long as the time-out
    /// allows.
    pub(crate) fn asking<T, E: ProvideErrorMetadata>(
        &self,
        op: Op,
        location: &impl fmt::Display,
        request: impl Future<Output = Sent<T, E>>,
    ) -> impl Future<Output = Result<Sent<T, E>>> {
        let request = Box::pin(request); // the SDK's futures are large
        async move { self.gate.pass_heard(self.in_time(op, location, request), heard_in_time).await }
    }

    /// The same for a request that discards: it does not wait for those that write.
    pub(crate) fn asking_aside<T, E: ProvideErrorMetadata>(
        &self,
        op: Op,
        location: &impl fmt::Display,
        request: impl Future<Output = Sent<T, E>>,
    ) -> impl Future<Output = Result<Sent<T, E>>> {
        let request = Box::pin(request);
        async move { self.gate.pass_aside(self.in_time(op, location, request), heard_in_time).await }
    }

    /// Sends a request through the gate that its caller waits for as long as it likes.
    pub(crate) fn sending<T, E: ProvideErrorMetadata>(
        &self,
        request: impl Future<Output = Sent<T, E>>,
    ) -> impl Future<Output = Sent<T, E>> {
        let request = Box::pin(request);
        async move { self.gate.pass_heard(request, crate::error::heard).await }
    }

    /// The same for a caller that is through the gate.
    pub(crate) async fn in_time<F: Future>(
        &self,
        op: Op,
        location: &impl fmt::Display,
        request: F,
    ) -> Result<F::Output> {
        let late = || {
            let detail = format!("no answer within {} s", self.timeout.as_secs());
            Error::new(ErrorKind::Stalled, op, location, detail).with_retry(Retry::Backoff)
        };
        stall::within(self.timeout, request).await.ok_or_else(late)
    }
}

/// What comes of a request that the SDK makes.
type Sent<T, E> = Result<T, SdkError<E, HttpResponse>>;

fn heard_in_time<T, E: ProvideErrorMetadata>(outcome: &Result<Sent<T, E>>) -> Heard {
    outcome.as_ref().map_or(Heard::Nothing, crate::error::heard)
}

/// The client for one bucket, in the bucket's region.
pub(crate) struct At<'a> {
    client: &'a S3Client,
    pub(crate) bucket: &'a str,
    region: Arc<str>,
    sdk: aws_sdk_s3::Client,
    /// Which of our keys, one after the other, sign its requests.
    generation: u64,
}

impl std::ops::Deref for At<'_> {
    type Target = aws_sdk_s3::Client;

    fn deref(&self) -> &aws_sdk_s3::Client {
        &self.sdk
    }
}

impl At<'_> {
    /// Understands a failed request, and learns from it where the bucket is.
    pub(crate) fn failure<E>(&self, op: Op, location: &str, e: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.understood(op, failure(op, location, &self.region, e))
    }

    /// Whether the bytes of bodies are signed.
    pub(crate) fn signs_payload(&self) -> bool {
        self.client.sign_payload
    }

    /// The way around the SDK, where there is one.
    pub(crate) async fn direct(&self) -> Option<Direct<'_>> {
        let S3Client { keys, signed, addresses, clock, .. } = self.client;
        let keys = if *signed { Some(keys.as_ref()?) } else { None };
        let address = addresses.of(self.bucket, &self.region, &self.sdk).await?;
        let (bare, payer) = (self.client.quirks().bare_requests, self.client.requester_pays);
        Some(Direct { address, keys, clock, bare, payer })
    }

    /// Sends such a request; the answer is one that says yes.
    pub(crate) async fn sent(
        &self,
        op: Op,
        location: &str,
        request: http::Request<SdkBody>,
    ) -> Result<http::Response<Incoming>, Failure> {
        let answer = self.client.http.pools().send(request).await.map_err(|e| {
            let error = undelivered(op, location, &e).with_source(e);
            self.understood(op, Failure::of(error))
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let document = haul_net::drain(body).await;
        let refused = Refused::of(&head, &document);
        Err(self.understood(op, refused.understand(op, location, &self.region)))
    }

    /// There was nothing to sign such a request with.
    pub(crate) fn no_credentials(&self, op: Op, location: &str, e: CredentialsError) -> Failure {
        let error = no_credentials(op, location, &e).with_source(e);
        self.understood(op, Failure::of(error))
    }

    fn understood(&self, op: Op, failed: Failure) -> Failure {
        let at_once = Retry::After(Duration::ZERO);
        let error = match (&failed.redirect, &failed.denied) {
            (Some(redirect), _) if self.follow(op, redirect) => failed.error.with_retry(at_once),
            (_, Some(denied)) if self.skewed(denied) => skewed(failed.error).with_retry(at_once),
            (_, Some(denied)) if self.replaced(denied) => {
                replaced(failed.error).with_retry(at_once)
            }
            _ if failed.error.kind() == ErrorKind::Connect => self.unreached(failed.error),
            _ => failed.error,
        };
        Failure { error, ..failed }
    }

    /// Whether the store's clock turns out to be another than the one that was signed with.
    fn skewed(&self, denied: &Denied) -> bool {
        let Denied { date, .. } = denied;
        self.client.signed && date.is_some_and(|date| self.client.clock.learn(date))
    }

    /// Whether another try may be signed with another key.
    fn replaced(&self, denied: &Denied) -> bool {
        let keys = self.client.keys.as_ref().filter(|_| self.client.signed && denied.stale);
        keys.is_some_and(|keys| keys.refused(self.generation))
    }

    /// Says what to look at when there was no connection, and how long to try: an endpoint that has
    /// never answered may not be one.
    fn unreached(&self, error: Error) -> Error {
        let never = error.retry() == Retry::Backoff && !self.client.gate.reached();
        let error = if never { error.with_retry(Retry::Briefly) } else { error };
        if error.hint().is_some() {
            return error; // it is known what is wrong
        }
        error.with_hint(match &self.client.endpoint {
            Some(endpoint) => Hint::CheckEndpoint((&**endpoint).into()),
            None => Hint::NameEndpoint,
        })
    }

    /// Whether the same request may succeed when it is signed for another region. A custom endpoint
    /// that names another address means that address, which is not for it to choose; a bucket that is
    /// about to be created is nowhere yet.
    fn follow(&self, op: Op, redirect: &Redirect) -> bool {
        let away = self.client.custom_endpoint && redirect.elsewhere;
        let said = redirect.region.as_deref();
        op != Op::MakeBucket
            && !away
            && self.client.regions.redirected(self.bucket, &self.region, said)
    }
}

/// A refusal whose reason was the time: the store does not always say so.
fn skewed(e: Error) -> Error {
    let what = "the clocks of this machine and the store differ";
    Error::new(ErrorKind::AccessDenied, e.op(), e.location(), what)
        .with_hint(Hint::SetClock)
        .with_source(e)
}

/// A refusal that may be about a key that was replaced meanwhile.
fn replaced(e: Error) -> Error {
    let what = format!("{}: looking for the credentials once more", e.detail());
    Error::new(ErrorKind::AccessDenied, e.op(), e.location(), what).with_source(e)
}

/// How to find credentials anew, when those in use may have been replaced: never where the caller has
/// named them.
fn sources(
    options: &S3Options,
    named: (Option<Named>, Option<Region>),
    http: &Http,
) -> Option<Again> {
    if options.access_key.is_some() || options.no_sign_request {
        return None;
    }
    let (options, http) = (options.clone(), http.clone());
    Some(Box::new(move || {
        let (options, (profile, region), http) = (options.clone(), named.clone(), http.clone());
        Box::pin(async move {
            let shared = load(&options, (profile.as_ref(), region.as_ref()), &http).await;
            shared.credentials_provider()
        })
    }))
}

/// The settings of every client of this endpoint.
fn configure(
    options: &S3Options,
    shared: &SdkConfig,
    quirks: &Quirks,
    keys: Option<&Keys>,
) -> aws_sdk_s3::config::Builder {
    let mut config = aws_sdk_s3::config::Builder::from(shared)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(keys) = keys {
        // They are cached there, and must not be a second time: a key that was replaced has to go.
        config =
            config.credentials_provider(keys.clone()).identity_cache(IdentityCache::no_cache());
    }
    if options.no_sign_request {
        config = config.allow_no_auth();
    }
    if quirks.bare_requests {
        config = config.interceptor(Bare);
    }
    if options.requester_pays {
        config = config.interceptor(Payer);
    }
    config
}

async fn load(
    options: &S3Options,
    (profile, region): (Option<&Named>, Option<&Region>),
    http: &Http,
) -> SdkConfig {
    let limit = http.pools().options().connect_timeout;
    let timeouts = TimeoutConfig::builder().connect_timeout(limit).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(profile) = profile {
        loader =
            loader.profile_name(profile.name()).credentials_provider(profile.keys(region, http));
    }
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(key) = &options.access_key {
        let AccessKey { id, secret, session_token } = key.clone();
        let key = Credentials::new(id, secret, session_token, None, "haul");
        loader = loader.credentials_provider(key);
    }
    if options.no_sign_request {
        loader = loader.no_credentials();
    }
    // Identity services want a region too, whatever the store makes of none.
    loader.region(region.cloned().unwrap_or(Region::new(USUAL_REGION))).load().await
}

/// The region: asked for, else that of the profile that was named, else from the environment or the
/// profile that is usual. The instance metadata service is
/// not asked: off EC2 that costs seconds, and on EC2 a bucket's region is the bucket's, not the
/// machine's.
fn region_chain(options: &S3Options, profile: Option<&Named>) -> RegionProviderChain {
    use aws_config::environment::EnvironmentVariableRegionProvider;
    use aws_config::profile::ProfileFileRegionProvider;
    RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(profile.and_then(Named::region))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
}

/// The endpoint that the SDK will use, looked up as it does: the S3 one before the general one.
fn endpoint_of(shared: &SdkConfig) -> Option<String> {
    if shared.get_origin("endpoint_url").is_client_config() {
        return shared.endpoint_url().map(str::to_owned);
    }
    configured(shared, "AWS_ENDPOINT_URL").or_else(|| shared.endpoint_url().map(str::to_owned))
}

/// No variable is called that.
const NOWHERE: &str = "HAUL_NO_VARIABLE";

/// The endpoint that a variable or else the profile names.
fn configured(shared: &SdkConfig, variable: &'static str) -> Option<String> {
    let key = aws_types::service_config::ServiceConfigKey::builder()
        .service_id("S3")
        .env(variable)
        .profile("endpoint_url")
        .build()
        .ok();
    key.and_then(|key| shared.service_config()?.load_config(key))
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
        .with_hint(Hint::WriteEndpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U1.4: http is allowed.
    #[test]
    fn endpoints() {
        assert!(check_endpoint("http://127.0.0.1:9000").is_ok());
        for bad in ["", "localhost:9000", "ftp://x", "http://", "http:///x", "http://a b"] {
            assert!(check_endpoint(bad).is_err(), "{bad}");
        }
    }
}
