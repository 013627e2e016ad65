//! Downloads an object or a URL to a file and prints how far it is:
//! `cargo run --example download -- s3://BUCKET/KEY FILE`. Credentials and endpoint come from the
//! environment, as the AWS SDKs have it.

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use std::time::Duration;

use haul::{CopyRequest, Haul, Location, Options, Report, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: download SOURCE FILE".into());
    };
    let haul = Haul::new(Options::default());
    download(&haul, Location::parse(from)?, Location::Local(file.into())).await?;
    Ok(())
}

/// The file is there when this returns `Ok`: complete, verified, and on the disk.
pub(crate) async fn download(haul: &Haul, from: Location, file: Location) -> Result<Report> {
    let mut job = haul.copy(CopyRequest::new(from, file)).await?;
    let meter = job.meter();
    let mut clock = tokio::time::interval(Duration::from_millis(200));
    let report = loop {
        tokio::select! {
            ended = &mut job => break ended?,
            _ = clock.tick() => {
                let now = meter.snapshot();
                println!("{} of {} bytes", now.landed, now.total.unwrap_or_default());
            }
        }
    };
    println!("{} bytes, verified: {}", report.bytes, report.verified);
    Ok(report)
}
