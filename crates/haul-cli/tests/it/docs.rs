//! The documentation tells the truth.
//!
//! Owns: running the examples of README.md and docs/, and comparing what the pages say with what the
//! binary knows (verbs, flags, settings, providers, JSON) and with the tests that there are. Examples
//! run in a folder and against stores of their own; none may leave this machine. How blocks are written
//! is in [`Block`].

mod guarantees;
mod hints;
mod objects;
mod place;
mod requirements;
mod shards;
mod shown;
mod tables;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use place::Place;

/// The pages, with a test for each that runs its examples.
macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        mod examples {
            $(#[tokio::test]
            async fn $name() {
                super::run_examples($path).await;
            })*
        }
    };
}

pages! {
    readme: "README.md",
    usage: "docs/usage.md",
    copy: "docs/copy.md",
    publish: "docs/publish.md",
    sync: "docs/sync.md",
    manage: "docs/manage.md",
    stores: "docs/stores.md",
    http: "docs/http.md",
    peers: "docs/peers.md",
    configuration: "docs/configuration.md",
    scaling: "docs/scaling.md",
    json: "docs/json.md",
    guarantees: "docs/guarantees.md",
    requirements: "docs/requirements.md",
    benchmarks: "docs/benchmarks.md",
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A fenced block of a page.
///
/// `sh` is run as it stands, and has to succeed. `console` has commands behind `$ ` (and `> ` where they
/// go on) with what they say, on both streams, in any order of lines; a command has to succeed unless
/// `$ echo $?` follows. In what is said `...` stands for anything, on a line by itself for any lines;
/// blanks, times and rates are not compared. `no-run WHY` keeps a block from being run, and
/// `needs PROGRAM...` where a program is missing.
struct Block {
    language: String,
    /// The rest of the info string.
    info: String,
    line: usize,
    text: String,
}

/// What `sh` and `console` are not: data to look at.
const NOT_RUN: [&str; 5] = ["json", "rust,no_run", "text", "toml", "yaml"];

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let (language, info) = info.split_once(' ').unwrap_or((info, ""));
        let (language, info) = (language.to_owned(), info.to_owned());
        let inner = lines.by_ref().map(|(_, l)| l).take_while(|l| l.trim_start() != "```");
        let text = inner.fold(String::new(), |text, line| text + line + "\n");
        blocks.push(Block { language, info, line: at + 1, text });
    }
    blocks
}

impl Block {
    /// Why it cannot be run here.
    fn skipped(&self) -> Option<String> {
        if let Some(why) = self.info.strip_prefix("no-run") {
            return Some(why.trim().to_owned());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let there = |name: &&str| std::env::split_paths(&path).any(|p| p.join(name).is_file());
        let mut needed = self.info.strip_prefix("needs ").unwrap_or_default().split(' ');
        let missing = needed.find(|name| !name.is_empty() && !there(name))?;
        Some(format!("{missing} is not installed"))
    }

    /// What is to be run, line by line as it is typed.
    fn commands(&self) -> Vec<(String, Vec<&str>)> {
        let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), line.strip_prefix("> "), commands.last_mut()) {
                (Some(command), ..) => commands.push((command.to_owned(), Vec::new())),
                (None, Some(more), Some((command, said))) if said.is_empty() => {
                    *command = format!("{command}\n{more}");
                }
                (.., Some((_, said))) => said.push(line),
                (.., None) => panic!("line {}: says something before a command", self.line),
            }
        }
        commands
    }
}

/// A word that only the harness uses, between what two commands say.
const MARK: &str = "\u{1}";

