//! `haul completions`: completions for a shell, made from the parser.

use crate::args::{self, CompletionsArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::output;

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    let mut command = args::command(&Config::default());
    clap_complete::generate(args.shell, &mut command, "haul", &mut text);
    output::result(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Exit::Done)
}
