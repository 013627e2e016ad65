//! Owns `docs/benchmarks.md` as a file: sections between markers, written by machine.
//!
//! Must never: change a byte outside the section's own markers.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const INTRODUCTION: &str = "# Benchmarks

Measured, not promised. The sections below are written by `cargo xtask bench`, `bench-many`,
`bench-waves`, `bench-memory` and `bench-p2p`; the raw figures are in [benchmarks.json](benchmarks.json) and
[benchmarks-many.json](benchmarks-many.json). Only the client is measured: the server, the checks and
the harness are not in the figures. A timing says what one machine did on one day: run the commands
to get your own.
";

/// Replaces one section, or adds it at the end; a missing document is begun.
pub(super) fn write_section(path: &Path, name: &str, content: &str) -> Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => INTRODUCTION.to_owned(),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let new = with_section(&old, name, content)?;
    fs::write(path, new).with_context(|| path.display().to_string())
}

fn with_section(text: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let section = format!("{begin}\n{}\n{end}", content.trim());
    let Some((before, rest)) = text.split_once(&begin) else {
        return Ok(format!("{}\n\n{section}\n", text.trim_end()));
    };
    let (_, after) = rest.split_once(&end).with_context(|| format!("no {end} after {begin}"))?;
    Ok(format!("{before}{section}{after}"))
}

#[cfg(test)]
mod tests {
    use super::with_section;

    #[test]
    fn sections_are_added_and_replaced_in_place() {
        let one = with_section("# Title\n", "a", "first").unwrap();
        let two = with_section(&one, "b", "second").unwrap();
        let again = with_section(&two, "a", "new").unwrap();
        assert_eq!(
            again,
            "# Title\n\n<!-- a:begin -->\nnew\n<!-- a:end -->\n\n<!-- b:begin -->\nsecond\n<!-- b:end -->\n"
        );
        with_section("<!-- a:begin -->", "a", "").unwrap_err();
    }
}
