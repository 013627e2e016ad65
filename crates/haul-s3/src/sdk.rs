//! The SDK's clients, one for each thread that moves bytes.
//!
//! Owns HTTP connections: a pool for each lane, made on the first request, through the proxies that
//! the environment names. Must never be shared between runtimes.

use std::sync::OnceLock;

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

/// One SDK client for each lane, and one for all other threads. A connection is driven by the
/// runtime that opened it; were the pool shared, bytes would cross threads on their way.
pub(crate) struct LaneClients {
    config: aws_sdk_s3::Config,
    /// Whether the endpoint is plain HTTP, which needs no certificates.
    plain: bool,
    clients: Vec<OnceLock<aws_sdk_s3::Client>>,
}

/// The most lanes that get a pool of their own.
const MOST_LANES: usize = 64;

impl LaneClients {
    pub(crate) fn new(config: aws_sdk_s3::Config, plain: bool) -> Self {
        let clients = std::iter::repeat_with(OnceLock::new).take(MOST_LANES + 1).collect();
        Self { config, plain, clients }
    }

    /// The client for this thread.
    pub(crate) fn here(&self) -> &aws_sdk_s3::Client {
        let slot = lanes::current().map_or(0, |lane| 1 + lane % MOST_LANES);
        self.clients[slot].get_or_init(|| {
            let http = http_client(self.plain);
            aws_sdk_s3::Client::from_conf(self.config.to_builder().http_client(http).build())
        })
    }

    /// The same settings with changes.
    pub(crate) fn changed(
        &self,
        change: impl FnOnce(aws_sdk_s3::config::Builder) -> aws_sdk_s3::config::Builder,
    ) -> Self {
        Self::new(change(self.config.to_builder()).build(), self.plain)
    }
}

/// An HTTP client with a pool of its own, made on its first request. The SDK would make it, and read
/// all certificates, when a client is configured; credentials rarely need it, and plain HTTP never.
#[derive(Debug)]
struct LazyHttp {
    plain: bool,
    client: OnceLock<SharedHttpClient>,
}

pub(crate) fn http_client(plain: bool) -> SharedHttpClient {
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
