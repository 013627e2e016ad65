//! The key pair a client signs with.
//!
//! Owns: generation and redaction. Must never show the secret through `Debug`, nor take it from a
//! generator that is not the operating system's.

use std::fmt;

/// Length of an AWS access key id (IAM user guide, "IAM identifiers": 20 characters).
const ACCESS_KEY_LEN: usize = 20;
/// Length of an AWS secret access key (40 characters in every key AWS has issued).
const SECRET_KEY_LEN: usize = 40;
/// 32 symbols, so that five bits of a random byte pick one without bias.
const ACCESS_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// 64 symbols that need no quoting in a shell or a URL.
const SECRET_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An access key and its secret.
///
/// ```
/// let keys = haul_serve::Credentials::generate().unwrap();
/// assert_eq!(keys.access_key.len(), 20);
/// assert!(!format!("{keys:?}").contains(&keys.secret_key));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The public half, sent with every request.
    pub access_key: String,
    /// The secret half, which only signs.
    pub secret_key: String,
}

impl Credentials {
    /// A pair the caller already has.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret_key: secret_key.into() }
    }

    /// A fresh pair from the operating system's generator.
    pub fn generate() -> std::io::Result<Self> {
        Ok(Self {
            access_key: pick(ACCESS_ALPHABET, ACCESS_KEY_LEN)?,
            secret_key: pick(SECRET_ALPHABET, SECRET_KEY_LEN)?,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("secret_key", &"<redacted>")
            .finish()
    }
}

fn pick(alphabet: &[u8], len: usize) -> std::io::Result<String> {
    let mut random = vec![0u8; len];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    // Both alphabets are powers of two long: the remainder is unbiased.
    Ok(random.iter().map(|b| char::from(alphabet[usize::from(*b) % alphabet.len()])).collect())
}
