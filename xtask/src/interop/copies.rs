//! Owns the checks of copies from object to object on one server.
//!
//! Must never: accept a copy that lost its content type or metadata.

use super::session::{Session, argument, must_match};
use super::transfers::expect_type;
use anyhow::{Result, ensure};

const TYPE: &str = "application/x-haul-interop";

pub(super) fn small(session: &Session<'_>) -> Result<()> {
    let target = session.bucket();
    copy(session, 100_000, &target, &[])
}

pub(super) fn to_another_bucket(session: &Session<'_>) -> Result<()> {
    let target = session.other_bucket();
    copy(session, 100_000, &target, &[])
}

pub(super) fn in_parts(session: &Session<'_>) -> Result<()> {
    let target = session.bucket();
    copy(session, (40 << 20) + 3, &target, &["--multipart-copy-threshold", "16MiB"])
}

/// From one odd key to another: the source travels in a header, with an encoding of its own.
pub(super) fn odd_key(session: &Session<'_>, key: &str) -> Result<()> {
    let (file, bytes) = session.file(1000)?;
    let from = session.uri(key);
    session.succeed(&["cp", argument(&file), &from])?;
    let copy = format!("{} of {key}", session.fresh("copy"));
    session.succeed(&["cp", &from, &session.uri(&copy)])?;
    must_match("copy", &session.stored(&session.bucket(), &copy)?, &bytes)
}

fn copy(session: &Session<'_>, size: usize, to_bucket: &str, flags: &[&str]) -> Result<()> {
    let (file, bytes) = session.file(size)?;
    let (from, key) = (session.uri(&session.fresh("original")), session.fresh("copy"));
    let labels = ["--content-type", TYPE, "--metadata", "colour=blue"];
    session.succeed(&[&["cp", argument(&file), &from], &labels[..]].concat())?;
    let to = format!("s3://{to_bucket}/{key}");
    session.succeed(&[&["cp", &from, &to], flags].concat())?;
    must_match("copy", &session.stored(to_bucket, &key)?, &bytes)?;
    expect_type(session, &to, TYPE)?;
    let metadata = session.stat(&to)?.metadata;
    let colour = metadata.get("colour").map(String::as_str);
    ensure!(colour == Some("blue"), "the copy's metadata is {metadata:?}");
    Ok(())
}
