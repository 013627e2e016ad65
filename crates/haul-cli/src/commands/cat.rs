//! `haul cat`: an object to standard output.

use haul::{CopyRequest, Location};

use crate::args::{CatArgs, TransferArgs};
use crate::exit::Exit;
use crate::session::Session;
use crate::size::human;
use crate::{output, render, settings};

pub(crate) async fn run(args: CatArgs, session: &Session) -> anyhow::Result<Exit> {
    let CatArgs { object, transfer } = args;
    let requests = transfer.concurrency.for_one();
    if let Some(line) = crowded(&transfer, requests).filter(|_| session.tells()) {
        output::note(&line);
    }
    let haul = session.haul(settings::moving(&transfer, &object.store, None, requests));
    let mut request = CopyRequest::new(settings::location(&object.location)?, Location::Stdio);
    request.version_id = object.version_id;
    let job = haul.copy(request).await?;
    let report = render::follow_data(&haul, job, session).await?;
    if session.common.verbose > 0 {
        output::note(&super::cp::summary(&report));
    }
    Ok(Exit::Done)
}

/// Ranges wait in memory for their turn: what to say where fewer of them fit than may be in flight.
fn crowded(transfer: &TransferArgs, requests: usize) -> Option<String> {
    let (part, memory) = (transfer.part_size?.0, transfer.pace.memory.0);
    let fit = memory / part;
    (fit < requests as u64).then(|| {
        let (part, memory) = (human(part), human(memory));
        format!("haul: {fit} ranges of {part} at once, not {requests}: --memory has {memory}")
    })
}
