//! The credentials in use.
//!
//! Owns the one cache of them, for the SDK and for the requests that we sign, and a note of when they
//! expire. They are had anew before that; whoever comes meanwhile uses those that are still good. Those
//! that a store refuses are looked for once more, where they came from: they may have been replaced.
//! Must never show a secret.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::Identity;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

/// How long before they expire credentials are had anew, unless they live less than twice as long.
const AHEAD: Duration = Duration::from_mins(1);

/// How long that may take: as long as the SDK gives it.
const LOADING: Duration = Duration::from_secs(5);

/// Credentials that are kept until they are about to expire. Clones share them.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    kept: RwLock<Option<Kept>>,
    /// Where they come from; locked by whoever has them anew.
    provider: Mutex<SharedCredentialsProvider>,
    again: Option<Again>,
    refused: std::sync::Mutex<Refused>,
}

/// Finds out anew where credentials come from: a provider remembers the files that it has read.
pub(crate) type Again =
    Box<dyn Fn() -> BoxFuture<'static, Option<SharedCredentialsProvider>> + Send + Sync>;

/// What is known of credentials that a store refused, by their number.
#[derive(Debug, Default)]
struct Refused {
    /// To be looked for once more.
    doubted: Option<u64>,
    /// Looked for once more, and found to be the same.
    confirmed: Option<u64>,
}

#[derive(Clone)]
struct Kept {
    credentials: Credentials,
    identity: Identity,
    /// When to have them anew.
    renew: Option<SystemTime>,
    /// How many others there were before them.
    generation: u64,
}

impl Kept {
    fn new(credentials: Credentials, now: SystemTime) -> Self {
        let renew = credentials.expiry().map(|expiry| {
            let life = expiry.duration_since(now).unwrap_or_default();
            expiry.checked_sub(AHEAD.min(life / 2)).unwrap_or(now)
        });
        Self { identity: credentials.clone().into(), credentials, renew, generation: 0 }
    }

    fn is(&self, other: &Credentials) -> bool {
        let parts = |c: &Credentials| {
            let token = c.session_token().map(str::to_owned);
            (c.access_key_id().to_owned(), c.secret_access_key().to_owned(), token)
        };
        parts(&self.credentials) == parts(other)
    }

    fn fresh(&self, now: SystemTime) -> bool {
        self.renew.is_none_or(|renew| now < renew)
    }

    fn good(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|expiry| now < expiry)
    }
}

impl Keys {
    /// Credentials of `provider`, and of what `again` finds when those have been refused.
    pub(crate) fn new(provider: SharedCredentialsProvider, again: Option<Again>) -> Self {
        Self(Arc::new(Inner {
            kept: RwLock::default(),
            provider: Mutex::new(provider),
            again,
            refused: std::sync::Mutex::default(),
        }))
    }

    /// How many credentials there were before those that are kept.
    pub(crate) fn generation(&self) -> u64 {
        self.kept().map_or(0, |kept| kept.generation)
    }

    /// A store has refused those of `generation`, and may have done so because they were replaced.
    /// Whether it is worth another try: they are looked for once more, and once only.
    pub(crate) fn refused(&self, generation: u64) -> bool {
        if self.0.again.is_none() {
            return false;
        }
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if generation < self.generation() {
            return true; // there are others by now
        }
        let news = refused.confirmed != Some(generation);
        if news {
            refused.doubted = Some(generation);
        }
        news
    }

    fn is_doubted(&self, kept: &Kept) -> bool {
        let refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.doubted == Some(kept.generation)
    }

    /// When the credentials that are kept expire; `None` for those that do not.
    pub(crate) fn expiry(&self) -> Option<SystemTime> {
        self.kept()?.credentials.expiry()
    }

    /// What to sign with.
    pub(crate) async fn identity(&self) -> Result<Identity, CredentialsError> {
        Ok(self.get().await?.identity)
    }

    fn kept(&self) -> Option<Kept> {
        self.0.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self) -> Option<Kept> {
        self.kept().filter(|kept| kept.fresh(SystemTime::now()) && !self.is_doubted(kept))
    }

