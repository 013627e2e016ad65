//! Owns the checks of trees: up, down, on the server, odd names, many keys, shares.
//!
//! Must never: accept a tree in which a name or a byte is missing, or one is too much.

use super::checks::KEYS;
use super::session::{Session, argument, contents};
use super::tree::Tree;
use crate::proxy::Proxy;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;

/// More than one page of a listing, and of a batch of removals.
const MANY: usize = 1105;

pub(super) fn up_and_down(session: &Session<'_>) -> Result<()> {
    both_ways(session, &Tree::mixed().with(Tree::small(300)))
}

pub(super) fn odd_names(session: &Session<'_>) -> Result<()> {
    let mut tree = Tree::default();
    for (_, name) in KEYS.iter().filter(|(_, name)| !name.contains('/')) {
        tree.set(name, name.as_bytes());
        tree.set(&format!("in {name}/{name}"), b"inner");
    }
    both_ways(session, &tree)
}

/// S3's longest key has 1,024 bytes, a file's name 255.
pub(super) fn long_names(session: &Session<'_>) -> Result<()> {
    let name = "n".repeat(240);
    both_ways(session, &Tree::of([([name.as_str(); 4].join("/").as_str(), b"long")]))
}

pub(super) fn control_characters(session: &Session<'_>) -> Result<()> {
    both_ways(session, &Tree::of([("tab\tand\nline", b"1"), ("esc\u{1b}[1m", b"2")]))
}

fn both_ways(session: &Session<'_>, tree: &Tree) -> Result<()> {
    let (from, prefix) = (session.folder_of(tree)?, session.fresh("tree"));
    let uri = session.uri(&prefix);
    let told = session.told(&["cp", "-r", &contents(&from), &uri])?;
    told.must_sum_up(&[("copied", tree.len()), ("failed", 0), ("bytes", tree.bytes())])?;
    tree.must_be_stored(session, &session.bucket(), &prefix)?;
    let back = session.path("back");
    let told = session.told(&["cp", "-r", &format!("{uri}/"), argument(&back)])?;
    told.must_sum_up(&[("copied", tree.len()), ("failed", 0)])?;
    tree.must_be_folder(&back)
}

/// Keys that no file can be called: each fails by itself, and nothing leaves the folder.
pub(super) fn impossible_names(session: &Session<'_>) -> Result<()> {
    let prefix = session.fresh("hostile");
    let put =
        |name: &str| session.probe().put(&session.bucket(), &format!("{prefix}/{name}"), b"data");
    put("good")?;
    put("file/below it")?;
    // Some servers refuse some of them.
    let bad = ["../outside", "up/../../outside", "double//slash", "file"];
    let bad = bad.into_iter().filter(|name| put(name).is_ok()).count();
    ensure!(bad > 0, "the server takes no such key: this check says nothing");
    let parent = session.path("parent");
    let back = parent.join("back");
    let uri = session.uri(&format!("{prefix}/"));
    let told = session.told_with(1, &["cp", "-r", &uri, argument(&back)])?;
    told.must_sum_up(&[("copied", 2), ("failed", bad)])?;
    // Of "file" and "file/below it" one can be there: which, is a matter of time.
    let either = if back.join("file").is_dir() { "back/file/below it" } else { "back/file" };
    Tree::of([(either, b"data"), ("back/good", b"data")]).must_be_folder(&parent)
}

/// The bytes stay where they are: seen from in front of the server, none is sent.
pub(super) fn copy_on_server(session: &Session<'_>) -> Result<()> {
    copy(session, &[], |copies, files| copies == files)
}

pub(super) fn copy_in_parts(session: &Session<'_>) -> Result<()> {
    let flags = ["--multipart-copy-threshold", "6MiB", "--part-size", "5MiB"];
    copy(session, &flags, |copies, files| copies == files + 2)
}

fn copy(session: &Session<'_>, flags: &[&str], right: fn(usize, usize) -> bool) -> Result<()> {
    let tree = Tree::mixed();
    let (from, prefix) = (session.folder_of(&tree)?, session.fresh("original"));
    session.succeed(&["cp", "-r", &contents(&from), &session.uri(&prefix)])?;
    let (source, copy) = (session.uri(&format!("{prefix}/")), session.fresh("copy"));
    let to = format!("s3://{}/{copy}", session.other_bucket());
    let proxy = Proxy::start(session.endpoint(), Duration::ZERO)?;
    let arguments = [&["cp", "-r", &source, &to], flags].concat();
    session.ends_with(0, session.command_for(proxy.endpoint(), &arguments))?;
    let seen = proxy.take_seen();
    let copies = seen.iter().filter(|request| request.copies).count();
    ensure!(right(copies, tree.len()), "{copies} copies were asked for {} files", tree.len());
    let sent: u64 =
        seen.iter().filter(|request| request.method == "PUT").map(|request| request.body).sum();
    ensure!(sent == 0, "{sent} bytes were sent, although the server has them");
    tree.must_be_stored(session, &session.other_bucket(), &copy)
}

/// Over more than one page: up, listed, added up, removed.
pub(super) fn many_keys(session: &Session<'_>) -> Result<()> {
    let tree = Tree::small(MANY);
    let (from, prefix) = (session.folder_of(&tree)?, session.fresh("many"));
    let uri = session.uri(&format!("{prefix}/"));
    session.told(&["cp", "-r", &contents(&from), &uri])?.must_sum_up(&[("copied", MANY)])?;
    let listed = session.told(&["ls", "-r", &uri])?;
    let names: BTreeSet<_> = listed.texts("file", "location").into_iter().collect();
    let expected = tree.files().map(|(path, _)| format!("{uri}{path}")).collect();
    ensure!(names == expected, "ls -r shows {} names, not the {MANY} that are there", names.len());
    let sizes: u64 = listed.of("file").filter_map(|line| line["size"].as_u64()).sum();
    let used = session.told(&["du", &uri])?;
    let (files, bytes) = (used.figure("usage", "files")?, used.figure("usage", "bytes")?);
    ensure!(files == MANY as u64, "du counts {files} files instead of {MANY}");
    ensure!(
        bytes == sizes && bytes == tree.bytes() as u64,
        "du adds up {bytes} bytes, ls {sizes}, and there are {}",
        tree.bytes()
    );
    let folders = session.told(&["ls", &format!("{uri}small/")])?.of("prefix").count();
    ensure!(folders == MANY.div_ceil(100), "ls shows {folders} folders");
    session.told(&["rm", "-r", &uri])?.must_sum_up(&[("removed", MANY), ("failed", 0)])?;
    let left = session.probe().list(&session.bucket(), &format!("{prefix}/"))?.len();
    ensure!(left == 0, "rm -r left {left} objects");
    Ok(())
}

/// Three machines with the same command and one share each.
pub(super) fn shards(session: &Session<'_>) -> Result<()> {
    let tree = Tree::small(60);
    let (from, prefix) = (session.folder_of(&tree)?, session.fresh("shards"));
    let (uri, back) = (session.uri(&format!("{prefix}/")), session.path("back"));
    for (source, target) in [(contents(&from), uri.clone()), (uri, contents(&back))] {
        let mut total = 0;
        for share in ["0/3", "1/3", "2/3"] {
            let told = session.told(&["cp", "-r", "--shard", share, &source, &target])?;
            let copied = told.figure("summary", "copied")?;
            ensure!(copied < 60, "share {share} is everything");
            total += copied;
        }
        ensure!(total == 60, "the shares add up to {total} of 60");
    }
    tree.must_be_stored(session, &session.bucket(), &prefix)?;
    tree.must_be_folder(&back)
}
