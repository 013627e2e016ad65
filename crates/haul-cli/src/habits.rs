//! What people of aws, s5cmd, rclone, rsync and scp type, and what it is here.
//!
//! Owns the table of other tools' words, options before the command, and what a misused command
//! line is told beside its first line. Must never guess where the table knows.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

/// Commands of other tools.
const COMMANDS: [(&[&str], &str); 17] = [
    (&["version"], "haul --version"),
    (&["s3", "s3api", "object"], "leave it out: haul cp, haul ls"),
    (&["copy", "copyto", "copyurl", "get", "put", "upload", "download", "fget"], "haul cp"),
    (&["move", "moveto", "rename", "ren"], "haul mv"),
    (&["delete", "del", "remove", "unlink", "deletefile"], "haul rm"),
    (&["purge", "rmdir", "rmdirs"], "haul rm -r, and haul rb for a bucket"),
    (&["list", "dir", "lsd", "lsl", "lsf", "lsjson"], "haul ls"),
    (&["tree", "find"], "haul ls -r"),
    (&["size", "ncdu", "usage"], "haul du"),
    (&["mirror", "rsync", "bisync"], "haul sync"),
    (&["diff", "cmp", "compare", "cryptcheck"], "haul check"),
    (&["mkdir", "make-bucket", "create-bucket"], "haul mb"),
    (&["info", "head", "metadata"], "haul stat"),
    (&["pipe", "rcat"], "haul cp - s3://BUCKET/KEY"),
    (&["link", "sign", "share"], "haul presign for a link, haul send for a ticket"),
    (&["configure", "configuration"], "haul config show; settings are in haul.toml"),
    (&["cleanup", "abort"], "haul uploads abort"),
];

/// Flags of other tools: of one command, or of any where none is named.
const FLAGS: [(&[&str], &[&str], &str); 31] = [
    (&["--versionId", "--version-ids", "--versionid"], &[], "--version-id"),
    (&["--endpoint", "--s3-endpoint"], &[], "--endpoint-url"),
    (&["--no-progress"], &[], "--progress none"),
    (&["--output"], &[], "--json"),
    (
        &["--transfers", "--numworkers", "--workers", "--parallel", "--threads", "--num-threads"],
        &[],
        "--concurrency for requests, --jobs for files",
    ),
    (&["--checkers"], &[], "--jobs"),
    (
        &["--multipart-chunksize", "--multipart-chunk-size-mb", "--s3-chunk-size"],
        &[],
        "--part-size",
    ),
    (&["--s3-upload-concurrency"], &[], "--concurrency"),
    (&["--max-age"], &[], "--newer-than"),
    (&["--min-age"], &[], "--older-than"),
    (&["--request-payer"], &[], "--requester-pays"),
    (
        &["--no-verify-ssl", "--ca-bundle", "--cacert", "--no-check-certificate", "--insecure"],
        &[],
        "certificates are always checked; AWS_CA_BUNDLE names a file of your own",
    ),
    (&["--follow-symlinks", "--copy-links", "-L"], &[], "the default; see --symlinks"),
    (&["--fast-list", "--page-size"], &[], "leave it out: listings are as fast as they can be"),
    (&["--update", "-u"], &["sync"], "leave it out: sync copies what differs"),
    (&["--update", "-u", "--if-size-differ", "--if-source-newer"], &[], "haul sync"),
    (&["--checksum"], &["cp", "mv"], "haul sync --checksum; every copy is verified"),
    (&["--exact-timestamps"], &["sync"], "leave it out: times are compared exactly"),
    (
        &["--delete-after", "--delete-before", "--delete-during"],
        &["sync"],
        "--delete; it is done last",
    ),
    (&["-n"], &["sync", "rm", "publish"], "--dry-run"),
    (
        &["--range", "--offset", "--count", "--head", "--tail"],
        &["cat"],
        "haul cat writes whole objects",
    ),
    (&["--ignore-existing"], &["cp", "mv"], "--no-clobber"),
    (&["-a", "--archive"], &["cp", "mv"], "-r -p"),
    (&["-a", "--archive", "-z", "-t"], &["sync"], "leave it out: sync keeps times and takes all"),
    (&["-R"], &["cp", "mv", "ls", "rm"], "-r"),
    (&["-P", "-z", "--compress"], &[], "leave it out"),
    (
        &["-l", "-a", "--human-readable", "--summarize"],
        &["ls"],
        "leave it out; sizes are readable unless --bytes",
    ),
    (
        &["-s", "--human-readable", "--summarize", "--total"],
        &["du"],
        "leave it out; sizes are readable unless --bytes",
    ),
    (&["-f", "--force"], &["rm"], "leave it out: haul rm never asks"),
    (&["-f", "--force"], &["rb"], "haul rm -r --all-versions s3://BUCKET empties it first"),
    (&["--expire", "--expires"], &["presign", "publish"], "--expires-in"),
];

/// What another tool's word is called here.
fn known(command: &str, word: &str) -> Option<&'static str> {
    let here = |of: &[&str]| of.is_empty() || of.contains(&command);
    let flag = FLAGS.iter().find(|(words, of, _)| words.contains(&word) && here(of));
    flag.map(|(_, _, way)| *way)
}

