//! Names that came from somewhere else, made safe to use as a file name here.
//!
//! Owns the rule. Must never let a name leave the folder it is put in.

/// The last segment of a key, when it can be a file name: not empty, not `.` or `..`, without a
/// separator or NUL.
///
/// ```
/// use haul_core::name::file_name;
/// assert_eq!(file_name("a/b/c.txt"), Some("c.txt"));
/// assert_eq!(file_name("a/.."), None);
/// assert_eq!(file_name("a/"), None);
/// ```
pub fn file_name(key: &str) -> Option<&str> {
    let name = key.rsplit('/').next()?;
    let hostile = matches!(name, "" | "." | "..") || name.contains(['\0', '\\']);
    (!hostile).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", "/", "..", "a/..", "a/.", "a\\..\\b", "x/nul\0"] {
            assert_eq!(file_name(bad), None, "{bad:?}");
        }
        assert_eq!(file_name("a b+%?"), Some("a b+%?"));
        assert_eq!(file_name("..."), Some("..."));
    }
}
