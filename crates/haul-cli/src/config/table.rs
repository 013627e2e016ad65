//! Every setting, once.
//!
//! Owns the table of settings: the key in `haul.toml`, the flag, the environment variable, how a
//! value is written and checked. `haul config show`, the parser's defaults and the messages about
//! the file all come from it. Must never hold a secret: those have no place in the file.

use haul::Provider;

use crate::args::{parse_jobs, parse_relay};
use crate::moment::{parse_life, parse_timeout};
use crate::size::{Concurrency, Rate, Size};

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Section in the file; those of `s3` may be in a profile, too.
    pub(crate) section: &'static str,
    /// Key in the section.
    pub(crate) key: &'static str,
    /// The flag, by clap's name for it.
    pub(crate) arg: &'static str,
    /// Environment variable; an alias of another setting has none.
    pub(crate) env: Option<&'static str>,
    /// How the file writes it.
    pub(crate) form: Form,
    /// Whether a value can be meant, as the flag takes it.
    pub(crate) check: fn(&str) -> Result<(), String>,
    /// Variables of the AWS tools that say the same. They come before the file's top level, as
    /// every environment does, and after a profile that was asked for by name.
    pub(crate) aws: &'static [&'static str],
}

impl Setting {
    /// The flag as it is typed.
    pub(crate) fn flag(&self) -> String {
        match self.arg {
            "extensions" => "--extension".to_owned(),
            // Of `send` and of `receive`, each with its own meaning.
            "upload_jobs" | "download_jobs" => "--jobs".to_owned(),
            arg => format!("--{}", arg.replace('_', "-")),
        }
    }
}

/// How a value is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A string.
    Text,
    /// A string or a whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// `true` for the path, `false` for the host name.
    PathStyle,
    /// A whole number of MiB, 5 at least (X1.7).
    PartMib,
    /// An array of strings.
    List,
}

/// Keys that would be secrets.
pub(crate) const SECRETS: [&str; 10] = [
    "access_key",
    "access_key_id",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "password",
    "secret_access_key",
    "secret_key",
    "session_token",
    "token",
];

const fn setting(
    (section, key): (&'static str, &'static str),
    (arg, env): (&'static str, &'static str),
    form: Form,
    check: fn(&str) -> Result<(), String>,
) -> Setting {
    Setting { section, key, arg, env: Some(env), form, check, aws: &[] }
}

