//! docs/requirements.md has every requirement once, with tests that say so, or with the reason why
//! there are none; and every code in the repository leads there.

use std::collections::BTreeSet;

use super::shown::{codes, files_below, items, tests};
use super::{PAGES, page, root};

const PAGE: &str = "docs/requirements.md";

/// The groups, in the order of the page, and how many requirements each has.
const GROUPS: [(&str, u32); 15] = [
    ("S0", 32),
    ("X0", 8),
    ("U0", 6),
    ("S1", 38),
    ("X1", 8),
    ("U1", 4),
    ("S2", 35),
    ("X2", 8),
    ("U2", 4),
    ("S3", 40),
    ("X3", 7),
    ("U3", 4),
    ("S4", 43),
    ("X4", 6),
    ("U4", 3),
];

/// What a line says that names no test.
const REASONS: [&str; 5] =
    ["Not built:", "Not tried:", "Command:", "Explained:", "Does not apply:"];

/// The lines of the page: code, what is said, tests.
fn listed() -> Vec<(String, String, Vec<String>)> {
    let lines = items(&page(PAGE)).into_iter().filter_map(|(said, tests)| {
        let (code, said) = said.strip_prefix("**")?.split_once("** ")?;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        Some((code.to_owned(), said, tests))
    });
    lines.collect()
}

#[test]
fn every_requirement_is_listed_once() {
    let all = GROUPS.iter().flat_map(|(group, most)| (1..=*most).map(move |n| (group, n)));
    let all: Vec<_> = all.map(|(group, number)| format!("{group}.{number}")).collect();
    let listed: Vec<_> = listed().into_iter().map(|(code, ..)| code).collect();
    assert_eq!(listed, all);
}

#[test]
fn every_requirement_has_a_test_that_says_so_or_a_reason() {
    let (there, mut wrong) = (tests(), Vec::new());
    for (code, said, tests) in listed() {
        if tests.is_empty() && !REASONS.iter().any(|reason| said.contains(reason)) {
            wrong.push(format!("{code}: neither a test nor a reason"));
        }
        for test in &tests {
            match there.get(test) {
                None => wrong.push(format!("{code}: no test {test} is run")),
                Some(codes) if !codes.contains(&code) => {
                    wrong.push(format!("{code}: {test} does not say that it shows it"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_code_leads_to_the_page() {
    let listed: BTreeSet<_> = listed().into_iter().map(|(code, ..)| code).collect();
    let mut files = files_below("crates", "rs");
    files.extend(files_below("xtask/src", "rs"));
    let documents = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let documents: Vec<_> = PAGES.iter().copied().chain(documents).filter(|p| *p != PAGE).collect();
    files.extend(documents.iter().map(|path| root().join(path)));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let named = codes(&text);
        seen += named.len();
        wrong.extend(named.difference(&listed).map(|code| format!("{}: {code}", path.display())));
        let document = path.extension().is_some_and(|e| e == "md");
        if document && !named.is_empty() && !text.contains("requirements.md)") {
            wrong.push(format!("{}: no link to {PAGE}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 300, "only {seen} codes were found");
}

/// Commands that measure or try something are tasks of xtask.
#[test]
fn named_tasks_are_there() {
    let tasks = std::fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    let text = page(PAGE);
    let named: BTreeSet<_> = text.split("`cargo xtask ").skip(1).collect();
    assert!(named.len() > 3, "{}", named.len());
    for rest in named {
        let task = rest.split(['`', ' ']).next().unwrap();
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        let variant: String = task.split('-').map(capital).collect();
        assert!(tasks.contains(&format!("\n    {variant}(")), "no task {task}");
    }
}
