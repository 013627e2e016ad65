//! A plain HTTP file server in this process, as good or as bad as a test wants it.
//!
//! Owns: files in memory, the [`HttpRules`] by which they are served, one-off misbehaviour
//! ([`Act`]) and a record of every request. Must never listen beyond this machine.

mod answer;
mod rules;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use haul_serve::Server;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::Service;

use crate::wire::{BoxError, WireBody};

pub use rules::{Act, HttpRules, Modified, Tag};

/// An HTTP server on 127.0.0.1 for one test. Dropping it closes it.
#[derive(Debug)]
pub struct HttpServer {
    server: Server,
    state: Arc<Mutex<State>>,
}

/// A request as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
}

impl HttpCall {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    rules: HttpRules,
    files: BTreeMap<String, File>,
    acts: Vec<Planned>,
    calls: Vec<HttpCall>,
    /// Counts what was stored, so that every version has a tag of its own.
    versions: u64,
}

/// One version of a file.
#[derive(Clone, Debug)]
struct File {
    content: Bytes,
    version: u64,
    content_type: Option<String>,
}

/// Misbehaviour to come.
#[derive(Debug)]
struct Planned {
    path: String,
    /// Requests that are served as they should be before.
    skip: usize,
    /// Requests it happens to.
    times: usize,
    act: Act,
}

impl HttpServer {
    /// An empty server that does everything as RFC 9110 has it.
    pub fn start() -> io::Result<Self> {
        Self::with_rules(HttpRules::default())
    }

    /// An empty server that does as told. Needs a running Tokio runtime.
    pub fn with_rules(rules: HttpRules) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { rules, ..State::default() }));
        let service = Files(Arc::clone(&state));
        let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), service)?;
        Ok(Self { server, state })
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.endpoint_url())
    }

    /// The URL of a path with a user and a password in it.
    pub fn url_as(&self, user: &str, password: &str, path: &str) -> String {
        format!("http://{user}:{password}@{}{path}", self.server.addr())
    }

    /// Puts a file there, replacing what is there.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        lock(&self.state).store(path, content.into(), None);
    }

    /// What is there.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.state).files.get(path).map(|file| file.content.to_vec())
    }

    /// The content type that came with what is there.
    pub fn content_type(&self, path: &str) -> Option<String> {
        lock(&self.state).files.get(path)?.content_type.clone()
    }

    /// Misbehaves once for `path`, at the request that follows `skip` good ones.
    pub fn plan(&self, path: &str, skip: usize, act: Act) {
        self.plan_times(path, skip, 1, act);
    }

    /// Misbehaves for `path` so many times, after `skip` good requests.
    pub fn plan_times(&self, path: &str, skip: usize, times: usize, act: Act) {
        lock(&self.state).acts.push(Planned { path: path.to_owned(), skip, times, act });
    }

    /// Every request so far, in order.
    pub fn calls(&self) -> Vec<HttpCall> {
        lock(&self.state).calls.clone()
    }

    /// Forgets the requests so far.
    pub fn forget_calls(&self) {
        lock(&self.state).calls.clear();
    }
}

impl State {
    fn store(&mut self, path: &str, content: Bytes, content_type: Option<String>) -> u64 {
        self.versions += 1;
        let version = self.versions;
        self.files.insert(path.to_owned(), File { content, version, content_type });
        version
    }

    fn record(&mut self, head: &Parts) {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let headers = head.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        self.calls.push(HttpCall { method: head.method.clone(), path, headers });
    }

    /// What is planned for this request.
    fn act(&mut self, path: &str) -> Option<Act> {
        let mut now = None;
        for planned in self.acts.iter_mut().filter(|planned| planned.path == path) {
            if planned.skip > 0 {
                planned.skip -= 1;
            } else if now.is_none() && planned.times > 0 {
                planned.times -= 1;
                now = Some(planned.act.clone());
            }
        }
        now
    }
}

/// The service behind the socket.
#[derive(Clone)]
struct Files(Arc<Mutex<State>>);

impl Service<Request<Incoming>> for Files {
    type Response = Response<WireBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let state = Arc::clone(&self.0);
        async move {
            let (head, body) = request.into_parts();
            let act = {
                let mut state = lock(&state);
                state.record(&head);
                state.act(head.uri.path())
            };
            let sent = body.collect().await?.to_bytes();
            let mut state = lock(&state);
            if head.method == Method::PUT {
                answer::put(&mut state, &head, sent, act)
            } else {
                answer::get(&mut state, &head, act)
            }
        }
        .boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
