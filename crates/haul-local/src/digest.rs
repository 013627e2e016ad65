//! What a file's bytes hash to.
//!
//! Owns reading a file once for all digests that are wanted, in memory that does not depend on its
//! size. A digest of a file that changed while it was read is an error, never a value.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_core::checksum::Hasher;
use haul_core::{Algorithms, Error, FileStamp, Op, Result, Sums};
use md5::{Digest as _, Md5};

use crate::pinned::{self, stamp_of};
use crate::spot::Place;
use crate::waiting;

/// Bytes read at a time: they stay in a core's cache while they are hashed several times.
const BUFFER: usize = 256 << 10;

/// What is to be computed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Checksums.
    pub crc: Algorithms,
    /// MD5 of the whole.
    pub md5: bool,
    /// MD5 of each part of this many bytes, from which a store makes a multipart upload's ETag.
    pub md5_parts: Option<u64>,
    /// BLAKE3 of the whole.
    pub blake3: bool,
}

/// What was computed, and of what.
#[derive(Debug, Clone)]
pub struct Digests {
    /// The file, as it was before and after.
    pub stamp: FileStamp,
    /// Checksums, and the number of bytes.
    pub sums: Sums,
    /// MD5 of the whole.
    pub md5: Option<[u8; 16]>,
    /// MD5 of each part; an empty file has one empty part.
    pub md5_parts: Vec<[u8; 16]>,
    /// BLAKE3 of the whole.
    pub blake3: Option<[u8; 32]>,
}

/// Reads the file at `path` and computes what is `wanted`. `on_bytes` hears how many bytes were
/// read, every 256 KiB. Dropping the future ends it.
pub async fn digest(
    path: impl Into<PathBuf>,
    wanted: Wanted,
    on_bytes: impl Fn(u64) + Send + 'static,
) -> Result<Digests> {
    let place = Place::Path(path.into());
    let location = place.location();
    let stop = Stop::default();
    let stopped = Arc::clone(&stop.0);
    let outcome =
        waiting(Op::Read, &location, move || read(&place, wanted, &on_bytes, &stopped)).await;
    drop(stop);
    outcome
}

/// Stops the thread that reads once nobody waits for it.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn read(
    place: &Place,
    wanted: Wanted,
    on_bytes: &dyn Fn(u64),
    stopped: &AtomicBool,
) -> Result<Digests> {
    let (file, metadata) = pinned::open(place)?;
    let stamp = stamp_of(&metadata);
    #[cfg(target_os = "linux")]
    let _hint_only = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    let mut state = Hashing::new(wanted);
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < stamp.size {
        if stopped.load(Ordering::Relaxed) {
            return Err(Error::cancelled(Op::Read, place.location()));
        }
        let want = usize::try_from(stamp.size - at).unwrap_or(BUFFER).min(BUFFER);
        let len = match file.read_at(&mut buffer[..want], at) {
            Ok(0) => return Err(pinned::changed(&place.location(), "became shorter")),
            Ok(len) => len,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io(Op::Read, place.location(), e)),
        };
        state.update(&buffer[..len]);
        at += len as u64;
        on_bytes(len as u64);
    }
    pinned::recheck(&stamp, &file, place)?;
    Ok(state.finish(stamp))
}

/// The digests under way.
struct Hashing {
    crc: Hasher,
    md5: Option<Md5>,
    parts: Option<Parts>,
    blake3: Option<Box<blake3::Hasher>>,
}

impl Hashing {
    fn new(wanted: Wanted) -> Self {
        let parts = wanted.md5_parts.filter(|size| *size > 0);
        Self {
            crc: Hasher::new(wanted.crc),
            md5: wanted.md5.then(Md5::new),
            parts: parts.map(|size| Parts { size, left: size, current: Md5::new(), done: vec![] }),
            blake3: wanted.blake3.then(Box::default),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(parts) = &mut self.parts {
            parts.update(bytes);
        }
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
    }

    fn finish(self, stamp: FileStamp) -> Digests {
        Digests {
            stamp,
            sums: self.crc.sums(),
            md5: self.md5.map(|md5| md5.finalize().into()),
            md5_parts: self.parts.map(Parts::finish).unwrap_or_default(),
            blake3: self.blake3.map(|blake3| *blake3.finalize().as_bytes()),
        }
    }
}

/// MD5 of each part.
struct Parts {
    size: u64,
    /// Bytes that the current part still takes.
    left: u64,
    current: Md5,
    done: Vec<[u8; 16]>,
}

impl Parts {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.done.push(self.current.finalize_reset().into());
                self.left = self.size;
            }
            let len = usize::try_from(self.left).unwrap_or(bytes.len()).min(bytes.len());
            let (part, rest) = bytes.split_at(len);
            self.current.update(part);
            self.left -= len as u64;
            bytes = rest;
        }
    }

    fn finish(mut self) -> Vec<[u8; 16]> {
        self.done.push(self.current.finalize().into());
        self.done
    }
}
