//! The arguments of `send` and `receive`.
//!
//! Owns what they take, and how peers are reached. Must never give a ticket to the parser as a value
//! to check: its errors repeat what they are about.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use haul::{IfExists, Relay, TicketFormat};

use super::filter::{FILTER, FilterArgs, SymlinkMode};
use super::store::StoreArgs;
use super::transfer::{Fsync, PaceArgs, TRANSFER, parse_jobs};
use crate::moment::parse_duration;

const PEERS: &str = "Peers";

/// `send`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "haul send [OPTIONS] PATH...")]
pub(crate) struct SendArgs {
    /// What to share: files, folders, s3://BUCKET/KEY or PREFIX/, https://HOST/PATH, a pattern in
    /// quotes, or - alone for standard input
    #[arg(value_name = "PATH", num_args = 1.., required_unless_present = "files_from")]
    pub(crate) sources: Vec<OsString>,
    /// Read more sources from FILE, one per line; - is standard input
    #[arg(long, value_name = "FILE", help_heading = FILTER)]
    pub(crate) files_from: Option<PathBuf>,
    /// With -: the name that standard input gets at the receiver [default: stdin]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Who can read the ticket
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: TicketKind,
    /// Draw the ticket as a QR code too, on stderr
    #[arg(long)]
    pub(crate) qr: bool,
    /// Stop after one receiver has everything, and end the ticket for good (--max-receivers 1)
    #[arg(long, conflicts_with = "max_receivers")]
    pub(crate) once: bool,
    /// Stop after N receivers have everything, and serve no more than N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_receivers: Option<u64>,
    /// Stop after this time, and end the ticket for good
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) expire: Option<Duration>,
    /// Send nothing; end all tickets for these sources for good, also those in use now
    #[arg(long, conflicts_with_all = ["once", "max_receivers", "expire", "new_ticket", "qr"])]
    pub(crate) revoke: bool,
    /// Use a new ticket that no other command gives
    #[arg(long)]
    pub(crate) new_ticket: bool,
    /// File with the secret that tickets are made from; created if missing [HAUL_IDENTITY]
    /// [default: identity in the state folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// What to do with symbolic links
    #[arg(long, value_enum, value_name = "HOW", default_value = "keep", help_heading = FILTER)]
    pub(crate) symlinks: SymlinkMode,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) net: NetArgs,
    /// Publish this machine's addresses (in n0's DNS), so that the ticket works after they change
    #[arg(long, help_heading = PEERS)]
    pub(crate) publish: bool,
    /// Congestion control: cubic, or bbr for lines that lose packets (experimental)
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value_t,
        hide_possible_values = true,
        help_heading = PEERS
    )]
    pub(crate) congestion: CongestionKind,
    /// Files to hash at once [default: one per core, at most 8]
    #[arg(
        short = 'j',
        long = "jobs",
        value_name = "N",
        value_parser = parse_jobs,
        help_heading = TRANSFER
    )]
    pub(crate) upload_jobs: Option<usize>,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// How a sender finds out how fast it may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CongestionKind {
    #[default]
    Cubic,
    Bbr,
}

impl From<CongestionKind> for haul::Congestion {
    fn from(kind: CongestionKind) -> Self {
        match kind {
            CongestionKind::Cubic => Self::Cubic,
            CongestionKind::Bbr => Self::Bbr,
        }
    }
}

/// `receive`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "haul receive [OPTIONS] TICKET [DEST]\n       \
    haul receive [OPTIONS] --ticket-file FILE [DEST]")]
pub(crate) struct ReceiveArgs {
    /// The ticket that haul send printed
    pub(crate) ticket: Option<OsString>,
    /// Destination: a folder, s3://BUCKET/PREFIX/, or - for a single file to standard output
    /// [default: this folder]
    pub(crate) dest: Option<OsString>,
    /// One too many, which may be a ticket.
    #[arg(hide = true)]
    pub(crate) rest: Vec<OsString>,
    /// Read the ticket from FILE; - is standard input [HAUL_TICKET: the ticket itself]
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket_file: Option<PathBuf>,
    /// Show what the sender offers, and receive nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Without DEST: take names that begin with a dot, too
    #[arg(long)]
    pub(crate) hidden: bool,
    /// What to do if the destination already has a different file of that name
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) if_exists: Taken,
    /// Stop if the sender lists more than N files
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) max_files: u64,
    #[command(flatten)]
    pub(crate) net: NetArgs,
    /// Files to fetch at once
    #[arg(
        short = 'j',
        long = "jobs",
        value_name = "N",
        default_value = "6",
        value_parser = parse_jobs,
        help_heading = TRANSFER
    )]
    pub(crate) download_jobs: usize,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    /// When to flush files to the disk before reporting them as done
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = TRANSFER)]
    pub(crate) fsync: Fsync,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// The settings of both, for `config show`: their flags have names that others have, too.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerSettings {
    #[arg(long, hide = true, value_name = "N", value_parser = parse_jobs)]
    pub(crate) upload_jobs: Option<usize>,
    #[arg(long, hide = true, value_name = "N", default_value = "6", value_parser = parse_jobs)]
    pub(crate) download_jobs: usize,
    #[arg(long, hide = true, value_name = "URL", value_parser = parse_relay)]
    pub(crate) relay: Option<Relay>,
}

