//! One listening socket and the HTTP/1.1 connections it accepted.
//!
//! Owns: the accept task, and through it every connection task; dropping the [`Server`] ends them
//! all. Must never know what it serves, nor outlive its handle.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Connections served at once; more wait in the kernel's accept queue. Twice the 256 requests in
/// flight that the fastest S3 clients open by default, and below the usual limit of 1,024 files.
const MAX_CONNECTIONS: usize = 512;
/// How long [`Server::stop`] waits for requests in flight. Long enough for a part of a few MiB on
/// localhost, short enough not to hold up Ctrl-C.
const GRACE: Duration = Duration::from_secs(3);
/// Pause after a failed accept (out of file descriptors, mostly): retrying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running HTTP endpoint. Dropping it closes the socket and every connection.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    accept: JoinHandle<()>,
}

impl Server {
    /// Binds `addr` and serves `service` there. Must be called inside a Tokio runtime.
    ///
    /// A service error closes its connection without an answer.
    pub fn start<S, B>(addr: SocketAddr, service: S) -> io::Result<Server>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn StdError + Send + Sync>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let socket = std::net::TcpListener::bind(addr)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let accept = runtime.spawn(accept(listener, service, stopped));
        Ok(Server { addr, stop, accept })
    }

    /// The address that was bound, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a client on this machine would write it, e.g. `http://127.0.0.1:9000`.
    pub fn endpoint_url(&self) -> String {
        let ip = match self.addr.ip() {
            // "Any" is where to listen, not where to connect.
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.addr.port()))
    }

    /// Stops accepting, lets requests in flight finish for a few seconds, then ends the rest.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let grace = tokio::time::timeout(GRACE, &mut self.accept).await;
        if grace.is_err() {
            tracing::debug!("requests still in flight after the grace period");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The accept task owns the connections' `JoinSet`: they go with it.
        self.accept.abort();
    }
}

async fn accept<S, B>(listener: TcpListener, service: S, mut stopped: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = stopping(&mut stopped) => break,
            // Finished tasks are collected as they end, so the set stays as small as its load.
            Some(_) = connections.join_next() => {}
            (slot, accepted) = next => match accepted {
                Ok((stream, _peer)) => {
                    let connection = serve(stream, service.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve<S, B>(stream: TcpStream, service: S, mut stopped: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // Answers are written in two pieces (head, body): Nagle would hold back the second.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopping(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Resolves once the server is told to stop, or is gone.
async fn stopping(stopped: &mut watch::Receiver<bool>) {
    // An error means the `Server` was dropped: the same thing. The guard must not be returned, it
    // would keep the caller's future on one thread.
    drop(stopped.wait_for(|stop| *stop).await);
}
