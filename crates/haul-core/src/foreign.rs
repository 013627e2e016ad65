//! Text that came from elsewhere: names of files, keys of objects, what a server or a peer said.
//!
//! Owns the type that can be shown in one way only, escaped, so that no renderer can forget it. Must
//! never give its text to a format string in any other way.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use crate::entry::RelPath;
use crate::location::Location;
use crate::redact;

/// Text from elsewhere. `Display` escapes what steers a terminal, breaks a line or makes a name read as
/// another; bytes that are not UTF-8 are shown as `\xFF`. Programs get the text itself by
/// [`exact`](Self::exact).
///
/// ```
/// use haul_core::Foreign;
/// let name = Foreign::from("a\u{1b}]0;title\u{7}\u{202e}b\n");
/// assert_eq!(name.to_string(), "a\\u{1b}]0;title\\u{7}\\u{202e}b\\n");
/// assert_eq!(name.exact(), "a\u{1b}]0;title\u{7}\u{202e}b\n");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Foreign(Vec<u8>);

impl Foreign {
    /// The text as it is, for programs: JSON, or a comparison. What is not UTF-8 becomes U+FFFD.
    pub fn exact(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return f.pad(&redact::escape_control(text));
        }
        let mut shown = String::with_capacity(self.0.len() + 8);
        for chunk in self.0.utf8_chunks() {
            shown += &redact::escape_control(chunk.valid());
            shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
        }
        f.pad(&shown)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<String> for Foreign {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Foreign {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&OsStr> for Foreign {
    fn from(name: &OsStr) -> Self {
        Self(name.as_encoded_bytes().to_vec())
    }
}

impl From<&Path> for Foreign {
    fn from(path: &Path) -> Self {
        path.as_os_str().into()
    }
}

impl From<&RelPath> for Foreign {
    fn from(path: &RelPath) -> Self {
        path.as_os_str().into()
    }
}

/// URLs without their secrets.
impl From<&Location> for Foreign {
    fn from(location: &Location) -> Self {
        match location {
            Location::Local(path) => path.as_path().into(),
            Location::Stdio => "-".into(),
            Location::S3 { bucket, key } if key.is_empty() => format!("s3://{bucket}").into(),
            Location::S3 { bucket, key } => format!("s3://{bucket}/{key}").into(),
            Location::Http(url) => redact::url(url).into(),
        }
    }
}

impl PartialEq<str> for Foreign {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for Foreign {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// D5: whatever can be shown shows escaped: the text, a path, a location.
    #[test]
    fn names_from_elsewhere_are_shown_escaped() {
        let steers = "x \u{1b}]0;PWNED\u{7} \u{9b}2J \u{202e}y\r\n\u{2028}";
        let shown = "x \\u{1b}]0;PWNED\\u{7} \\u{9b}2J \\u{202e}y\\r\\n\\u{2028}";
        assert_eq!(Foreign::from(steers).to_string(), shown);
        assert_eq!(format!("{:?}", Foreign::from(steers)), format!("\"{shown}\""));
        assert_eq!(RelPath::new(steers).shown().to_string(), shown);
        assert_eq!(Location::Local(steers.into()).to_string(), shown);
        let key = Location::S3 { bucket: "b".into(), key: steers.into() };
        assert_eq!(key.to_string(), format!("s3://b/{shown}"));
        assert_eq!(Foreign::from(&key).exact(), format!("s3://b/{steers}"));
    }

    /// D5: bytes that are no text are seen, and told apart.
    #[test]
    fn bytes_that_are_not_utf8_are_seen() {
        let name = RelPath::new(OsStr::from_bytes(b"caf\xe9\x1b.txt"));
        assert_eq!(name.shown().to_string(), "caf\\xE9\\u{1b}.txt");
        assert_eq!(Foreign::from(&name).exact(), "caf\u{fffd}\u{1b}.txt");
        assert_eq!(
            format!("{:>8}|{:<4}|", Foreign::from("é"), Foreign::from("é")),
            "       é|é   |"
        );
    }
}
