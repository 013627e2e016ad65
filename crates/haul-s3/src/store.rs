//! Which store an endpoint belongs to.
//!
//! Owns the one spelling of an endpoint: two clients with the same [`StoreId`] mean the same object by
//! the same bucket and key. It follows from where requests go, and must never depend on the options
//! that led there. Names that only a look at the network could tell to be one are different here.

use std::net::IpAddr;

use url::{Host, Url};

use crate::provider::Provider;
use crate::region::region_in_host;

/// A store, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreId(Where);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Where {
    /// All endpoints of a provider that share the names of buckets; for AWS, those of a partition.
    Shared(Provider, &'static str),
    /// A server. The usual ports of HTTP and HTTPS are one: `None`.
    Server { host: String, port: Option<u16>, path: String },
    /// What is no URL is only itself.
    Text(String),
}

/// What regions of AWS that know nothing of the others begin with.
const PARTITIONS: [&str; 7] =
    ["cn-", "us-gov-", "us-isob-", "us-isof-", "us-iso-", "eu-isoe-", "eusc-"];

impl StoreId {
    /// The store behind `endpoint`, or AWS's own for `region`.
    pub(crate) fn of(endpoint: Option<&str>, region: &str) -> Self {
        let provider = Provider::of_endpoint(endpoint);
        if provider.quirks().one_namespace {
            let region = endpoint.map_or(Some(region), region_in_host).unwrap_or_default();
            let partition = PARTITIONS.into_iter().find(|start| region.starts_with(start));
            return Self(Where::Shared(provider, partition.unwrap_or_default()));
        }
        let endpoint = endpoint.unwrap_or_default();
        let Ok(url) = Url::parse(endpoint) else { return Self(Where::Text(endpoint.to_owned())) };
        let usual = |port: &u16| !matches!((url.scheme(), *port), ("http", 80) | ("https", 443));
        Self(Where::Server {
            host: host_of(&url),
            port: url.port_or_known_default().filter(usual),
            path: url.path().trim_matches('/').to_owned(),
        })
    }
}

/// The host in one spelling; this machine has many.
fn host_of(url: &Url) -> String {
    let this = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_unspecified(),
        IpAddr::V6(ip) => {
            let mapped = ip.to_ipv4_mapped();
            ip.is_loopback()
                || ip.is_unspecified()
                || mapped.is_some_and(|v4| v4.is_loopback() || v4.is_unspecified())
        }
    };
    let host = match url.host() {
        Some(Host::Ipv4(ip)) if this(ip.into()) => "localhost".to_owned(),
        Some(Host::Ipv6(ip)) if this(ip.into()) => "localhost".to_owned(),
        Some(Host::Ipv6(ip)) => {
            ip.to_ipv4_mapped().map_or_else(|| ip.to_string(), |v4| v4.to_string())
        }
        Some(host) => host.to_string(),
        None => String::new(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761: every name below `localhost` is this machine, too.
    if host.ends_with(".localhost") { "localhost".to_owned() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str) -> StoreId {
        let endpoint = (!endpoint.starts_with("aws:")).then_some(endpoint).ok_or(&endpoint[4..]);
        match endpoint {
            Ok(url) => StoreId::of(Some(url), "us-east-1"),
            Err(region) => StoreId::of(None, region),
        }
    }

    /// A.1, F.3, F.4, F.5: one store, whatever it is called.
    #[test]
    fn one_store_has_one_identity() {
        for (a, b) in [
            ("http://127.0.0.1:9000", "http://localhost:9000/"),
            ("http://127.0.0.1:9000", "http://[::1]:9000"),
            ("http://127.0.0.1:9000", "http://key:secret@LOCALHOST.:9000"),
            ("http://127.0.0.1:9000", "http://127.0.0.2:9000"),
            ("http://127.0.0.1:9000", "https://127.0.0.1:9000"),
            ("http://127.0.0.1:9000", "http://b.localhost:9000"),
            ("http://S3.example.com", "http://s3.example.com:80/"),
            ("https://s3.example.com", "http://s3.example.com"),
            ("http://10.0.0.1:9000", "http://[::ffff:10.0.0.1]:9000"),
            ("aws:us-east-1", "aws:eu-west-1"),
            ("aws:us-east-1", "https://s3.eu-west-1.amazonaws.com"),
            ("aws:us-east-1", "https://s3.dualstack.us-west-2.amazonaws.com"),
            ("aws:cn-north-1", "https://s3.cn-northwest-1.amazonaws.com.cn"),
            ("https://s3.wasabisys.com", "https://s3.us-east-1.wasabisys.com"),
            (
                "https://s3.us-west-004.backblazeb2.com",
                "https://S3.us-west-004.backblazeb2.com:443",
            ),
        ] {
            assert_eq!(of(a), of(b), "{a} {b}");
        }
    }

    #[test]
    fn different_stores_are_told_apart() {
        for (a, b) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9001"),
            ("http://a.example.com", "http://b.example.com"),
            ("https://h.example.com/one", "https://h.example.com/two"),
            ("https://a.r2.cloudflarestorage.com", "https://b.r2.cloudflarestorage.com"),
            ("aws:us-east-1", "aws:cn-north-1"),
            ("aws:us-east-1", "aws:us-gov-west-1"),
            ("aws:us-east-1", "https://s3.wasabisys.com"),
            ("aws:us-east-1", "http://127.0.0.1:9000"),
        ] {
            assert_ne!(of(a), of(b), "{a} {b}");
        }
    }
}
