//! Where settings come from.
//!
//! Owns the precedence (flags, environment, `haul.toml` with the chosen profile over its top level,
//! defaults) by turning all but the flags into defaults of the parser, and knows afterwards where
//! each value came from.

mod file;
mod table;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use clap::parser::ValueSource;

use file::{Given, Section, Sections};
use table::Form;
pub(crate) use table::{SETTINGS, Setting};

/// A profile that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct ProfileRef {
    pub(crate) name: String,
    /// The store that `[profiles.NAME]` describes; without one it is a profile of the AWS files.
    store: Option<Arc<Section>>,
}

impl ProfileRef {
    /// A profile of the AWS files.
    #[expect(clippy::unnecessary_wraps, reason = "the signature of a value parser")]
    pub(crate) fn of_aws(name: &str) -> Result<Self, Infallible> {
        Ok(Self { name: name.to_owned(), store: None })
    }

    /// The profile of the AWS files to use.
    pub(crate) fn aws(&self) -> Option<&str> {
        match &self.store {
            None => Some(&self.name),
            Some(_) => self.value("profile"),
        }
    }

    /// A setting of the store that the profile describes.
    pub(crate) fn value(&self, arg: &str) -> Option<&str> {
        self.store.as_ref()?.get(arg)?.values.first().map(String::as_str)
    }
}

/// The configuration file, for one choice of profile.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where it is, whether it exists or not.
    pub(crate) path: PathBuf,
    /// Whether it exists.
    pub(crate) found: bool,
    /// The profile of the file that is in force.
    pub(crate) profile: Option<String>,
    /// What the file says, profile and top level merged.
    values: Section,
    /// What each profile of the file says, merged with the top level.
    stores: BTreeMap<String, Arc<Section>>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(String),
    Environment(&'static str),
    File { line: usize, section: String },
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { line, section } => write!(f, "haul.toml line {line} [{section}]"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The value of an environment variable; empty ones count as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The path of the file: what was asked for, else `$HAUL_CONFIG`, else in the user's configuration.
pub(crate) fn path(asked: Option<&Path>) -> PathBuf {
    let folder = || {
        let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
        variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home).unwrap_or_default()
    };
    asked
        .map(Path::to_owned)
        .or_else(|| variable("HAUL_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| folder().join("haul").join("haul.toml"))
}

/// The folder for what is kept between runs, such as the content index.
pub(crate) fn state_dir() -> PathBuf {
    let folder = || {
        let home = || variable("HOME").map(|home| Path::new(&home).join(".local/state"));
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
        state.unwrap_or_default().join("haul")
    };
    variable("HAUL_STATE_DIR").map_or_else(folder, PathBuf::from)
}

impl Config {
    /// Reads the file. `asked` is the path from the command line, `profile` the name of a profile
    /// from there or from the environment.
    pub(crate) fn load(asked: Option<&Path>, profile: Option<&str>) -> haul::Result<Self> {
        let path = path(asked);
        let must_exist = asked.is_some() || variable("HAUL_CONFIG").is_some();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                return Ok(Self { path, ..Self::default() });
            }
            Err(e) => {
                let e = haul::Error::io(haul::Op::Open, path.display(), e);
                let what = format!("the configuration file: {}", e.detail());
                return Err(invalid(haul::Op::Open, path.display(), what));
            }
        };
        let sections = file::parse(&text).map_err(|wrong| {
            let place = format!("{} line {}", path.display(), wrong.line);
            invalid(haul::Op::Parse, place, wrong.what)
        })?;
        Ok(Self::merged(path, sections, profile))
    }

    fn merged(path: PathBuf, sections: Sections, profile: Option<&str>) -> Self {
        let Sections { mut top, profiles } = sections;
        // The top level may name the profile that holds unless another is asked for.
        let named = |name: &str| profiles.contains_key(name);
        let usual = top.get("profile").map(|given| given.values.concat());
        let usual = usual.filter(|name| named(name));
        if usual.is_some() {
            top.remove("profile");
        }
        let not_in_environment = variable("AWS_PROFILE").is_none();
        let profile = match profile {
            Some(name) => named(name).then(|| name.to_owned()),
            None => usual.filter(|_| not_in_environment),
        };
        for setting in &SETTINGS {
            if setting.aws.iter().any(|name| variable(name).is_some()) {
                top.remove(setting.arg);
            }
        }
        // A profile that is named wins over keys in the environment; one that is only usual does not.
        if variable("AWS_ACCESS_KEY_ID").is_some() {
            top.remove("profile");
        }
        let merge = |own: &Section| {
            let mut all = top.clone();
            all.extend(own.iter().map(|(arg, given)| (*arg, given.clone())));
            Arc::new(all)
        };
        let stores: BTreeMap<_, _> =
            profiles.iter().map(|(name, own)| (name.clone(), merge(own))).collect();
        let chosen = profile.as_ref().and_then(|name| stores.get(name));
        let values = chosen.map_or_else(|| top.clone(), |store| Section::clone(store));
        Self { path, found: true, profile, values, stores }
    }

    /// Whether the parser would be the same without it.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.stores.is_empty()
    }

    /// Gives a flag its environment variable and its default.
    pub(crate) fn apply(&self, mut arg: clap::Arg) -> clap::Arg {
        let id = arg.get_id().as_str().to_owned();
        if matches!(id.as_str(), "profile" | "source_profile" | "dest_profile") {
            let stores = self.stores.clone();
            arg = arg.value_parser(move |name: &str| {
                let store = stores.get(name).cloned();
                Ok::<_, Infallible>(ProfileRef { name: name.to_owned(), store })
            });
        }
        let Some(setting) = table::of_arg(&id) else { return arg };
        // An empty variable counts as none, and the parser would take it for a value.
        let empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
        if let Some(name) = setting.env.filter(|name| !empty(name)) {
            arg = arg.env(name).hide_env_values(true);
        }
        if setting.form == Form::Switch {
            // In the environment, 1 and yes mean true as well.
            arg = arg.value_parser(clap::builder::BoolishValueParser::new());
        }
        if id == "profile" {
            // A profile of haul.toml has been taken apart; what it says of AWS profiles is inside.
            let name =
                self.profile.clone().or_else(|| Some(self.values.get("profile")?.values.concat()));
            return match name {
                Some(name) => arg.default_value(name),
                None => arg,
            };
        }
        match self.values.get(id.as_str()) {
            Some(given) => arg.default_values(given.values.clone()),
            None => arg,
        }
    }

    /// The value in force of a setting, and where it comes from.
    pub(crate) fn origin(
        &self,
        setting: &Setting,
        matches: &ArgMatches,
    ) -> (Option<String>, Origin) {
        let raw = matches.try_get_raw(setting.arg).ok().flatten();
        let words = raw.map(|raw| raw.map(|v| v.to_string_lossy().into_owned()));
        let value = words.map(|words| words.collect::<Vec<_>>().join(","));
        let origin = match matches.value_source(setting.arg) {
            Some(ValueSource::CommandLine) => Origin::Flag(setting.flag()),
            Some(ValueSource::EnvVariable) => {
                setting.env.map_or(Origin::Default, Origin::Environment)
            }
            _ => {
                if let Some(Given { line, section, .. }) = self.values.get(setting.arg) {
                    let origin = Origin::File { line: *line, section: section.clone() };
                    return (value, origin);
                }
                let name = setting.aws.iter().find(|name| variable(name).is_some());
                if let (Some(name), None) = (name, &value) {
                    return (variable(name), Origin::Environment(name));
                }
                Origin::Default
            }
        };
        (value, origin)
    }
}

