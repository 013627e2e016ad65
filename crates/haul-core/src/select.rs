//! Which of the things that were found are meant.
//!
//! Owns filters, patterns in sources, and shards. All three look at names, sizes and times only;
//! they must never do I/O, and must answer alike on every machine.

use std::borrow::Cow;
use std::path::Path;
use std::time::SystemTime;

use globset::{GlobBuilder, GlobMatcher};

use crate::entry::{Entry, RelPath};

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern: {why}")]
pub struct PatternError {
    pattern: String,
    why: String,
}

fn glob(pattern: &str, slashes: bool) -> Result<GlobMatcher, PatternError> {
    let mut builder = GlobBuilder::new(pattern);
    builder.literal_separator(slashes).backslash_escape(true).empty_alternates(true);
    let glob = builder
        .build()
        .map_err(|e| PatternError { pattern: pattern.to_owned(), why: e.kind().to_string() })?;
    Ok(glob.compile_matcher())
}

/// One rule: what it matches is included, or excluded.
#[derive(Debug, Clone)]
pub struct FilterRule {
    include: bool,
    /// Matches the whole path; `*` crosses slashes.
    path: GlobMatcher,
    /// Matches a name at any depth; for patterns without a slash.
    name: Option<GlobMatcher>,
}

impl FilterRule {
    /// A rule. A pattern matches a whole relative path (`*` stands for anything, slashes included),
    /// or, when it has no slash, a name at any depth. What matches a folder matches all below it.
    pub fn new(include: bool, pattern: &str) -> Result<Self, PatternError> {
        let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
        let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
        let name = (!pattern.contains('/')).then(|| glob(pattern, false)).transpose()?;
        Ok(Self { include, path: glob(pattern, false)?, name })
    }

    fn matches(&self, path: &Path) -> bool {
        // A folder is what its name is: the slash at its end is none of a pattern's business.
        let path = path.components().as_path();
        let one = |path: &Path| {
            let name = || Some(self.name.as_ref()?.is_match(path.file_name()?));
            self.path.is_match(path) || name().unwrap_or(false)
        };
        path.ancestors().filter(|p| !p.as_os_str().is_empty()).any(one)
    }
}

/// Which entries are taken.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Filter {
    /// In the order given: the last that matches decides. What none matches is taken, unless the
    /// first rule includes: then nothing else was asked for.
    pub rules: Vec<FilterRule>,
    /// Smallest size.
    pub min_size: Option<u64>,
    /// Largest size.
    pub max_size: Option<u64>,
    /// Only what was modified after this.
    pub newer_than: Option<SystemTime>,
    /// Only what was modified before this.
    pub older_than: Option<SystemTime>,
    /// Only names with one of these extensions, in any case.
    pub extensions: Vec<String>,
}

impl Filter {
    /// Whether everything is taken.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.extensions.is_empty() && !self.looks()
    }

    /// Whether more than the name is needed to decide.
    pub fn looks(&self) -> bool {
        self.min_size.or(self.max_size).is_some() || self.newer_than.or(self.older_than).is_some()
    }

    /// Whether an entry is taken. An entry without a time is neither new nor old.
    ///
    /// ```
    /// use haul_core::{Entry, Filter, FilterRule};
    /// let mut filter = Filter::default();
    /// filter.rules.push(FilterRule::new(false, "*").unwrap());
    /// filter.rules.push(FilterRule::new(true, "*.jpg").unwrap());
    /// assert!(filter.admits(&Entry::file("a/b.jpg", 1)));
    /// assert!(!filter.admits(&Entry::file("a/b.txt", 1)));
    /// ```
    pub fn admits(&self, entry: &Entry) -> bool {
        self.admits_name(&entry.path)
            && self.min_size.is_none_or(|min| entry.size >= min)
            && self.max_size.is_none_or(|max| entry.size <= max)
            && self.newer_than.is_none_or(|t| entry.modified.is_some_and(|m| m > t))
            && self.older_than.is_none_or(|t| entry.modified.is_some_and(|m| m < t))
    }

    /// Whether a name is taken, whatever its size and time.
    pub fn admits_name(&self, path: &RelPath) -> bool {
        let path = Path::new(path.as_os_str());
        let extension = || {
            let extension = path.extension()?.to_str()?;
            Some(self.extensions.iter().any(|e| e.eq_ignore_ascii_case(extension)))
        };
        if !self.extensions.is_empty() && !extension().unwrap_or(false) {
            return false;
        }
        let decided = self.rules.iter().rev().find(|rule| rule.matches(path));
        decided.map_or_else(|| !self.rules.first().is_some_and(|r| r.include), |rule| rule.include)
    }

    /// Whether nothing below a folder can be taken, so that it need not be looked at.
    pub fn prunes(&self, folder: &RelPath) -> bool {
        let path = Path::new(folder.as_os_str());
        let last = self.rules.iter().rposition(|rule| rule.matches(path));
        // A later rule that includes might take something below.
        last.is_some_and(|i| self.rules[i..].iter().all(|rule| !rule.include))
    }
}

