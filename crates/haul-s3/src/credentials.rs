//! When the credentials in use expire.
//!
//! Owns a note of it, taken as credentials pass to the SDK, which keeps them until they are about to
//! expire. Must never hold a secret.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_credential_types::provider::future;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

/// When the credentials that were handed out last expire; `None` for those that do not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expiry(Arc<Mutex<Option<SystemTime>>>);

impl Expiry {
    pub(crate) fn get(&self) -> Option<SystemTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, expiry: Option<SystemTime>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = expiry;
    }
}

/// Credentials, with their expiry noted on the way.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: SharedCredentialsProvider,
    expiry: Expiry,
}

impl Watched {
    pub(crate) fn new(inner: SharedCredentialsProvider, expiry: Expiry) -> Self {
        Self { inner, expiry }
    }
}

impl ProvideCredentials for Watched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let credentials = self.inner.provide_credentials().await?;
            self.expiry.set(credentials.expiry());
            Ok(credentials)
        })
    }

    fn fallback_on_interrupt(&self) -> Option<aws_credential_types::Credentials> {
        self.inner.fallback_on_interrupt()
    }
}
