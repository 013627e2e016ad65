//! What the pages list, and the code knows: commands, flags, providers, settings, links.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use haul::Provider;
use serde_json::Value;

use super::{PAGES, blocks, page, root};
use crate::harness::World;

/// The commands of `haul`, each with the flags that its help shows.
pub(super) async fn help() -> BTreeMap<String, BTreeSet<String>> {
    let world = World::new().await;
    let mut all = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(command) = waiting.pop() {
        let words = command.split_whitespace().chain(["--help"]);
        let done = world.haul(words).run().await;
        let text = done.quiet().out();
        if let Some((_, list)) = text.split_once("\nCommands:\n") {
            let list = list.lines().take_while(|l| !l.is_empty());
            let names = list.filter_map(|l| l.strip_prefix("  ")?.split(' ').next());
            let names = names.filter(|n| !n.is_empty() && *n != "help");
            waiting.extend(names.map(|n| format!("{command} {n}").trim().to_owned()));
        }
        let lines = text.lines().map(str::trim).filter(|l| l.starts_with('-'));
        let flags = lines.flat_map(|l| l.split([' ', ',', '.'])).filter(|w| w.starts_with('-'));
        all.insert(command, flags.map(str::to_owned).collect());
    }
    all
}

/// Other names of flags.
const ALIASES: [(&str, &str); 5] = [
    ("--bwlimit", "--limit-rate"),
    ("--max-concurrent", "--concurrency"),
    ("--chunk-size", "--part-size"),
    ("--dryrun", "--dry-run"),
    ("--no-overwrite", "--no-clobber"),
];

/// S0.13: `--max-concurrent` is one of them.
#[tokio::test]
async fn other_names_of_flags_are_understood() {
    let world = World::new().await;
    for (alias, _) in ALIASES {
        // What comes behind a flag that is not known is not read.
        let value = if alias.starts_with("--no") || alias.contains("dry") { "" } else { "=8MiB" };
        let value = if alias.contains("max") { "=8" } else { value };
        world.haul(["cp", &format!("{alias}{value}"), "--help"]).run().await.quiet();
    }
}

/// S0.28: concurrency is among what the pages tell, on the page of `publish`.
#[tokio::test]
async fn every_verb_has_a_page() {
    let index = page("docs/usage.md");
    let (table, _) = index.split_once("## In short").unwrap();
    let pages: Vec<_> = PAGES.iter().filter(|p| **p != "README.md").map(|p| page(p)).collect();
    for command in help().await.into_keys().filter(|c| !c.is_empty()) {
        let named = format!("haul {command}");
        assert!(pages.iter().any(|text| text.contains(&named)), "no page has `{named}`");
        let verb = command.split(' ').next().unwrap();
        let elsewhere = ["serve", "demo", "completions"]; // further down on the same page
        assert!(elsewhere.contains(&verb) || table.contains(&format!("`{verb}`")), "{verb}");
    }
    let publish = page("docs/publish.md");
    let (_, told) = publish.split_once("## How many at once").unwrap();
    let (told, _) = told.split_once("\n## ").unwrap();
    for fact in [
        "`-c N` (`--concurrency`, `--max-concurrent`) is 1 to 16, and 4 if you say nothing",
        "`-c auto` looks at the first files: 8 workers if they are below 10 MB on average, else 4",
        "`time = ceil(files / N) x time of one`",
        "### Rate limits",
    ] {
        assert!(told.contains(fact), "{fact}");
    }
}

