//! Text that is safe to show: without secrets and without terminal control.
//!
//! Owns the rules for both. Must never be bypassed by an error, a log line or a renderer.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Query parameters that carry a secret in a presigned URL (SigV4 query authentication, SigV2, and
/// the names other stores use).
const SECRET_PARAMETERS: [&str; 8] = [
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "signature",
    "awsaccesskeyid",
    "x-goog-signature",
    "sig",
    "token",
];

/// `text` with secrets replaced and control characters escaped: what may reach a terminal or log.
///
/// ```
/// use haul_core::redact::for_display;
/// assert_eq!(for_display("a\u{1b}[31m"), "a\\u{1b}[31m");
/// assert_eq!(
///     for_display("https://h/k?X-Amz-Signature=abc&x=1"),
///     "https://h/k?X-Amz-Signature=***&x=1"
/// );
/// ```
pub fn for_display(text: &str) -> String {
    escape_control(&redact_url(text)).into_owned()
}

/// One URL as it may be shown: without user info and without its query, any part of which may be what
/// opens it. The whole text is taken for the URL, whatever is in it.
///
/// ```
/// use haul_core::redact::url;
/// assert_eq!(url("https://me:pw@h/a b?key=s"), "https://***@h/a b?***");
/// assert_eq!(url("https://h/a"), "https://h/a");
/// ```
pub fn url(text: &str) -> String {
    let (plain, query) = text.split_once('?').map_or((text, ""), |(plain, _)| (plain, "?***"));
    escape_control(&format!("{}{query}", redact_one(plain))).into_owned()
}

/// Escapes control characters, so that a remote name cannot steer the terminal.
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                let _infallible = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, what ends a line for some readers, and the bidirectional controls that can make a
/// name read as another.
fn is_unsafe(c: char) -> bool {
    let bidi = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || bidi
}

/// Hides user info and secret query parameters of everything that looks like an `http(s)` URL.
fn redact_url(text: &str) -> Cow<'_, str> {
    let next = |text: &str| ["http://", "https://"].iter().filter_map(|s| text.find(s)).min();
    if next(text).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = next(rest) {
        let (before, url) = rest.split_at(start);
        let (url, after) = url.split_at(url.find(char::is_whitespace).unwrap_or(url.len()));
        out.push_str(before);
        out.push_str(&redact_one(url));
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn redact_one(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |i| i + 3));
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let tail = match tail.split_once('?') {
        Some((path, query)) => format!("{path}?{}", redact_query(query)),
        None => tail.to_owned(),
    };
    format!("{scheme}{authority}{tail}")
}

fn redact_query(query: &str) -> String {
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("{name}=***")
        }
        _ => pair.to_owned(),
    };
    query.split('&').map(hide).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_urls_are_hidden() {
        let shown = for_display(
            "get https://me:pw@h.example/a?X-Amz-Credential=AK&X-Amz-Date=1&X-Amz-Security-Token=T",
        );
        assert!(!shown.contains("pw") && !shown.contains("AK") && !shown.contains("=T"), "{shown}");
        assert!(shown.contains("X-Amz-Date=1"), "{shown}");
    }

    #[test]
    fn every_url_is_looked_at() {
        let text = "https://a/?X-Amz-Signature=s1 then http://me@b/?sig=s2 done";
        let shown = for_display(text);
        assert!(
            !shown.contains("s1") && !shown.contains("s2") && !shown.contains("me@"),
            "{shown}"
        );
        assert!(shown.ends_with(" done"), "{shown}");
    }

    #[test]
    fn bidi_overrides_are_escaped() {
        assert_eq!(for_display("a\u{202e}b"), "a\\u{202e}b");
    }
}
