//! Owns the checks of plain transfers: sizes, names, streams, types, overwriting.
//!
//! Must never: trust haul's download to prove haul's upload; the stored bytes are read without haul.

use super::session::{Session, argument, must_match};
use anyhow::{Result, ensure};
use std::fs;

pub(super) fn make_buckets(session: &Session<'_>) -> Result<()> {
    for bucket in [session.bucket(), session.other_bucket()] {
        session.succeed(&["mb", &format!("s3://{bucket}")])?;
    }
    Ok(())
}

pub(super) fn round_trip(session: &Session<'_>, size: usize) -> Result<()> {
    let (source, bytes) = session.file(size)?;
    let key = session.fresh("object");
    let uri = session.uri(&key);
    let done = session.succeed(&["cp", argument(&source), &uri])?;
    ensure!(done.stdout.is_empty() || done.stdout.len() < 1000, "cp writes data to stdout");
    must_match("stored object", &session.stored(&session.bucket(), &key)?, &bytes)?;
    let told = session.stat(&uri)?.size;
    ensure!(told == size as u64, "stat says {told} bytes");
    let target = session.path("target");
    session.succeed(&["cp", &uri, argument(&target)])?;
    must_match("downloaded file", &fs::read(&target)?, &bytes)?;
    must_match("cat", &session.succeed(&["cat", &uri])?.stdout, &bytes)
}

pub(super) fn odd_key(session: &Session<'_>, key: &str) -> Result<()> {
    let (source, bytes) = session.file(1000)?;
    let uri = session.uri(key);
    session.succeed(&["cp", argument(&source), &uri])?;
    // Read under the plain key: an encoding that is wrong in both directions does not pass.
    must_match("stored object", &session.stored(&session.bucket(), key)?, &bytes)?;
    let target = session.path("target");
    session.succeed(&["cp", &uri, argument(&target)])?;
    must_match("downloaded file", &fs::read(&target)?, &bytes)?;
    session.succeed(&["rm", &uri])?;
    session.fail(4, &["stat", &uri]).map(drop)
}

pub(super) fn from_stdin(session: &Session<'_>, size: usize) -> Result<()> {
    let (_, bytes) = session.file(size)?;
    let key = session.fresh("from-stdin");
    let uri = session.uri(&key);
    let arguments = ["cp", "-", &uri, "--part-size", "5MiB"];
    let done = session.finish(&mut session.command(&arguments), Some(&bytes))?;
    session.must_exit(&done, 0, &arguments)?;
    must_match("stored object", &session.stored(&session.bucket(), &key)?, &bytes)
}

pub(super) fn content_type(session: &Session<'_>) -> Result<()> {
    let source = session.path("page.html");
    fs::write(&source, "<!doctype html>")?;
    let guessed = session.uri(&session.fresh("page.html"));
    session.succeed(&["cp", argument(&source), &guessed])?;
    expect_type(session, &guessed, "text/html")?;
    let chosen = session.uri(&session.fresh("page.html"));
    session.succeed(&["cp", argument(&source), &chosen, "--content-type", "text/x-chosen"])?;
    expect_type(session, &chosen, "text/x-chosen")
}

pub(super) fn expect_type(session: &Session<'_>, uri: &str, expected: &str) -> Result<()> {
    let told = session.stat(uri)?.content_type.unwrap_or_default();
    let essence = told.split(';').next().unwrap_or_default().trim();
    ensure!(essence == expected, "content type is {told:?}, not {expected:?}");
    Ok(())
}

pub(super) fn overwrite(session: &Session<'_>) -> Result<()> {
    let (first, first_bytes) = session.file(9_000_000)?;
    let (second, second_bytes) = session.file(1234)?;
    let key = session.fresh("rewritten");
    let uri = session.uri(&key);
    let target = session.path("target");
    for (source, bytes) in [(&first, &first_bytes), (&second, &second_bytes)] {
        session.succeed(&["cp", argument(source), &uri])?;
        must_match("stored object", &session.stored(&session.bucket(), &key)?, bytes)?;
        session.succeed(&["cp", &uri, argument(&target)])?;
        must_match("downloaded file", &fs::read(&target)?, bytes)?;
    }
    Ok(())
}
