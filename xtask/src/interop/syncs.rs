//! Owns the checks of sync and check: what differs is copied, what is equal is left alone.
//!
//! Must never: take "nothing to do" on trust; what is there is read without haul.

use super::session::{Session, argument, content, contents};
use super::tree::Tree;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

const A_WHILE: Duration = Duration::from_secs(5);
/// Old enough that no clock is in doubt.
const LONG_AGO: Duration = Duration::from_secs(1_600_000_000);

/// Changes a file some time after the last upload: some stores keep whole seconds.
fn rewrite(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)?;
    File::options().append(true).open(path)?.set_modified(SystemTime::now() + A_WHILE)?;
    Ok(())
}

pub(super) fn up(session: &Session<'_>) -> Result<()> {
    let mut tree = Tree::mixed().with(Tree::small(20));
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("synced"));
    let (from, to, bucket) = (contents(&folder), session.uri(&prefix), session.bucket());
    let nothing = [("copied", 0), ("removed", 0), ("failed", 0)];
    session.told(&["sync", &from, &to])?.must_sum_up(&[("copied", tree.len())])?;
    tree.must_be_stored(session, &bucket, &prefix)?;
    session.told(&["sync", &from, &to])?.must_sum_up(&nothing)?;
    // One changes, one is new, one goes.
    for (path, bytes) in [("a/b/beside", b"BESIDE"), ("new", b"--new-")] {
        tree.set(path, bytes);
        rewrite(&folder.join(path), bytes)?;
    }
    fs::remove_file(folder.join("top.txt"))?;
    session.told(&["sync", &from, &to])?.must_sum_up(&[("copied", 2), ("removed", 0)])?;
    tree.must_be_stored(session, &bucket, &prefix)?;
    let dry = session.told(&["sync", "--delete", "--dry-run", &from, &to])?;
    ensure!(dry.of("would_remove").count() == 1, "the dry run does not name what would go");
    tree.must_be_stored(session, &bucket, &prefix)?;
    tree.remove("top.txt");
    let told = session.told(&["sync", "--delete", &from, &to])?;
    told.must_sum_up(&[("copied", 0), ("removed", 1)])?;
    tree.must_be_stored(session, &bucket, &prefix)?;
    session.told(&["sync", "--delete", &from, &to])?.must_sum_up(&nothing)
}

/// S3 keeps no times of files: haul does, and brings them back.
pub(super) fn down(session: &Session<'_>) -> Result<()> {
    let tree = Tree::mixed();
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("synced"));
    let times =
        || (0_u32..).map(|n| SystemTime::UNIX_EPOCH + LONG_AGO + Duration::from_millis(1500) * n);
    for ((path, _), time) in tree.files().zip(times()) {
        File::options().append(true).open(folder.join(path))?.set_modified(time)?;
    }
    session.succeed(&["sync", &contents(&folder), &session.uri(&prefix)])?;
    let (from, back) = (session.uri(&prefix), session.path("back"));
    let told = session.told(&["sync", &from, argument(&back)])?;
    told.must_sum_up(&[("copied", tree.len()), ("failed", 0)])?;
    tree.must_be_folder(&back)?;
    for ((path, _), time) in tree.files().zip(times()) {
        let seen = fs::metadata(back.join(path))?.modified()?;
        ensure!(seen == time, "{path} is of {seen:?} instead of {time:?}");
    }
    session.told(&["sync", &from, argument(&back)])?.must_sum_up(&[("copied", 0)])?;
    // And neither is there anything to do the other way.
    session.told(&["sync", &contents(&back), &from])?.must_sum_up(&[("copied", 0)])
}

