//! What a store is reached by: for `doctor`.
//!
//! Owns the settings in force, as they were found, and a look at the store's clock. Must never show a
//! secret.

use std::time::SystemTime;

use bytes::Bytes;
use haul_core::{Error, ErrorKind, Op, Result, redact};
use haul_net::{NetOptions, Pools, undelivered};
use haul_s3::Provider;
use http_body_util::Empty;

use crate::Haul;

/// The settings in force for a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Endpoint {
    /// Its address, without user info.
    pub url: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Whose rules are followed.
    pub provider: Provider,
    /// Whether the bucket is in the path instead of the host name.
    pub path_style: bool,
}

impl Haul {
    /// The store that objects are written to, as flags, environment and profile make it. No request
    /// is sent.
    ///
    /// # Errors
    ///
    /// `Invalid` where the settings make no endpoint.
    pub async fn endpoint(&self) -> Result<Endpoint> {
        let client = self.dest_client().await?;
        let region = client.region().to_owned();
        let aws = || format!("https://s3.{region}.amazonaws.com");
        let url = client.endpoint().map_or_else(aws, redact::url);
        let style = self.options.dest.path_style;
        let path_style = style.unwrap_or(client.quirks().path_style && client.endpoint().is_some());
        Ok(Endpoint { url, region, provider: client.provider(), path_style })
    }

    /// How many seconds the store's clock is ahead of this machine's, by the date of an answer, which
    /// has whole seconds; `None` where the store does not tell. S3 refuses signatures that are more
    /// than 15 minutes off.
    ///
    /// # Errors
    ///
    /// `Connect`, or `Stalled` where it does not answer in time; `Invalid` where the settings make
    /// no endpoint.
    pub async fn clock_ahead(&self) -> Result<Option<i64>> {
        let client = self.dest_client().await?;
        let region = client.region();
        let aws = format!("https://s3.{region}.amazonaws.com");
        let url = client.endpoint().unwrap_or(&aws);
        let shown = redact::url(url);
        let bad = |e| Error::new(ErrorKind::Invalid, Op::Configure, &shown, e);
        let address: http::Uri =
            url.parse().map_err(|e: http::uri::InvalidUri| bad(e.to_string()))?;
        let request = http::Request::get(address).header("user-agent", "haul");
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| bad(e.to_string()))?;
        let mut net = NetOptions::default();
        net.ca_bundle.clone_from(&self.options.dest.ca_bundle);
        let pools = Pools::new(net);
        let asking = tokio::time::timeout(self.options.dest.timeout, pools.send(request));
        let late = || Error::new(ErrorKind::Stalled, Op::Configure, &shown, "it does not answer");
        let answer = asking.await.map_err(|_| late())?;
        let answer = answer.map_err(|e| undelivered(Op::Configure, &shown, &e))?;
        let date = answer.headers().get("date").and_then(|d| d.to_str().ok());
        let Some(theirs) = date.and_then(|d| httpdate::parse_http_date(d).ok()) else {
            return Ok(None);
        };
        let seconds = |t: SystemTime| match t.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs().cast_signed(),
            Err(before) => -before.duration().as_secs().cast_signed(),
        };
        Ok(Some(seconds(theirs) - seconds(SystemTime::now())))
    }
}
