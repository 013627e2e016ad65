//! Owns the checks of what goes wrong: the exit code, the words, and what must stay as it was.
//!
//! Must never: accept a failure that says nothing, or that leaves something behind.

use super::session::{Session, argument};
use crate::process::Supervised;
use crate::servers::endpoint::free_port;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const SIGPIPE: i32 = 13;
/// Of the form that Garage wants, and nobody's.
const UNKNOWN_KEY: &str = "GK000000000000000000000000";

pub(super) fn remove(session: &Session<'_>) -> Result<()> {
    let (source, _) = session.file(10)?;
    let uri = session.uri(&session.fresh("removed"));
    session.succeed(&["cp", argument(&source), &uri])?;
    session.succeed(&["rm", &uri])?;
    session.fail(4, &["stat", &uri]).map(drop)
}

pub(super) fn missing_object(session: &Session<'_>) -> Result<()> {
    let uri = session.uri("no-such-object");
    session.fail(4, &["stat", &uri])?;
    let printed = session.fail(4, &["cat", &uri])?.stdout;
    ensure!(printed.is_empty(), "cat of a missing object prints something");
    let target = session.path("kept");
    fs::write(&target, "old")?;
    session.fail(4, &["cp", &uri, argument(&target)])?;
    must_be_old(&target)?;
    let absent = session.path("absent");
    session.fail(4, &["cp", &uri, argument(&absent)])?;
    ensure!(!absent.exists(), "a failed download left a file");
    session.fail(4, &["cp", &uri, &session.uri("copy-of-nothing")]).map(drop)
}

pub(super) fn missing_bucket(session: &Session<'_>) -> Result<()> {
    let uri = format!("s3://{}-absent/key", session.bucket());
    session.fail(4, &["stat", &uri])?;
    session.fail(4, &["cat", &uri])?;
    for size in [10, 12 << 20] {
        let (source, _) = session.file(size)?;
        session.fail(4, &["cp", argument(&source), &uri])?;
    }
    Ok(())
}

pub(super) fn wrong_credentials(session: &Session<'_>) -> Result<()> {
    let (source, _) = session.file(10)?;
    let uri = session.uri(&session.fresh("guarded"));
    session.succeed(&["cp", argument(&source), &uri])?;
    let mut wrong_secret = session.endpoint().clone();
    wrong_secret.secret_key = wrong_secret.secret_key.chars().rev().collect();
    let mut wrong_key = session.endpoint().clone();
    UNKNOWN_KEY.clone_into(&mut wrong_key.access_key);
    let target = session.path("guarded");
    for endpoint in [wrong_secret, wrong_key] {
        for arguments in [
            ["stat", uri.as_str(), "-q"].as_slice(),
            &["cp", &uri, argument(&target)],
            &["cp", argument(&source), &session.uri("intruder")],
        ] {
            let done = session.finish(&mut session.command_for(&endpoint, arguments), None)?;
            session.must_exit(&done, 5, arguments)?;
            ensure!(!done.stderr.contains(&endpoint.secret_key), "the secret is in the error");
        }
    }
    ensure!(!target.exists(), "a refused download left a file");
    Ok(())
}

pub(super) fn refused_connection(session: &Session<'_>) -> Result<()> {
    let mut nobody = session.endpoint().clone();
    nobody.url = format!("http://127.0.0.1:{}", free_port()?);
    let arguments = ["cat", &session.uri("key")];
    let done = session.finish(&mut session.command_for(&nobody, &arguments), None)?;
    session.must_exit(&done, 1, &arguments)?;
    ensure!(done.stdout.is_empty(), "it prints something");
    Ok(())
}

pub(super) fn closed_pipe(session: &Session<'_>) -> Result<()> {
    let (source, bytes) = session.file(40 << 20)?;
    let uri = session.uri(&session.fresh("long"));
    session.succeed(&["cp", argument(&source), &uri])?;
    let mut command = session.command(&["cat", &uri]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Supervised::spawn(&mut command)?;
    let mut head = [0; 10];
    let mut stdout = child.stdout().context("no stdout")?;
    let mut stderr = child.stderr().context("no stderr")?;
    stdout.read_exact(&mut head)?;
    drop(stdout);
    let status = child.wait_for(Duration::from_secs(30))?;
    let mut complaint = String::new();
    stderr.read_to_string(&mut complaint)?;
    ensure!(head == bytes[..10], "other bytes");
    // As `cat` ends: by the signal, or with what a shell calls it.
    let quiet = status.code() == Some(141) || status.signal() == Some(SIGPIPE);
    ensure!(quiet && complaint.trim().is_empty(), "{status}, and it says {:?}", complaint.trim());
    Ok(())
}

/// The file that stood at the destination must be as it was.
pub(super) fn must_be_old(target: &Path) -> Result<()> {
    let kept = fs::read(target).context("the old file is gone")?;
    ensure!(kept == b"old", "the old file was changed ({} bytes now)", kept.len());
    Ok(())
}
