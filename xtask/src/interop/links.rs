//! Owns the checks of publish and presign: links as those who get them use them, and links as sources.
//!
//! Must never: accept a link that only haul can open.

use super::session::{Session, argument, content, contents, must_match};
use super::told::Told;
use super::tree::Tree;
use crate::proxy::Proxy;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;

fn curl(session: &Session<'_>, arguments: &[&str]) -> Result<Vec<u8>> {
    let arguments = [&["-fsS", "--max-time", "60"], arguments].concat();
    let done = session.finish(&mut session.lone_command(Some("curl"), &arguments), None);
    let done = done.context("curl must be installed for this check")?;
    ensure!(done.status.success(), "curl: {}", done.describe());
    Ok(done.stdout)
}

/// Files with names that a link must encode, and one in parts.
fn files() -> Tree {
    Tree::of([
        ("a b+c%20.txt", b"first"),
        ("sub/naïve ü?&.html", b"<p>"),
        ("sub/empty", b""),
        ("film.bin", &content((12 << 20) + 5)),
    ])
}

pub(super) fn publish(session: &Session<'_>) -> Result<()> {
    let (tree, prefix) = (files(), session.fresh("published"));
    let folder = session.folder_of(&tree)?;
    let arguments = ["publish", &contents(&folder), &session.uri(&prefix)];
    let links = links_of(&session.told(&arguments)?, "copied");
    ensure!(links.len() == tree.len(), "{} links for {} files", links.len(), tree.len());
    tree.must_be_stored(session, &session.bucket(), &prefix)?;
    for (from, link) in &links {
        let file = fs::read(from).with_context(|| from.clone())?;
        must_match("what curl gets", &curl(session, &[link])?, &file)?;
        let done = session.ends_with(0, session.lone_command(None, &["cat", link]))?;
        must_match("what haul cat gets", &done.stdout, &file)?;
    }
    // Without --json stdout is links, one a line, and nothing else.
    let plain = session.succeed(&arguments)?;
    let stdout = String::from_utf8(plain.stdout)?;
    ensure!(stdout.lines().count() == tree.len(), "stdout is not a link a line: {stdout}");
    let first = stdout.lines().next().unwrap_or_default();
    curl(session, &[first]).map(drop)
}

/// Source and link of each line of that type.
fn links_of(told: &Told, kind: &str) -> Vec<(String, String)> {
    told.texts(kind, "from").into_iter().zip(told.texts(kind, "url")).collect()
}

pub(super) fn publish_again(session: &Session<'_>) -> Result<()> {
    let (mut tree, prefix) = (files(), session.fresh("published"));
    let folder = session.folder_of(&tree)?;
    let (from, to) = (contents(&folder), session.uri(&prefix));
    session.succeed(&["publish", &from, &to])?;
    let proxy = Proxy::start(session.endpoint(), Duration::ZERO)?;
    let again = ["publish", &from, &to, "--json"];
    let done = session.ends_with(0, session.command_for(proxy.endpoint(), &again))?;
    let told = Told::read(&done.stdout)?;
    told.must_sum_up(&[("copied", 0), ("skipped", tree.len()), ("failed", 0)])?;
    ensure!(links_of(&told, "skipped").len() == tree.len(), "skipped files have no links");
    let sent = proxy.take_seen().iter().filter(|request| request.method == "PUT").count();
    ensure!(sent == 0, "{sent} PUT requests, although nothing has changed");
    // The same size, other bytes.
    tree.set("a b+c%20.txt", b"FIRST");
    tree.write(&folder)?;
    let told = session.told(&["publish", &from, &to])?;
    told.must_sum_up(&[("copied", 1), ("skipped", tree.len() - 1)])?;
    tree.must_be_stored(session, &session.bucket(), &prefix)
}

/// U0.5: an ETag of many parts has to be made again from the file.
pub(super) fn publish_changed_parts(session: &Session<'_>) -> Result<()> {
    let mut bytes = content((12 << 20) + 5);
    let (folder, prefix) =
        (session.folder_of(&Tree::of([("film", &bytes)]))?, session.fresh("links"));
    let (from, to, path) = (contents(&folder), session.uri(&prefix), folder.join("film"));
    session.succeed(&["publish", &from, &to])?;
    session.told(&["publish", &from, &to])?.must_sum_up(&[("copied", 0), ("skipped", 1)])?;
    bytes[9_000_000] ^= 1;
    fs::write(&path, &bytes)?;
    session.told(&["publish", &from, &to])?.must_sum_up(&[("copied", 1)])?;
    Tree::of([("film", &bytes)]).must_be_stored(session, &session.bucket(), &prefix)
}

