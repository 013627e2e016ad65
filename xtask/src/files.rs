//! Owns test files: made of random bytes, compared byte by byte, removed at the end.
//!
//! Must never: hold a whole file in memory; this process's own size must stay out of any measure.

use crate::interrupt::OnExit;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Write, copy, sink};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 20;

/// A folder that goes with this value, and on Ctrl-C too.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _guard: OnExit,
}

impl Folder {
    /// A new one under `parent`, with a name that begins like this.
    pub(crate) fn create(parent: &Path, prefix: &str) -> Result<Self> {
        std::fs::create_dir_all(parent)?;
        let (path, guard) = OnExit::arm(|| {
            let path = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?.keep();
            let copy = path.clone();
            Ok((path, Box::new(move || remove(&copy)) as _))
        })?;
        Ok(Self { path, _guard: guard })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("could not remove {}: {error}", folder.display());
    }
}

/// A file of random bytes, on the disk and in the page cache.
pub(crate) fn make_random(path: &Path, size: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    let made = copy(&mut File::open("/dev/urandom")?.take(size), &mut file)?;
    ensure!(made == size, "the random source ended early");
    file.sync_all()?;
    Ok(())
}

/// A file that holds no bytes on the disk and reads as zeros.
pub(crate) fn make_sparse(path: &Path, size: u64) -> Result<()> {
    File::create(path)?.set_len(size)?;
    Ok(())
}

/// Reads a file, so that it is in the page cache for whoever is next.
pub(crate) fn warm(path: &Path) -> Result<()> {
    copy(&mut File::open(path)?, &mut sink())?;
    Ok(())
}

/// Takes page cache and gives it back. A virtual machine returns freed memory to its host, and pays
/// for every page when it takes it again: that cost belongs before a measured run, not into it.
pub(crate) fn prime_memory(scratch: &Path, size: u64) -> Result<()> {
    let mut file = File::create(scratch)?;
    let block = vec![1; BUFFER];
    for _ in 0..size / BUFFER as u64 {
        file.write_all(&block)?;
    }
    drop(file);
    std::fs::remove_file(scratch)?;
    Ok(())
}

/// Fails unless both files hold the same bytes.
pub(crate) fn must_equal(left: &Path, right: &Path) -> Result<()> {
    let name = |path: &Path| path.display().to_string();
    let mut left_file = File::open(left).with_context(|| name(left))?;
    let mut right_file = File::open(right).with_context(|| name(right))?;
    let (mut a, mut b) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut offset = 0_u64;
    loop {
        let (read_a, read_b) = (fill(&mut left_file, &mut a)?, fill(&mut right_file, &mut b)?);
        ensure!(
            a[..read_a] == b[..read_b],
            "{} and {} differ in the mebibyte at {offset}",
            name(left),
            name(right)
        );
        if read_a == 0 {
            return Ok(());
        }
        offset += read_a as u64;
    }
}

/// Reads until the buffer is full or the end is there.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::must_equal;
    use std::fs;

    #[test]
    fn sees_a_changed_byte_and_a_missing_end() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, vec![1; 3_000_000]).unwrap();
        fs::write(&b, vec![1; 3_000_000]).unwrap();
        must_equal(&a, &b).unwrap();
        fs::write(&b, vec![1; 2_999_999]).unwrap();
        must_equal(&a, &b).unwrap_err();
        let mut changed = vec![1; 3_000_000];
        changed[2_500_000] = 2;
        fs::write(&b, changed).unwrap();
        must_equal(&a, &b).unwrap_err();
    }
}
