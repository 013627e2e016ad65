//! `haul cat`: an object to standard output.

use haul::{CopyRequest, Location};

use crate::args::CatArgs;
use crate::exit::Exit;
use crate::session::Session;
use crate::{output, render, settings};

pub(crate) async fn run(args: CatArgs, session: &Session) -> anyhow::Result<Exit> {
    let CatArgs { object, transfer } = args;
    let requests = transfer.concurrency.for_one();
    let haul = session.haul(settings::moving(&transfer, &object.store, None, requests));
    let mut request = CopyRequest::new(settings::location(&object.location)?, Location::Stdio);
    request.version_id = object.version_id;
    let job = haul.copy(request).await?;
    let report = render::follow(&haul, job, session).await?;
    if session.common.verbose > 0 {
        output::note(&super::cp::summary(&report));
    }
    Ok(Exit::Done)
}
