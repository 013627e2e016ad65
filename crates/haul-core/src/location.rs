//! Where bytes are: parsing what users type.
//!
//! Owns the grammar of locations. Keys are raw text: nothing is decoded or normalised, so a space,
//! `%`, `+`, `?` or a leading `/` survives a round trip. Must never touch the disk or the network.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use crate::foreign::Foreign;
use crate::hint::Hint;
use crate::redact;

/// A place that bytes come from or go to.
///
/// `Display` is escaped, for people, and shows URLs without their secrets; programs get the text by
/// [`Foreign::exact`].
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// A path on this machine.
    Local(PathBuf),
    /// `-`, or a name that the system has for it: standard input or output.
    Stdio,
    /// `s3://bucket/key`; an empty key is the bucket itself.
    S3 {
        /// Bucket name.
        bucket: String,
        /// Key, exactly as typed after the slash that follows the bucket.
        key: String,
    },
    /// `http://` or `https://`, exactly as typed. It may carry a password or a signature: show it
    /// through [`redact::url`] only.
    Http(String),
}

/// Names of the standard streams. Opened as files they would be written to beside what the process
/// itself writes there, from another place.
const STREAMS: [&str; 7] = [
    "-",
    "/dev/stdin",
    "/dev/fd/0",
    "/proc/self/fd/0",
    "/dev/stdout",
    "/dev/fd/1",
    "/proc/self/fd/1",
];

/// The longest key, in bytes (Amazon S3 User Guide, "Naming Amazon S3 objects").
pub const MAX_KEY: usize = 1024;

/// Why a text is not a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLocationError {
    /// Nothing was given.
    #[error("an empty location")]
    Empty,
    /// `s3://` without a bucket.
    #[error("{0} names no bucket (s3://BUCKET/KEY)")]
    NoBucket(String),
    /// A bucket name no store accepts.
    #[error("{0:?} is no bucket name (letters, digits, '.', '-', '_'; at most 255)")]
    BadBucket(String),
    /// Keys are UTF-8 text of at most 1,024 bytes.
    #[error("the key is {0} bytes long, and S3 stops at 1,024")]
    LongKey(usize),
    /// A key that is not UTF-8.
    #[error("{0} is not UTF-8, and S3 keys are")]
    NotUtf8(String),
    /// A URL without a host, or with something in it that no URL has.
    #[error("{0} is no URL of a server (https://HOST/PATH)")]
    BadUrl(String),
    /// Another scheme.
    #[error("{0}:// is not a scheme haul knows")]
    UnknownScheme(String),
}

impl ParseLocationError {
    /// The way out, if one is known that the message does not tell.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::UnknownScheme(scheme) => Some(Hint::KnownSchemes(scheme.as_str().into())),
            _ => None,
        }
    }
}

