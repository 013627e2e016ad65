//! Owns what is moved: how many files, of which size, and where each of them is.
//!
//! Must never: make files that compress or repeat.

use crate::files;
use anyhow::{Context, Result, ensure};
use bytesize::ByteSize;
use std::fs;
use std::path::{Path, PathBuf};

const IN_A_FOLDER: usize = 100;
const KIB: u64 = 1 << 10;

/// So many files of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) files: usize,
    /// Of one file.
    pub(super) size: u64,
}

impl Job {
    pub(super) const ALL: [Self; 3] = [
        Self { name: "1x512MiB", files: 1, size: 512 * KIB * KIB },
        Self { name: "1000x16KiB", files: 1_000, size: 16 * KIB },
        Self { name: "10000x4KiB", files: 10_000, size: 4 * KIB },
    ];

    pub(super) fn bytes(self) -> u64 {
        self.size * self.files as u64
    }

    pub(super) fn title(self) -> String {
        let size = ByteSize::b(self.size).display().iec();
        match self.files {
            1 => format!("one file of {size}"),
            files => format!("{files} files of {size}"),
        }
    }

    /// What is sent: a file, or a folder. Receivers give it the same name.
    pub(super) fn top(self) -> &'static str {
        if self.files == 1 { "one.bin" } else { self.name }
    }

    /// Every file, below the folder that [`Job::top`] is in.
    fn paths(self) -> impl Iterator<Item = PathBuf> {
        (0..self.files).map(move |n| match self.files {
            1 => PathBuf::from(self.top()),
            _ => Path::new(self.top()).join(format!("{:04}/{n:06}.bin", n / IN_A_FOLDER)),
        })
    }

    pub(super) fn make(self, below: &Path) -> Result<()> {
        let mut random = fastrand::Rng::with_seed(self.bytes());
        let mut bytes = vec![0; usize::try_from(self.size)?];
        for path in self.paths() {
            let path = below.join(path);
            fs::create_dir_all(path.parent().context("no folder")?)?;
            random.fill(&mut bytes);
            fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Reads all of it, so that it is in the page cache.
    pub(super) fn warm(self, below: &Path) -> Result<()> {
        self.paths().try_for_each(|path| files::warm(&below.join(path)))
    }

    /// Fails unless the folder holds the same files, and no other.
    pub(super) fn must_equal(self, source: &Path, received: &Path) -> Result<()> {
        let count = count_files(received)?;
        ensure!(count == self.files, "{count} files instead of {}", self.files);
        self.paths()
            .try_for_each(|path| files::must_equal(&source.join(&path), &received.join(path)))
    }
}

fn count_files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::Job;
    use std::fs;

    #[test]
    fn a_copy_must_be_whole_and_no_more() {
        let job = Job { name: "250x10B", files: 250, size: 10 };
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        job.make(&a).unwrap();
        job.make(&b).unwrap();
        job.must_equal(&a, &b).unwrap();
        let last = b.join("250x10B/0002/000249.bin");
        fs::write(&last, "other").unwrap();
        job.must_equal(&a, &b).unwrap_err();
        fs::remove_file(&last).unwrap();
        job.must_equal(&a, &b).unwrap_err();
        job.make(&b).unwrap();
        fs::write(b.join("more"), "").unwrap();
        job.must_equal(&a, &b).unwrap_err();
    }
}
