//! Parts of a file that nobody has written.
//!
//! Owns finding them, and giving back the space that was reserved for them. Where a system cannot tell
//! them from zeros, there are none.

use std::fs::File;

/// Where the next byte is that was written, from `at` on; `None` if there is none. Blocking.
pub(crate) fn next_data(file: &File, at: u64) -> Option<u64> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => return Some(data),
        Err(rustix::io::Errno::NXIO) => return None,
        Err(_) => {}
    }
    file.metadata().ok().filter(|metadata| at < metadata.len()).map(|_| at)
}

/// Gives back the space that was reserved for what was not written. Blocking.
pub(crate) fn give_back(file: &File) {
    let Ok(metadata) = file.metadata() else { return };
    #[cfg(target_os = "linux")]
    between(file, metadata.len());
    // What is behind its end.
    let _best_effort = file.set_len(metadata.len());
}

/// The same for what is before the end.
#[cfg(target_os = "linux")]
fn between(file: &File, len: u64) {
    use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
    let mut at = 0;
    while at < len {
        let data = next_data(file, at).unwrap_or(len);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if data > at && fallocate(file, flags, at, data - at).is_err() {
            return;
        }
        match seek(file, SeekFrom::Hole(data)) {
            Ok(hole) if hole > data => at = hole,
            _ => return,
        }
    }
}
