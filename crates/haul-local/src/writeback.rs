//! Starting to write to the disk early, and asking how that went.
//!
//! Owns one system call. The fsync before the rename waits for whatever is not on the disk yet; when
//! each chunk is handed to the disk as it lands, that is little. It must never flush anything, and
//! neither half promises that bytes survive: durability is the flush's.

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

/// Waits until what was handed to the disk is written, and tells the error that this file met on the
/// way, if nobody asked for it before. A file whose file system was just flushed has nothing to wait
/// for.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe wrapper of this system call exists")]
pub(crate) fn outcome(file: &File) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: takes numbers only, and the descriptor is open as long as `file` is borrowed.
    let answer =
        unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WAIT_BEFORE) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Other systems have no such call: there each file is flushed.
#[cfg(not(target_os = "linux"))]
pub(crate) fn outcome(file: &File) -> std::io::Result<()> {
    file.sync_all()
}
