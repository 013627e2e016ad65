//! Where the content is, after redirects.
//!
//! Owns the way from the URL that was given to the one that answers. It is looked up once, and once
//! more for a request whose answer says that the redirect's target is gone. Must never loop.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use haul_core::{Error, ErrorKind, Op, Result};
use haul_net::{Incoming, PayloadBody, drain};
use http::header::LOCATION;
use http::{HeaderMap, Method, Response};

use crate::address::Address;
use crate::client::HttpClient;

/// How many redirects are followed in a row: half of what the Fetch standard and wget allow,
/// and more than an honest server needs.
const MOST_REDIRECTS: usize = 10;

/// A URL and what it leads to.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) client: HttpClient,
    /// The URL that was given: the one to name in messages.
    pub(crate) origin: Arc<Address>,
    /// The URL that answered last.
    found: Arc<Mutex<Address>>,
}

impl Place {
    pub(crate) fn new(client: HttpClient, origin: Arc<Address>) -> Self {
        let found = Arc::new(Mutex::new((*origin).clone()));
        Self { client, origin, found }
    }

    /// GET, once, wherever it leads. Any answer is returned, also one that refuses.
    pub(crate) async fn get(&self, op: Op, headers: &HeaderMap) -> Result<Response<Incoming>> {
        let start = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let again = start != *self.origin;
        let (found, answer) = self.follow(op, start, headers).await?;
        let (found, answer) = match answer.status().as_u16() {
            // A target that was good for a while only: ask for a fresh one.
            403 | 404 | 410 if again => self.follow(op, (*self.origin).clone(), headers).await?,
            _ => (found, answer),
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(answer)
    }

    async fn follow(
        &self,
        op: Op,
        mut address: Address,
        headers: &HeaderMap,
    ) -> Result<(Address, Response<Incoming>)> {
        for _ in 0..=MOST_REDIRECTS {
            let mut request = HttpClient::request(op, &address)?.method(Method::GET);
            if let Some(all) = request.headers_mut() {
                all.extend(headers.clone());
            }
            let request = request
                .body(PayloadBody::none())
                .map_err(|e| Error::new(ErrorKind::Invalid, op, self.origin.shown(), e))?;
            let answer = self.client.send(op, &address, request).await?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((address, answer));
            }
            let Some(to) = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok()) else {
                let what = "it redirects to nowhere";
                return Err(Error::new(ErrorKind::Protocol, op, self.origin.shown(), what));
            };
            address = address.redirected(op, to)?;
            drain(answer.into_body()).await;
        }
        let what = format!("it redirects more than {MOST_REDIRECTS} times");
        Err(Error::new(ErrorKind::Protocol, op, self.origin.shown(), what))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("origin", &self.origin).finish_non_exhaustive()
    }
}
