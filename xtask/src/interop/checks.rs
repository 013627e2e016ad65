//! Owns the list of checks, and what a check's result is.
//!
//! Must never: let one check depend on what another left, but for the buckets of the first.

use super::session::Session;
use super::{copies, failures, interrupts, links, manage, moves, stores, syncs, transfers, trees};
use anyhow::Result;
use std::fmt;

/// The check that makes the buckets all others use.
pub(super) const FIRST: &str = "mb makes a bucket";

const MIB: usize = 1 << 20;

/// Around every edge: nothing, one byte, S3's smallest part, haul's part, many parts.
const SIZES: [(&str, usize); 9] = [
    ("0 B", 0),
    ("1 B", 1),
    ("5 MiB - 1", 5 * MIB - 1),
    ("5 MiB", 5 * MIB),
    ("5 MiB + 1", 5 * MIB + 1),
    ("8 MiB - 1", 8 * MIB - 1),
    ("8 MiB", 8 * MIB),
    ("8 MiB + 1", 8 * MIB + 1),
    ("40 MiB + 3", 40 * MIB + 3),
];

/// Keys that a careless encoder changes.
pub(super) const KEYS: [(&str, &str); 12] = [
    ("space", "two words .txt"),
    ("percent", "100%25 of %41 and %"),
    ("plus", "a+b c+"),
    ("question mark", "what?versionId=no"),
    ("hash", "a#b"),
    ("ampersand and equals", "a&b=c;d,e"),
    ("unicode", "日本語 naïve 🦀.txt"),
    ("decomposed unicode", "cafe\u{301}"),
    ("quotes and brackets", "it's \"<x>\" [y] (z)"),
    ("at, colon, dollar, tilde", "@a:$b~c!*"),
    ("leading slash", "/below/the/root"),
    ("double slash", "a//b"),
];

/// How a check ended on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    Fail(String),
    NotApplicable(String),
}

impl Outcome {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "FAIL",
            Self::NotApplicable(_) => "n/a",
        }
    }

    pub(super) fn because(&self) -> String {
        match self {
            Self::Pass => String::new(),
            Self::Fail(reason) | Self::NotApplicable(reason) => format!(": {reason}"),
        }
    }
}

type Body = Box<dyn Fn(&Session<'_>) -> Result<()>>;

/// One thing haul promises on every server.
pub(super) struct Check {
    pub(super) name: String,
    body: Body,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Check {
    pub(super) fn run(&self, session: &Session<'_>) -> Outcome {
        match (self.body)(session) {
            Ok(()) => Outcome::Pass,
            Err(error) => Outcome::Fail(format!("{error:#}").replace('\n', " ")),
        }
    }
}

fn check(name: impl Into<String>, body: impl Fn(&Session<'_>) -> Result<()> + 'static) -> Check {
    Check { name: name.into(), body: Box::new(body) }
}

/// All checks, in the order they run in.
pub(super) fn all() -> Vec<Check> {
    let mut checks = vec![check(FIRST, transfers::make_buckets)];
    for (name, size) in SIZES {
        let body = move |session: &Session<'_>| transfers::round_trip(session, size);
        checks.push(check(format!("up, stat, down, cat: {name}"), body));
    }
    for (name, key) in KEYS {
        let body = move |session: &Session<'_>| transfers::odd_key(session, key);
        checks.push(check(format!("key with {name}"), body));
    }
    for (name, key) in KEYS {
        let body = move |session: &Session<'_>| copies::odd_key(session, key);
        checks.push(check(format!("copy of key with {name}"), body));
    }
    checks.extend([
        check("upload of 12 MiB from stdin", |s: &Session<'_>| transfers::from_stdin(s, 12 * MIB)),
        check("upload of nothing from stdin", |s: &Session<'_>| transfers::from_stdin(s, 0)),
        check("content type is guessed and can be set", transfers::content_type),
        check("overwriting an object and a file", transfers::overwrite),
        check("copy on the server, small", copies::small),
        check("copy on the server to another bucket", copies::to_another_bucket),
        check("copy on the server, in parts", copies::in_parts),
        check("rm, then stat says not found", failures::remove),
        check("missing object: exit 4", failures::missing_object),
        check("missing bucket: exit 4", failures::missing_bucket),
        check("wrong credentials: exit 5", failures::wrong_credentials),
        check("a refused connection: exit 1, in time", failures::refused_connection),
        check("cat | head ends quietly", failures::closed_pipe),
        check("interrupted upload leaves no parts", interrupts::upload),
        check("interrupted download leaves the file", interrupts::download),
    ]);
    checks.extend(many());
    checks
}

/// Of many files, and of what is around them.
fn many() -> Vec<Check> {
    vec![
        check("tree up and down, 300 small files and one in parts", trees::up_and_down),
        check("tree with odd names up and down", trees::odd_names),
        check("tree with a key of almost 1,024 bytes", trees::long_names),
        check("tree with control characters in names", trees::control_characters),
        check("tree with keys that no file can have", trees::impossible_names),
        check("tree copied on the server", trees::copy_on_server),
        check("tree copied on the server, one file in parts", trees::copy_in_parts),
        check("1,105 keys: cp -r, ls, du, rm -r", trees::many_keys),
        check("shares 0/3, 1/3 and 2/3 are the whole", trees::shards),
        check("sync up: changes, nothing to do, --delete", syncs::up),
        check("sync down: times kept, nothing to do", syncs::down),
        check("sync from bucket to bucket", syncs::between_buckets),
        check("sync --max-delete removes nothing", syncs::bounded_removal),
        check("check: exit 0 when equal, 3 when not", syncs::check),
        check("check: a changed file in parts", syncs::check_parts),
        check("publish: links for curl and haul cat", links::publish),
        check("publish again: only what changed", links::publish_again),
        check("publish again: a changed file in parts", links::publish_changed_parts),
        check("publish --url-only", links::links_only),
        check("presign PUT and GET for curl", links::presign),
        check("presign: a link is for one thing", links::presign_is_bound),
        check("a link as source and target", links::http_source),
        check("mv of a file, an object, and back", moves::one),
        check("mv of a tree", moves::tree),
        check("--dedupe: a copy on the server", moves::dedupe),
        check("uploads ls and abort after SIGKILL", manage::uploads),
        check("run: a batch of commands", manage::batch),
        check("cp -r to another server and back", stores::there_and_back),
        check("rb removes an empty bucket only", manage::remove_bucket),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_the_first_makes_the_buckets() {
        let checks = super::all();
        let names: HashSet<_> = checks.iter().map(|check| &check.name).collect();
        assert_eq!(names.len(), checks.len());
        assert_eq!(checks[0].name, super::FIRST);
    }
}
