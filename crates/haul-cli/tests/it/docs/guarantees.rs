//! What docs/guarantees.md promises has tests, and they are there.

use super::page;
use super::shown::{items, tests};

/// S1.32: what is documented is tested.
#[test]
fn each_promise_names_its_tests() {
    let there = tests();
    let text = page("docs/guarantees.md");
    let promises = items(text.split("## What is not guaranteed").next().unwrap());
    assert!(promises.len() > 30, "{}", promises.len());
    let mut wrong = Vec::new();
    for (said, tests) in &promises {
        if tests.is_empty() {
            wrong.push(format!("no test is named: {said}"));
        }
        let missing = tests.iter().filter(|t| !there.contains_key(*t));
        wrong.extend(missing.map(|t| format!("no test {t} is run")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
