//! The SDK's connections, which are ours.
//!
//! Owns the bridge from the SDK's idea of an HTTP client to [`haul_net`]. One SDK client serves all
//! threads: it is the pools below that keep a request on its lane. Must never retry.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use haul_net::{NetOptions, Pools, SendError};

/// What the SDK takes for an HTTP client. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pools: Pools<SdkBody>,
    connector: SharedHttpConnector,
}

impl Http {
    pub(crate) fn new(net: NetOptions) -> Self {
        let pools = Pools::new(net);
        let connections = Connections { pools: pools.clone(), limit: None };
        Self { pools, connector: SharedHttpConnector::new(connections) }
    }

    /// The connections, for requests that the SDK does not make.
    pub(crate) fn pools(&self) -> &Pools<SdkBody> {
        &self.pools
    }
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let usual = self.pools.options();
        match settings.connect_timeout() {
            // The machine's metadata service, which must not be waited for where there is none. A
            // few requests in all: they need not share connections.
            Some(limit) if limit < usual.connect_timeout => {
                let mut net = usual.clone();
                net.connect_timeout = limit;
                let limit = settings.read_timeout().map(|read| limit + read);
                SharedHttpConnector::new(Connections { pools: Pools::new(net), limit })
            }
            _ => self.connector.clone(),
        }
    }
}

#[derive(Debug)]
struct Connections {
    pools: Pools<SdkBody>,
    /// How long the head of an answer may take, where the SDK has its own mind.
    limit: Option<Duration>,
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(e) => return HttpConnectorFuture::ready(Err(ConnectorError::user(e.into()))),
        };
        let (pools, limit) = (self.pools.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let sending = pools.send(request);
            let sent = match limit {
                Some(limit) => tokio::time::timeout(limit, sending)
                    .await
                    .map_err(|late| ConnectorError::timeout(late.into()))?,
                None => sending.await,
            };
            let answer = sent.map_err(unsent)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(answer).map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

fn unsent(e: SendError) -> ConnectorError {
    if e.is_timeout() {
        ConnectorError::timeout(e.into())
    } else if e.is_user() {
        ConnectorError::user(e.into())
    } else {
        ConnectorError::io(e.into())
    }
}
