//! `haul doctor`: what would be used, where that comes from, and whether it works.
//!
//! Owns the checks and their verdicts. Must never show a secret: credentials are told by where they
//! come from, never by what they are.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use haul::redact::for_display;
use haul::{ErrorKind, Haul, ListRequest};
use serde_json::json;

use super::machine;
use crate::args::DoctorArgs;
use crate::config::{self, SETTINGS, variable};
use crate::exit::{self, Exit};
use crate::session::Session;
use crate::{output, settings};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One line.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) verdict: Verdict,
    pub(super) name: &'static str,
    pub(super) text: String,
}

impl Check {
    pub(super) fn new(verdict: Verdict, name: &'static str, text: impl Into<String>) -> Self {
        Self { verdict, name, text: text.into() }
    }

    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, name, text)
    }
}

pub(crate) async fn run(
    args: DoctorArgs,
    matches: &ArgMatches,
    session: &Session,
) -> anyhow::Result<Exit> {
    let mut worst = Verdict::Ok;
    let mut tell = |check: Check| {
        worst = worst.max(check.verdict);
        let Check { verdict, name, text } = check;
        let text = for_display(&text);
        output::result(&if session.common.json {
            let verdict = verdict.to_string();
            json!({"type": "check", "verdict": verdict, "name": name, "text": text}).to_string()
        } else {
            format!("{verdict:<4}  {name:<14} {text}")
        })
    };
    tell(Check::ok("haul", env!("CARGO_PKG_VERSION")))?;
    tell(file(session))?;
    for check in store(matches, session) {
        tell(check)?;
    }
    tell(credentials(&args))?;
    tell(authorities())?;
    let memory = args.all.transfer.pace.memory.0;
    for check in machine::checks(memory, &config::state_dir()) {
        tell(check)?;
    }
    let haul = session.haul(settings::asking(&args.all.store));
    tell(endpoint(&haul).await)?;
    tell(clock(&haul).await)?;
    tell(reach(&args, &haul).await)?;
    Ok(if worst == Verdict::Fail { Exit::Failed } else { Exit::Done })
}

fn file(session: &Session) -> Check {
    let config = &session.config;
    let found = if config.found { "" } else { " (there is none)" };
    let profile = config.profile.as_ref().map(|p| format!(", profile {p}")).unwrap_or_default();
    Check::ok("configuration", format!("{}{found}{profile}", config.path.display()))
}

/// The settings that decide which store it is, and where they come from.
fn store(matches: &ArgMatches, session: &Session) -> Vec<Check> {
    let shown = ["endpoint_url", "region", "profile", "provider", "addressing", "concurrency"];
    let settings = SETTINGS.iter().filter(|s| s.env.is_some() && shown.contains(&s.arg));
    let check = |setting: &config::Setting| {
        let (value, origin) = session.config.origin(setting, matches);
        let value = value.map_or_else(|| unset(setting.arg).to_owned(), |v| for_display(&v));
        Check::ok(setting.key, format!("{value} ({origin})"))
    };
    settings.map(check).collect()
}

/// What holds where nothing is set.
fn unset(arg: &str) -> &'static str {
    match arg {
        "endpoint_url" => "that of the AWS profile, else Amazon S3",
        "region" => "that of the AWS profile, else us-east-1",
        "addressing" => "in the path for a custom endpoint, else in the host name",
        "provider" => "by the endpoint",
        _ => "none",
    }
}

/// Where credentials will be looked for first, by name only.
fn credentials(args: &DoctorArgs) -> Check {
    let name = "credentials";
    let store = &args.all.store;
    if store.no_sign_request {
        return Check::ok(name, "none: requests are not signed (--no-sign-request)");
    }
    let asked = store.profile.as_ref().and_then(config::ProfileRef::aws);
    if asked.is_none() && variable("AWS_ACCESS_KEY_ID").is_some() {
        return if variable("AWS_SECRET_ACCESS_KEY").is_some() {
            Check::ok(name, "environment AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
        } else {
            let text = "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not";
            Check::new(Verdict::Fail, name, text)
        };
    }
    let named = asked.map(str::to_owned);
    let profile = named.or_else(|| variable("AWS_PROFILE")).unwrap_or_else(|| "default".into());
    let home = variable("HOME").unwrap_or_default();
    let of = |name: &str, usual: &str| {
        variable(name).map_or_else(|| Path::new(&home).join(usual), Into::into)
    };
    let files = [
        of("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        of("AWS_CONFIG_FILE", ".aws/config"),
    ];
    let titles = [format!("[{profile}]"), format!("[profile {profile}]")];
    let holds = |path: &&std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| titles.iter().any(|title| line.trim() == title))
    };
    if let Some(path) = files.iter().find(holds) {
        return Check::ok(name, format!("profile {profile} of {}", path.display()));
    }
    if asked.is_some() {
        let text = format!("there is no profile called {profile} in haul.toml or the AWS files");
        return Check::new(Verdict::Fail, name, text);
    }
    if variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return Check::ok(name, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)");
    }
    let text =
        format!("no profile {profile} in the AWS files: only a role of this machine is left");
    Check::new(Verdict::Warn, name, text)
}

