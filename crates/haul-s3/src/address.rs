//! Where the objects of a bucket are.
//!
//! Owns the URL that a bucket's keys are appended to, and the region that it is signed for. Both are
//! the SDK's own decision, by its endpoint rules, taken once for each bucket from a link that it makes
//! with keys that are none. What the SDK would do in another way than a signed request to a bucket is
//! left to it. Must never send anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::presigning::PresigningConfig;
use http::Uri;

/// Where the objects of a bucket are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// All of a URL up to the slash before the key.
    pub(crate) base: String,
    /// The region to sign for.
    pub(crate) region: String,
}

/// What is known, by bucket. The region is that of the client that was asked.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashMap<String, Known>>);

#[derive(Debug)]
struct Known {
    region: Arc<str>,
    /// `None` for a bucket that only the SDK knows how to talk to.
    address: Option<Arc<Address>>,
}

impl Addresses {
    /// Where `bucket` is, as `sdk` says, which is the client for `region`.
    pub(crate) async fn of(
        &self,
        bucket: &str,
        region: &Arc<str>,
        sdk: &Client,
    ) -> Option<Arc<Address>> {
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.get(bucket).filter(|known| known.region == *region) {
                return known.address.clone();
            }
        }
        // Boxed: the SDK's futures are large, and this is done once.
        let address = if is_usual(bucket) { Box::pin(ask(bucket, sdk)).await } else { None };
        let address = address.map(Arc::new);
        let known = Known { region: Arc::clone(region), address: address.clone() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(bucket.to_owned(), known);
        address
    }
}

/// Whether requests about this bucket are signed as usual: those of S3 Express have sessions
/// (`--x-s3`), and what an ARN or an alias of its kind names may be signed for other services.
fn is_usual(bucket: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let reserved = bucket.contains("--") && bucket.ends_with("-s3");
    !bucket.is_empty() && bucket.bytes().all(legal) && !reserved
}

/// The key that stands for all of them.
const KEY: &str = "k";

async fn ask(bucket: &str, sdk: &Client) -> Option<Address> {
    let none = Credentials::new("none", "none", None, None, "haul");
    let sdk = Client::from_conf(sdk.config().to_builder().credentials_provider(none).build());
    let config = PresigningConfig::expires_in(Duration::from_mins(1)).ok()?;
    let link = sdk.get_object().bucket(bucket).key(KEY).presigned(config).await.ok()?;
    address(&link.uri().parse().ok()?)
}

/// Takes a link apart.
fn address(link: &Uri) -> Option<Address> {
    let authority = link.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let path = link.path().strip_suffix(KEY)?.strip_suffix('/')?;
    let scope = link.query()?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
    // KEY/DATE/REGION/s3/aws4_request
    let scope: Vec<&str> = scope.split("%2F").collect();
    let [_, _, region, "s3", "aws4_request"] = scope[..] else { return None };
    let base = format!("{}://{authority}{path}", link.scheme_str()?);
    Some(Address { base, region: region.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::config::{BehaviorVersion, Region};

    async fn of(bucket: &str, endpoint: Option<&str>, path_style: bool) -> Option<String> {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .force_path_style(path_style);
        config.set_endpoint_url(endpoint.map(str::to_owned));
        let region = "eu-west-1".into();
        let address =
            Addresses::default().of(bucket, &region, &Client::from_conf(config.build())).await?;
        assert_eq!(address.region, "eu-west-1");
        Some(address.base.clone())
    }

    /// S1.18, U1.4: in the host on AWS, in the path on endpoints of one's own.
    #[tokio::test]
    async fn buckets_are_where_the_sdk_says() {
        for (bucket, endpoint, path_style, base) in [
            ("b-1", None, false, "https://b-1.s3.eu-west-1.amazonaws.com"),
            ("b-1", None, true, "https://s3.eu-west-1.amazonaws.com/b-1"),
            ("dots.in.it", None, false, "https://s3.eu-west-1.amazonaws.com/dots.in.it"),
            ("b-1", Some("http://127.0.0.1:9000"), true, "http://127.0.0.1:9000/b-1"),
            ("b-1", Some("https://h.example/x/"), true, "https://h.example/x/b-1"),
            ("b-1", Some("https://h.example"), false, "https://b-1.h.example"),
        ] {
            assert_eq!(of(bucket, endpoint, path_style).await.as_deref(), Some(base), "{bucket}");
        }
    }

    #[tokio::test]
    async fn what_is_unusual_is_left_to_the_sdk() {
        for bucket in [
            "b--use1-az4--x-s3",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine",
            "a-b-xxxx-s3alias--op-s3",
            "",
            "a/b",
            "sp ace",
        ] {
            assert_eq!(of(bucket, None, false).await, None, "{bucket}");
        }
    }
}
