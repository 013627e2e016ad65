//! Where buckets are.
//!
//! Owns what redirects taught: the region of a bucket, and the clients that sign for it. Must never
//! let an answer choose a host: a region changes the signature, and on AWS the region within the
//! name of AWS's own endpoint, and nothing else. `Location` headers are not even read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;

use crate::provider::{Provider, host_of};

/// How often a bucket may be said to be elsewhere before that is nonsense.
const MOST_MOVES: u32 = 3;

/// The regions of an endpoint.
pub(crate) struct Regions {
    home: Arc<str>,
    sdk: Client,
    /// The endpoint, unless it is the one that the SDK derives from the region.
    endpoint: Option<Arc<str>>,
    /// Whether any bucket is known to be elsewhere: without, requests take no lock.
    any: AtomicBool,
    learned: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    buckets: HashMap<String, Known>,
    clients: HashMap<Arc<str>, Client>,
}

/// What is known of a bucket.
struct Known {
    region: Arc<str>,
    moves: u32,
    asked: Asked,
}

/// Whether the store was asked where a bucket is, because a redirect did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Never,
    Wanted,
    Done,
}

/// Where a bucket is.
pub(crate) struct Place {
    pub(crate) region: Arc<str>,
    pub(crate) sdk: Client,
    /// Whether the store has to be asked first.
    pub(crate) ask: bool,
}

impl Regions {
    pub(crate) fn new(home: &str, sdk: Client, endpoint: Option<Arc<str>>) -> Self {
        Self {
            home: home.into(),
            sdk,
            endpoint,
            any: AtomicBool::new(false),
            learned: Mutex::default(),
        }
    }

    /// The region that the client was made for.
    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// The client to send requests about `bucket` with.
    pub(crate) fn of(&self, bucket: &str) -> Place {
        let home = || Place { region: self.home.clone(), sdk: self.sdk.clone(), ask: false };
        if !self.any.load(Ordering::Acquire) {
            return home();
        }
        let mut learned = self.lock();
        let Some(known) = learned.buckets.get(bucket) else { return home() };
        let (region, ask) = (known.region.clone(), known.asked == Asked::Wanted);
        if region == self.home {
            return Place { ask, ..home() };
        }
        let sdk = learned.clients.entry(region.clone()).or_insert_with(|| {
            let url = self.endpoint.as_deref().and_then(|url| sibling(url, &region));
            let config = self.sdk.config().to_builder().region(Region::new(region.to_string()));
            let config = match url {
                Some(url) => config.endpoint_url(url),
                None => config,
            };
            Client::from_conf(config.build())
        });
        Place { sdk: sdk.clone(), region, ask }
    }

    /// Takes in a redirect of a request that was sent to `used`. Whether another try makes sense.
    pub(crate) fn redirected(&self, bucket: &str, used: &str, said: Option<&str>) -> bool {
        let said = said.filter(|region| is_region(region));
        let mut learned = self.lock();
        let known = learned.buckets.entry(bucket.to_owned()).or_insert_with(|| Known {
            region: self.home.clone(),
            moves: 0,
            asked: Asked::Never,
        });
        self.any.store(true, Ordering::Release);
        match said {
            Some(region) if region == used => false,
            // Another request has learned it meanwhile.
            Some(region) if *region == *known.region => true,
            None if *known.region != *used => true,
            Some(region) if known.moves < MOST_MOVES => {
                tracing::info!("the bucket {bucket} is in {region}");
                (known.region, known.moves) = (region.into(), known.moves + 1);
                true
            }
            Some(_) => false,
            None => {
                if known.asked == Asked::Never {
                    known.asked = Asked::Wanted;
                }
                known.asked == Asked::Wanted
            }
        }
    }

