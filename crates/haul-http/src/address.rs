//! Where a request goes, and what it carries to prove itself.
//!
//! Owns the split of a URL into the place, the credentials that were written in it and the text
//! that may be shown, and with it the rule on redirects: credentials stay with their origin. Must
//! never let a query or a password reach `Debug`: either can be the secret itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haul_core::{Error, ErrorKind, Op, Result};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

/// A URL without user info, and the credentials that were in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    url: Url,
    pub(crate) authorization: Option<HeaderValue>,
}

/// How a URL proves that it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// It does not.
    No,
    /// Only named headers are part of the signature (SigV4, GCS V4, Azure SAS): others are harmless.
    NamedHeaders,
    /// The content type is part of the signature even where there is none (AWS V2, GCS V2, Alibaba).
    ContentType,
}

impl Address {
    pub(crate) fn new(mut url: Url) -> Self {
        let authorization = basic(&url);
        url.set_fragment(None); // never sent (RFC 9110, 4.2.5)
        strip_user_info(&mut url);
        Self { url, authorization }
    }

    /// The URL as hyper wants it.
    pub(crate) fn uri(&self, op: Op) -> Result<Uri> {
        let invalid = |what| Err(Error::new(ErrorKind::Invalid, op, self.shown(), what));
        if !matches!(self.url.scheme(), "http" | "https") {
            return invalid("it is no http:// or https:// URL");
        }
        self.url.as_str().parse().or_else(|_| invalid("it is no URL that can be sent"))
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL for messages. A query is left out: any of its values may be a secret, and the names
    /// of secret parameters are without number.
    pub(crate) fn shown(&self) -> String {
        let mut shown = self.url.clone();
        shown.set_query(self.url.query().map(|_| "***"));
        shown.into()
    }

    /// Scheme, host and port, for messages.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(crate) fn signed(&self) -> Signed {
        let has = |wanted: &[&str]| {
            self.url
                .query_pairs()
                .any(|(name, _)| wanted.contains(&name.to_ascii_lowercase().as_str()))
        };
        if has(&["x-amz-signature", "x-goog-signature", "x-oss-signature", "sig"]) {
            Signed::NamedHeaders
        } else if has(&["signature"]) {
            Signed::ContentType
        } else {
            Signed::No
        }
    }

    /// Whether the signature names this header, in lower case (SigV4): then it has to be sent, as it
    /// was signed.
    pub(crate) fn signs(&self, header: &str) -> bool {
        let named = |name: &str| ["x-amz-signedheaders", "x-goog-signedheaders"].contains(&name);
        self.url
            .query_pairs()
            .filter(|(name, _)| named(&name.to_ascii_lowercase()))
            .any(|(_, headers)| headers.split(';').any(|one| one.eq_ignore_ascii_case(header)))
    }

    /// Where a redirect leads. What proves us here is not carried to another origin, and not from an
    /// encrypted connection to one that is not.
    pub(crate) fn redirected(&self, op: Op, location: &str) -> Result<Self> {
        let refused = |kind, what: String| Err(Error::new(kind, op, self.shown(), what));
        let Ok(mut url) = self.url.join(location) else {
            return refused(ErrorKind::Protocol, "it redirects to something that is no URL".into());
        };
        url.set_fragment(None);
        // A server may not choose credentials for us.
        strip_user_info(&mut url);
        let mut next = Self { url, authorization: None };
        if !matches!(next.url.scheme(), "http" | "https") {
            let what = format!("it redirects to a {} URL", next.url.scheme());
            return refused(ErrorKind::Unsupported, what);
        }
        if self.is_https() && !next.is_https() {
            let what =
                format!("it redirects from https to {}, which is not encrypted", next.origin());
            return refused(ErrorKind::Rejected, what);
        }
        if self.url.origin() == next.url.origin() {
            next.authorization.clone_from(&self.authorization);
        }
        Ok(next)
    }
}

/// `Basic` credentials (RFC 7617) from the user info of a URL.
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn strip_user_info(url: &mut Url) {
    // These fail only for URLs that cannot have user info.
    let _cannot_have_any = (url.set_username(""), url.set_password(None));
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("url", &self.shown())
            .field("authorization", &self.authorization.as_ref().map(|_| "***"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::new(Url::parse(text).unwrap())
    }

    #[test]
    fn credentials_leave_the_url() {
        let a = address("https://me:p%40w@h.example/a?X-Amz-Signature=s#f");
        assert_eq!(a.uri(Op::Open).unwrap(), "https://h.example/a?X-Amz-Signature=s");
        assert_eq!(a.authorization.as_ref().unwrap(), "Basic bWU6cEB3");
        assert_eq!(a.shown(), "https://h.example/a?***");
        let debug = format!("{a:?}");
        assert!(!debug.contains("=s") && !debug.contains("bWU6") && !debug.contains("me:"));
        assert_eq!(address("ftp://h/a").uri(Op::Open).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn redirects_keep_credentials_at_home() {
        let a = address("http://me:pw@h/a/b");
        let to = |location: &str| a.redirected(Op::Open, location).unwrap();
        assert_eq!(to("/c?d").shown(), "http://h/c?***");
        assert!(to("c").authorization.is_some());
        assert!(to("http://h:80/c").authorization.is_some());
        for elsewhere in ["http://h:81/c", "http://other/c", "https://h/c", "//me:pw@other/c"] {
            assert!(to(elsewhere).authorization.is_none(), "{elsewhere}");
        }
        assert!(a.redirected(Op::Open, "file:///etc/passwd").is_err());
        assert!(a.redirected(Op::Open, "http://[").is_err());
        assert!(address("https://h/").redirected(Op::Open, "http://h/").is_err());
    }

    #[test]
    fn signatures_are_recognised() {
        for (url, signed) in [
            ("https://h/k?X-Amz-Algorithm=a&X-Amz-Signature=s", Signed::NamedHeaders),
            ("https://h/k?sv=1&sig=s", Signed::NamedHeaders),
            ("https://h/k?AWSAccessKeyId=a&Signature=s&Expires=1", Signed::ContentType),
            ("https://h/k?a=sig", Signed::No),
        ] {
            assert_eq!(address(url).signed(), signed, "{url}");
        }
        let typed =
            address("https://h/k?X-Amz-SignedHeaders=content-type%3Bhost&X-Amz-Signature=s");
        assert!(typed.signs("content-type") && typed.signs("host") && !typed.signs("content"));
    }
}
