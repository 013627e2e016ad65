//! Owns what haul says with `--json`: one object a line, the last a summary.
//!
//! Must never: take a missing figure for a zero.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The lines of one command.
#[derive(Debug)]
pub(super) struct Told(Vec<Value>);

impl Told {
    pub(super) fn read(stdout: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(stdout).context("stdout is not text")?;
        let parsed = text.lines().map(|line| {
            serde_json::from_str(line).with_context(|| format!("not JSON: {}", line.trim()))
        });
        Ok(Self(parsed.collect::<Result<_>>()?))
    }

    /// The lines of one type.
    pub(super) fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |line| line["type"] == kind)
    }

    /// One text of each line of one type.
    pub(super) fn texts(&self, kind: &str, field: &str) -> Vec<String> {
        self.of(kind).filter_map(|line| line[field].as_str()).map(str::to_owned).collect()
    }

    /// A figure of the only line of that type.
    pub(super) fn figure(&self, kind: &str, field: &str) -> Result<u64> {
        let mut lines = self.of(kind);
        let line = lines.next().with_context(|| format!("no {kind} in --json"))?;
        ensure!(lines.next().is_none(), "more than one {kind} in --json");
        line[field].as_u64().with_context(|| format!("no {field} in {line}"))
    }

    /// Fails unless the summary has these figures.
    pub(super) fn must_sum_up(&self, expected: &[(&str, usize)]) -> Result<()> {
        for (field, should) in expected {
            let is = self.figure("summary", field)?;
            ensure!(is == *should as u64, "the summary says {is} {field} instead of {should}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn figures_must_be_there_and_equal() {
        let told =
            Told::read(b"{\"type\":\"copied\",\"to\":\"a\"}\n{\"type\":\"summary\",\"copied\":1}")
                .unwrap();
        told.must_sum_up(&[("copied", 1)]).unwrap();
        told.must_sum_up(&[("copied", 2)]).unwrap_err();
        told.must_sum_up(&[("skipped", 0)]).unwrap_err();
        assert_eq!(told.texts("copied", "to"), ["a"]);
        Told::read(b"plain").unwrap_err();
    }
}