/// How peers are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = PEERS)]
pub(crate) struct NetFlags {
    /// Relay to connect through if needed: a URL, public or none [default: public, those of n0]
    #[arg(long, value_name = "URL", value_parser = parse_relay)]
    pub(crate) relay: Option<Relay>,
    /// Use no relay, only direct connections (--relay none)
    #[arg(long)]
    pub(crate) no_relay: bool,
    /// Also find the other side on the local network (multicast DNS)
    #[arg(long)]
    pub(crate) lan: bool,
    /// Listen on this address only; a sender's ticket then holds no other
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_bind)]
    pub(crate) bind: Option<SocketAddr>,
}

/// [`NetFlags`] that do not contradict each other.
#[derive(Debug, Clone)]
pub(crate) struct NetArgs(pub(crate) NetFlags);

impl NetArgs {
    pub(crate) fn relay(&self) -> Relay {
        if self.0.no_relay { Relay::None } else { self.0.relay.clone().unwrap_or_default() }
    }
}

// By hand, because a relay of the settings is no contradiction to --no-relay, and for the parser the
// environment is as good as the command line.
impl FromArgMatches for NetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = NetFlags::from_arg_matches(matches)?;
        if flags.no_relay && matches.value_source("relay") == Some(ValueSource::CommandLine) {
            let what = "--relay and --no-relay contradict each other";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, what));
        }
        Ok(Self(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for NetArgs {
    fn augment_args(command: Command) -> Command {
        NetFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        NetFlags::augment_args_for_update(command)
    }
}

/// Understands `--relay`.
pub(crate) fn parse_relay(text: &str) -> Result<Relay, String> {
    match text {
        "none" => Ok(Relay::None),
        "public" => Ok(Relay::Public),
        url if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(Relay::Own(url.to_owned()))
        }
        _ => Err("write https://HOST, public or none".to_owned()),
    }
}

/// Understands `--bind`; port 0 is any.
fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let bad = |_| "write an address of this machine: 192.0.2.7, 192.0.2.7:4433, [::1]:4433";
    Ok(text.parse().or_else(|_| alone()).map_err(bad)?)
}

/// Who can read a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum TicketKind {
    /// For haul receive: ready at once; keeps times, modes, links and empty folders
    #[default]
    Haul,
    /// For sendme and others that speak iroh-blobs: ready when all is hashed; files only
    Sendme,
}

impl From<TicketKind> for TicketFormat {
    fn from(kind: TicketKind) -> Self {
        match kind {
            TicketKind::Haul => Self::Haul,
            TicketKind::Sendme => Self::Collection,
        }
    }
}

/// What becomes of a file whose name is taken. The same content is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Taken {
    /// Fail that file; the others go on
    #[default]
    Fail,
    /// Skip the new file
    Skip,
    /// Give the new file another name: a (1).txt
    Rename,
    /// Replace the old file, once the new one is complete
    Overwrite,
}

impl From<Taken> for IfExists {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Fail => Self::Fail,
            Taken::Skip => Self::Skip,
            Taken::Rename => Self::Rename,
            Taken::Overwrite => Self::Overwrite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_go_without_a_port() {
        for (text, addr) in [
            ("127.0.0.1", "127.0.0.1:0"),
            ("127.0.0.1:4433", "127.0.0.1:4433"),
            ("::1", "[::1]:0"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(parse_bind(text), Ok(addr.parse().unwrap()));
        }
        assert!(parse_bind("eth0").is_err() && parse_bind("").is_err());
    }

    /// U4.3: the local network and publishing are asked for, each by itself, and reach the library.
    #[test]
    fn the_local_network_and_publishing_are_asked_for() {
        let parse = |flags: &[&str]| {
            let command = SendArgs::augment_args(Command::new("send"));
            let words = [&["send"], flags, &["a"]].concat();
            let args = SendArgs::from_arg_matches(&command.get_matches_from(words)).unwrap();
            (crate::settings::net(&args.net).lan, args.publish)
        };
        assert_eq!(parse(&[]), (false, false));
        assert_eq!(parse(&["--lan"]), (true, false));
        assert_eq!(parse(&["--publish", "--no-relay"]), (false, true));
        let command = ReceiveArgs::augment_args(Command::new("receive"));
        let matches = command.get_matches_from(["receive", "--lan", "--no-relay", "ticket"]);
        let args = ReceiveArgs::from_arg_matches(&matches).unwrap();
        let net = crate::settings::net(&args.net);
        assert_eq!((net.lan, net.relay), (true, Relay::None));
    }

    #[test]
    fn relays() {
        assert_eq!(parse_relay("none"), Ok(Relay::None));
        assert_eq!(parse_relay("public"), Ok(Relay::Public));
        let own = Relay::Own("https://relay.example.org".to_owned());
        assert_eq!(parse_relay("https://relay.example.org"), Ok(own));
        assert!(parse_relay("relay.example.org").is_err());
    }
}