fn invalid(op: haul::Op, place: impl std::fmt::Display, what: String) -> haul::Error {
    haul::Error::new(haul::ErrorKind::Invalid, op, place, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str, profile: Option<&str>) -> Config {
        Config::merged(PathBuf::new(), file::parse(text).unwrap(), profile)
    }

    const TEXT: &str = "[s3]\nprovider = 'minio'\nmax_parts = 9\n\
        [profiles.r2]\nprovider = 'r2'\nprofile = 'cloudflare'\n";

    fn of(config: &Config, arg: &str) -> Option<String> {
        Some(config.values.get(arg)?.values.concat())
    }

    #[test]
    fn a_profile_comes_over_the_top_level() {
        let plain = config(TEXT, None);
        assert_eq!(of(&plain, "provider").as_deref(), Some("minio"));
        let r2 = config(TEXT, Some("r2"));
        assert_eq!(of(&r2, "provider").as_deref(), Some("r2"));
        assert_eq!(of(&r2, "max_parts").as_deref(), Some("9"));
        assert_eq!(r2.profile.as_deref(), Some("r2"));
        let aws = config(TEXT, Some("work"));
        assert_eq!((of(&aws, "provider").as_deref(), aws.profile), (Some("minio"), None));
    }

    #[test]
    fn flags_come_before_the_file() {
        let config = config(TEXT, Some("r2"));
        let words = ["haul", "config", "show", "--provider", "garage", "--profile", "r2"];
        let matches = crate::args::command(&config).try_get_matches_from(words).unwrap();
        let show = matches.subcommand().unwrap().1.subcommand().unwrap().1;
        let origin = |arg| config.origin(table::of_arg(arg).unwrap(), show);
        assert_eq!(origin("provider"), (Some("garage".into()), Origin::Flag("--provider".into())));
        let line = Origin::File { line: 3, section: "s3".into() };
        assert_eq!(origin("max_parts"), (Some("9".into()), line));
        assert_eq!(origin("retries"), (Some("7".into()), Origin::Default));
        let profile = show.get_one::<ProfileRef>("profile").unwrap();
        assert_eq!((profile.aws(), profile.value("provider")), (Some("cloudflare"), Some("r2")));
    }
}
