//! Copies a folder or prefix: `cargo run --example tree -- SOURCE DEST`. Credentials and endpoint
//! come from the environment, as the AWS SDKs have it.

use haul::{Event, Haul, Location, Options, Outcome, TreeRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tree SOURCE DEST".into());
    };
    let mut request = TreeRequest::new(vec![Location::parse(from)?], Location::parse(to)?);
    request.select.recursive = true;
    let mut job = Haul::new(Options::default()).copy_tree(request).await?;
    let mut events = job.take_events().ok_or("somebody else listens")?;
    let failures = async {
        let mut failures = Vec::new();
        while let Some(event) = events.recv().await {
            if let Event::Settled(settled) = event
                && let Outcome::Failed(e) = settled.outcome
            {
                failures.push(e.to_string());
            }
        }
        failures
    };
    let (summary, failures) = futures::join!(job, failures);
    if let Some(first) = failures.first() {
        return Err(format!("{} failed, first: {first}", failures.len()).into());
    }
    assert!(summary?.complete, "everything was listed");
    Ok(())
}
