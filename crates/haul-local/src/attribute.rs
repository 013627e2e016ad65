//! Extended attributes of files, where the system has them.
//!
//! Owns the calls. What is remembered is a hint: it must never be an error.

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
mod system {
    use std::os::fd::AsFd;
    use std::path::Path;

    pub(crate) fn set(file: impl AsFd, name: &str, value: &[u8]) {
        let flags = rustix::fs::XattrFlags::empty();
        let _not_kept = rustix::fs::fsetxattr(file, name, value, flags);
    }

    pub(crate) fn get(file: impl AsFd, name: &str, value: &mut [u8]) -> Option<usize> {
        rustix::fs::fgetxattr(file, name, value).ok()
    }

    pub(crate) fn get_at(path: &Path, name: &str, value: &mut [u8]) -> Option<usize> {
        rustix::fs::getxattr(path, name, value).ok()
    }
}

/// Other systems have other calls for it.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod system {
    pub(crate) fn set(_: impl std::os::fd::AsFd, _: &str, _: &[u8]) {}

    pub(crate) fn get(_: impl std::os::fd::AsFd, _: &str, _: &mut [u8]) -> Option<usize> {
        None
    }

    pub(crate) fn get_at(_: &std::path::Path, _: &str, _: &mut [u8]) -> Option<usize> {
        None
    }
}

pub(crate) use system::{get, get_at, set};
