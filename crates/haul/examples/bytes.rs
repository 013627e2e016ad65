//! Bytes to an object and back, without a file: `cargo run --example bytes -- s3://BUCKET/KEY`.
//! Credentials and endpoint come from the environment, as the AWS SDKs have it.

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

use bytes::Bytes;
use futures::stream::{self, TryStreamExt as _};
use haul::{Haul, Location, Options, PutOptions, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let object = std::env::args_os().nth(1).ok_or("usage: bytes s3://BUCKET/KEY")?;
    there_and_back(&Haul::new(Options::default()), &Location::parse(object)?).await?;
    Ok(())
}

/// Writes and reads the object, in one piece and in many. Returns how many bytes there were last.
pub(crate) async fn there_and_back(haul: &Haul, object: &Location) -> Result<u64> {
    // What is in memory already, at once; a read says how much it may be.
    haul.put(object, "a few bytes").await?;
    let all = haul.get_bytes(object, 1 << 20).await?;
    println!("{}", String::from_utf8_lossy(&all));

    // Any number of bytes, as they come: nothing waits in memory but what is on its way.
    let pieces = stream::iter((0..1000).map(|i| Ok(Bytes::from(format!("line {i}\n")))));
    let mut options = PutOptions::default();
    options.attributes.content_type = Some("text/plain".to_owned());
    haul.put_stream(object, pieces, options).await?;

    let mut download = haul.get(object).await?;
    println!("{:?}, {:?} bytes", download.attributes().content_type, download.size());
    let mut read = 0;
    while let Some(bytes) = download.try_next().await? {
        read += bytes.len() as u64;
    }

    // Only some of it: the store is asked for these bytes and no others.
    let line: Vec<Bytes> = haul.get_range(object, 7..13).await?.try_collect().await?;
    println!("{}", String::from_utf8_lossy(&line.concat()));
    Ok(read)
}
