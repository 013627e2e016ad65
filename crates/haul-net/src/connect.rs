//! How a connection comes about: directly, or through a proxy.
//!
//! Owns the way to a server and the time that all of it may take, TLS included. Proxies are spoken to
//! in plain HTTP: a proxy behind TLS or SOCKS is refused, never passed by. Must never know what is
//! asked for.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::BoxError;
use crate::proxies::Proxies;
use crate::quick::acknowledge;

/// Opens TCP connections.
#[derive(Clone)]
pub(crate) struct Transport {
    tcp: HttpConnector,
    proxies: Proxies,
}

impl Transport {
    pub(crate) fn new(proxies: Proxies, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // TLS is added on top
        tcp.set_nodelay(true); // a request is written in two pieces: head and body
        // Shared by a host's addresses, so that a dead one leaves time for the next.
        tcp.set_connect_timeout(Some(limit));
        Self { tcp, proxies }
    }

    fn through(&self, proxy: &Intercept, to: Uri) -> BoxFuture<'static, Result<Conn, BoxError>> {
        if proxy.uri().scheme_str() != Some("http") {
            let scheme = proxy.uri().scheme_str().unwrap_or("a proxy without scheme");
            let refused = UnknownProxy(scheme.to_owned());
            return Box::pin(std::future::ready(Err(refused.into())));
        }
        if to.scheme_str() == Some("http") {
            let connecting = self.tcp.clone().call(proxy.uri().clone());
            return Box::pin(async move { Ok(Conn::new(connecting.await?, true)) });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let connecting = tunnel.call(to);
        Box::pin(async move { Ok(Conn::new(connecting.await?, false)) })
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
        if let Some(proxy) = self.proxies.of(&to) {
            return self.through(&proxy, to);
        }
        let connecting = self.tcp.call(to);
        Box::pin(async move { Ok(Conn::new(connecting.await?, false)) })
    }
}

/// A connector that may not take for ever.
#[derive(Clone)]
pub(crate) struct Timed<C>(pub(crate) C, pub(crate) Duration);

/// A proxy that is not spoken to in plain HTTP: passing it by would be worse than refusing it.
#[derive(Debug, thiserror::Error)]
#[error("proxies with {0}:// are not supported (http:// is)")]
pub(crate) struct UnknownProxy(String);

/// A connection that took longer than this.
#[derive(Debug)]
pub(crate) struct TooSlow(Duration);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection within {} s", self.0.as_secs())
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
        let limit = self.1;
        let connecting = tokio::time::timeout(limit, self.0.call(to));
        Box::pin(async move {
            match connecting.await {
                Ok(Err(e)) if timed_out(&*e) => Err(TooSlow(limit).into()),
                Ok(done) => done,
                Err(_) => Err(TooSlow(limit).into()),
            }
        })
    }
}

/// Whether the system, or the time for one address of several, gave up.
fn timed_out(e: &(dyn std::error::Error + 'static)) -> bool {
    haul_core::error::causes(e).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
    })
}

/// A TCP connection that knows whether a proxy reads the requests on it: those name their host.
pub(crate) struct Conn {
    io: TokioIo<TcpStream>,
    proxied: bool,
    /// Whether anything was written that no answer was asked for yet.
    written: bool,
}

impl Conn {
    fn new(io: TokioIo<TcpStream>, proxied: bool) -> Self {
        Self { io, proxied, written: false }
    }

    fn noting(&mut self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.written |= matches!(wrote, Poll::Ready(Ok(1..)));
        wrote
    }
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
        let wrote = Pin::new(&mut self.io).poll_write(cx, buf);
        self.noting(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.noting(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// The end of what the HTTP stack has to write for now, mostly of a request.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.written) {
            acknowledge(self.io.inner());
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haul_testkit::http::HttpServer;

    #[tokio::test]
    async fn a_proxy_that_does_not_connect_is_named() {
        let proxy = HttpServer::start().unwrap();
        let proxies = Proxies::all(&proxy.url(""), "");
        let uri = "https://h.invalid/".parse().unwrap();
        // Whether or not this machine has certificates: the connection is made before.
        let e = Transport::new(proxies, Duration::from_secs(5)).call(uri).await.err().unwrap();
        assert_eq!(e.to_string(), "tunnel error: unsuccessful");
        assert_eq!(proxy.calls()[0].method, "CONNECT");
    }
}
