//! Which checksum a store takes, and how S3 writes it.
//!
//! Owns the encoding and the memory of refusals. Must never claim a checksum that the store did not
//! check.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haul_core::{Algorithm, Checksum, Error, ErrorKind, Retry};

use crate::error::Failure;

/// What is known about a store's taste.
///
/// haul starts with what the provider's row says, on every request that carries bytes. Stores that
/// predate it ignore the header or refuse it; a refusal is remembered for the endpoint, and said in
/// the log.
#[derive(Debug)]
pub(crate) struct ChecksumPolicy {
    first: Option<Algorithm>,
    refused: AtomicBool,
    /// Objects that HEAD was refused for without a word, when it asked for their checksums.
    doubted: Mutex<HashSet<String>>,
}

impl ChecksumPolicy {
    pub(crate) fn new(first: Option<Algorithm>) -> Self {
        Self { first, refused: AtomicBool::new(false), doubted: Mutex::default() }
    }

    /// The algorithm to send.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.first.filter(|_| !self.refused.load(Ordering::Relaxed))
    }

    /// Whether HEAD of an object asks for its checksum.
    pub(crate) fn asks(&self, location: &str) -> bool {
        self.algorithm().is_some() && !self.doubted().contains(location)
    }

    /// Looks at the failure of a request. When it carried a checksum and the store does not know the
    /// header, later requests go without, and this one is worth another try.
    pub(crate) fn learn_if(&self, carried: bool, failed: Failure) -> Error {
        let Failure { error, code, .. } = failed;
        let says = |word: &str| error.detail().to_ascii_lowercase().contains(word);
        let refuses = error.kind() == ErrorKind::Unsupported
            || matches!(code.as_deref(), Some("InvalidArgument" | "InvalidRequest"));
        // AWS's words for an unknown header name no header at all.
        if !(carried && refuses && (says("checksum") || says("header"))) {
            return error;
        }
        self.refuse(error)
    }

    /// The same for an answer to HEAD, which has no words: a bare 400 may be about the question for a
    /// checksum, where nothing is known of the store, or about the object. So the object is asked about
    /// once more without that question, and only a yes to that says that it was the question.
    pub(crate) fn learn_if_bare(&self, asked: bool, location: &str, failed: Failure) -> Error {
        let bare = failed.code.is_none() && failed.error.kind() == ErrorKind::Rejected;
        if asked && bare {
            self.doubted().insert(location.to_owned());
            return failed.error.with_retry(Retry::Backoff);
        }
        if bare {
            self.doubted().remove(location);
        }
        failed.error
    }

    /// HEAD of an object was answered, without the question for a checksum.
    pub(crate) fn answered_without(&self, location: &str) {
        if self.doubted().remove(location) && !self.refused.swap(true, Ordering::Relaxed) {
            tracing::warn!("this store refuses the question for checksums: going on without");
        }
    }

    fn doubted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, error: Error) -> Error {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::warn!("this store refuses checksums ({error}): going on without");
        }
        error.with_retry(Retry::Backoff)
    }
}

/// Base64 as in `x-amz-checksum-*`.
pub(crate) fn encode(checksum: Checksum) -> String {
    STANDARD.encode(checksum.to_be_bytes())
}

/// The inverse of [`encode`]; `None` for a composite (`...-N`) or malformed value.
pub(crate) fn decode(algorithm: Algorithm, text: &str) -> Option<Checksum> {
    Checksum::from_be_bytes(algorithm, &STANDARD.decode(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_travel_as_s3_writes_them() {
        // CRC64NVME of "123456789" in base64.
        let c = Checksum { algorithm: Algorithm::Crc64Nvme, value: 0xae8b_1486_0a79_9888 };
        assert_eq!(encode(c), "rosUhgp5mIg=");
        assert_eq!(decode(Algorithm::Crc64Nvme, "rosUhgp5mIg="), Some(c));
        assert_eq!(decode(Algorithm::Crc64Nvme, "rosUhgp5mIg=-3"), None);
        assert_eq!(decode(Algorithm::Crc32, "rosUhgp5mIg="), None);
    }
}