/// A share of what was found, for one of many machines that do not talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Share `index` of `count`, from 0.
    pub fn new(index: u64, count: u64) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Whether a path is in this share. Every path is in exactly one of the shares; which one
    /// depends on its bytes alone, by 64-bit FNV-1a, folded, modulo the count: part of haul's
    /// interface, for shares of one job may be run by different releases.
    pub fn holds(&self, path: &RelPath) -> bool {
        // FNV-1a: draft-eastlake-fnv, 64-bit offset basis and prime.
        let hash = path.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash ^ (hash >> 32)) % self.count == self.index
    }
}

/// The most `**` beside other characters that are spelled out: each doubles the pattern.
const MOST_SPELLED: usize = 4;

/// A pattern in which `**` crosses slashes wherever it stands. globset takes `**.gz` for `*.gz`,
/// because there `**` is a whole segment or nothing. What is in brackets is left alone.
fn across(text: &str) -> Cow<'_, str> {
    let is_bare = |segment: &&str| *segment != "**" && segment.contains("**");
    let spelled: usize = text.split('/').filter(is_bare).map(|s| s.matches("**").count()).sum();
    if spelled == 0 || spelled > MOST_SPELLED || text.contains(['[', '{', '}', '\\', ',']) {
        return text.into();
    }
    let segments = text.split('/').map(|segment| match Some(segment).filter(is_bare) {
        Some(segment) => format!("{{{}}}", ways(segment).join(",")),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/").into()
}

/// What a segment with `**` in it can be: within one folder, or with folders between.
fn ways(segment: &str) -> Vec<String> {
    let Some((before, after)) = segment.split_once("**") else { return vec![segment.to_owned()] };
    let rest = ways(after.trim_start_matches('*'));
    let ways = |rest: &String| [format!("{before}*{rest}"), format!("{before}*/**/*{rest}")];
    rest.iter().flat_map(ways).collect()
}

/// A pattern in a source: `*` and `?` within a segment, `**` across them, `[...]` and `{a,b}`.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The text before the first special character.
    literal: String,
    matcher: GlobMatcher,
}

