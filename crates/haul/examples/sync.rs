//! Makes a prefix like a folder, or the other way round, and removes what is only there:
//! `cargo run --example sync -- SOURCE DEST`. Credentials and endpoint come from the environment, as
//! the AWS SDKs have it.

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use haul::{Event, Haul, Location, Options, Outcome, Result, Summary, SyncRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sync SOURCE DEST".into());
    };
    let haul = Haul::new(Options::default());
    let summary = sync(&haul, Location::parse(from)?, Location::parse(to)?).await?;
    if summary.failed > 0 {
        return Err(format!("{} failed", summary.failed).into());
    }
    Ok(())
}

/// Says what changes; what is the same already is not mentioned.
pub(crate) async fn sync(haul: &Haul, from: Location, to: Location) -> Result<Summary> {
    let mut request = SyncRequest::new(from, to);
    request.delete = true;
    request.max_delete = Some(1000); // a mistake costs no more than this
    let mut job = haul.sync(request).await?;
    let events = job.take_events();
    let follow = async {
        let Some(mut events) = events else { return };
        while let Some(event) = events.recv().await {
            let Event::Settled(settled) = event else { continue };
            match &settled.outcome {
                Outcome::Copied(_) => println!("{} -> {}", settled.from, settled.to),
                Outcome::Removed => println!("removed {}", settled.from),
                Outcome::Failed(e) => println!("{e}"),
                _ => {}
            }
        }
    };
    let (summary, ()) = futures::join!(job, follow);
    let summary = summary?;
    println!("{} copied, {} removed", summary.copied, summary.removed);
    Ok(summary)
}
