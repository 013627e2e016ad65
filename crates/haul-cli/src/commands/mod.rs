//! One file per command.
//!
//! Each turns its arguments into a request, lets the library do it, and prints the result.

mod cat;
mod completions;
mod config;
mod cp;
mod demo;
mod doctor;
mod du;
mod ls;
mod machine;
mod many;
mod mb;
mod presign;
mod publish;
mod qr;
mod receive;
mod rm;
mod run;
mod send;
mod serve;
mod stat;
mod sync;
mod uploads;

use clap::ArgMatches;

use crate::args::Command;
use crate::exit::Exit;
use crate::session::Session;

/// Runs a command. `matches` are the parser's, for those that ask where a value came from.
pub(crate) async fn run(
    command: Command,
    matches: &ArgMatches,
    session: &Session,
) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run::run(args, session).await,
        Command::Config(args) => config::run(args, matches, session),
        Command::Doctor(args) => doctor::run(*args, matches, session).await,
        Command::Send(args) => Box::pin(send::run(*args, session)).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => Box::pin(demo::run(args, session)).await,
        Command::Completions(args) => completions::run(&args),
        other => Box::pin(transfer(other, session)).await,
    }
}

/// Runs a command that a batch may have on a line, too.
async fn transfer(command: Command, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Command::Cp(args) => Box::pin(cp::run(args, session)).await,
        Command::Mv(args) => cp::move_them(args, session).await,
        Command::Sync(args) => sync::run(args, session).await,
        Command::Check(args) => sync::check(args, session).await,
        Command::Publish(args) => publish::run(args, session).await,
        Command::Receive(args) => receive::run(*args, session).await,
        Command::Cat(args) => Box::pin(cat::run(args, session)).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Du(args) => du::run(args, session).await,
        Command::Stat(args) => stat::run(args, session).await,
        Command::Rm(args) => rm::run(*args, session).await,
        Command::Mb(args) => mb::run(args, session).await,
        Command::Rb(args) => mb::remove(args, session).await,
        Command::Presign(args) => presign::run(args, session).await,
        Command::Uploads(args) => uploads::run(args, session).await,
        _ => anyhow::bail!("this command cannot be a line of a batch"),
    }
}
