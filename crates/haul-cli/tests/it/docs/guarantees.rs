//! What docs/guarantees.md promises has tests, and they are there.

use std::collections::BTreeSet;
use std::path::Path;

use super::{page, root};

/// The names of all functions that are marked as tests, by this marker or within `proptest!`.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let mut marked = false;
            for line in text.lines().map(str::trim_start) {
                marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let declared = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let (true, Some((name, _))) = (marked, declared.and_then(|d| d.split_once('(')))
                {
                    found.insert(name.to_owned());
                    marked = false;
                }
            }
        }
    }
}

/// The promises of the page: list items, each with the tests in brackets at its end.
fn promises(text: &str) -> Vec<(String, Vec<String>)> {
    let text = text.split("## What is not guaranteed").next().unwrap();
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

#[test]
fn each_promise_names_its_tests() {
    let mut there = BTreeSet::new();
    tests_below(&root().join("crates"), &mut there);
    let promises = promises(&page("docs/guarantees.md"));
    assert!(promises.len() > 30, "{}", promises.len());
    let mut wrong = Vec::new();
    for (said, tests) in &promises {
        if tests.is_empty() {
            wrong.push(format!("no test is named: {said}"));
        }
        wrong.extend(tests.iter().filter(|t| !there.contains(*t)).map(|t| format!("no test {t}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
