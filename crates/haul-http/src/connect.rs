//! How a connection comes about: directly, or through the proxy that the environment names.
//!
//! Owns proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, as curl reads them), TLS
//! settings and the time that all of it may take. Proxies are spoken to in plain HTTP: a proxy
//! behind TLS or SOCKS is refused, never passed by. Must never know what is asked for.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long a connection may take, TLS included: as for S3.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The proxies in force.
#[derive(Clone)]
pub(crate) struct Proxies(Arc<Matcher>);

impl Proxies {
    pub(crate) fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    #[cfg(test)]
    pub(crate) fn of(matcher: Matcher) -> Self {
        Self(Arc::new(matcher))
    }

    /// What a proxy wants to see with a request that is not tunnelled through it.
    pub(crate) fn authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        let plain = uri.scheme_str() == Some("http");
        self.0.intercept(uri).filter(|_| plain)?.basic_auth().cloned()
    }
}

/// Trusts what the system trusts. Reading its certificates takes a while.
pub(crate) fn tls_config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let roots = builder.with_native_roots().map_err(|e| {
        tracing::debug!("{e}");
        "no certificates of anybody to trust were found on this system".to_owned()
    })?;
    let mut config = roots.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Opens TCP connections.
#[derive(Clone)]
pub(crate) struct Transport {
    tcp: HttpConnector,
    proxies: Proxies,
}

impl Transport {
    pub(crate) fn new(proxies: Proxies) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // TLS is added on top
        tcp.set_nodelay(true); // a request is written in two pieces: head and body
        // Shared by a host's addresses, so that a dead one leaves time for the next.
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, proxies }
    }

    fn through(&self, proxy: &Intercept, to: Uri) -> BoxFuture<'static, Result<Conn, BoxError>> {
        if proxy.uri().scheme_str() != Some("http") {
            let scheme = proxy.uri().scheme_str().unwrap_or("a proxy without scheme");
            let what = format!("proxies with {scheme}:// are not supported (http:// is)");
            return Box::pin(std::future::ready(Err(what.into())));
        }
        if to.scheme_str() == Some("http") {
            let connecting = self.tcp.clone().call(proxy.uri().clone());
            return Box::pin(async move { Ok(Conn { io: connecting.await?, proxied: true }) });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let connecting = tunnel.call(to);
        Box::pin(async move { Ok(Conn { io: connecting.await?, proxied: false }) })
    }
}

impl Service<Uri> for Transport {
    type Response = Conn;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Conn, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        if let Some(proxy) = self.proxies.0.intercept(&to) {
            return self.through(&proxy, to);
        }
        let connecting = self.tcp.call(to);
        Box::pin(async move { Ok(Conn { io: connecting.await?, proxied: false }) })
    }
}

/// A connector that may not take for ever.
#[derive(Clone)]
pub(crate) struct Timed<C>(pub(crate) C);

/// A connection that took too long.
#[derive(Debug)]
pub(crate) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection within {} s", CONNECT_TIMEOUT.as_secs())
    }
}

impl std::error::Error for TooSlow {}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.0.call(to));
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(TooSlow.into())) })
    }
}

/// A TCP connection that knows whether a proxy reads the requests on it: those name their host.
pub(crate) struct Conn {
    io: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.proxied)
    }
}

impl Read for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
