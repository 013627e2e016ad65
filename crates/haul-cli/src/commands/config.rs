//! `haul config`: the settings, and where they come from.

use clap::ArgMatches;
use serde_json::json;

use crate::args::{ConfigArgs, ConfigCommand};
use crate::config::{self, SETTINGS};
use crate::exit::Exit;
use crate::output;
use crate::session::Session;

pub(crate) fn run(
    args: ConfigArgs,
    matches: &ArgMatches,
    session: &Session,
) -> anyhow::Result<Exit> {
    match args.command {
        ConfigCommand::Path => {
            let path = config::path(session.common.config.as_deref());
            output::result(&path.display().to_string())?;
        }
        ConfigCommand::Show(_) => show(matches, session)?,
    }
    Ok(Exit::Done)
}

fn show(matches: &ArgMatches, session: &Session) -> haul::Result<()> {
    let config = &session.config;
    let mut lines = Vec::new();
    for setting in SETTINGS.iter().filter(|s| s.env.is_some()) {
        let (value, origin) = config.origin(setting, matches);
        // An endpoint may hold a password.
        let value = value.map(|value| haul::redact::for_display(&value));
        let name = format!("{}.{}", setting.section, setting.key);
        lines.push(if session.common.json {
            json!({
                "type": "setting", "name": name, "value": value, "origin": origin.to_string(),
                "flag": setting.flag(), "variable": setting.env,
            })
            .to_string()
        } else {
            let value = value.as_deref().unwrap_or("-");
            format!("{name:<28} {value:<24} {origin}")
        });
    }
    output::result(&lines.join("\n"))?;
    if session.tells() {
        let found = if config.found { "" } else { " (there is none)" };
        let path = config.path.display();
        output::note(&format!("haul: the configuration file is {path}{found}"));
        if let Some(profile) = &config.profile {
            output::note(&format!("haul: its profile {profile} is in force"));
        }
    }
    Ok(())
}
