//! Uploads what is new or changed in a folder and prints a link for each file:
//! `cargo run --example publish -- FOLDER s3://BUCKET/PREFIX`. Credentials and endpoint come from the
//! environment, as the AWS SDKs have it.

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use haul::{Event, Haul, Location, Options, Outcome, PublishRequest, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: publish FOLDER s3://BUCKET/PREFIX".into());
    };
    let haul = Haul::new(Options::default());
    publish(&haul, Location::Local(folder.into()), Location::parse(to)?).await?;
    Ok(())
}

/// Returns the links as well as printing them.
pub(crate) async fn publish(haul: &Haul, folder: Location, to: Location) -> Result<Vec<String>> {
    let mut job = haul.publish(PublishRequest::new(vec![folder], to)).await?;
    let events = job.take_events();
    let follow = async {
        let (mut links, mut failure) = (Vec::new(), None);
        let Some(mut events) = events else { return (links, failure) };
        while let Some(event) = events.recv().await {
            let Event::Settled(settled) = event else { continue };
            if let Some(link) = settled.link {
                println!("{}", link.0);
                links.push(link.0);
            } else if let Outcome::Failed(e) = settled.outcome {
                failure = failure.or(Some(e));
            }
        }
        (links, failure)
    };
    let (summary, (links, failure)) = futures::join!(job, follow);
    summary?;
    failure.map_or(Ok(links), Err)
}
