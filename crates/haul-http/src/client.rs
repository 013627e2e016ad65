//! The client: what every request carries.
//!
//! Owns the request gate and the settings. Must never follow a redirect or try again: that is decided
//! where the meaning of a request is known.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haul_core::{Error, ErrorKind, Gate, Op, Result, Retry, stall};
use haul_net::{Incoming, NetOptions, PayloadBody, Pools};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response};

use crate::address::Address;
use crate::error::broken;

/// Settings of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Requests in flight. A stream that is read once counts until its answer begins, and not while
    /// its bytes are read: it may have to wait for memory that requests in flight hold.
    pub requests: usize,
    /// How long an answer may take to begin, where the engine has no stall timer.
    pub timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { requests: 4, timeout: Duration::from_secs(20) }
    }
}

/// An HTTP/1.1 client; clones share connections and the gate.
///
/// Proxies are taken from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl does, when
/// the client is made. A proxy is spoken to in plain HTTP; other kinds are refused with an error.
#[derive(Clone)]
pub struct HttpClient {
    pools: Pools<PayloadBody>,
    pub(crate) gate: Gate,
    pub(crate) options: Arc<HttpOptions>,
}

impl HttpClient {
    /// A client with these settings. Nothing is connected yet.
    pub fn new(options: HttpOptions) -> Self {
        Self::with_net(options, NetOptions::default())
    }

    fn with_net(options: HttpOptions, net: NetOptions) -> Self {
        Self {
            pools: Pools::new(net),
            gate: Gate::new(options.requests),
            options: Arc::new(options),
        }
    }

    /// The same client with a gate of its own: for a transfer that reads and writes over HTTP at the
    /// same time, where a request would wait for another that waits for it.
    #[must_use]
    pub fn with_own_gate(&self) -> Self {
        Self { gate: self.gate.twin(), ..self.clone() }
    }

    /// A request with what all of them carry.
    pub(crate) fn request(op: Op, address: &Address) -> Result<http::request::Builder> {
        let mut request = Request::builder()
            .uri(address.uri(op)?)
            .header(USER_AGENT, concat!("haul/", env!("CARGO_PKG_VERSION")))
            // Bytes as they are stored: a range of a compressed answer is another range.
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = &address.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends one request to `address` and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        op: Op,
        address: &Address,
        request: Request<PayloadBody>,
    ) -> Result<Response<Incoming>> {
        self.pools.send(request).await.map_err(|e| {
            let e = broken(op, address, e);
            // A server that has never answered may not be one.
            let never = e.kind() == ErrorKind::Connect && !self.gate.reached();
            if never && e.retry() == Retry::Backoff { e.with_retry(Retry::Briefly) } else { e }
        })
    }

    /// Waits for an answer that the engine does not watch, through the gate and as long as the time-out
    /// allows.
    pub(crate) async fn asking<T>(
        &self,
        op: Op,
        address: &Address,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late = || {
            let detail = format!("no answer within {} s", self.options.timeout.as_secs());
            Error::new(ErrorKind::Stalled, op, address.shown(), detail).with_retry(Retry::Backoff)
        };
        // Boxed: requests are large futures, and callers nest.
        let asked = stall::within(self.options.timeout, Box::pin(asked));
        self.gate.pass(async { asked.await.unwrap_or_else(|| Err(late())) }).await
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HttpSource;
    use haul_core::{Opened, Source as _};
    use haul_net::Proxies;
    use haul_testkit::http::HttpServer;

    fn client(proxy: &str) -> HttpClient {
        let mut net = NetOptions::default();
        net.proxies = Proxies::all(proxy, "direct.invalid");
        HttpClient::with_net(HttpOptions::default(), net)
    }

    async fn open(client: HttpClient, url: &str) -> Result<Opened> {
        HttpSource::new(client, url::Url::parse(url).unwrap()).open().await
    }

    /// The host exists nowhere: only the proxy can have answered.
    #[tokio::test]
    async fn plain_requests_go_to_the_proxy() {
        let proxy = HttpServer::start().unwrap();
        proxy.put("/a", "x");
        let client = client(&proxy.url_as("me", "pw", ""));
        open(client.clone(), "http://h.invalid/a").await.unwrap();
        let call = proxy.calls().remove(0);
        assert_eq!(call.header("host"), Some("h.invalid"));
        assert_eq!(call.header("proxy-authorization"), Some("Basic bWU6cHc="));
        assert_eq!(call.header("authorization"), None);
        let e = open(client, "http://direct.invalid/a").await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Connect, "{e}");
        assert_eq!(proxy.calls().len(), 1);
    }

    #[tokio::test]
    async fn other_proxies_are_refused() {
        for proxy in ["socks5://127.0.0.1:1", "https://127.0.0.1:1"] {
            let e = open(client(proxy), "http://h.invalid/a").await.unwrap_err();
            assert_eq!((e.kind(), e.retry()), (ErrorKind::Unsupported, Retry::Never), "{e}");
        }
    }
}
