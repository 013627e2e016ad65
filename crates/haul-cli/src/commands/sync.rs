//! `haul sync` and `haul check`: one tree like another, or how they differ.

use haul::{Compare, ErrorKind, Location, Op, SyncRequest};

use crate::args::{CheckArgs, FilterArgs, LinkArgs, ShareArgs, SyncArgs};
use crate::exit::Exit;
use crate::results::{self, Telling, Verb};
use crate::session::Session;
use crate::settings;

/// A tree that is empty, or like the other already, is nothing to complain of.
const QUIET: Telling = Telling { may_be_empty: true, ..Telling::of(Verb::Copy) };

pub(crate) async fn run(args: Box<SyncArgs>, session: &Session) -> anyhow::Result<Exit> {
    let requests = args.transfer.concurrency.for_many();
    let options = settings::moving(&args.transfer, &args.store, Some(&args.other), requests);
    let haul = session.haul(options);
    let (from, to) = (settings::location(&args.from)?, settings::location(&args.to)?);
    if let Location::Local(path) = &from {
        // Nothing is made at the destination for a source that is not there.
        std::fs::metadata(path).map_err(|e| haul::Error::io(Op::List, &from, e))?;
    }
    refuse_file(&[&from, &to], "sync takes folders and prefixes: haul cp copies a file")?;
    let mut request = SyncRequest::new(from, to);
    select(&mut request, &args.filter, &args.links, &args.share)?;
    request.compare = match (args.size_only, args.checksum) {
        (true, _) => Compare::Size,
        (_, true) => Compare::Content,
        _ => Compare::Times,
    };
    request.delete = args.delete;
    request.max_delete = args.max_delete;
    request.ignore_errors = args.ignore_errors;
    request.attributes = settings::attributes(&args.object);
    request.multipart_copy_above = args.multipart_copy_threshold.0;
    request.dedupe = settings::dedupe(&args.dedupe)?;
    request.dry_run = args.dry_run;
    request.jobs = settings::jobs(&args.share, args.transfer.concurrency);
    let job = haul.sync(request).await?;
    results::run(&haul, job, session, Telling { dry_run: args.dry_run, ..QUIET }).await
}

pub(crate) async fn check(args: Box<CheckArgs>, session: &Session) -> anyhow::Result<Exit> {
    let requests = args.transfer.concurrency.for_many();
    let options = settings::moving(&args.transfer, &args.store, Some(&args.other), requests);
    let haul = session.haul(options);
    let (from, to) = (settings::location(&args.from)?, settings::location(&args.to)?);
    refuse_file(&[&from, &to], "check compares folders and prefixes: name the folder it is in")?;
    let mut request = SyncRequest::new(from, to);
    select(&mut request, &args.filter, &args.links, &args.share)?;
    request.compare = if args.size_only { Compare::Size } else { Compare::Content };
    request.one_way = args.one_way;
    request.jobs = settings::jobs(&args.share, args.transfer.concurrency);
    let job = haul.check(request).await?;
    results::run(&haul, job, session, Telling { verb: Verb::Check, ..QUIET }).await
}

/// Both sides are trees; a file is none.
fn refuse_file(places: &[&Location], way: &str) -> haul::Result<()> {
    let file = places.iter().find(|p| matches!(p, Location::Local(path) if path.is_file()));
    file.map_or(Ok(()), |file| {
        let what = format!("it is a file, and {way}");
        Err(haul::Error::new(ErrorKind::Invalid, Op::List, file, what))
    })
}

fn select(
    request: &mut SyncRequest,
    filter: &FilterArgs,
    links: &LinkArgs,
    share: &ShareArgs,
) -> anyhow::Result<()> {
    request.filter = settings::filter(filter)?;
    request.shard = share.shard;
    request.symlinks = links.mode();
    request.empty_folders = links.empty_folders;
    Ok(())
}
