//! Starting to write to the disk early.
//!
//! Owns one system call. The fsync before the rename waits for whatever is not on the disk yet; when
//! each chunk is handed to the disk as it lands, that is little. It must never wait, and it promises
//! nothing: durability is the fsync's.

use std::fs::File;

use haul_core::ByteRange;

/// Writes from this size on are handed to the disk as they land.
pub(crate) const EARLY: u64 = 256 << 10;

/// Asks the kernel to start writing `range` of `file` to the disk. Nothing depends on it, so errors
/// do not matter: the fsync reports them.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe wrapper of this system call exists")]
pub(crate) fn start(file: &File, range: ByteRange) {
    use std::os::fd::AsRawFd as _;
    let (Ok(start), Ok(len)) = (i64::try_from(range.start), i64::try_from(range.len())) else {
        return;
    };
    // SAFETY: takes numbers only, and the descriptor is open as long as `file` is borrowed.
    let _advice =
        unsafe { libc::sync_file_range(file.as_raw_fd(), start, len, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Other systems have no such call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start(_: &File, _: ByteRange) {}
