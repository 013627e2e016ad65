//! `haul send`: files for whoever has the ticket.
//!
//! Owns what the sender says and how it ends: the ticket alone on stdout at once, peers beside it,
//! and an exit code that tells a share that did its work from one that was cut short. Must never
//! tell the ticket anywhere but on stdout, in the line to copy where stdout and stderr are one
//! person's terminal, and, when asked to, as a QR code.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use haul::{
    Error, ErrorKind, Event, Hint, Location, Op, PeerEvent, Settled, ShareEnd, ShareKey,
    ShareOptions, ShareRequest, Shared,
};
use serde_json::json;

use super::{many, qr};
use crate::args::SendArgs;
use crate::exit::{self, Exit};
use crate::render::{self, Listener, Say};
use crate::results::{self, Results, Telling, Verb};
use crate::session::Session;
use crate::tickets::{self, Book, Subject};
use crate::{identity, output, settings};

pub(crate) async fn run(args: SendArgs, session: &Session) -> anyhow::Result<Exit> {
    let sources = many::sources(&args.sources, args.files_from.as_deref())?;
    refuse_mixture(&args, &sources)?;
    if args.revoke {
        return revoke(&args, &sources, session);
    }
    let key = key(&args, &sources)?;
    let haul = session.haul(settings::with_peers(&args.pace, &args.store));
    let request = request(&args, sources, key.share())?;
    let job = haul.share(request).await?;
    let mut sharing = Sharing::new(&args, session);
    let result = {
        let mut following = std::pin::pin!(render::follow_share(&haul, job, session, &mut sharing));
        tokio::select! {
            result = &mut following => result,
            () = key.revoked() => {
                if session.tells() {
                    output::note("haul: stopping: the ticket was revoked");
                }
                haul.close();
                following.await
            }
        }
    };
    let again = key.settle(&result);
    sharing.end(result, again)
}

/// Ends the tickets of these sources.
fn revoke(args: &SendArgs, sources: &[Location], session: &Session) -> anyhow::Result<Exit> {
    if sources.contains(&Location::Stdio) {
        let what = "what comes from a pipe never has the same ticket twice";
        let e = Error::new(ErrorKind::Invalid, Op::Parse, "--revoke", what);
        return Err(e.with_hint(Hint::own("stop the haul send that shares it")).into());
    }
    let identity = identity::load(&identity::path(args.identity.as_deref()))?;
    Book::of(identity).revoke(&Subject::of(args, sources)?)?;
    if session.common.json {
        output::result(&json!({"type": "revoked"}).to_string())?;
    } else if session.tells() {
        output::note("haul: the tickets of these sources are over; the next haul send has another");
    }
    Ok(Exit::Done)
}

fn refuse_mixture(args: &SendArgs, sources: &[Location]) -> haul::Result<()> {
    let wrong = |what, hint: &str| {
        Err(Error::new(ErrorKind::Invalid, Op::Parse, "the arguments", what)
            .with_hint(Hint::own(hint)))
    };
    let stdin = sources.contains(&Location::Stdio);
    if stdin && sources.len() > 1 {
        return wrong("standard input goes alone", "send files with a command of their own");
    }
    if args.name.is_some() && !stdin {
        return wrong("--name is for standard input", "haul send --name NAME -");
    }
    if args.name.as_deref().is_some_and(|name| name.is_empty() || name.contains('\0')) {
        return wrong("--name is empty or holds a NUL", "haul send --name NAME -");
    }
    if args.expire.is_some_and(|life| life.is_zero()) {
        return wrong("--expire 0 would be over before it begins", "--expire 1h");
    }
    Ok(())
}

/// What the ticket comes from.
enum Key {
    /// Nobody has it again.
    New(ShareKey),
    /// The same command has the same one, until it is over.
    Kept(tickets::Key),
}

impl Key {
    fn share(&self) -> ShareKey {
        match self {
            Self::New(key) => key.clone(),
            Self::Kept(kept) => kept.share.clone(),
        }
    }

    /// Waits until it is revoked.
    async fn revoked(&self) {
        match self {
            Self::New(_) => std::future::pending().await,
            Self::Kept(kept) => kept.revoked().await,
        }
    }

    /// The share is over. Whether the same command has the same ticket again.
    fn settle(&self, result: &haul::Result<Shared>) -> bool {
        let Self::Kept(kept) = self else { return false };
        let over = |shared: &Shared| matches!(shared.end, ShareEnd::Enough | ShareEnd::Expired);
        if !result.as_ref().is_ok_and(over) {
            return true;
        }
        if let Err(e) = kept.end() {
            output::note(&format!("haul: the ticket is still good for the same command: {e}"));
        }
        false
    }
}

fn key(args: &SendArgs, sources: &[Location]) -> anyhow::Result<Key> {
    // What comes from a pipe is something else every time, and so is its ticket: whoever had the
    // last one has no right to the next.
    if args.new_ticket || sources.contains(&Location::Stdio) {
        return Ok(Key::New(ShareKey::random()));
    }
    let identity = identity::load(&identity::path(args.identity.as_deref()))?;
    let subject = Subject::of(args, sources)?;
    Ok(match Book::of(identity).key(&subject, args.expire) {
        Ok(key) => Key::Kept(key),
        // A ticket that may be over must not be made again.
        Err(e) => {
            output::note(&format!("haul: the ticket is a new one, and is not made again: {e}"));
            Key::New(ShareKey::random())
        }
    })
}

