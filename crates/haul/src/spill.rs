//! A list of names that may be long.
//!
//! Owns names that have to wait for the end of a job, each with what is to be remembered about it: a
//! few in memory, more in an unlinked temporary file. So the memory of a sync that removes does not
//! depend on how much there is to remove.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use std::os::unix::ffi::OsStringExt as _;

use futures::stream::{self, Stream};
use haul_core::{Error, Op, RelPath, Result};

/// Bytes in memory before a file is used.
const IN_MEMORY: usize = 4 << 20;

/// A name, and what is remembered about it.
pub(crate) type Noted = (RelPath, Vec<u8>);

/// Names and notes, each with its length before it.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    buffer: Vec<u8>,
    file: Option<BufWriter<File>>,
}

impl Spill {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a name with a note.
    pub(crate) fn push(&mut self, name: &RelPath, note: &[u8]) -> io::Result<()> {
        for bytes in [name.as_bytes(), note] {
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            self.buffer.extend_from_slice(&length.to_le_bytes());
            self.buffer.extend_from_slice(bytes);
        }
        if self.buffer.len() >= IN_MEMORY {
            if self.file.is_none() {
                self.file = Some(BufWriter::new(tempfile::tempfile()?));
            }
            if let Some(file) = &mut self.file {
                file.write_all(&self.buffer)?;
            }
            self.buffer.clear();
        }
        Ok(())
    }

    /// The names in the order in which they were added.
    pub(crate) fn into_stream(self) -> Result<impl Stream<Item = Result<Noted>> + Send> {
        let failed = |e| Error::io(Op::Remove, "the list of what is to be removed", e);
        let rewound = self.file.map(|file| {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            Ok(file)
        });
        let file = rewound.transpose().map_err(failed)?;
        let (disk, memory) = (file.map(BufReader::new), io::Cursor::new(self.buffer));
        Ok(stream::iter(Names { disk, memory }.map(move |name| name.map_err(failed))))
    }
}

struct Names {
    disk: Option<BufReader<File>>,
    memory: io::Cursor<Vec<u8>>,
}

impl Iterator for Names {
    type Item = io::Result<Noted>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(disk) = &mut self.disk {
            match read(disk).transpose() {
                None => self.disk = None,
                name => return name,
            }
        }
        read(&mut self.memory).transpose()
    }
}

fn read(from: &mut impl io::Read) -> io::Result<Option<Noted>> {
    let Some(name) = read_one(from)? else { return Ok(None) };
    let note = read_one(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Some((RelPath::new(OsString::from_vec(name)), note)))
}

fn read_one(from: &mut impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut bytes = Vec::new();
    from.take(u64::from(u32::from_le_bytes(length))).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    #[tokio::test]
    async fn names_come_back_in_order_from_memory_and_disk() {
        for count in [0, 3, 400_000] {
            let mut spill = Spill::new();
            for i in 0..count {
                spill.push(&RelPath::new(format!("folder/{i}")), &[1, 2]).unwrap();
            }
            assert_eq!(spill.file.is_some(), count == 400_000);
            let names: Vec<_> = spill.into_stream().unwrap().map(Result::unwrap).collect().await;
            assert_eq!(names.len(), count);
            let noted = |i| (RelPath::new(format!("folder/{i}")), vec![1, 2]);
            assert!(names.iter().enumerate().all(|(i, n)| *n == noted(i)));
        }
    }
}
