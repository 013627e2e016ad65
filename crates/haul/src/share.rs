//! Files for whoever has a ticket: `send`.
//!
//! Owns the way from a selection to what is offered. Standard input is saved to a temporary file
//! first: a receiver may come late, come back or not be the only one.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::{
    Attributes, Engine, EntryKind, Error, ErrorKind, Event, Job, Location, Op, RelPath, Result,
    TransferHandle,
};
use haul_local::{Durability, FsyncPolicy, LocalSource, LocalTarget, StdinSource};
use haul_p2p::{Offer, Shared, What};

use crate::picks::{Origin, Pick, Picked, Rules, picks, refuse_collisions};
use crate::sources::Sources;
use crate::tree::has_objects;
use crate::{Haul, ShareRequest};

/// Files whose modes are looked at together, off the async threads.
const TOGETHER: usize = 256;

impl Haul {
    /// Starts to share files, objects and URLs, until the share ends by itself or is cancelled.
    /// [`Event::Ticket`] brings the ticket, [`Event::Peer`] tells who comes and goes. Names that
    /// collide are found before anything is offered.
    ///
    /// # Errors
    ///
    /// From the handle: `Invalid` where two sources would get one name, `NotFound` where nothing
    /// can be shared, and what [requests and disks](crate#errors) may end with where that ends the
    /// job. What goes wrong with one file is an event.
    pub async fn share(&self, request: ShareRequest) -> Result<TransferHandle<Shared>> {
        let this = self.begin();
        let (engine, mut options) = (this.engine.clone(), request.options);
        if request.select.sources == [Location::Stdio] {
            // Whatever comes, something does: its ticket need not wait for the end of it.
            options.certain = true;
            return Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
                let name = request.stdin_name.unwrap_or_else(|| "stdin".to_owned());
                let folder = tempfile::Builder::new().prefix("haul-send-").tempdir();
                let folder = folder.map_err(|e| Error::io(Op::Write, "a temporary folder", e))?;
                let saving = saved(&engine, &cx, folder.path(), name);
                haul_p2p::share(engine.clone(), cx.clone(), stream::once(saving), options).await
            }));
        }
        let roots = this.roots(&request.select, true).await?;
        let client = if has_objects(&roots) { Some(this.source_client().await?) } else { None };
        let rules = Rules::new(&request.select, true, client);
        let sources = this.sources(&rules);
        Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
            refuse_collisions(&engine, &cx, &roots, &rules).await?;
            let offers = offers(picks(&engine, &cx, roots, rules), sources);
            haul_p2p::share(engine, cx, offers, options).await
        }))
    }
}

/// What is picked, as it is offered.
fn offers(
    picks: impl Stream<Item = Picked> + Send,
    sources: Sources,
) -> impl Stream<Item = Result<Offer>> + Send {
    let sources = Arc::new(sources);
    let pages = picks.ready_chunks(TOGETHER).then(move |page| {
        let sources = Arc::clone(&sources);
        async move {
            let offered = move || page.into_iter().map(|p| offer(p, &sources)).collect::<Vec<_>>();
            tokio::task::spawn_blocking(offered).await.unwrap_or_else(|e| {
                let what = "looking at files crashed";
                vec![Err(Error::new(ErrorKind::Io, Op::Share, "files", what).with_source(e))]
            })
        }
    });
    pages.flat_map(stream::iter)
}

/// Blocking.
fn offer(picked: Picked, sources: &Sources) -> Result<Offer> {
    let pick: Pick = match picked {
        Picked::Item(pick) => *pick,
        Picked::Problem(e) | Picked::Cut(e) => return Err(e),
    };
    let what = match &pick.entry.kind {
        EntryKind::Folder => What::Folder,
        EntryKind::Symlink(target) => What::Symlink(target.clone()),
        _ => What::File {
            source: sources.of(&pick)?,
            size: pick.entry.size,
            mode: match &pick.from {
                Origin::File(path) => haul_local::mode_of(path).ok(),
                _ => None,
            },
            modified: pick.entry.modified,
        },
    };
    Ok(Offer { path: pick.to, what })
}

/// Standard input in a file in `folder`.
async fn saved(engine: &Engine, cx: &JobContext, folder: &Path, name: String) -> Result<Offer> {
    let path = folder.join("stdin");
    let text = "standard input is saved until the share ends";
    cx.events.send(Event::note(text));
    let size = save(engine, cx, &path).await?;
    let source = Arc::new(LocalSource::new(path, engine.pool().clone()));
    let what = What::File { source, size, mode: None, modified: None };
    Ok(Offer { path: RelPath::new(name), what })
}

async fn save(engine: &Engine, cx: &JobContext, path: &Path) -> Result<u64> {
    let job = Job {
        source: Arc::new(StdinSource::new(engine.pool().clone())),
        target: Arc::new(LocalTarget::new(path, Durability::new(FsyncPolicy::Never))),
        attributes: Attributes::default(),
        overwrite: true,
        expected_size: None,
        keep_times: false,
    };
    // Its bytes are counted when they are hashed.
    let own = JobContext::watched(cx.cancel.clone(), cx.events.clone());
    Ok(Box::pin(engine.clone().run(job, own)).await?.bytes)
}
