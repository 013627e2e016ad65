//! Owns the checks of the verbs around transfers: uploads, run, rb.
//!
//! Must never: send a signal before there is something to find afterwards.

use super::interrupts::{SLOW, begin};
use super::session::{Session, argument, must_match};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use std::fs;
use std::time::Duration;

const A_DAY: Duration = Duration::from_hours(24);

/// SIGKILL leaves parts behind: they are listed, and can be aborted.
pub(super) fn uploads(session: &Session<'_>) -> Result<()> {
    let (source, _) = session.file(40 << 20)?;
    let uri = session.uri(&session.fresh("killed ü+.bin"));
    let (probe, bucket) = (session.probe(), session.bucket());
    let before = probe.open_uploads(&bucket)?;
    let mut arguments = vec!["cp", argument(&source), &uri, "--part-size", "5MiB"];
    arguments.extend(SLOW);
    let (child, _) = begin(session, &arguments, || Ok(probe.open_uploads(&bucket)? > before))?;
    child.signal(Signal::SIGKILL)?;
    child.wait_for(Duration::from_secs(10)).context("after SIGKILL")?;
    let left = probe.open_uploads(&bucket)?;
    ensure!(left == before + 1, "{left} uploads are open instead of {}", before + 1);
    let whole = format!("s3://{bucket}");
    let told = session.told(&["uploads", "ls", &whole])?;
    let listed = told.texts("upload", "location");
    ensure!(listed.contains(&uri), "uploads ls shows {listed:?}");
    // A day is the default age: what is young may be running. Not every server tells the true age.
    let begun = told.texts("upload", "initiated").into_iter().max().unwrap_or_default();
    if humantime::parse_rfc3339(&begun)?.elapsed().unwrap_or_default() < A_DAY {
        session.succeed(&["uploads", "abort", &uri])?;
        ensure!(probe.open_uploads(&bucket)? == left, "a young upload was aborted");
    }
    let told = session.told(&["uploads", "abort", &uri, "--older-than", "0s"])?;
    ensure!(told.of("aborted").count() == 1, "uploads abort does not say what it did");
    ensure!(probe.open_uploads(&bucket)? == before, "the upload is still open");
    let listed = session.told(&["uploads", "ls", &uri])?.of("upload").count();
    ensure!(listed == 0, "uploads ls still shows {listed}");
    Ok(())
}

/// Many commands, one a line: each ends by itself.
pub(super) fn batch(session: &Session<'_>) -> Result<()> {
    let (source, bytes) = session.file(100_000)?;
    let (up, again) = (session.fresh("batch"), session.fresh("with spaces"));
    let gone = session.fresh("gone");
    session.probe().put(&session.bucket(), &gone, b"old")?;
    let list = session.path("commands");
    let lines = [
        "# comments and empty lines are left out".to_owned(),
        String::new(),
        format!("cp '{}' {}", argument(&source), session.uri(&up)),
        format!("haul cp '{}' '{}'", argument(&source), session.uri(&again)),
        format!("rm {}", session.uri(&gone)),
    ];
    fs::write(&list, lines.join("\n"))?;
    let told = session.told(&["run", argument(&list)])?;
    let ended: Vec<_> = told.of("line").filter_map(|line| line["exit"].as_u64()).collect();
    ensure!(ended == [0, 0, 0], "the lines end with {ended:?}");
    for key in [&up, &again] {
        must_match("stored object", &session.stored(&session.bucket(), key)?, &bytes)?;
    }
    session.fail(4, &["stat", &session.uri(&gone)])?;
    // One that fails stops nothing, and is told.
    let target = session.path("target");
    let missing = session.uri("no-such-object");
    let lines = format!("cp {missing} x\ncp {} '{}'\n", session.uri(&up), argument(&target));
    let arguments = ["run", "-"];
    let done = session.finish(&mut session.command(&arguments), Some(lines.as_bytes()))?;
    session.must_exit(&done, 1, &arguments)?;
    ensure!(done.stderr.contains("line 1"), "it does not name the line: {}", done.stderr.trim());
    must_match("downloaded file", &fs::read(&target)?, &bytes)
}

pub(super) fn remove_bucket(session: &Session<'_>) -> Result<()> {
    let bucket = format!("{}-gone", session.bucket());
    let (uri, object) = (format!("s3://{bucket}"), format!("s3://{bucket}/full"));
    session.succeed(&["mb", &uri])?;
    let buckets = session.told(&["ls"])?.texts("bucket", "location");
    ensure!(buckets.contains(&uri), "ls does not show the bucket");
    session.probe().put(&bucket, "full", b"data")?;
    let refused = session.haul(&["rb", &uri])?;
    ensure!(!refused.status.success(), "rb removes a bucket that is not empty");
    must_match("object", &session.stored(&bucket, "full")?, b"data")?;
    session.succeed(&["rm", &object])?;
    session.succeed(&["rb", &uri])?;
    let buckets = session.told(&["ls"])?.texts("bucket", "location");
    ensure!(!buckets.contains(&uri), "ls still shows the bucket");
    session.fail(4, &["ls", &uri]).map(drop)
}