/// The way out of a misused command line: from the table, or a guess of the parser's, or the values
/// that it would have taken.
pub(crate) fn way(error: &clap::Error, text: &str) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if let Some(word) = context(ContextKind::InvalidSubcommand) {
        let found = COMMANDS.iter().find(|(words, _)| words.contains(&word));
        if let Some((_, way)) = found {
            return Some(format!("here: {way}"));
        }
    }
    let lines = || text.lines().map(str::trim);
    if error.kind() == clap::error::ErrorKind::UnknownArgument
        && let Some(word) = context(ContextKind::InvalidArg)
    {
        let usage = lines().find_map(|line| line.strip_prefix("Usage: haul "));
        let command = usage.and_then(|usage| usage.split(' ').next()).unwrap_or_default();
        if let Some(way) = known(command, word) {
            return Some(format!("here: {way}"));
        }
    }
    // How to write it as a name is not what people want to know of a flag that does not exist.
    let mut tips = lines().filter_map(|line| line.strip_prefix("tip: "));
    let tip = tips.find(|tip| !tip.contains("as a value"));
    let values = || lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    tip.or_else(values).map(str::to_owned)
}

/// Words with the command first. People write options before it, too.
pub(crate) fn command_first(words: &[OsString], haul: &Command) -> Vec<OsString> {
    let mut words = words.to_vec();
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        if !word.starts_with('-') || word == "-" || word == "--" {
            break;
        }
        at += if takes_next(haul, word) { 2 } else { 1 };
    }
    let Some(command) = words.get(at).and_then(|word| haul.find_subcommand(word)) else {
        return words;
    };
    let nested = words.get(at + 1).and_then(|word| command.find_subcommand(word));
    let names = if nested.is_some() { 2 } else { 1 };
    words[1..at + names].rotate_right(names);
    words
}

/// Whether the word after a flag is its value, in whatever command.
fn takes_next(command: &Command, word: &str) -> bool {
    let takes = |arg: &clap::Arg| {
        let long = word.strip_prefix("--").is_some_and(|name| {
            let others = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || others.contains(&name)
        });
        let mut letters = word.chars().skip(1);
        let short = arg.get_short().is_some()
            && arg.get_short() == letters.next()
            && letters.next().is_none();
        (long || short) && arg.get_action().takes_values()
    };
    command.get_arguments().any(takes) || command.get_subcommands().any(|sub| takes_next(sub, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;
    use crate::config::Config;

    fn sorted(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let words = command_first(&words, &args::command(&Config::default()));
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn options_may_come_before_the_command() {
        for (typed, read) in [
            (&["haul", "ls", "--profile", "x"][..], &["haul", "ls", "--profile", "x"][..]),
            (
                &["haul", "--profile", "ls", "ls", "s3://b"],
                &["haul", "ls", "--profile", "ls", "s3://b"],
            ),
            (&["haul", "--profile=x", "-q", "ls"], &["haul", "ls", "--profile=x", "-q"]),
            (
                &["haul", "-c", "8", "--max-concurrent", "8", "cp"],
                &["haul", "cp", "-c", "8", "--max-concurrent", "8"],
            ),
            (&["haul", "-c8", "cp", "a", "b"], &["haul", "cp", "-c8", "a", "b"]),
            (
                &["haul", "--region", "r", "uploads", "ls", "s3://b"],
                &["haul", "uploads", "ls", "--region", "r", "s3://b"],
            ),
            (&["haul", "--help"], &["haul", "--help"]),
            (&["haul", "--profile"], &["haul", "--profile"]),
            (&["haul", "--region", "x", "nosuch"], &["haul", "--region", "x", "nosuch"]),
            (&["haul"], &["haul"]),
        ] {
            assert_eq!(sorted(typed), read);
        }
    }

    /// What the table sends people to exists, and what it explains does not.
    #[test]
    fn the_table_is_about_other_tools() {
        let haul = args::command(&Config::default());
        for word in COMMANDS.iter().flat_map(|(words, _)| *words) {
            assert!(haul.find_subcommand(word).is_none(), "{word}");
        }
        let ways = COMMANDS.iter().map(|(_, way)| *way).chain(FLAGS.iter().map(|(.., way)| *way));
        for way in ways {
            let named =
                way.split("haul ").skip(1).filter_map(|rest| rest.split([' ', ',', ';']).next());
            for command in named.filter(|name| !name.starts_with('-')) {
                assert!(haul.find_subcommand(command).is_some(), "{way}");
            }
            let all: Vec<_> = haul.get_subcommands().flat_map(Command::get_arguments).collect();
            let flags = way.split([' ', ',', ';']).filter_map(|word| word.strip_prefix("--"));
            for flag in flags.filter(|flag| *flag != "version") {
                let is_there = |arg: &&clap::Arg| arg.get_long() == Some(flag);
                let common = haul.get_arguments().any(|arg| arg.get_long() == Some(flag));
                assert!(common || all.iter().any(is_there), "{way}");
            }
        }
        for (words, of, _) in FLAGS {
            let commands = haul.get_subcommands().filter(|sub| of.contains(&sub.get_name()));
            for arg in commands.flat_map(Command::get_arguments) {
                let long = |word: &&&str| {
                    word.strip_prefix("--") == arg.get_long() && arg.get_long().is_some()
                };
                assert!(!words.iter().any(|word| long(&word)), "{words:?} of {of:?}");
            }
        }
    }
}
