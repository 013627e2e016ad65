//! The connections that are kept.
//!
//! Owns a pool for each lane and one for all other threads, made when they are first needed, and what
//! every connection is made with. A connection is driven by the runtime that opened it; were the pool
//! shared, bytes would cross threads on their way.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use haul_core::lanes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::connect::{Timed, Transport};
use crate::error::SendError;
use crate::proxies::Proxies;
use crate::{BoxError, tls};

/// How connections are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NetOptions {
    /// The proxies to go through.
    pub proxies: Proxies,
    /// A file of certificates (PEM) to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// How long a connection may take, TLS included. S3's own clients use 3.1 s; distant stores need a
    /// little more.
    pub connect_timeout: Duration,
}

impl Default for NetOptions {
    /// Proxies from the environment, and the system's certificates.
    fn default() -> Self {
        Self {
            proxies: Proxies::from_env(),
            ca_bundle: None,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// Connections to any number of servers, for requests with bodies of one kind. Clones share them.
pub struct Pools<B>(Arc<Inner<B>>);

struct Inner<B> {
    options: NetOptions,
    /// What to trust, or why that cannot be known.
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    lanes: Vec<Lane<B>>,
}

/// The most lanes that get a pool of their own.
const MOST_LANES: usize = 64;

impl<B> Pools<B> {
    /// No connection yet.
    pub fn new(options: NetOptions) -> Self {
        let lanes = std::iter::repeat_with(Lane::default).take(MOST_LANES + 1).collect();
        Self(Arc::new(Inner { options, tls: OnceLock::new(), lanes }))
    }

    /// What connections are made with.
    pub fn options(&self) -> &NetOptions {
        &self.0.options
    }

    fn here(&self) -> &Lane<B> {
        &self.0.lanes[lanes::current().map_or(0, |lane| 1 + lane % MOST_LANES)]
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, SendError> {
        let make = || tls::config(self.0.options.ca_bundle.as_deref());
        self.0.tls.get_or_init(make).clone().map_err(SendError::NothingToTrust)
    }
}

impl<B> Pools<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Sends one request, whose URI names the server, and waits for the head of its answer. The first
    /// https request reads the certificates.
    pub async fn send(&self, mut request: Request<B>) -> Result<Response<Incoming>, SendError> {
        let options = &self.0.options;
        if let Some(value) = options.proxies.authorization(request.uri()) {
            request.headers_mut().entry(PROXY_AUTHORIZATION).or_insert(value);
        }
        let sent = if request.uri().scheme() == Some(&Scheme::HTTPS) {
            self.here().secure(options, self.tls()?).request(request)
        } else {
            self.here().plain(options).request(request)
        };
        Ok(sent.await?)
    }
}

impl<B> Clone for Pools<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("options", &self.0.options).finish_non_exhaustive()
    }
}

type Plain<B> = Client<Timed<Transport>, B>;
type Secure<B> = Client<Timed<HttpsConnector<Transport>>, B>;

/// The connections of one lane.
struct Lane<B> {
    plain: OnceLock<Plain<B>>,
    secure: OnceLock<Secure<B>>,
}

impl<B> Default for Lane<B> {
    fn default() -> Self {
        Self { plain: OnceLock::new(), secure: OnceLock::new() }
    }
}

impl<B> Lane<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
{
    fn plain(&self, options: &NetOptions) -> &Plain<B> {
        let limit = options.connect_timeout;
        self.plain.get_or_init(|| {
            builder().build(Timed(Transport::new(options.proxies.clone(), limit), limit))
        })
    }

    fn secure(&self, options: &NetOptions, config: Arc<ClientConfig>) -> &Secure<B> {
        let limit = options.connect_timeout;
        self.secure.get_or_init(|| {
            let transport = Transport::new(options.proxies.clone(), limit);
            builder().build(Timed(HttpsConnector::from((transport, config)), limit))
        })
    }
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new());
    builder
}