/// The settings, in the order in which they are shown.
pub(crate) static SETTINGS: [Setting; 25] = [
    Setting {
        aws: &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        ..setting(("s3", "endpoint"), ("endpoint_url", "HAUL_ENDPOINT_URL"), Form::Text, any)
    },
    Setting {
        aws: &["AWS_REGION", "AWS_DEFAULT_REGION"],
        ..setting(("s3", "region"), ("region", "HAUL_REGION"), Form::Text, any)
    },
    Setting {
        aws: &["AWS_PROFILE"],
        ..setting(("s3", "profile"), ("profile", "HAUL_PROFILE"), Form::Text, any)
    },
    setting(("s3", "provider"), ("provider", "HAUL_PROVIDER"), Form::Text, of::<Provider>),
    setting(("s3", "path_style"), ("addressing", "HAUL_ADDRESSING"), Form::PathStyle, any),
    setting(
        ("s3", "no_sign_request"),
        ("no_sign_request", "HAUL_NO_SIGN_REQUEST"),
        Form::Switch,
        any,
    ),
    setting(("s3", "sign_payload"), ("sign_payload", "HAUL_SIGN_PAYLOAD"), Form::Switch, any),
    setting(
        ("s3", "multipart_chunk_size_mb"),
        ("part_size", "HAUL_PART_SIZE"),
        Form::PartMib,
        of::<Size>,
    ),
    // S1.16: another name for `concurrency`, because parts are what is in flight.
    Setting {
        env: None,
        ..setting(
            ("s3", "multipart_concurrency"),
            ("concurrency", ""),
            Form::Number,
            of::<Concurrency>,
        )
    },
    setting(("s3", "max_parts"), ("max_parts", "HAUL_MAX_PARTS"), Form::Number, parts),
    setting(("s3", "prefix"), ("prefix", "HAUL_PREFIX"), Form::Text, any),
    setting(
        ("s3", "public_url_base"),
        ("public_url_base", "HAUL_PUBLIC_URL_BASE"),
        Form::Text,
        any,
    ),
    setting(
        ("transfer", "concurrency"),
        ("concurrency", "HAUL_CONCURRENCY"),
        Form::Number,
        of::<Concurrency>,
    ),
    setting(("transfer", "jobs"), ("jobs", "HAUL_JOBS"), Form::Number, jobs),
    setting(("transfer", "memory"), ("memory", "HAUL_MEMORY"), Form::Number, of::<Size>),
    setting(
        ("transfer", "limit_rate"),
        ("limit_rate", "HAUL_LIMIT_RATE"),
        Form::Number,
        of::<Rate>,
    ),
    setting(("transfer", "retries"), ("retries", "HAUL_RETRIES"), Form::Number, of::<u32>),
    setting(("transfer", "timeout"), ("timeout", "HAUL_TIMEOUT"), Form::Number, timeout),
    setting(("transfer", "fsync"), ("fsync", "HAUL_FSYNC"), Form::Text, fsync),
    setting(("transfer", "progress"), ("progress", "HAUL_PROGRESS"), Form::Text, progress),
    setting(("publish", "expires_in"), ("expires_in", "HAUL_EXPIRES_IN"), Form::Number, life),
    setting(("publish", "extensions"), ("extensions", "HAUL_EXTENSIONS"), Form::List, any),
    setting(("share", "upload"), ("upload_jobs", "HAUL_SHARE_UPLOAD"), Form::Number, jobs),
    setting(("share", "download"), ("download_jobs", "HAUL_SHARE_DOWNLOAD"), Form::Number, jobs),
    setting(("share", "relay"), ("relay", "HAUL_RELAY"), Form::Text, relay),
];

/// The setting that a flag is.
pub(crate) fn of_arg(arg: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.arg == arg && s.env.is_some())
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a check")]
fn any(_: &str) -> Result<(), String> {
    Ok(())
}

fn of<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|e| e.to_string())
}

fn parts(text: &str) -> Result<(), String> {
    match text.parse() {
        Ok(1_u64..=10_000) => Ok(()),
        _ => Err("write a number from 1 to 10000".to_owned()),
    }
}

fn jobs(text: &str) -> Result<(), String> {
    parse_jobs(text).map(drop)
}

fn relay(text: &str) -> Result<(), String> {
    parse_relay(text).map(drop)
}

fn timeout(text: &str) -> Result<(), String> {
    parse_timeout(text).map(drop)
}

fn life(text: &str) -> Result<(), String> {
    parse_life(text).map(drop)
}

fn fsync(text: &str) -> Result<(), String> {
    one_of(text, &["auto", "always", "never"])
}

fn progress(text: &str) -> Result<(), String> {
    one_of(text, &["auto", "bar", "plain", "json", "none"])
}

fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) { Ok(()) } else { Err(format!("write one of {}", words.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table calls a flag is one, and takes what the table's own words are.
    #[test]
    fn every_setting_is_a_flag_of_config_show_and_has_one_variable() {
        let command = crate::args::command(&crate::config::Config::default());
        let show = command.find_subcommand("config").unwrap().find_subcommand("show").unwrap();
        let mut variables: Vec<_> = SETTINGS.iter().filter_map(|s| s.env).collect();
        for setting in &SETTINGS {
            let known = show.get_arguments().chain(command.get_arguments());
            assert!(known.into_iter().any(|a| a.get_id() == setting.arg), "{}", setting.arg);
        }
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables.len(), SETTINGS.len() - 1, "one alias");
    }
}
