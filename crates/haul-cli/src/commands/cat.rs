//! `haul cat`: an object to standard output.

use haul::{CopyRequest, Location};

use crate::args::{CatArgs, Common};
use crate::exit::Exit;
use crate::{output, render, settings};

pub(crate) async fn run(args: CatArgs, common: &Common) -> anyhow::Result<Exit> {
    let CatArgs { object, transfer } = args;
    let haul = settings::mover(&transfer, &object.store, None);
    let mut request = CopyRequest::new(settings::location(&object.location)?, Location::Stdio);
    request.version_id = object.version_id;
    let job = haul.copy(request).await?;
    let report = render::follow(&haul, job, common).await?;
    if common.verbose > 0 {
        output::note(&super::cp::summary(&report));
    }
    Ok(Exit::Done)
}
