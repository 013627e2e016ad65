//! `haul uploads`: what was begun and never finished.

use std::time::{Duration, SystemTime};

use haul::redact::escape_control as show;
use haul::{Foreign, Hint, PendingUpload};
use serde_json::{Value, json};

use crate::args::{AbortArgs, UploadsArgs, UploadsCommand, UploadsRef};
use crate::exit::{self, Exit};
use crate::moment::rfc3339;
use crate::session::Session;
use crate::{output, settings};

pub(crate) async fn run(args: UploadsArgs, session: &Session) -> anyhow::Result<Exit> {
    match args.command {
        UploadsCommand::Ls(args) => list(&args, session).await,
        UploadsCommand::Abort(args) => abort(&args, session).await,
    }
}

async fn list(args: &UploadsRef, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    for upload in haul.uploads(&settings::location(&args.location)?).await? {
        output::result(&if session.common.json {
            object("upload", &upload).to_string()
        } else {
            let begun = upload.initiated.map(rfc3339).unwrap_or_default();
            format!("{begun:<20}  {}  {}", upload.location, show(&upload.id))
        })?;
    }
    Ok(Exit::Done)
}

async fn abort(args: &AbortArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.uploads.store));
    let uploads = haul.uploads(&settings::location(&args.uploads.location)?).await?;
    let now = SystemTime::now();
    let (chosen, younger): (Vec<_>, Vec<_>) = match &args.upload_id {
        Some(id) => (uploads.into_iter().filter(|u| u.id == *id).collect(), Vec::new()),
        None => uploads.into_iter().partition(|u| is_old(u, args.age, now)),
    };
    if let (Some(id), true) = (&args.upload_id, chosen.is_empty()) {
        let what = format!("no upload {id} is pending there");
        let place = args.uploads.location.to_string_lossy();
        let e = haul::Error::new(haul::ErrorKind::NotFound, haul::Op::Abort, place, what)
            .with_hint(Hint::own("haul uploads ls shows them"));
        return Err(e.into());
    }
    let mut exit = Exit::Done;
    for upload in &chosen {
        if args.dry_run {
            output::result(&line("would_abort", "would abort", upload, session))?;
            continue;
        }
        match haul.abort_upload(upload).await {
            Ok(()) => session.changed(&line("aborted", "aborted", upload, session))?,
            Err(e) => {
                output::error(&exit::line(&e));
                exit = Exit::Failed;
            }
        }
    }
    if !younger.is_empty() && session.tells() {
        let age = humantime::format_duration(args.age);
        let n = younger.len();
        output::note(&format!(
            "haul: left {n} alone that began less than {age} ago (--older-than)"
        ));
    }
    Ok(exit)
}

/// Whether an upload is old enough. One of unknown age might be running.
fn is_old(upload: &PendingUpload, age: Duration, now: SystemTime) -> bool {
    let elapsed = upload.initiated.map(|begun| now.duration_since(begun).unwrap_or_default());
    elapsed.map_or(age.is_zero(), |elapsed| elapsed >= age)
}

fn line(kind: &str, what: &str, upload: &PendingUpload, session: &Session) -> String {
    if session.common.json {
        return object(kind, upload).to_string();
    }
    format!("{what} {} {}", upload.location, show(&upload.id))
}

fn object(kind: &str, upload: &PendingUpload) -> Value {
    json!({
        "type": kind, "location": Foreign::from(&upload.location).exact(), "upload_id": upload.id,
        "initiated": upload.initiated.map(rfc3339),
    })
}