impl Pattern {
    /// Whether a text has characters that mean something in a pattern.
    pub fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '[', '{'])
    }

    /// Understands a pattern.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let end = text.find(['*', '?', '[', '{', '\\']).unwrap_or(text.len());
        Ok(Self { literal: text[..end].to_owned(), matcher: glob(&across(text), true)? })
    }

    /// What everything that matches begins with.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// The folder that everything that matches is in, with its slash; empty for the root.
    pub fn parent(&self) -> &str {
        let end = self.literal.rfind('/').map_or(0, |slash| slash + 1);
        &self.literal[..end]
    }

    /// Whether a whole path matches, or, with `below`, a folder that it is in.
    pub fn matches(&self, path: &Path, below: bool) -> bool {
        if !below {
            return self.matcher.is_match(path);
        }
        path.ancestors().any(|p| self.matcher.is_match(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(rules: &[(bool, &str)]) -> Filter {
        let rule = |(include, pattern): &(bool, &str)| FilterRule::new(*include, pattern).unwrap();
        Filter { rules: rules.iter().map(rule).collect(), ..Filter::default() }
    }

    fn admits(rules: &[(bool, &str)], path: &str) -> bool {
        filter(rules).admits(&Entry::file(path, 1))
    }

    #[test]
    fn the_last_match_wins() {
        let rules = [(false, "*"), (true, "*.jpg"), (false, "private/*")];
        assert!(admits(&rules, "a/b.jpg"));
        assert!(!admits(&rules, "a/b.txt"));
        assert!(!admits(&rules, "private/b.jpg"));
        assert!(admits(&[], "anything"));
    }

    #[test]
    fn an_include_alone_leaves_the_rest_out() {
        assert!(admits(&[(true, "*.mp4")], "a/b.mp4"));
        assert!(!admits(&[(true, "*.mp4")], "a/b.txt"));
        assert!(admits(&[(false, "*.mp4")], "a/b.txt"));
    }

    #[test]
    fn names_match_at_any_depth_and_folders_with_all_below() {
        let rules = [(false, "node_modules"), (false, ".*"), (false, "/build/")];
        for out in ["node_modules/x/y", "a/node_modules/x", ".git/config", "a/.hidden", "build/x"] {
            assert!(!admits(&rules, out), "{out}");
        }
        assert!(admits(&rules, "a/b.c"));
        assert!(admits(&[(false, "a/b")], "x/a/b"), "a pattern with a slash starts at the root");
    }

    /// M.6: a folder with nothing in it is left out by its path, and not by what is said of its content.
    #[test]
    fn the_slash_behind_a_folder_matches_nothing() {
        assert!(!admits(&[(false, "a/b")], "a/b/"));
        assert!(!admits(&[(false, "b")], "a/b/"));
        assert!(admits(&[(false, "b/*")], "b/"));
        assert!(filter(&[(false, "a/b")]).prunes(&RelPath::new("a/b/")));
    }

    #[test]
    fn folders_are_pruned_only_when_nothing_below_can_be_taken() {
        assert!(filter(&[(false, "tmp")]).prunes(&RelPath::new("a/tmp/")));
        assert!(!filter(&[(false, "tmp"), (true, "*.jpg")]).prunes(&RelPath::new("a/tmp/")));
        assert!(filter(&[(true, "*.jpg"), (false, "tmp")]).prunes(&RelPath::new("tmp")));
        assert!(!filter(&[(true, "*.jpg")]).prunes(&RelPath::new("a")));
    }

    #[test]
    fn sizes_times_and_extensions() {
        let now = SystemTime::now();
        let mut filter = Filter { min_size: Some(10), newer_than: Some(now), ..Filter::default() };
        let mut entry = Entry::file("a.MP4", 10);
        assert!(!filter.admits(&entry));
        entry.modified = Some(now + std::time::Duration::from_secs(1));
        assert!(filter.admits(&entry));
        filter.extensions = vec!["mp4".to_owned(), "mkv".to_owned()];
        assert!(filter.admits(&entry));
        entry.path = RelPath::new("mp4");
        assert!(!filter.admits(&entry), "a name is no extension");
        entry.path = RelPath::new("a.mp4");
        entry.size = 9;
        assert!(!filter.admits(&entry));
    }

    #[test]
    fn patterns_in_sources_do_not_cross_slashes() {
        let pattern = Pattern::new("logs/2026-*/x?.gz").unwrap();
        assert_eq!((pattern.literal(), pattern.parent()), ("logs/2026-", "logs/"));
        assert!(pattern.matches(Path::new("logs/2026-01/x1.gz"), false));
        assert!(!pattern.matches(Path::new("logs/2026-01/a/x1.gz"), false));
        assert!(Pattern::new("logs/**/x").unwrap().matches(Path::new("logs/a/b/x"), false));
        let folders = Pattern::new("logs/*").unwrap();
        assert!(!folders.matches(Path::new("logs/a/b"), false));
        assert!(folders.matches(Path::new("logs/a/b"), true));
        assert!(Pattern::new("a[").is_err());
    }

    #[test]
    fn two_stars_cross_slashes_wherever_they_stand() {
        let matches =
            |pattern, path| Pattern::new(pattern).unwrap().matches(Path::new(path), false);
        for path in ["x.gz", "a/x.gz", "a/b/x.gz"] {
            assert!(matches("**.gz", path) && matches("**/*.gz", path), "{path}");
        }
        assert!(!matches("**.gz", "a/x.tar") && !matches("*.gz", "a/x.gz"));
        for path in ["logs/2026.gz", "logs/2026/01/app.gz", "logs/2026-01/app.gz"] {
            assert!(matches("logs/2026**.gz", path) && matches("logs/**2026**", path), "{path}");
        }
        assert!(!matches("logs/2026**.gz", "logs/2025/2026.gz"));
        assert!(matches("logs/***.gz", "logs/a/b.gz") && matches("{a,b}/**/x", "b/c/x"));
    }

    #[test]
    fn every_path_is_in_exactly_one_shard() {
        for count in [1, 2, 3, 7, 64] {
            let mut sizes = vec![0; usize::try_from(count).unwrap()];
            for i in 0..2_000 {
                let path = RelPath::new(format!("folder/{i:05}.txt"));
                let holders = (0..count).filter(|n| Shard::new(*n, count).unwrap().holds(&path));
                let holders: Vec<_> = holders.collect();
                assert_eq!(holders.len(), 1);
                sizes[usize::try_from(holders[0]).unwrap()] += 1;
            }
            let fair = 2_000 / count;
            assert!(sizes.iter().all(|n| *n > fair / 3), "{count}: {sizes:?}");
        }
        assert!(Shard::new(3, 3).is_none());
        // What other releases have to agree on, computed elsewhere.
        for (path, index) in [("a", 0), ("folder/b.txt", 2), ("ü/x y", 0)] {
            assert!(Shard::new(index, 4).unwrap().holds(&RelPath::new(path)), "{path}");
        }
    }
}
