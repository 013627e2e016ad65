//! URLs as sources and destinations.
//!
//! Owns their parsing and the one client for all of them.

use haul_core::{Error, ErrorKind, Op, Result};
use haul_http::{HttpClient, HttpOptions};
use url::Url;

use crate::Haul;

/// Understands a URL.
pub(crate) fn parse(text: &str) -> Result<Url> {
    Url::parse(text)
        .map_err(|e| Error::new(ErrorKind::Invalid, Op::Parse, haul_core::redact::url(text), e))
}

impl Haul {
    /// The client for URLs.
    pub(crate) fn http_client(&self) -> HttpClient {
        self.http
            .get_or_init(|| {
                let mut options = HttpOptions::default();
                options.requests = self.options.dest.requests;
                options.timeout = self.options.dest.timeout;
                HttpClient::new(options)
            })
            .clone()
    }
}
