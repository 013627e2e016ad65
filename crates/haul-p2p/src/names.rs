//! The names of a collection, as `iroh-blobs` writes them.
//!
//! Owns reading that list: a header, a number and as many strings. Somebody else wrote it, hash and
//! all, so its number of names is compared with that of the contents before a name is looked at, and
//! nothing is allocated by what it says of itself.

use iroh_blobs::format::collection::Collection;

use crate::wire::LONGEST_PATH;

/// Bytes of a length, at most.
const LENGTH: u64 = 10;

/// Bytes for a few names that are too long, each of which fails alone.
const SLACK: u64 = 1 << 20;

/// The most bytes that a list of `count` names has.
pub(crate) fn longest(count: usize) -> u64 {
    SLACK.saturating_add((count as u64).saturating_mul(LONGEST_PATH as u64 + LENGTH))
}

/// The names in `list`; `None` unless it is such a list, of `count` names and nothing else.
pub(crate) fn of(list: &[u8], count: usize) -> Option<Vec<&str>> {
    let list = list.strip_prefix(Collection::HEADER)?;
    let (said, mut rest) = postcard::take_from_bytes::<u64>(list).ok()?;
    if said != count as u64 || rest.len() < count {
        return None;
    }
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let name;
        (name, rest) = postcard::take_from_bytes::<&str>(rest).ok()?;
        names.push(name);
    }
    rest.is_empty().then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(count: u64, rest: &[u8]) -> Vec<u8> {
        [&Collection::HEADER[..], &postcard::to_stdvec(&count).unwrap(), rest].concat()
    }

    /// D8: what a list says of itself is compared before there is room for it.
    #[test]
    fn a_list_has_as_many_names_as_there_are_contents() {
        assert_eq!(of(&list(2, b"\x01a\x02bc"), 2), Some(vec!["a", "bc"]));
        assert_eq!(of(&list(0, b""), 0), Some(vec![]));
        let empty = vec![0; 1 << 20];
        for (count, rest, contents) in [
            (1 << 20, &empty[..], 1),
            (u64::MAX, b"", usize::MAX),
            (1 << 20, b"\0", 1 << 20),
            (1, b"\x01aa", 1),
            (1, b"\x02a", 1),
            (1, b"\x01\xff", 1),
        ] {
            assert_eq!(of(&list(count, rest), contents), None);
        }
        assert_eq!(of(b"CollectionV1.\0", 0), None);
        assert!(longest(1) < 2 * SLACK && longest(usize::MAX) > 1 << 60);
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic(raw in any::<Vec<u8>>(), count in 0_usize..9) {
            let _either = of(&list(count as u64, &raw), count);
            let _either = of(&raw, count);
        }
    }
}