pub(super) fn links_only(session: &Session<'_>) -> Result<()> {
    let tree = Tree::of([("a.txt", b"a"), ("b.txt", b"b")]);
    let (folder, prefix) = (session.folder_of(&tree)?, session.fresh("linked"));
    let (from, to) = (contents(&folder), session.uri(&prefix));
    session.succeed(&["publish", "-e", "txt", &from, &to])?;
    fs::write(folder.join("c.txt"), "not uploaded")?;
    let told = session.told_with(1, &["publish", "--url-only", &from, &to])?;
    told.must_sum_up(&[("missing", 1)])?;
    let links = links_of(&told, "link");
    ensure!(links.len() == 2, "{} links instead of 2", links.len());
    for (from, link) in links {
        must_match("what curl gets", &curl(session, &[&link])?, &fs::read(&from)?)?;
    }
    tree.must_be_stored(session, &session.bucket(), &prefix)
}

pub(super) fn presign(session: &Session<'_>) -> Result<()> {
    let (file, bytes) = session.file(100_000)?;
    let key = session.fresh("signed ü+.bin");
    let uri = session.uri(&key);
    let link = |arguments: &[&str]| -> Result<String> {
        let done =
            session.succeed(&[&["presign", &uri, "--expires-in", "10m"], arguments].concat())?;
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    };
    let put = link(&["--method", "PUT"])?;
    curl(session, &["-T", argument(&file), &put])?;
    must_match("stored object", &session.stored(&session.bucket(), &key)?, &bytes)?;
    let get = link(&[])?;
    must_match("what curl gets", &curl(session, &[&get])?, &bytes)
}

/// What a link is not for, it does not allow.
pub(super) fn presign_is_bound(session: &Session<'_>) -> Result<()> {
    let (file, bytes) = session.file(1000)?;
    let key = session.fresh("signed");
    let uri = session.uri(&key);
    session.succeed(&["cp", argument(&file), &uri])?;
    let done = session.succeed(&["presign", &uri])?;
    let get = String::from_utf8(done.stdout)?;
    let other = session.path("other");
    fs::write(&other, "other")?;
    let denied = curl(session, &["-T", argument(&other), get.trim()]);
    ensure!(denied.is_err(), "a GET link takes an upload");
    let elsewhere = get.trim().replacen(&key, "elsewhere", 1);
    ensure!(curl(session, &[&elsewhere]).is_err(), "a link opens another object");
    must_match("stored object", &session.stored(&session.bucket(), &key)?, &bytes)
}

/// A link is a source: to a file in parallel ranges, and straight into the store.
pub(super) fn http_source(session: &Session<'_>) -> Result<()> {
    let (file, bytes) = session.file((20 << 20) + 1)?;
    let uri = session.uri(&session.fresh("source.bin"));
    session.succeed(&["cp", argument(&file), &uri])?;
    let link = String::from_utf8(session.succeed(&["presign", &uri])?.stdout)?;
    let (link, target) = (link.trim(), session.path("target"));
    session.ends_with(0, session.lone_command(None, &["cp", link, argument(&target)]))?;
    must_match("downloaded file", &fs::read(&target)?, &bytes)?;
    let key = session.fresh("from a link");
    session.succeed(&["cp", link, &session.uri(&key)])?;
    must_match("stored object", &session.stored(&session.bucket(), &key)?, &bytes)?;
    // And a target, where the link allows it.
    let put = session.uri(&session.fresh("by link"));
    let link = String::from_utf8(session.succeed(&["presign", "--method", "PUT", &put])?.stdout)?;
    let (small, bytes) = session.file(1000)?;
    session.ends_with(0, session.lone_command(None, &["cp", argument(&small), link.trim()]))?;
    must_match("cat", &session.succeed(&["cat", &put])?.stdout, &bytes)
}
