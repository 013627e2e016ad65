//! An SDK client that adds nothing of its own: no retries, no checksums unless asked for.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use haul_testkit::{StoreRules, TestServer};

pub(crate) const BUCKET: &str = "bucket";

pub(crate) fn config(server: &TestServer) -> aws_sdk_s3::config::Builder {
    let keys =
        Credentials::new(server.access_key(), server.secret_key(), None, None, "haul-testkit");
    unsigned(server).credentials_provider(keys)
}

pub(crate) fn unsigned(server: &TestServer) -> aws_sdk_s3::config::Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(server.region()))
        .allow_no_auth()
        .endpoint_url(server.endpoint_url())
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

/// A server with one empty bucket, and its client.
pub(crate) async fn start() -> (TestServer, Client) {
    start_with(StoreRules::default()).await
}

pub(crate) async fn start_with(rules: StoreRules) -> (TestServer, Client) {
    let server = TestServer::with_rules(rules).await.unwrap();
    server.store().create_bucket(BUCKET);
    let client = Client::from_conf(config(&server).build());
    (server, client)
}

/// The code and the status of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug, E>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> (String, u16)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    let error = result.unwrap_err();
    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
    (error.code().unwrap_or_default().to_owned(), status)
}

pub(crate) fn code(code: &str, status: u16) -> (String, u16) {
    (code.to_owned(), status)
}
