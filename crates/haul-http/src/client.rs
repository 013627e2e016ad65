//! The client: connections, and what every request carries.
//!
//! Owns the connection pools, one for each lane, the request gate and the settings. Certificates
//! are read when the first https request needs them, and not before. Must never follow a redirect
//! or try again: that is decided where the meaning of a request is known.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use haul_core::{Error, ErrorKind, Gate, Op, Result, Retry, lanes, stall};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::address::Address;
use crate::body::RequestBody;
use crate::connect::{Proxies, Timed, Transport, tls_config};
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
    pools: Arc<Pools>,
    pub(crate) gate: Gate,
    pub(crate) options: Arc<HttpOptions>,
}

impl HttpClient {
    /// A client with these settings. Nothing is connected yet.
    pub fn new(options: HttpOptions) -> Self {
        Self::with_proxies(options, Proxies::from_env())
    }

    fn with_proxies(options: HttpOptions, proxies: Proxies) -> Self {
        Self {
            pools: Arc::new(Pools::new(proxies)),
            gate: Gate::new(options.requests),
            options: Arc::new(options),
        }
    }

    /// The same client with a gate of its own: for a transfer that reads and writes over HTTP at the
    /// same time, where a request would wait for another that waits for it.
    #[must_use]
    pub fn with_own_gate(&self) -> Self {
        Self { gate: Gate::new(self.gate.limit()), ..self.clone() }
    }

    /// A request with what all of them carry.
    pub(crate) fn request(&self, op: Op, address: &Address) -> Result<http::request::Builder> {
        let uri = address.uri(op)?;
        let proxy = self.pools.proxies.authorization(&uri);
        let mut request = Request::builder()
            .uri(uri)
            .header(USER_AGENT, concat!("haul/", env!("CARGO_PKG_VERSION")))
            // Bytes as they are stored: a range of a compressed answer is another range.
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = &address.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(value) = proxy {
            request = request.header(PROXY_AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends one request to `address` and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        op: Op,
        address: &Address,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>> {
        let lane = self.pools.here();
        let sent = if address.is_https() {
            let config = self.pools.tls().map_err(|e| {
                Error::new(ErrorKind::Connect, op, address.shown(), e)
                    .with_hint("SSL_CERT_FILE names a file of certificates to trust")
            })?;
            lane.secure(&self.pools.proxies, config).request(request).await
        } else {
            lane.plain(&self.pools.proxies).request(request).await
        };
        sent.map_err(|e| broken(op, address, e))
    }

    /// Waits for an answer that the engine does not watch, through the gate and as long as the time-out
    /// allows.
    pub(crate) async fn asking<T>(
        &self,
        op: Op,
        address: &Address,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let _permit = self.gate.enter().await;
        let late = || {
            let detail = format!("no answer within {} s", self.options.timeout.as_secs());
            Error::new(ErrorKind::Stalled, op, address.shown(), detail).with_retry(Retry::Backoff)
        };
        // Boxed: requests are large futures, and callers nest.
        stall::within(self.options.timeout, Box::pin(asked)).await.unwrap_or_else(|| Err(late()))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The most lanes that get a pool of their own.
const MOST_LANES: usize = 64;

/// Connections, for each lane and for all other threads. A connection is driven by the runtime that
/// opened it; were the pool shared, bytes would cross threads on their way.
struct Pools {
    proxies: Proxies,
    /// What to trust, or why that cannot be known.
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    lanes: Vec<Lane>,
}

impl Pools {
    fn new(proxies: Proxies) -> Self {
        let lanes = std::iter::repeat_with(Lane::default).take(MOST_LANES + 1).collect();
        Self { proxies, tls: OnceLock::new(), lanes }
    }

    fn here(&self) -> &Lane {
        &self.lanes[lanes::current().map_or(0, |lane| 1 + lane % MOST_LANES)]
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        self.tls.get_or_init(tls_config).clone()
    }
}

type Plain = Client<Timed<Transport>, RequestBody>;
type Secure = Client<Timed<HttpsConnector<Transport>>, RequestBody>;

/// The connections of one lane, made when they are first needed.
#[derive(Default)]
struct Lane {
    plain: OnceLock<Plain>,
    secure: OnceLock<Secure>,
}

impl Lane {
    fn plain(&self, proxies: &Proxies) -> &Plain {
        self.plain.get_or_init(|| builder().build(Timed(Transport::new(proxies.clone()))))
    }

    fn secure(&self, proxies: &Proxies, config: Arc<ClientConfig>) -> &Secure {
        self.secure.get_or_init(|| {
            let transport = Transport::new(proxies.clone());
            builder().build(Timed(HttpsConnector::from((transport, config))))
        })
    }
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new());
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HttpSource;
    use haul_core::{Opened, Source as _};
    use haul_testkit::http::HttpServer;
    use hyper_util::client::proxy::matcher::Matcher;

    fn client(proxy: &str) -> HttpClient {
        let matcher = Matcher::builder().all(proxy).no("direct.invalid").build();
        HttpClient::with_proxies(HttpOptions::default(), Proxies::of(matcher))
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
    async fn a_proxy_that_does_not_connect_is_named() {
        let proxy = HttpServer::start().unwrap();
        let client = client(&proxy.url(""));
        let uri = "https://h.invalid/".parse().unwrap();
        // Whether or not this machine has certificates: the connection is made before.
        let tunnel =
            tower_service::Service::call(&mut Transport::new(client.pools.proxies.clone()), uri);
        let e = tunnel.await.err().unwrap();
        assert_eq!(e.to_string(), "tunnel error: unsuccessful");
        assert_eq!(proxy.calls()[0].method, "CONNECT");
    }

    #[tokio::test]
    async fn other_proxies_are_refused() {
        for proxy in ["socks5://127.0.0.1:1", "https://127.0.0.1:1"] {
            let e = open(client(proxy), "http://h.invalid/a").await.unwrap_err();
            assert_eq!((e.kind(), e.retry()), (ErrorKind::Unsupported, Retry::Never), "{e}");
        }
    }
}