impl Location {
    /// Understands one text.
    ///
    /// ```
    /// use haul_core::Location;
    /// let l = Location::parse("s3://bucket//a b%20?.txt").unwrap();
    /// assert_eq!(l, Location::S3 { bucket: "bucket".into(), key: "/a b%20?.txt".into() });
    /// assert_eq!(Location::parse("-").unwrap(), Location::Stdio);
    /// assert!(Location::parse("s3:///key").is_err());
    /// ```
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, ParseLocationError> {
        let raw = text.as_ref();
        let lossy = raw.to_string_lossy();
        if raw.is_empty() {
            return Err(ParseLocationError::Empty);
        }
        if STREAMS.iter().any(|name| raw == *name) {
            return Ok(Self::Stdio);
        }
        let Some(scheme) = scheme_of(&lossy) else {
            return Ok(Self::Local(PathBuf::from(raw)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => {}
            "http" | "https" => return parse_http(raw, &lossy),
            _ if scheme.bytes().any(|b| b.is_ascii_uppercase()) => {
                return Ok(Self::Local(PathBuf::from(raw)));
            }
            _ => return Err(ParseLocationError::UnknownScheme(scheme.to_owned())),
        }
        let Some(text) = raw.to_str() else {
            return Err(ParseLocationError::NotUtf8(redact::for_display(&lossy)));
        };
        parse_s3(text)
    }
}

fn parse_http(raw: &OsStr, lossy: &str) -> Result<Location, ParseLocationError> {
    let bad = || ParseLocationError::BadUrl(redact::url(lossy));
    let text = raw.to_str().ok_or_else(bad)?;
    let (_, rest) = text.split_once("://").ok_or_else(bad)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let clean = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if host.is_empty() || host.starts_with(':') || !clean {
        return Err(bad());
    }
    Ok(Location::Http(text.to_owned()))
}

fn parse_s3(text: &str) -> Result<Location, ParseLocationError> {
    let rest = &text["s3://".len()..];
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(ParseLocationError::NoBucket(redact::for_display(text)));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    // 255: AWS's limit for the oldest buckets; stores accept names that AWS no longer hands out.
    if bucket.len() > 255 || !bucket.bytes().all(fits) || bucket == "." || bucket == ".." {
        return Err(ParseLocationError::BadBucket(redact::for_display(bucket)));
    }
    if key.len() > MAX_KEY {
        return Err(ParseLocationError::LongKey(key.len()));
    }
    Ok(Location::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
}

/// The scheme in `scheme://rest` (RFC 3986, 3.1), as it was typed.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let mut bytes = scheme.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on = |b: u8| b.is_ascii_alphanumeric() || b"+.-".contains(&b);
    (starts && bytes.all(goes_on)).then_some(scheme)
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => f.debug_tuple("Local").field(path).finish(),
            Self::Stdio => f.write_str("Stdio"),
            Self::S3 { bucket, key } => {
                f.debug_struct("S3").field("bucket", bucket).field("key", key).finish()
            }
            Self::Http(url) => f.debug_tuple("Http").field(&redact::url(url)).finish(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Foreign::from(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(bucket: &str, key: &str) -> Location {
        Location::S3 { bucket: bucket.into(), key: key.into() }
    }

    /// S3.7, S3.37: URI parsing; U3.2: keys are raw text.
    #[test]
    fn s3_uris() {
        assert_eq!(Location::parse("s3://b"), Ok(s3("b", "")));
        assert_eq!(Location::parse("s3://b/"), Ok(s3("b", "")));
        assert_eq!(Location::parse("s3://b/a/b"), Ok(s3("b", "a/b")));
        assert_eq!(Location::parse("s3://b/a%2Fb+c?d#e"), Ok(s3("b", "a%2Fb+c?d#e")));
        assert_eq!(Location::parse("s3://b//lead/"), Ok(s3("b", "/lead/")));
        assert_eq!(Location::parse("s3://b/ü"), Ok(s3("b", "ü")));
        assert!(Location::parse(format!("s3://b/{}", "k".repeat(1025))).is_err());
        for bad in ["s3://", "s3:///k", "s3://b ucket/k", "s3://../k", "s3://b:80/k", "ftp://h/x"] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }

    /// G.2: the system's names for the standard streams are those streams.
    #[test]
    fn the_standard_streams_have_many_names() {
        for name in STREAMS {
            assert_eq!(Location::parse(name), Ok(Location::Stdio), "{name}");
        }
        assert_eq!(Location::parse("/dev/fd/3"), Ok(Location::Local("/dev/fd/3".into())));
    }

    /// A.26: a scheme is the same in capitals (RFC 3986, 3.1).
    #[test]
    fn a_store_in_capitals_is_a_store() {
        assert_eq!(Location::parse("S3://b/K"), Ok(s3("b", "K")));
        let url = "HTTPS://h/X";
        assert_eq!(Location::parse(url), Ok(Location::Http(url.into())));
    }

    #[test]
    fn paths_are_paths() {
        for path in ["a", "./s3:", "/x/y", "C:\\x", "C://x", "a b://c", "~/x"] {
            assert_eq!(Location::parse(path), Ok(Location::Local(path.into())), "{path}");
        }
        assert_eq!(Location::parse(""), Err(ParseLocationError::Empty));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_s3_round_trips(text in "\\PC{0,40}") {
            let _any = Location::parse(&text);
            if let Ok(l) = Location::parse(format!("s3://bucket/{text}")) {
                proptest::prop_assert_eq!(l, Location::S3 { bucket: "bucket".into(), key: text });
            }
        }
    }
}
