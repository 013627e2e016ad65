//! Who a sender is, from one run to the next.
//!
//! Owns the identity file: 32 secret bytes that nobody else can read, made on first use. With it the
//! same command makes the same ticket again. Must never show what is in it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use haul::{Error, ErrorKind, Hint, Op, Result};

use crate::config;

/// The identity of this machine's user.
pub(crate) type Identity = [u8; 32];

/// Where the identity is: what was asked for, else `$HAUL_IDENTITY`, else in the state folder.
pub(crate) fn path(asked: Option<&Path>) -> PathBuf {
    asked
        .map(Path::to_owned)
        .or_else(|| config::variable("HAUL_IDENTITY").map(PathBuf::from))
        .unwrap_or_else(|| config::state_dir().join("identity"))
}

/// Reads the identity; makes one where there is none.
pub(crate) fn load(path: &Path) -> Result<Identity> {
    match read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            make(path)?;
            read(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> Result<Identity> {
    let failed = |e| Error::io(Op::Open, path.display(), e);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("it is a secret, and others may read it (mode {mode:o})");
        return Err(Error::new(ErrorKind::Invalid, Op::Open, path.display(), what)
            .with_hint(Hint::own(format!("chmod 600 {}", path.display()))));
    }
    let text = std::io::read_to_string(std::io::Read::take(file, 1 << 10)).map_err(failed)?;
    parse(text.trim()).ok_or_else(|| {
        let what = "it is not an identity (64 hexadecimal digits)";
        Error::new(ErrorKind::Invalid, Op::Parse, path.display(), what)
            .with_hint(Hint::own("--identity names another; one that is missing is made"))
    })
}

fn parse(text: &str) -> Option<Identity> {
    let mut identity = Identity::default();
    if text.len() != 2 * identity.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in identity.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(identity)
}

/// Makes a file with a new identity, whole or not at all. Another process may be faster.
fn make(path: &Path) -> Result<()> {
    let failed = |e| Error::io(Op::Write, path.display(), e);
    let mut secret = Identity::default();
    getrandom::fill(&mut secret).map_err(|e| failed(std::io::Error::other(e)))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    // Made with O_EXCL and mode 0600; gets its name only when all is in it.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let digits = |file: &mut dyn std::io::Write| {
        secret.iter().try_for_each(|byte| write!(file, "{byte:02x}"))?;
        writeln!(file)
    };
    digits(&mut file).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(failed(e.error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_made_once_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/identity");
        let first = load(&path).unwrap();
        assert_eq!(load(&path).unwrap(), first);
        assert_ne!(load(&folder.path().join("other")).unwrap(), first);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(folder.path().join("new").read_dir().unwrap().count(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let e = load(&path).unwrap_err();
        assert!(
            e.kind() == ErrorKind::Invalid && e.hint().unwrap().to_string().contains("chmod 600"),
            "{e}"
        );
    }

    #[test]
    fn what_is_no_identity_is_not_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "abc", &"x".repeat(64), &"a".repeat(65)] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(load(file.path()).unwrap_err().kind(), ErrorKind::Invalid, "{text}");
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
        }
    }
}