    /// Takes in what the store said when it was asked.
    pub(crate) fn answered(&self, bucket: &str, region: Option<&str>) {
        if let Some(known) = self.lock().buckets.get_mut(bucket) {
            known.asked = Asked::Done;
            if let Some(region) = region.filter(|region| is_region(region)) {
                known.region = region.into();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this can be a region. It comes from the wire and becomes part of a host name.
fn is_region(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(legal) && !text.starts_with('-')
}

/// The endpoint of AWS for another region; `None` where an endpoint is the same for all.
fn sibling(url: &str, region: &str) -> Option<String> {
    if Provider::of_endpoint(Some(url)) != Provider::Aws {
        return None;
    }
    let host = host_of(url);
    let labels: Vec<&str> = host.split('.').collect();
    let moved = if host == "s3.amazonaws.com" {
        format!("s3.{region}.amazonaws.com")
    } else {
        let at = labels.iter().position(|label| names_region(label))?;
        let mut labels = labels;
        labels[at] = region;
        labels.join(".")
    };
    Some(url.replacen(host, &moved, 1))
}

/// Whether a label of AWS's host names is a region: `eu-west-1`, `us-gov-east-1`.
fn names_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let letters = |part: &&str| part.bytes().all(|b| b.is_ascii_lowercase());
    parts.len() >= 3
        && parts[0].len() == 2
        && parts[..parts.len() - 1].iter().all(letters)
        && parts[parts.len() - 1].bytes().all(|b| b.is_ascii_digit())
}

/// The region that the host of an endpoint names, if it does: `s3.eu-west-1.amazonaws.com`,
/// `s3.us-west-004.backblazeb2.com`.
pub(crate) fn region_in_host(url: &str) -> Option<&str> {
    host_of(url).split('.').find(|label| names_region(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions() -> Regions {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .build();
        Regions::new("us-east-1", Client::from_conf(config), None)
    }

    #[test]
    fn a_region_is_learned_once_and_a_redirect_in_place_is_an_error() {
        let regions = regions();
        assert_eq!(&*regions.of("b").region, "us-east-1");
        assert!(regions.redirected("b", "us-east-1", Some("eu-west-1")));
        assert_eq!(&*regions.of("b").region, "eu-west-1");
        assert_eq!(&*regions.of("other").region, "us-east-1");
        // A request that was under way at the time.
        assert!(regions.redirected("b", "us-east-1", Some("eu-west-1")));
        assert!(!regions.redirected("b", "eu-west-1", Some("eu-west-1")));
    }

    #[test]
    fn a_bucket_does_not_move_for_ever() {
        let regions = regions();
        let (mut from, mut to, mut moves) = ("us-east-1", "eu-west-1", 0);
        while regions.redirected("b", from, Some(to)) {
            (from, to) = (to, from);
            moves += 1;
            assert!(moves < 10);
        }
        assert_eq!(moves, MOST_MOVES);
    }

    #[test]
    fn a_redirect_without_a_region_asks_once() {
        let regions = regions();
        assert!(regions.redirected("b", "us-east-1", None));
        assert!(regions.of("b").ask);
        regions.answered("b", None);
        assert!(!regions.of("b").ask);
        assert!(!regions.redirected("b", "us-east-1", None));
    }

    #[test]
    fn what_is_no_region_is_not_believed() {
        let regions = regions();
        for evil in ["evil.example", "x/y", "EU", "", "a@b", &"a".repeat(33), "-x"] {
            assert!(!is_region(evil), "{evil}");
        }
        regions.redirected("b", "us-east-1", Some("evil.example"));
        assert_eq!(&*regions.of("b").region, "us-east-1");
    }

    #[test]
    fn endpoints_have_siblings_on_aws_alone() {
        for (url, there) in [
            ("https://s3.amazonaws.com", Some("https://s3.eu-west-1.amazonaws.com")),
            ("https://s3.us-east-2.amazonaws.com/", Some("https://s3.eu-west-1.amazonaws.com/")),
            (
                "https://s3.dualstack.us-east-2.amazonaws.com:443",
                Some("https://s3.dualstack.eu-west-1.amazonaws.com:443"),
            ),
            ("https://s3-accelerate.amazonaws.com", None),
            ("https://s3.us-east-2.example.com", None),
            ("http://127.0.0.1:9000", None),
        ] {
            assert_eq!(sibling(url, "eu-west-1").as_deref(), there, "{url}");
        }
        assert_eq!(region_in_host("https://s3.us-west-004.backblazeb2.com"), Some("us-west-004"));
        assert_eq!(region_in_host("https://s3.amazonaws.com"), None);
    }
}