pub(super) fn between_buckets(session: &Session<'_>) -> Result<()> {
    let mut tree = Tree::mixed();
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("synced"));
    let from = session.uri(&prefix);
    session.succeed(&["sync", &contents(&folder), &from])?;
    let (other, copy) = (session.other_bucket(), session.fresh("mirror"));
    let to = format!("s3://{other}/{copy}");
    session.told(&["sync", &from, &to])?.must_sum_up(&[("copied", tree.len())])?;
    tree.must_be_stored(session, &other, &copy)?;
    session.told(&["sync", &from, &to])?.must_sum_up(&[("copied", 0), ("failed", 0)])?;
    let changed = content(100_001);
    tree.set("a/b/c/d/e/deep.bin", &changed);
    session.probe().put(&session.bucket(), &format!("{prefix}/a/b/c/d/e/deep.bin"), &changed)?;
    session.probe().delete(&session.bucket(), &format!("{prefix}/empty"))?;
    tree.remove("empty");
    let told = session.told(&["sync", "--delete", &from, &to])?;
    told.must_sum_up(&[("copied", 1), ("removed", 1)])?;
    tree.must_be_stored(session, &other, &copy)
}

/// `--max-delete` removes nothing at all when there is more to go.
pub(super) fn bounded_removal(session: &Session<'_>) -> Result<()> {
    let tree = Tree::small(5);
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("bounded"));
    let to = session.uri(&prefix);
    session.succeed(&["sync", &contents(&folder), &to])?;
    for (path, _) in tree.files().take(3) {
        fs::remove_file(folder.join(path))?;
    }
    let arguments = ["sync", "--delete", "--max-delete", "2", &contents(&folder), &to];
    let refused = session.haul(&arguments)?;
    ensure!(!refused.status.success(), "it removes more than it may");
    ensure!(refused.stderr.contains("--max-delete"), "it does not say why: {}", refused.describe());
    tree.must_be_stored(session, &session.bucket(), &prefix)
}

pub(super) fn check(session: &Session<'_>) -> Result<()> {
    let tree = Tree::mixed();
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("checked"));
    let (here, there) = (contents(&folder), session.uri(&prefix));
    session.succeed(&["sync", &here, &there])?;
    let told = session.told(&["check", &here, &there])?;
    told.must_sum_up(&[("same", tree.len()), ("differing", 0)])?;
    session.told(&["check", &there, &here])?.must_sum_up(&[("same", tree.len())])?;
    // The same size, other bytes.
    rewrite(&folder.join("a/b/beside"), b"Beside")?;
    let told = session.told_with(3, &["check", &here, &there])?;
    told.must_sum_up(&[("differing", 1), ("same", tree.len() - 1)])?;
    fs::write(folder.join("only here"), "")?;
    session.told_with(3, &["check", &here, &there])?.must_sum_up(&[("differing", 2)])?;
    session.told_with(3, &["check", "--one-way", &here, &there])?;
    session
        .told(&["check", "--one-way", &there, &here])
        .err()
        .context("content counts both ways")?;
    // sync mends it, and check agrees.
    session.told(&["sync", &here, &there])?.must_sum_up(&[("copied", 2)])?;
    session.told(&["check", &here, &there])?.must_sum_up(&[("differing", 0)])
}

/// Where no checksum of the whole is kept, that of parts has to tell.
pub(super) fn check_parts(session: &Session<'_>) -> Result<()> {
    let mut bytes = content((12 << 20) + 3);
    let tree = Tree::of([("film.bin", &bytes)]);
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("checked"));
    let (here, there) = (contents(&folder), session.uri(&prefix));
    session.succeed(&["sync", &here, &there])?;
    session.told(&["check", &here, &there])?.must_sum_up(&[("same", 1)])?;
    bytes[6_000_000] ^= 1;
    fs::write(folder.join("film.bin"), &bytes)?;
    // Where the store tells neither a checksum nor the size of the parts, nothing tells.
    let told = session.told_with(3, &["check", &here, &there])?;
    told.must_sum_up(&[("differing", 1)]).or_else(|_| told.must_sum_up(&[("unknown", 1)]))
}
