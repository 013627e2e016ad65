//! Sizes and names that break things.
//!
//! Owns: the tables every suite draws on. A bug fix adds the size or the name that showed it. Must
//! never hold anything random: a failure must happen again.

use crate::memory::mix;

/// Object sizes around the edges of parts of `part` bytes, ascending.
///
/// ```
/// assert!(haul_testkit::sizes::edges(8).starts_with(&[0, 1, 4, 7, 8, 9]));
/// ```
pub fn edges(part: u64) -> Vec<u64> {
    let around = |n: u64| [(n * part).saturating_sub(1), n * part, n * part + 1];
    let mut sizes = vec![0, 1, part / 2, 3 * part + 7];
    sizes.extend([1, 2, 3].into_iter().flat_map(around));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// `len` bytes that depend on `seed` alone and do not repeat.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let seed = mix(seed);
    let words = (0..).flat_map(|i: u64| mix(seed.wrapping_add(i)).to_le_bytes());
    words.take(len).collect()
}

/// The longest key there is: 1,024 bytes (S3 user guide, "Naming Amazon S3 objects").
const LONGEST: &str = match str::from_utf8(&[b'k'; 1024]) {
    Ok(key) => key,
    Err(_) => "",
};
/// A name that fits a file system by itself, and not with a suffix: 255 bytes (POSIX `NAME_MAX`).
const LONG_NAME: &str = match str::from_utf8(&[b'n'; 255]) {
    Ok(key) => key,
    Err(_) => "",
};

/// Keys that are legal in S3 and must survive a round trip byte for byte. Keys of white space alone
/// are not among them: the AWS SDK for Rust refuses to send them.
pub const ODD_KEYS: &[&str] = &[
    " leading and trailing ",
    "two  spaces",
    "100%",
    "%2F",
    "%41",
    "%zz",
    "a+b",
    "a b+c%20d",
    "what?",
    "a?versionId=b",
    "#hash",
    "a&b=c;d",
    "a@b:c,d$e!f*g'h(i)j",
    "<tag attr=\"v\">&amp;</tag>",
    "[brackets]{braces}|pipe^caret`tick",
    "back\\slash",
    "~tilde",
    "$(command)`x`",
    "-rf",
    "--help",
    "*.txt",
    "/leading",
    "//two",
    "a//b",
    "trailing/",
    "a/b/",
    "dots...",
    "trailing.",
    "a./b.",
    "...",
    ".hidden",
    "CON",
    "aux.txt",
    "C:\\windows",
    "new\nline",
    "tab\there",
    "carriage\rreturn",
    "\u{1b}[31mred",
    "bell\u{7}",
    "ünïcödé",
    "u\u{308}", // decomposed, unlike the one above: two keys, not one
    "ü",
    "日本語/ファイル",
    "🎉/🚀.bin",
    "\u{202e}gnp.exe",
    "\u{feff}bom",
    "\u{10ffff}",
    "a",
    "a/b",
    "A",
    LONG_NAME,
    LONGEST,
];

/// Keys that are legal in S3 and must never leave the destination folder. Apart from [`ODD_KEYS`]:
/// HTTP libraries fold them away before a server sees them.
pub const HOSTILE_KEYS: &[&str] = &[
    "..",
    ".",
    "../escape",
    "../../etc/passwd",
    "a/../../escape",
    "a/./b",
    "a/..",
    "..\\escape",
    "/etc/passwd",
    "C:/windows/system32",
    "\\\\host\\share",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_sorted_and_complete() {
        let sizes = edges(100);
        assert_eq!(sizes, [0, 1, 50, 99, 100, 101, 199, 200, 201, 299, 300, 301, 307]);
        assert_eq!(edges(1)[..3], [0, 1, 2]);
    }

    #[test]
    fn patterns_differ_by_seed_alone() {
        assert_eq!(pattern(1000, 7), pattern(1000, 7));
        assert_eq!(pattern(1000, 7)[..500], pattern(500, 7));
        assert_ne!(pattern(1000, 7), pattern(1000, 8));
    }

    #[test]
    fn keys_are_distinct_and_legal() {
        let mut keys: Vec<_> = ODD_KEYS.iter().chain(HOSTILE_KEYS).collect();
        assert!(keys.iter().all(|key| (1..=1024).contains(&key.len())));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
