//! haul's HTTP(S) backend: ranged or streamed GET, PUT to presigned URLs.
//!
//! Owns everything that speaks plain HTTP: what every request carries, what a
//! server's answer says about ranges and validators, redirects, and the meaning of its errors. It
//! must never send HEAD (a presigned URL is signed for one method), send credentials to another
//! origin than the one they were given for, show a secret, or try again: the engine does that.

mod address;
mod answer;
mod body;
mod client;
mod error;
mod place;
mod ranged;
mod source;
mod stream;
mod target;

use percent_encoding::percent_decode_str;

pub use client::{HttpClient, HttpOptions};
pub use source::HttpSource;
pub use target::HttpTarget;

/// The name that a download of `url` may have here: the last segment of its path, decoded, if that
/// is a safe file name.
///
/// ```
/// use haul_http::file_name;
/// let name = |url: &str| file_name(&url::Url::parse(url).unwrap());
/// assert_eq!(name("https://h/a/b%20c.txt?X-Amz-Signature=s").as_deref(), Some("b c.txt"));
/// assert_eq!(name("https://h/a/"), None);
/// assert_eq!(name("https://h/a%2F..%2Fb"), None);
/// ```
pub fn file_name(url: &url::Url) -> Option<String> {
    let name = percent_decode_str(url.path_segments()?.next_back()?).decode_utf8().ok()?;
    // An encoded slash is part of the segment: what follows it is not the name.
    (haul_core::name::file_name(&name)? == name).then(|| name.into_owned())
}
