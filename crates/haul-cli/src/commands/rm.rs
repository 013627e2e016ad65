//! `haul rm`: remove one object.

use haul::redact::escape_control as show;
use serde_json::json;

use crate::args::{Common, ObjectRef};
use crate::exit::Exit;
use crate::{output, settings};

pub(crate) async fn run(args: ObjectRef, common: &Common) -> anyhow::Result<Exit> {
    let haul = settings::asker(&args.store);
    let location = settings::location(&args.location)?;
    haul.remove(&location, args.version_id.clone()).await?;
    if common.json {
        let line = json!({
            "type": "removed", "location": location.to_string(), "version_id": args.version_id,
        });
        output::result(&line.to_string())?;
    } else {
        output::result(&format!("removed {}", show(&location.to_string())))?;
    }
    Ok(Exit::Done)
}
