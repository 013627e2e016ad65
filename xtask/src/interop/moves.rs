//! Owns the checks of mv and of --dedupe: bytes that change their place, or need not be sent.
//!
//! Must never: accept a move that leaves its source, or loses it.

use super::session::{Session, argument, contents, must_match};
use super::tree::Tree;
use crate::proxy::Proxy;
use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;

pub(super) fn one(session: &Session<'_>) -> Result<()> {
    let (file, bytes) = session.file(9_000_000)?;
    let (first, second) = (session.fresh("moved"), session.fresh("moved on"));
    session.told(&["mv", argument(&file), &session.uri(&first)])?.must_sum_up(&[("copied", 1)])?;
    ensure!(!file.exists(), "the file is still there");
    let other = format!("s3://{}/{second}", session.other_bucket());
    session.succeed(&["mv", &session.uri(&first), &other])?;
    session.fail(4, &["stat", &session.uri(&first)])?;
    must_match("moved object", &session.stored(&session.other_bucket(), &second)?, &bytes)?;
    session.succeed(&["mv", &other, argument(&file)])?;
    session.fail(4, &["stat", &other])?;
    must_match("file that came back", &fs::read(&file)?, &bytes)
}

pub(super) fn tree(session: &Session<'_>) -> Result<()> {
    let tree = Tree::mixed();
    let (from, first, second) =
        (session.folder_of(&tree)?, session.fresh("tree"), session.fresh("tree"));
    let told = session.told(&["mv", "-r", &contents(&from), &session.uri(&first)])?;
    told.must_sum_up(&[("copied", tree.len()), ("failed", 0)])?;
    tree.must_be_stored(session, &session.bucket(), &first)?;
    ensure!(!from.exists(), "the folder is still there");
    let source = session.uri(&format!("{first}/"));
    session.succeed(&["mv", "-r", &source, &session.uri(&second)])?;
    Tree::default().must_be_stored(session, &session.bucket(), &first)?;
    tree.must_be_stored(session, &session.bucket(), &second)
}

/// S1.30: what the store has is copied there. Counted in front of the server, since the result
/// alone does not tell.
pub(super) fn dedupe(session: &Session<'_>) -> Result<()> {
    let (file, bytes) = session.file(1_000_001)?;
    let (first, second) = (session.fresh("original"), session.fresh("again"));
    let proxy = Proxy::start(session.endpoint(), Duration::ZERO)?;
    for (key, (copies, sent)) in [(&first, (0, bytes.len() as u64)), (&second, (1, 0))] {
        let uri = session.uri(key);
        let arguments = ["cp", "--dedupe", argument(&file), &uri];
        session.ends_with(0, session.command_for(proxy.endpoint(), &arguments))?;
        let puts: Vec<_> =
            proxy.take_seen().into_iter().filter(|request| request.method == "PUT").collect();
        let (copied, body) = (
            puts.iter().filter(|request| request.copies).count(),
            puts.iter().map(|request| request.body).sum::<u64>(),
        );
        ensure!(
            (copied, body) == (copies, sent),
            "{copied} copies and {body} bytes sent, instead of {copies} and {sent}"
        );
        must_match("stored object", &session.stored(&session.bucket(), key)?, &bytes)?;
    }
    // What is gone from the store is no hit.
    for key in [&first, &second] {
        session.probe().delete(&session.bucket(), key)?;
    }
    session.succeed(&["cp", "--dedupe", argument(&file), &session.uri(&first)])?;
    must_match("third upload", &session.stored(&session.bucket(), &first)?, &bytes)
}
