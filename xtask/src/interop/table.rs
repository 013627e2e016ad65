//! Owns the table of checks by servers.
//!
//! Must never: fold a skipped server or check into the passed ones.

use super::checks::Outcome;
use std::fmt::Write;

/// Results of all servers; or of whatever else the checks were tried on.
#[derive(Debug)]
pub(super) struct Table {
    checks: Vec<String>,
    servers: Vec<(&'static str, Vec<Outcome>)>,
    skipped: Vec<(&'static str, String)>,
}

impl Table {
    pub(super) fn new(checks: Vec<String>) -> Self {
        Self { checks, servers: Vec::new(), skipped: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &'static str, outcomes: Vec<Outcome>) {
        self.servers.push((name, outcomes));
    }

    pub(super) fn skip(&mut self, name: &'static str, reason: String) {
        self.skipped.push((name, reason));
    }

    pub(super) fn render(&self) -> String {
        let mut out = if self.servers.is_empty() { String::new() } else { self.grid() };
        for (name, reason) in &self.skipped {
            let _ = writeln!(out, "{name}: skipped: {reason}");
        }
        for (name, check, reason) in self.not_applicable() {
            let _ = writeln!(out, "{name}: n/a: {check}: {reason}");
        }
        out
    }

    fn grid(&self) -> String {
        let width = self.checks.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let mut out = format!("\n{:width$}", "");
        for (name, _) in &self.servers {
            let _ = write!(out, "  {name:<10}");
        }
        out.push('\n');
        for (index, check) in self.checks.iter().enumerate() {
            let _ = write!(out, "{check:width$}");
            for (_, outcomes) in &self.servers {
                let _ = write!(out, "  {:<10}", outcomes.get(index).map_or("", Outcome::word));
            }
            out.push('\n');
        }
        let _ = write!(out, "{:width$}", "passed");
        for (_, outcomes) in &self.servers {
            let passed = outcomes.iter().filter(|outcome| **outcome == Outcome::Pass).count();
            let _ = write!(out, "  {:<10}", format!("{passed}/{}", outcomes.len()));
        }
        out.push('\n');
        out
    }

    fn not_applicable(&self) -> impl Iterator<Item = (&'static str, &str, &str)> {
        self.each().filter_map(|(name, check, outcome)| match outcome {
            Outcome::NotApplicable(reason) => Some((name, check, reason.as_str())),
            Outcome::Pass | Outcome::Fail(_) => None,
        })
    }

    /// One line for each check that failed.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = self.each().filter_map(|(name, check, outcome)| match outcome {
            Outcome::Fail(reason) => Some(format!("{name}: {check}: {reason}")),
            Outcome::Pass | Outcome::NotApplicable(_) => None,
        });
        failed.collect()
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &str, &Outcome)> {
        self.servers.iter().flat_map(|(server, outcomes)| {
            let named = self.checks.iter().map(String::as_str).zip(outcomes);
            named.map(move |(check, outcome)| (*server, check, outcome))
        })
    }
}