/// The texts of a page in which commands and flags may stand: lines of blocks, and code in prose.
fn code_of(text: &str) -> Vec<String> {
    let (mut code, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            code.push(line.to_owned());
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

/// The flags in words, and the command before them.
fn flags_in<'a>(
    words: &[&'a str],
    known: &BTreeMap<String, BTreeSet<String>>,
) -> (String, Vec<&'a str>) {
    let two = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let one = words.first().copied().unwrap_or_default();
    let command = [two, one.to_owned()].into_iter().find(|c| known.contains_key(c));
    // What is in `"$(haul ...)"` is a command of its own, and what is behind it is left alone.
    let ends = |w: &str| {
        ["|", ";", "&", "&&", ">", ":::", "<<"].contains(&w)
            || w.starts_with('#')
            || w.contains("$(haul")
    };
    let mut over = false;
    let own = words
        .iter()
        .take_while(|w| !ends(w) && !std::mem::replace(&mut over, w.ends_with(['"', ')'])));
    let trim = |w: &&'a str| w.trim_end_matches(['"', ')', ';', ':', ',']).split('=').next();
    let flags = own.filter(|w| w.starts_with('-')).filter_map(trim).filter(|w| w.len() > 1);
    (command.unwrap_or_default(), flags.collect())
}

fn is_known(flag: &str, flags: &BTreeSet<String>) -> bool {
    let shown = ALIASES.iter().find(|(alias, _)| *alias == flag).map_or(flag, |(_, shown)| shown);
    let bundled = !flag.starts_with("--") && flag[1..].bytes().all(|b| b.is_ascii_alphabetic());
    flags.contains(shown)
        || bundled && flag[1..].chars().all(|c| flags.contains(&format!("-{c}")))
        || flag.len() > 2 && flags.contains(&flag[..2]) && !flag.starts_with("--")
}

#[tokio::test]
async fn every_flag_in_the_pages_exists() {
    let known = help().await;
    let all: BTreeSet<_> = known.values().flatten().cloned().collect();
    let mut seen = 0;
    for path in PAGES.iter().filter(|p| **p != "docs/benchmarks.md") {
        for code in code_of(&page(path)) {
            let words: Vec<_> = code.split_whitespace().collect();
            // Behind each `haul`, or else what prose shortens to `sync --delete` or `--delete`.
            let mut places: Vec<_> = (0..words.len())
                .filter(|i| words[*i].trim_start_matches(['"', '$', '(', '{']) == "haul")
                .map(|i| i + 1)
                .collect();
            let first = words.first().copied().unwrap_or_default();
            if places.is_empty() && (first.starts_with('-') || known.contains_key(first)) {
                places.push(0);
            }
            for at in places {
                let (command, flags) = flags_in(&words[at..], &known);
                let of_command = if command.is_empty() { &all } else { &known[&command] };
                for flag in flags {
                    seen += 1;
                    assert!(
                        is_known(flag, of_command),
                        "{path}: haul {command} has no {flag}: {code}"
                    );
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} flags were found");
}

/// What stands between two markers of a page.
pub(super) fn between(path: &str, name: &str) -> String {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let text = page(path);
    let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{path}: no {begin}"));
    rest.split_once(&end).unwrap().0.to_owned()
}

#[track_caller]
fn assert_table(path: &str, name: &str, table: &str) {
    let there = between(path, name);
    assert!(there == table, "{path} should have this between its {name} markers:\n{table}");
}

/// Hosts of endpoints, as the page names them: the code is asked whether it is so.
fn hosts(provider: Provider) -> &'static str {
    match provider {
        Provider::Aws => "amazonaws.com",
        Provider::R2 => "r2.cloudflarestorage.com",
        Provider::Gcs => "storage.googleapis.com",
        Provider::B2 => "backblazeb2.com",
        Provider::Wasabi => "wasabisys.com",
        _ => "",
    }
}

#[test]
fn the_tables_of_providers_are_the_code() {
    let yes = |b: bool| if b { "yes" } else { "no" };
    let mut sends =
        "| provider | endpoints in | checksum | equal parts | most parts | bucket in | region |\n\
        |---|---|---|---|---:|---|---|\n"
            .to_owned();
    let mut answers = "\n| provider | listing | keys encoded | copies parts | one copy | ETag is MD5 | of parts | bare |\n\
        |---|---|---|---|---|---|---|---|\n".to_owned();
    for provider in Provider::all() {
        let (q, host) = (provider.quirks(), hosts(provider));
        if !host.is_empty() {
            let url = format!("https://s3.{host}");
            assert_eq!(Provider::of_endpoint(Some(&url)), provider);
        }
        let host = match (host, provider) {
            ("", Provider::Generic) => "any other".to_owned(),
            ("", _) => "(say so)".to_owned(),
            (host, _) => format!("`{host}`"),
        };
        let checksum = q.checksum.map_or("none".to_owned(), |c| c.to_string());
        let style = if q.path_style { "path" } else { "host" };
        let region = match &*format!("{:?}", q.region) {
            "Usual" => "`us-east-1`".to_owned(),
            "InHost" => "in the host, else `us-east-1`".to_owned(),
            named => format!("`{}`", named.split('"').nth(1).unwrap()),
        };
        let (equal, parts) = (yes(q.equal_parts), q.max_parts);
        writeln!(
            sends,
            "| `{provider}` | {host} | {checksum} | {equal} | {parts} | {style} | {region} |"
        )
        .unwrap();
        let list = format!("{:?}", q.list);
        let one = if q.copy_limit == u64::MAX {
            "any size".to_owned()
        } else {
            format!("{} GiB", q.copy_limit >> 30)
        };
        let flags = [q.url_encode_listing, q.upload_part_copy].map(yes).join(" | ");
        let rest = [q.etag_is_md5, q.multipart_etag, q.bare_requests].map(yes).join(" | ");
        writeln!(answers, "| `{provider}` | {list} | {flags} | {one} | {rest} |").unwrap();
    }
    assert_table("docs/stores.md", "providers", &(sends + &answers));
}

#[tokio::test]
async fn the_table_of_settings_is_the_code() {
    let world = World::new().await;
    let run = world.haul(["config", "show", "--json"]);
    let run = run.without("AWS_ENDPOINT_URL").without("AWS_REGION");
    let done = run.run().await;
    let mut table =
        "| in haul.toml | flag | environment | default |\n|---|---|---|---|\n".to_owned();
    for setting in done.ok().json() {
        let text = |field: &str| setting[field].as_str().unwrap_or_default().to_owned();
        let (section, key) =
            text("name").split_once('.').map(|(s, k)| (s.to_owned(), k.to_owned())).unwrap();
        let value = text("value");
        let value = if value.is_empty() { String::new() } else { format!("`{value}`") };
        let (flag, variable) = (text("flag"), text("variable"));
        writeln!(table, "| `[{section}] {key}` | `{flag}` | `{variable}` | {value} |").unwrap();
    }
    assert_table("docs/configuration.md", "settings", &table);
}

/// Every file of settings in the pages is one that haul takes, and the full example has all of them.
#[tokio::test]
async fn examples_of_settings_are_taken() {
    let world = World::new().await;
    let mut fullest = 0;
    for path in PAGES {
        for block in blocks(&page(path)).into_iter().filter(|b| b.language == "toml") {
            world.file("haul.toml", &block.text);
            let run = world.haul(["config", "show", "--json", "--config", "haul.toml"]);
            let run = run.without("AWS_ENDPOINT_URL").without("AWS_REGION");
            let run = run.without("AWS_ACCESS_KEY_ID");
            let done = run.run().await;
            let own = |l: &&Value| l["origin"].as_str().unwrap().starts_with("haul.toml");
            fullest = fullest.max(done.ok().json().iter().filter(own).count());
        }
    }
    let table = between("docs/configuration.md", "settings");
    assert_eq!(fullest, table.lines().skip(2).count(), "the full example is not full");
}

/// Links between pages lead somewhere.
#[test]
fn links_lead_somewhere() {
    for path in PAGES {
        let text = page(path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let folder = Path::new(path).parent().unwrap();
            let to = if file.is_empty() { PathBuf::from(path) } else { folder.join(file) };
            let to = root().join(to);
            assert!(to.exists(), "{path}: {link}");
            if anchor.is_empty() {
                continue;
            }
            let there = std::fs::read_to_string(to).unwrap();
            let titles = there.lines().filter_map(|l| l.strip_prefix('#'));
            let title = |t: &str| {
                let t = t.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                t.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
            };
            let mut titles = titles.map(|t| -> String { title(t) });
            assert!(titles.any(|t| t == anchor), "{path}: {link}");
        }
    }
}
