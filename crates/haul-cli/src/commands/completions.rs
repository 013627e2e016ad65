//! `haul completions`: completions for a shell, made from the parser.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::exit::Exit;
use crate::output;

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "haul", &mut text);
    output::result(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Exit::Done)
}
