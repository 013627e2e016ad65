//! The part of the conformance suite that HTTP can do.
//!
//! Owns: the backend as the suite sees it. A PUT is visible as soon as it is answered and takes one
//! chunk, so that the checks on parts and on commits do not apply; round trips do.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{Attributes, Source, Target, pool};
use haul_http::HttpClient;
use haul_testkit::conformance::{self, Backend};
use haul_testkit::http::{HttpRules, HttpServer, Tag};

use crate::kit;

struct Web {
    server: HttpServer,
    client: HttpClient,
}

impl Web {
    fn new(rules: HttpRules) -> Self {
        Self { server: HttpServer::with_rules(rules).unwrap(), client: kit::client() }
    }

    fn url(&self, name: &str) -> url::Url {
        kit::url(&self.server.url(&format!("/{name}")))
    }
}

impl Backend for Web {
    fn source(&self, name: &str) -> Arc<dyn Source> {
        Arc::new(haul_http::HttpSource::new(self.client.clone(), self.url(name)))
    }

    fn target(&self, name: &str) -> Arc<dyn Target> {
        Arc::new(haul_http::HttpTarget::new(self.client.clone(), self.url(name)))
    }

    fn put<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, ()> {
        self.server.put(&format!("/{name}"), content.to_vec());
        std::future::ready(()).boxed()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        std::future::ready(self.server.get(&format!("/{name}"))).boxed()
    }

    fn leftovers(&self) -> BoxFuture<'_, Vec<String>> {
        std::future::ready(Vec::new()).boxed()
    }

    fn keeps(&self, _: &Attributes) -> Option<Attributes> {
        None
    }

    fn drops_clean(&self) -> bool {
        true
    }

    fn refuses_existing(&self) -> bool {
        true
    }
}

async fn round_trips(rules: &HttpRules, lanes: usize) {
    for part in [1, 1000, pool::SLICE as u64] {
        conformance::round_trips(&Web::new(rules.clone()), part, lanes).await;
    }
}

#[tokio::test]
async fn by_range() {
    round_trips(&HttpRules::default(), 0).await;
}

#[tokio::test]
async fn by_range_on_lanes() {
    round_trips(&HttpRules::default(), 2).await;
}

#[tokio::test]
async fn as_streams() {
    let mut rules = HttpRules::default();
    rules.tag = Tag::None;
    round_trips(&rules, 0).await;
    rules.ranges = false;
    round_trips(&rules, 2).await;
    rules.length = false;
    round_trips(&rules, 0).await;
}