/// Runs every example of a page, one after the other in one place.
async fn run_examples(path: &str) {
    let text = page(path);
    let place = Place::new().await;
    match path {
        "docs/manage.md" => place.leave_an_upload().await,
        "README.md" => place.pack_a_log().await,
        _ => {}
    }
    let (mut ran, mut skipped, mut wrong) = (0, 0, String::new());
    for block in blocks(&text) {
        let known = ["sh", "console"].contains(&&*block.language);
        assert!(
            known || NOT_RUN.contains(&&*block.language),
            "{path}:{}: what is {:?}?",
            block.line,
            block.language
        );
        if !known {
            continue;
        }
        if let Some(why) = block.skipped() {
            assert!(!why.is_empty(), "{path}:{}: no-run WHY", block.line);
            println!("{path}:{}: skipped: {why}", block.line);
            skipped += 1;
            continue;
        }
        ran += 1;
        if let Err(what) = place.run(&block).await {
            writeln!(wrong, "{path}:{}: {what}", block.line).unwrap();
        }
    }
    println!("{path}: {ran} blocks ran, {skipped} skipped");
    assert!(wrong.is_empty(), "\n{wrong}");
}

impl Place {
    async fn run(&self, block: &Block) -> Result<(), String> {
        if block.language == "sh" {
            let done = self.bash(&format!("set -eu -o pipefail\n{}", block.text)).run().await;
            return if done.code == 0 { Ok(()) } else { Err(done.to_string()) };
        }
        let commands = block.commands();
        let mut script = String::new();
        for (command, _) in &commands {
            let end = format!("__e=$?; printf '\\n{MARK}%d\\n' $__e; (exit $__e)");
            writeln!(script, "{{ {command}\n}} 2>&1\n{end}").unwrap();
        }
        let done = self.bash(&script).run().await;
        compare(&commands, &self.said(&done))
    }
}

/// Compares what commands said with what the page says that they say.
fn compare(commands: &[(String, Vec<&str>)], out: &str) -> Result<(), String> {
    let mut rest = out;
    for (n, (command, expected)) in commands.iter().enumerate() {
        let Some((said, after)) = rest.split_once(MARK) else {
            return Err(format!("$ {command}\nended everything: {rest}"));
        };
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        let said: Vec<_> = said.lines().filter(|l| !l.trim().is_empty()).collect();
        let asks = |c: &str| c.trim() == "echo $?";
        let asked = commands.get(n + 1).is_some_and(|(c, _)| asks(c));
        if code != "0" && !asked {
            return Err(format!("$ {command}\nended with {code}:\n{}", said.join("\n")));
        }
        if !same_lines(expected, &said) {
            let (said, expected) = (said.join("\n"), expected.join("\n"));
            return Err(format!("$ {command}\nsaid\n{said}\n--- instead of\n{expected}\n---"));
        }
    }
    Ok(())
}

/// Whether every line has its counterpart, in any order: two streams meet on a terminal.
fn same_lines(expected: &[&str], said: &[&str]) -> bool {
    let mut left: Vec<_> = said.iter().map(|l| settled(l)).collect();
    let mut more = false;
    for line in expected.iter().filter(|l| !l.trim().is_empty()) {
        if line.trim() == "..." {
            more = true;
            continue;
        }
        let line = settled(line);
        let Some(at) = left.iter().position(|l| fits(&line, l)) else { return false };
        left.remove(at);
    }
    more || left.is_empty()
}

/// A line without what differs from run to run.
fn settled(line: &str) -> String {
    let mut words = Vec::new();
    let mut all = line.split_whitespace().peekable();
    while let Some(word) = all.next() {
        if humantime::parse_rfc3339(word).is_ok() {
            words.push("TIME");
            continue;
        }
        words.push(word);
        if word != "in" || all.peek().is_none_or(|w| w.parse::<f64>().is_err()) {
            continue;
        }
        // `in 0.1 s (3.0 MiB/s)`
        let _seconds = (all.next(), all.next());
        words.push("TIME");
        if all.peek().is_some_and(|w| w.starts_with('(')) {
            let _rate = (all.next(), all.next());
        }
    }
    words.join(" ")
}

/// Whether a text is as a pattern says, in which `...` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once("...") {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            cuts.into_iter().any(|at| fits(rest, &text[at..]))
        }),
    }
}

/// No page goes unread.
#[test]
fn every_page_is_among_the_pages() {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut found: BTreeSet<_> = names
        .filter(|n| Path::new(n).extension().is_some_and(|e| e == "md"))
        .map(|n| format!("docs/{n}"))
        .collect();
    found.insert("README.md".to_owned());
    assert_eq!(found, PAGES.iter().map(ToString::to_string).collect());
}