fn request(args: &SendArgs, sources: Vec<Location>, key: ShareKey) -> anyhow::Result<ShareRequest> {
    let mut options = ShareOptions::new(key);
    options.net = settings::net(&args.net);
    options.net.publish = args.publish;
    options.net.congestion = args.congestion.into();
    options.format = args.format.into();
    options.jobs = args.upload_jobs.unwrap_or_else(haul::default_share_jobs);
    options.receivers = if args.once { Some(1) } else { args.max_receivers };
    options.expires = args.expire;
    let mut request = ShareRequest::new(sources, options);
    request.select.filter = settings::filter(&args.filter)?;
    request.select.symlinks = args.symlinks.into();
    request.stdin_name.clone_from(&args.name);
    Ok(request)
}

/// Tells what a share does.
struct Sharing<'a> {
    results: Results,
    session: &'a Session,
    qr: bool,
    /// Whether everything is offered.
    offered: bool,
    /// The peers that are there.
    peers: BTreeSet<u64>,
    /// Those that were cut off by a signal; `None` while there was no signal.
    cut_off: Option<usize>,
}

impl<'a> Sharing<'a> {
    fn new(args: &SendArgs, session: &'a Session) -> Self {
        let results = Results::new(Telling::of(Verb::Share), session);
        let (offered, peers, cut_off) = (false, BTreeSet::new(), None);
        Self { results, session, qr: args.qr, offered, peers, cut_off }
    }

    fn ticket(&self, ticket: &str, say: &mut Say) {
        if self.session.common.json {
            say.result(&json!({"type": "ticket", "ticket": ticket}).to_string());
        } else {
            say.result(ticket);
        }
        say.urgent = true;
        if self.qr {
            match qr::draw(&qr::spelled(ticket), render::can_draw()) {
                Some(code) => say.asides.extend(code),
                None => say.asides.push("haul: the ticket is too long for a QR code".to_owned()),
            }
        }
        if self.session.tells() {
            // Who reads the ticket on a screen will copy it from there, with the command around it.
            let read = render::can_draw() && std::io::stdout().is_terminal();
            let ticket = if read { ticket } else { "TICKET" };
            say.asides
                .push(format!("haul: whoever has the ticket can have it: haul receive {ticket}"));
        }
    }

    /// What there is to say at the end, and the exit code.
    fn end(self, result: haul::Result<Shared>, again: bool) -> anyhow::Result<Exit> {
        let shared = match result {
            Ok(shared) => shared,
            Err(e) => {
                if e.kind() == ErrorKind::Cancelled && self.session.tells() {
                    output::note("haul: stopped before everything was hashed");
                }
                return Err(e.into());
            }
        };
        if self.session.common.json {
            let mut line = results::object_of(&shared.items);
            line["receivers"] = shared.finished.into();
            line["end"] = end_name(shared.end).into();
            output::result(&line.to_string())?;
        }
        if let (Some(line), true) = (self.last_words(&shared, again), self.session.tells()) {
            output::note(&line);
        }
        Ok(match (shared.end, shared.items.failed) {
            (ShareEnd::Stopped, _) if self.was_cut_short() => exit::code(ErrorKind::Cancelled),
            (_, 1..) => Exit::Failed,
            _ => Exit::Done,
        })
    }

    /// Whether a signal came before the share had done its work.
    fn was_cut_short(&self) -> bool {
        !self.offered || self.cut_off.is_some_and(|peers| peers > 0)
    }

    fn last_words(&self, shared: &Shared, again: bool) -> Option<String> {
        let again = if again { "; the same command gives the same ticket again" } else { "" };
        match shared.end {
            ShareEnd::Stopped if self.was_cut_short() => {
                let peers = self.cut_off.unwrap_or_default();
                let who = match peers {
                    0 => "before everything was offered".to_owned(),
                    1 => "1 receiver is incomplete".to_owned(),
                    n => format!("{n} receivers are incomplete"),
                };
                Some(format!("haul: stopped; {who}{again}"))
            }
            ShareEnd::Stopped => Some(format!("haul: stopped{again}")),
            ShareEnd::Expired => Some("haul: stopped: the time of --expire is over".to_owned()),
            _ => None,
        }
    }
}

fn end_name(end: ShareEnd) -> &'static str {
    match end {
        ShareEnd::Stopped => "stopped",
        ShareEnd::Enough => "enough",
        ShareEnd::Expired => "expired",
        _ => "other",
    }
}

impl Listener for Sharing<'_> {
    fn settled(&mut self, settled: Settled, say: &mut Say) {
        self.results.settled(settled, say);
    }

    fn heard(&mut self, event: &Event, say: &mut Say) {
        match event {
            Event::Ticket(ticket) => self.ticket(&ticket.0, say),
            Event::AllOffered(_) => self.offered = true,
            Event::Peer { peer, event: PeerEvent::Joined { .. } } => {
                self.peers.insert(*peer);
            }
            Event::Peer { peer, event: PeerEvent::Left(_) } => {
                self.peers.remove(peer);
            }
            _ => {}
        }
    }

    fn ended(&mut self, say: &mut Say) {
        self.results.ended(say);
    }

    fn interrupted(&mut self) -> Option<&'static str> {
        let cut_off = *self.cut_off.get_or_insert(self.peers.len());
        if self.offered && cut_off == 0 {
            return None; // how a share ends
        }
        Some("haul: interrupted, telling the receivers (once more to quit at once)")
    }
}