    async fn get(&self) -> Result<Kept, CredentialsError> {
        if let Some(kept) = self.fresh() {
            return Ok(kept);
        }
        let good = self.kept().filter(|kept| kept.good(SystemTime::now()));
        let usable = good.clone().filter(|kept| !self.is_doubted(kept));
        let mut provider = match (self.0.provider.try_lock(), usable) {
            (Ok(provider), _) => provider,
            // Somebody else is at it.
            (Err(_), Some(usable)) => return Ok(usable),
            (Err(_), None) => self.0.provider.lock().await,
        };
        if let Some(kept) = self.fresh() {
            return Ok(kept);
        }
        let doubted = good.as_ref().is_some_and(|kept| self.is_doubted(kept));
        if let Some(again) = self.0.again.as_ref().filter(|_| doubted)
            && let Some(found) = again().await
        {
            *provider = found;
        }
        let loading = tokio::time::timeout(LOADING, provider.provide_credentials());
        match loading.await.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOADING))) {
            Ok(credentials) => Ok(self.keep(credentials)),
            Err(e) => {
                self.settle(good.as_ref().map(|kept| kept.generation));
                good.ok_or(e)
            }
        }
    }

    /// Keeps credentials that were just had.
    fn keep(&self, credentials: Credentials) -> Kept {
        let mut kept = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
        let before = kept.as_ref().map(|kept| (kept.generation, kept.is(&credentials)));
        let generation = before.map_or(0, |(n, same)| n + u64::from(!same));
        let new = Kept { generation, ..Kept::new(credentials, SystemTime::now()) };
        *kept = Some(new.clone());
        drop(kept);
        self.settle(Some(generation));
        new
    }

    /// Those of `generation` are what there is: if they were doubted, they are not any more.
    fn settle(&self, generation: Option<u64>) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.doubted.take() == generation {
            refused.confirmed = generation;
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move { Ok(self.get().await?.credentials) })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let provider = self.0.provider.try_lock().ok()?;
        provider.fallback_on_interrupt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Hands out credentials that live so many seconds, one after the other, until it fails.
    #[derive(Debug)]
    struct Source {
        lives: Vec<i64>,
        asked: Arc<AtomicU64>,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let n = self.asked.fetch_add(1, Ordering::SeqCst) as usize;
            future::ProvideCredentials::ready(match self.lives.get(n) {
                Some(life) => {
                    let life = Duration::from_secs(life.unsigned_abs());
                    let expiry = SystemTime::now() + life;
                    Ok(Credentials::new(format!("id{n}"), "s", None, Some(expiry), "test"))
                }
                None => Err(CredentialsError::not_loaded_no_source()),
            })
        }
    }

    fn keys(lives: &[i64]) -> (Keys, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let source = Source { lives: lives.to_vec(), asked: Arc::clone(&asked) };
        (Keys::new(SharedCredentialsProvider::new(source), None), asked)
    }

    /// S3.8: credentials are looked for once.
    #[tokio::test]
    async fn they_are_had_once_as_long_as_they_live() {
        let (keys, asked) = keys(&[3600]);
        for _ in 0..3 {
            keys.identity().await.unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(keys.expiry().is_some());
    }

    #[tokio::test]
    async fn those_that_have_expired_are_had_anew_and_a_failure_is_said() {
        let (keys, asked) = keys(&[0, 3600]);
        keys.get().await.unwrap();
        assert_eq!(keys.get().await.unwrap().credentials.access_key_id(), "id1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        let (keys, _) = self::keys(&[0]);
        keys.get().await.unwrap();
        assert!(keys.get().await.is_err());
    }

    fn named(id: &str) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Credentials::new(id, "s", None, None, "test"))
    }

    /// E.29: what a store refuses is looked for once more, and no more often than it is replaced.
    #[tokio::test]
    async fn those_that_are_refused_are_looked_for_once_more() {
        let (now, asked) = (Arc::new(RwLock::new("old")), Arc::new(AtomicU64::new(0)));
        let (there, count) = (Arc::clone(&now), Arc::clone(&asked));
        let again: Again = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let found = named(*there.read().unwrap());
            Box::pin(async move { Some(found) })
        });
        let keys = Keys::new(named("old"), Some(again));
        let id = async || keys.get().await.unwrap().credentials.access_key_id().to_owned();
        assert_eq!((id().await.as_str(), keys.generation()), ("old", 0));
        // Replaced: four requests are refused at once, one looks.
        *now.write().unwrap() = "new";
        assert!((0..4).all(|_| keys.refused(0)));
        assert_eq!((id().await.as_str(), keys.generation()), ("new", 1));
        assert!(keys.refused(0), "a request from before");
        assert_eq!((id().await.as_str(), asked.load(Ordering::SeqCst)), ("new", 1));
        // Refused although they are what there is: final after one look.
        assert!(keys.refused(1));
        assert_eq!((id().await.as_str(), keys.generation()), ("new", 1));
        assert!(!keys.refused(1) && asked.load(Ordering::SeqCst) == 2);
        assert_eq!((id().await.as_str(), asked.load(Ordering::SeqCst)), ("new", 2));
    }

    #[test]
    fn those_that_the_caller_named_are_not_looked_for() {
        assert!(!Keys::new(named("id"), None).refused(0));
    }

    #[test]
    fn they_are_had_anew_ahead_of_time_but_not_all_the_time() {
        let now = SystemTime::now();
        let living = |seconds| {
            let expiry = Some(now + Duration::from_secs(seconds));
            Kept::new(Credentials::new("id", "s", None, expiry, "test"), now)
        };
        let after = |seconds| now + Duration::from_secs(seconds);
        let (long, short) = (living(3600), living(30));
        assert!(long.fresh(after(3539)) && !long.fresh(after(3541)) && long.good(after(3541)));
        assert!(short.fresh(after(14)) && !short.fresh(after(16)) && !short.good(after(31)));
    }
}
