//! Owns trees of files as checks use them: made, written, and compared wherever they went.
//!
//! Must never: ask haul what is there.

use super::session::{Session, content, must_match};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Files by their paths, with slashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    pub(super) fn of<const N: usize>(files: [(&str, &[u8]); N]) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes.to_owned())).collect())
    }

    /// Nested, empty and hidden files, around the size of a part, and one in parts.
    pub(super) fn mixed() -> Self {
        Self(BTreeMap::from([
            ("top.txt".to_owned(), b"top".to_vec()),
            ("empty".to_owned(), Vec::new()),
            (".hidden".to_owned(), b"hidden".to_vec()),
            (".folder/.both".to_owned(), b"both".to_vec()),
            ("a/b/c/d/e/deep.bin".to_owned(), content(100_000)),
            ("a/b/beside".to_owned(), b"beside".to_vec()),
            ("a.b/sorts before a-slash".to_owned(), b"order".to_vec()),
            ("large/in parts.bin".to_owned(), content((12 << 20) + 3)),
        ]))
    }

    /// Small files in folders of a hundred.
    pub(super) fn small(count: usize) -> Self {
        let file = |n| (format!("small/{:03}/{n:05}.txt", n / 100), format!("file {n}").into());
        Self((0..count).map(file).collect())
    }

    pub(super) fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The same in a folder of that name.
    pub(super) fn below(self, folder: &str) -> Self {
        let moved = self.0.into_iter().map(|(path, bytes)| (format!("{folder}/{path}"), bytes));
        Self(moved.collect())
    }

    /// Adds a file or gives it other bytes.
    pub(super) fn set(&mut self, path: &str, bytes: &[u8]) {
        self.0.insert(path.to_owned(), bytes.to_owned());
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Of all files together.
    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Writes all files below a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        for (path, bytes) in &self.0 {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(&file, bytes).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    /// Fails unless the folder holds just this.
    pub(super) fn must_be_folder(&self, folder: &Path) -> Result<()> {
        let mut found = Vec::new();
        collect(folder, "", &mut found)?;
        found.sort();
        self.must_have_names(&found).context("in the folder")?;
        for (path, bytes) in &self.0 {
            must_match(path, &fs::read(folder.join(path))?, bytes)?;
        }
        Ok(())
    }

    /// Fails unless the server holds just this below `prefix/`, as another client sees it.
    pub(super) fn must_be_stored(
        &self,
        session: &Session<'_>,
        bucket: &str,
        prefix: &str,
    ) -> Result<()> {
        let below = format!("{prefix}/");
        let listed = session.probe().list(bucket, &below)?;
        let mut found: Vec<_> =
            listed.iter().map(|object| object.key.replacen(&below, "", 1)).collect();
        found.sort();
        self.must_have_names(&found).context("in the store")?;
        for (path, bytes) in &self.0 {
            must_match(path, &session.stored(bucket, &format!("{below}{path}"))?, bytes)?;
        }
        Ok(())
    }

    fn must_have_names(&self, found: &[String]) -> Result<()> {
        let missing = self.0.keys().find(|path| found.binary_search(path).is_err());
        let surplus = found.iter().find(|path| !self.0.contains_key(*path));
        ensure!(missing.is_none(), "{:?} is missing", missing.map_or("", String::as_str));
        ensure!(surplus.is_none(), "{:?} is too much", surplus.map_or("", String::as_str));
        ensure!(found.len() == self.0.len(), "a name is there twice");
        Ok(())
    }
}

fn collect(folder: &Path, below: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn a_folder_must_hold_just_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::of([("a", b"1"), ("b/c", b"2")]);
        tree.write(folder.path()).unwrap();
        tree.must_be_folder(folder.path()).unwrap();
        Tree::of([("a", b"1")]).must_be_folder(folder.path()).unwrap_err();
        Tree::of([("a", b"1"), ("b/c", b"3")]).must_be_folder(folder.path()).unwrap_err();
        let more = tree.with(Tree::of([("d", b"")]));
        more.must_be_folder(folder.path()).unwrap_err();
    }
}
