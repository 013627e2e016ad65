//! What pages say that tests show, and which tests there are.
//!
//! Owns reading both: the items of a page, each with its tests in brackets at its end, and the tests
//! of the crates, each with the codes of requirements that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::root;

/// The list items of a text, each with the tests in brackets at its end.
pub(super) fn items(text: &str) -> Vec<(String, Vec<String>)> {
    text.split("\n- ")
        .skip(1)
        .map(|item| {
            let item = item.split("\n\n").next().unwrap();
            let (said, tests) = item.rsplit_once(" (`").unwrap_or((item, ""));
            let tests = tests.trim().trim_end_matches("`)").split("`, `");
            (said.to_owned(), tests.filter(|t| !t.is_empty()).map(str::to_owned).collect())
        })
        .collect()
}

/// Codes of requirements, by what names them.
pub(super) type Codes = BTreeMap<String, BTreeSet<String>>;

/// The tests of all crates that are run, by name, each with the codes in its comment and its body.
pub(super) fn tests() -> Codes {
    let mut found = Codes::new();
    for path in files_below("crates", "rs").iter().filter(|path| is_compiled(path)) {
        for (name, codes) in tests_in(&std::fs::read_to_string(path).unwrap()) {
            found.entry(name).or_default().extend(codes);
        }
    }
    found
}

/// The files below a folder of the repository whose names end so.
pub(super) fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found
}

/// Whether it is the root of a target, or its module is declared next to it or above it.
fn is_compiled(path: &Path) -> bool {
    let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
    let above = ["lib.rs", "main.rs", "mod.rs"].map(|file| folder.join(file));
    let declares = |file: &Path| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.ends_with(&format!("mod {name};")))
    };
    ["lib", "main", "mod"].contains(&name)
        || folder.ends_with("tests")
        || above.iter().chain([&folder.with_extension("rs")]).any(|file| declares(file))
}

/// The functions that are marked as tests, by this marker or within `proptest!`, and not ignored.
fn tests_in(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let (mut found, mut lines, mut above) = (Vec::new(), text.lines(), String::new());
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        let declared = code.strip_prefix("async ").unwrap_or(code).strip_prefix("fn ");
        let Some((name, _)) = declared.and_then(|d| d.split_once('(')) else {
            if code.is_empty() {
                above.clear();
            }
            above.push_str(line);
            above.push('\n');
            continue;
        };
        let above = std::mem::take(&mut above);
        let marked = ["#[test]", "#[tokio::test"].iter().any(|marker| above.contains(marker));
        if marked && !above.contains("#[ignore") {
            let end = format!("{}}}", &line[..line.len() - code.len()]);
            let inner = lines.by_ref().take_while(|l| *l != end);
            let body = inner.fold(above, |text, line| text + line + "\n");
            found.push((name.to_owned(), codes(&body)));
        }
    }
    found
}

/// The codes of requirements in a text, such as `S0.15`. A range names all from its first to its last.
pub(super) fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let parts = |c: char| !(c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c));
    for word in text.split(parts) {
        let mut ends = word.split('-').map(|end| code(end.trim_end_matches('.')));
        let Some((group, first)) = ends.next().flatten() else { continue };
        let last = ends.next().flatten().filter(|(other, _)| *other == group);
        let numbers = first..=last.map_or(first, |(_, number)| number);
        found.extend(numbers.map(|number| format!("{group}.{number}")));
    }
    found
}

/// The group and the number of a code.
fn code(word: &str) -> Option<(&str, u32)> {
    let (group, number) = word.split_once('.')?;
    let known = group.strip_prefix(['S', 'X', 'U'])?;
    let digit = known.len() == 1 && known.bytes().all(|b| b.is_ascii_digit());
    Some((group, number.parse().ok().filter(|_| digit)?))
}

#[test]
fn codes_are_read_with_their_ranges() {
    let text = "S0.4-S0.6: a queue (X3.1), U1.3. Not S3, x-S9.1, v0.4 or aS0.1.";
    let expected = ["S0.4", "S0.5", "S0.6", "U1.3", "X3.1"].map(str::to_owned);
    assert_eq!(codes(text), BTreeSet::from(expected));
}

#[test]
fn only_tests_that_are_run_are_tests() {
    let text = [
        "/// Sx: S1.1.\n#[test]\nfn a() {\n    // S1.2\n}",
        "#[tokio::test(\n    flavor = \"x\"\n)]\nasync fn b() {\n    let c = || {\n    };\n}",
        "#[test]\n#[ignore = \"a child\"]\nfn c() {\n}",
        "/// S1.3\nfn helper() {\n}",
    ];
    let of = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
    let expected = vec![("a".to_owned(), of(&["S1.1", "S1.2"])), ("b".to_owned(), of(&[]))];
    assert_eq!(tests_in(&text.join("\n\n")), expected);
}
