//! `haul cp`: copy one file or object.

use haul::{CopyRequest, ErrorKind, Location, Report};
use serde_json::json;

use crate::args::{Common, CpArgs, ProgressMode};
use crate::exit::Exit;
use crate::size::{human, human_rate};
use crate::{output, render, settings};

pub(crate) async fn run(args: Box<CpArgs>, common: &Common) -> anyhow::Result<Exit> {
    let haul = settings::mover(&args.transfer, &args.store, Some(&args.other));
    let from = settings::location(&args.from)?;
    let to = settings::location(&args.to)?;
    if args.recursive {
        let what = "cp copies one file or object, and -r asks for a folder";
        return Err(haul::Error::new(ErrorKind::Invalid, haul::Op::Parse, from, what).into());
    }
    let to_stdout = to == Location::Stdio;
    let mut request = CopyRequest::new(from, to);
    request.version_id = args.version_id;
    request.attributes = settings::attributes(&args.object);
    request.overwrite = !args.no_clobber;
    request.expected_size = args.expected_size.map(|s| s.0);
    request.multipart_copy_above = args.multipart_copy_threshold.0;
    let job = haul.copy(request).await?;
    let report = match render::follow(&haul, job, common).await {
        Err(e) if args.no_clobber && e.kind() == ErrorKind::AlreadyExists => {
            return skipped(&e, common);
        }
        done => done?,
    };
    if !to_stdout {
        tell(&report, common)?;
    }
    if !common.quiet && !common.json && common.progress != ProgressMode::Json {
        output::note(&summary(&report));
    }
    Ok(Exit::Done)
}

/// The result of one item, on stdout.
pub(crate) fn tell(report: &Report, common: &Common) -> Result<(), haul::Error> {
    let Report { from, to, .. } = report;
    if !common.json {
        let show = haul::redact::escape_control;
        return output::result(&format!("{} -> {}", show(from), show(to)));
    }
    let line = json!({
        "type": "copied", "from": from, "to": to, "bytes": report.bytes,
        "seconds": report.elapsed.as_secs_f64(), "retried": report.retried,
        "verified": report.verified.to_string(), "etag": report.etag.as_deref().map(|e| e.trim_matches('"')),
        "version_id": report.version_id,
    });
    output::result(&line.to_string())
}

/// Bytes, time, rate, retries and proof, on one line.
pub(crate) fn summary(report: &Report) -> String {
    let rate = human_rate(report.bytes, report.elapsed);
    let retried = match report.retried {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        n => format!(", {n} retries"),
    };
    format!(
        "{} in {:.1} s ({rate}){retried}, verified: {}",
        human(report.bytes),
        report.elapsed.as_secs_f64(),
        report.verified
    )
}

fn skipped(e: &haul::Error, common: &Common) -> anyhow::Result<Exit> {
    if common.json {
        output::result(&json!({"type": "skipped", "to": e.location()}).to_string())?;
    } else if !common.quiet {
        output::note(&format!("haul: skipped {}: {}", e.location(), e.detail()));
    }
    Ok(Exit::Done)
}
