//! `haul mb`: create a bucket.

use haul::redact::escape_control as show;
use serde_json::json;

use crate::args::{Common, MbArgs};
use crate::exit::Exit;
use crate::{output, settings};

pub(crate) async fn run(args: MbArgs, common: &Common) -> anyhow::Result<Exit> {
    let haul = settings::asker(&args.store);
    let location = settings::location(&args.location)?;
    haul.make_bucket(&location).await?;
    if common.json {
        let line = json!({"type": "created", "location": location.to_string()});
        output::result(&line.to_string())?;
    } else {
        output::result(&format!("created {}", show(&location.to_string())))?;
    }
    Ok(Exit::Done)
}
