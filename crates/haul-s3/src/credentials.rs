//! The credentials in use.
//!
//! Owns the one cache of them, for the SDK and for the requests that we sign, and a note of when they
//! expire. They are had anew before that; whoever comes meanwhile uses those that are still good. Must
//! never show a secret.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::Identity;
use tokio::sync::Mutex;

/// How long before they expire credentials are had anew, unless they live less than twice as long.
const AHEAD: Duration = Duration::from_mins(1);

/// How long that may take: as long as the SDK gives it.
const LOADING: Duration = Duration::from_secs(5);

/// Credentials that are kept until they are about to expire. Clones share them.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    provider: SharedCredentialsProvider,
    kept: RwLock<Option<Kept>>,
    loading: Mutex<()>,
}

#[derive(Clone)]
struct Kept {
    credentials: Credentials,
    identity: Identity,
    /// When to have them anew.
    renew: Option<SystemTime>,
}

impl Kept {
    fn new(credentials: Credentials, now: SystemTime) -> Self {
        let renew = credentials.expiry().map(|expiry| {
            let life = expiry.duration_since(now).unwrap_or_default();
            expiry.checked_sub(AHEAD.min(life / 2)).unwrap_or(now)
        });
        Self { identity: credentials.clone().into(), credentials, renew }
    }

    fn fresh(&self, now: SystemTime) -> bool {
        self.renew.is_none_or(|renew| now < renew)
    }

    fn good(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|expiry| now < expiry)
    }
}

impl Keys {
    pub(crate) fn new(provider: SharedCredentialsProvider) -> Self {
        Self(Arc::new(Inner { provider, kept: RwLock::default(), loading: Mutex::default() }))
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

    async fn get(&self) -> Result<Kept, CredentialsError> {
        let good = match self.kept() {
            Some(kept) if kept.fresh(SystemTime::now()) => return Ok(kept),
            kept => kept.filter(|kept| kept.good(SystemTime::now())),
        };
        let _loading = match (self.0.loading.try_lock(), &good) {
            (Ok(loading), _) => loading,
            // Somebody else is at it.
            (Err(_), Some(good)) => return Ok(good.clone()),
            (Err(_), None) => self.0.loading.lock().await,
        };
        if let Some(kept) = self.kept().filter(|kept| kept.fresh(SystemTime::now())) {
            return Ok(kept);
        }
        let loading = tokio::time::timeout(LOADING, self.0.provider.provide_credentials());
        match loading.await.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOADING))) {
            Ok(credentials) => {
                let kept = Kept::new(credentials, SystemTime::now());
                *self.0.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
                Ok(kept)
            }
            Err(e) => good.ok_or(e),
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
        self.0.provider.fallback_on_interrupt()
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
        (Keys::new(SharedCredentialsProvider::new(source)), asked)
    }

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
