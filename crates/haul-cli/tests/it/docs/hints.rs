//! The libraries do not speak of the command line, and the command line has words for what they say.
//!
//! Owns: a look at the source of the libraries for flags and commands, and at the table of hints.

use std::collections::BTreeSet;

use super::root;
use super::shown::files_below;
use super::tables::help;

/// Commands that are no words of English: they need no `haul` before them to be recognised.
const ABBREVIATED: [&str; 7] = ["cp", "du", "ls", "mb", "mv", "rb", "rm"];

/// What looks like a flag and is none: the end of a bucket's name, and a region that is none.
const NO_FLAGS: [&str; 2] = ["--ol-s3", "-x"];

/// Hints whose own words name nothing that the command line calls otherwise.
const FITTING: &str = "
    SendFile SaveToFile BeginAgain CopyAlone Rename CopyRenamed TakeAlone NameKey NameDestination
    NameFile NameLinkedFile NameLinkedFolder DifferentPlaces NothingWritten SeparateFolders
    SameCapitals WriteBucket WritePrefix WriteObject NameObject KnownSchemes LookAtIt NowCalled
    NotAllSeen ProxyCredentials ChooseProxy CheckProxy TrustCertificate CheckClock SetClock
    PlainHttp CheckServer CheckFolder GiveFinalUrl UrlCredentials CheckLink CheckEndpoint
    WriteEndpoint CheckKeys SignInAgain CheckProfile ChooseProfile CheckVersions ReachSender
    WholeTicket AskForTicket AskForShare CheckVersion NameFolder RemoveIndex StopOthers Own
";

/// What is between the quotes of the string literals of `source`.
fn literals(source: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let next = &rest[at..];
        rest = if next.starts_with("//") {
            next.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(text) = next.strip_prefix('"') {
            let end = end_of(text);
            found.push(&text[..end]);
            text.get(end + 1..).unwrap_or_default()
        } else if next.starts_with("'\"'") || next.starts_with("'\\") {
            // A character, which is not the beginning of a text.
            next[2..].split_once('\'').map_or("", |(_, rest)| rest)
        } else {
            &next[1..]
        };
    }
    found
}

/// Where the string literal ends that `text` begins in.
fn end_of(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

fn words(text: &str) -> Vec<&str> {
    let between = |c: char| c.is_whitespace() || "(),;:`'\"=[]\\".contains(c);
    text.split(between).filter(|word| !word.is_empty()).collect()
}

fn is_flag(word: &str) -> bool {
    let named = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic());
    let short = |name: &str| name.len() == 1 && named(name);
    let long = word.strip_prefix("--").is_some_and(named);
    (long || word.strip_prefix('-').is_some_and(short)) && !NO_FLAGS.contains(&word)
}

/// What in `text` is of the command line.
fn typed<'a>(text: &'a str, commands: &BTreeSet<String>) -> Vec<&'a str> {
    let words = words(text);
    let mut found: Vec<_> = words.iter().filter(|w| is_flag(w)).copied().collect();
    found.extend(words.iter().filter(|w| ABBREVIATED.contains(w)));
    let after_haul = words.windows(2).filter(|two| two[0] == "haul").map(|two| two[1]);
    found.extend(after_haul.filter(|word| commands.contains(*word)));
    found
}

/// The names of the commands, and all flags.
async fn known() -> (BTreeSet<String>, BTreeSet<String>) {
    let help = help().await;
    let verbs = help.keys().filter_map(|c| c.split(' ').next()).filter(|c| !c.is_empty());
    (verbs.map(str::to_owned).collect(), help.values().flatten().cloned().collect())
}

#[test]
fn what_is_of_the_command_line_is_recognised() {
    let commands = BTreeSet::from(["send".to_owned()]);
    for (text, found) in [
        ("allow more with --memory=1GiB", vec!["--memory"]),
        ("(-r takes all)", vec!["-r"]),
        ("start haul send again", vec!["send"]),
        ("cp copies it", vec!["cp"]),
        ("send it again: haul sends nothing - or -- twice", Vec::new()),
    ] {
        assert_eq!(typed(text, &commands), found, "{text}");
    }
    let source = r#"f('"', "a\"b", 'c', '\'', "d"); // "e"
        g("f") /// it's "g"
        "h" "#;
    assert_eq!(literals(source), ["a\\\"b", "d", "f", "h"]);
}

/// A program that embeds the libraries has other flags, or none.
#[tokio::test]
async fn no_library_names_a_flag_or_a_command() {
    let (commands, _) = known().await;
    let mut wrong = Vec::new();
    for krate in std::fs::read_dir(root().join("crates")).unwrap() {
        let krate = krate.unwrap().file_name().into_string().unwrap();
        if ["haul-cli", "haul-testkit"].contains(&&*krate) {
            continue;
        }
        let files = files_below(&format!("crates/{krate}/src"), "rs");
        assert!(!files.is_empty(), "{krate}");
        for path in files {
            let source = std::fs::read_to_string(&path).unwrap();
            let said = |text: &str| format!("{}: {text:?}", path.display());
            let texts = literals(&source).into_iter().filter(|l| !typed(l, &commands).is_empty());
            wrong.extend(texts.map(said));
            if source.contains("Hint::Own") || source.contains("Hint::own") {
                wrong.push(said("a hint that is data says more"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn source(path: &str) -> String {
    let path = root().join("crates").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Hints that somebody adds are looked at from here, too.
#[test]
fn every_hint_has_words_in_the_command_line() {
    let library = source("haul-core/src/hint.rs");
    let (_, variants) = library.split_once("pub enum Hint {\n").unwrap();
    let (variants, _) = variants.split_once("\n}\n").unwrap();
    let named = |line: &str| {
        let name = line.strip_prefix("    ")?.split(['(', ',']).next()?;
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| name.to_owned())
    };
    let variants: BTreeSet<_> = variants.lines().filter_map(named).collect();
    assert!(variants.len() > 50, "{}", variants.len());
    let table = source("haul-cli/src/hints.rs");
    let listed = table.split("Hint::").skip(1).filter_map(|rest| rest.split([' ', '(']).next());
    let mut told: Vec<_> = listed.map(str::to_owned).collect();
    told.extend(FITTING.split_whitespace().map(str::to_owned));
    assert_eq!(told.len(), variants.len(), "once each");
    assert_eq!(BTreeSet::from_iter(told), variants);
}

/// What a hint tells to type is there.
#[tokio::test]
async fn hints_name_flags_and_commands_that_are_there() {
    let (commands, flags) = known().await;
    let table = source("haul-cli/src/hints.rs");
    let table = literals(&table);
    assert!(table.len() > 30, "{}", table.len());
    for text in table {
        let words = words(text);
        for flag in words.iter().filter(|word| is_flag(word) && !word.ends_with('*')) {
            assert!(flags.contains(*flag), "{flag}: {text}");
        }
        for two in words.windows(2).filter(|two| two[0] == "haul") {
            assert!(commands.contains(two[1]), "{text}");
        }
    }
}