/// Certificates that are trusted.
fn authorities() -> Check {
    let name = "certificates";
    for from in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let Some(path) = variable(from) else { continue };
        return match std::fs::File::open(&path) {
            Ok(_) => Check::ok(name, format!("{path} (environment {from})")),
            Err(e) => {
                let e = haul::Error::io(haul::Op::Open, &path, e);
                let text = format!("{path} (environment {from}): {}", e.detail());
                Check::new(Verdict::Fail, name, text)
            }
        };
    }
    Check::ok(name, "those of the system")
}

/// What all settings together come to.
async fn endpoint(haul: &Haul) -> Check {
    let name = "in force";
    match haul.endpoint().await {
        Ok(e) => {
            let style = if e.path_style { "path" } else { "host name" };
            let text = format!(
                "{}, region {}, rules of {}, bucket in the {style}",
                e.url, e.region, e.provider
            );
            Check::ok(name, text)
        }
        Err(e) => Check::new(Verdict::Fail, name, exit::line(&e)),
    }
}

/// Seconds that clocks may differ before S3 refuses what is signed by the wrong one (S3 error
/// `RequestTimeTooSkewed`: 15 minutes).
const REFUSED: u64 = 15 * 60;
/// Seconds that are worth a word.
const WORTH_A_WORD: u64 = 60;

/// This machine's clock against the store's.
async fn clock(haul: &Haul) -> Check {
    let name = "clock";
    match haul.clock_ahead().await {
        Ok(Some(ahead)) => {
            let off = ahead.unsigned_abs();
            let verdict = match off {
                REFUSED.. => Verdict::Fail,
                WORTH_A_WORD.. => Verdict::Warn,
                _ => Verdict::Ok,
            };
            let text = match ahead {
                -1..=1 => "the same as the store's".to_owned(),
                2.. => format!("{off} s behind the store's"),
                _ => format!("{off} s ahead of the store's"),
            };
            Check::new(verdict, name, text)
        }
        Ok(None) => Check::new(Verdict::Warn, name, "the store does not tell the time"),
        Err(e) => Check::new(Verdict::Warn, name, format!("not compared: {e}")),
    }
}

/// One small request, and what came of it.
async fn reach(args: &DoctorArgs, haul: &Haul) -> Check {
    let name = "store";
    let started = Instant::now();
    let asked = match &args.bucket {
        Some(bucket) => look(haul, bucket).await,
        None => haul.buckets().await.map(|b| counted(b.len())).map_err(Into::into),
    };
    let took = Duration::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(0));
    let took = humantime::format_duration(took);
    match asked {
        Ok(found) => Check::ok(name, format!("it answers: {found}, in {took}")),
        Err(e) => {
            let known = e.downcast_ref::<haul::Error>();
            let bare = |e: &haul::Error| e.kind() == ErrorKind::AccessDenied && e.hint().is_none();
            let denied = known.is_some_and(bare);
            let text = known.map_or_else(|| format!("{e:#}"), exit::line);
            let hint = "; where only the list of buckets is denied, --bucket looks at one";
            let hint = if denied && args.bucket.is_none() { hint } else { "" };
            Check::new(Verdict::Fail, name, format!("{text}{hint}"))
        }
    }
}

fn counted(buckets: usize) -> String {
    let s = if buckets == 1 { "" } else { "s" };
    format!("{buckets} bucket{s}")
}

async fn look(haul: &Haul, bucket: &std::ffi::OsStr) -> anyhow::Result<String> {
    let location = settings::location(bucket)?;
    let mut listed = haul.list(ListRequest::new(location)).await?;
    let page = listed.next().await.transpose()?.unwrap_or_default();
    Ok(match page.entries.len() {
        0 => "nothing there".to_owned(),
        _ => "it can be listed".to_owned(),
    })
}
