//! Which requests go through a proxy.
//!
//! Owns the answer, and what a proxy wants to see for it. Proxies are spoken to in plain HTTP; that
//! others are refused is [`Transport`](crate::connect::Transport)'s to say.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// The proxies in force.
#[derive(Clone)]
pub struct Proxies(Arc<Matcher>);

impl Proxies {
    /// Those that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, as curl reads them.
    pub fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// One for everything but the hosts in `direct`, a list as in `NO_PROXY`.
    pub fn all(proxy: &str, direct: &str) -> Self {
        Self(Arc::new(Matcher::builder().all(proxy).no(direct).build()))
    }

    pub(crate) fn of(&self, uri: &Uri) -> Option<Intercept> {
        self.0.intercept(uri)
    }

    /// What a proxy wants to see with a request that is not tunnelled through it.
    pub(crate) fn authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        let plain = uri.scheme_str() == Some("http");
        self.of(uri).filter(|_| plain)?.basic_auth().cloned()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies") // they may hold passwords
    }
}
