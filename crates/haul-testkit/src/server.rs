//! Everything behind one socket.
//!
//! Owns: the wiring of store, faults, record and HTTP server. Must never listen beyond this
//! machine: its keys are public.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use haul_serve::Server;
use http::{Request, Response};
use hyper::service::Service;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::calls::Calls;
use crate::clock::Clocked;
use crate::faults::{FaultLayer, Faults};
use crate::memory::{MemoryS3, StoreRules};
use crate::wire::{BoxError, WireBody, wire_body};

/// The example key of the AWS documentation: every secret scanner knows it is none.
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Another key that may sign, as after a rotation.
const OTHER_ACCESS_KEY: &str = "AKIAI44QH8DHBEXAMPLE";
/// The secret of both.
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// An S3 endpoint on 127.0.0.1 for one test. Dropping it closes it.
#[derive(Debug)]
pub struct TestServer {
    server: Server,
    store: MemoryS3,
    faults: Faults,
    calls: Calls,
}

impl TestServer {
    /// An empty store that behaves like AWS.
    pub async fn start() -> io::Result<Self> {
        Self::with_rules(StoreRules::default()).await
    }

    /// An empty store that behaves as told.
    #[expect(clippy::unused_async, reason = "needs a running Tokio runtime: say so")]
    pub async fn with_rules(rules: StoreRules) -> io::Result<Self> {
        let (faults, calls) = (Faults::default(), Calls::default());
        let store = MemoryS3::new(rules);
        let server = Self::serve(&store, &faults, &calls)?;
        Ok(Self { server, store, faults, calls })
    }

    /// The same store, faults and record behind another socket.
    pub fn other_address(&self) -> io::Result<Server> {
        Self::serve(&self.store, &self.faults, &self.calls)
    }

    fn serve(store: &MemoryS3, faults: &Faults, calls: &Calls) -> io::Result<Server> {
        let (anonymous, ahead) = (store.rules().anonymous, store.rules().clock_ahead);
        let mut builder = S3ServiceBuilder::new(store.clone());
        let mut keys = SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY);
        keys.register(OTHER_ACCESS_KEY.to_owned(), SECRET_KEY.into());
        builder.set_auth(keys);
        if ahead != 0 {
            // It is the layer in front that has another clock.
            let mut config = S3Config::default();
            config.presigned_url_max_skew_time_secs = u32::MAX;
            builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        }
        if anonymous {
            builder.set_access(Public);
        }
        let service = Clocked { inner: S3OnWire(builder.build()), ahead };
        let layer = FaultLayer::new(service, faults.clone(), calls.clone());
        Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), layer)
    }

    /// Where it is, e.g. `http://127.0.0.1:40123`. Path style only.
    pub fn endpoint_url(&self) -> String {
        self.server.endpoint_url()
    }

    /// Its socket.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// A key that may sign.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Another one.
    pub fn other_access_key(&self) -> &'static str {
        OTHER_ACCESS_KEY
    }

    /// The secret of both.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// The region to sign for; any other is accepted too.
    pub fn region(&self) -> &'static str {
        crate::memory::DEFAULT_REGION
    }

    /// What is stored.
    pub fn store(&self) -> &MemoryS3 {
        &self.store
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What was asked.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Stops accepting, lets requests in flight finish for a few seconds, then ends the rest.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// An `s3s` service behind the layers' body type.
#[derive(Clone, Debug)]
pub struct S3OnWire(pub S3Service);

impl Service<Request<WireBody>> for S3OnWire {
    type Response = Response<WireBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn call(&self, request: Request<WireBody>) -> Self::Future {
        let service = self.0.clone();
        async move {
            let answer = service.call(request.map(s3s::Body::http_body_unsync)).await;
            Ok(answer.map_err(BoxError::from)?.map(wire_body))
        }
        .boxed()
    }
}

/// Everyone may do everything.
struct Public;

#[async_trait::async_trait]
impl S3Access for Public {
    async fn check(&self, _: &mut S3AccessContext<'_>) -> s3s::S3Result<()> {
        Ok(())
    }
}
