//! Which checksum a store takes, and how S3 writes it.
//!
//! Owns the encoding and the memory of refusals. Must never claim a checksum that the store did not
//! check.

use std::sync::atomic::{AtomicBool, Ordering};

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
}

impl ChecksumPolicy {
    pub(crate) fn new(first: Option<Algorithm>) -> Self {
        Self { first, refused: AtomicBool::new(false) }
    }

    /// The algorithm to send.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.first.filter(|_| !self.refused.load(Ordering::Relaxed))
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
    /// checksum, where nothing is known of the store. If it was not, the next answer is the same, and
    /// final.
    pub(crate) fn learn_if_bare(&self, asked: bool, failed: Failure) -> Error {
        let bare = failed.code.is_none() && failed.error.kind() == ErrorKind::Rejected;
        if asked && bare { self.refuse(failed.error) } else { failed.error }
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
