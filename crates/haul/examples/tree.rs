//! Copies a folder or prefix: `cargo run --example tree -- SOURCE DEST`. Credentials and endpoint
//! come from the environment, as the AWS SDKs have it.

use haul::{Event, Haul, Location, Options, Outcome, Result, Summary, TreeRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tree SOURCE DEST".into());
    };
    let haul = Haul::new(Options::default());
    let (_, failures) = copy(&haul, Location::parse(from)?, Location::parse(to)?).await?;
    match failures.first() {
        Some(first) => Err(format!("{} failed, first: {first}", failures.len()).into()),
        None => Ok(()),
    }
}

/// One item that fails stops no other: those that did are returned.
pub(crate) async fn copy(
    haul: &Haul,
    from: Location,
    to: Location,
) -> Result<(Summary, Vec<String>)> {
    let mut request = TreeRequest::new(vec![from], to);
    request.select.recursive = true;
    let mut job = haul.copy_tree(request).await?;
    let events = job.take_events();
    let follow = async {
        let mut failures = Vec::new();
        let Some(mut events) = events else { return failures };
        while let Some(event) = events.recv().await {
            if let Event::Settled(settled) = event
                && let Outcome::Failed(e) = settled.outcome
            {
                failures.push(e.to_string());
            }
        }
        failures
    };
    let (summary, failures) = futures::join!(job, follow);
    Ok((summary?, failures))
}
