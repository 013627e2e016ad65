//! From what the user typed to what is meant.
//!
//! Owns the rules on "into": a trailing slash, a bucket or an existing folder takes the source's
//! name. Names that come from a store are checked before they become file names.

use std::path::Path;

use haul_core::{Error, ErrorKind, Hint, Location, Op, Result, name};

use crate::web;

/// The destination of a single object with the source's name filled in where the user named a
/// folder, a bucket or a prefix.
///
/// ```
/// use haul::{Location, route::destination};
/// let from = Location::parse("s3://b/dir/file.txt").unwrap();
/// let into = Location::parse("s3://c/backup/").unwrap();
/// assert_eq!(destination(&from, into).unwrap().to_string(), "s3://c/backup/file.txt");
/// ```
///
/// # Errors
///
/// `Invalid` where the source has no name that the destination could take.
pub fn destination(from: &Location, to: Location) -> Result<Location> {
    match to {
        Location::Local(path) if is_folder(&path) => {
            let name = name_of(from, &path.join("").to_string_lossy())?;
            Ok(Location::Local(path.join(name)))
        }
        Location::S3 { bucket, key } if key.is_empty() || key.ends_with('/') => {
            let name = name_of(from, &format!("s3://{bucket}/{key}"))?;
            let Some(name) = name.to_str() else {
                let detail = "its name is not UTF-8, and S3 keys are";
                return Err(Error::new(ErrorKind::Invalid, Op::Parse, from, detail)
                    .with_hint(Hint::NameKey));
            };
            Ok(Location::S3 { bucket, key: format!("{key}{name}") })
        }
        to => Ok(to),
    }
}

fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

fn name_of(from: &Location, into: &str) -> Result<std::ffi::OsString> {
    let nameless = |detail: &str| {
        Error::new(ErrorKind::Invalid, Op::Parse, from, detail)
            .with_hint(Hint::NameDestination(into.into()))
    };
    match from {
        Location::Local(path) => {
            path.file_name().map(ToOwned::to_owned).ok_or_else(|| nameless("it has no file name"))
        }
        Location::S3 { key, .. } => name::file_name(key)
            .map(Into::into)
            .ok_or_else(|| nameless("its key does not end in something that can be a file name")),
        Location::Http(url) => web::parse(url)
            .ok()
            .and_then(|url| haul_http::file_name(&url))
            .map(Into::into)
            .ok_or_else(|| {
                nameless("its address does not end in something that can be a file name")
            }),
        _ => Err(nameless("it has no name of its own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(from: &str, to: &str) -> Result<String> {
        let parse = |s| Location::parse(s).unwrap();
        destination(&parse(from), parse(to)).map(|l| l.to_string())
    }

    #[test]
    fn into_takes_the_name_and_else_the_name_is_meant() {
        assert_eq!(to("x/a.txt", "s3://b").unwrap(), "s3://b/a.txt");
        assert_eq!(to("x/a.txt", "s3://b/p/").unwrap(), "s3://b/p/a.txt");
        assert_eq!(to("x/a.txt", "s3://b/p").unwrap(), "s3://b/p");
        assert_eq!(to("s3://b/p/k?", "new/").unwrap(), "new/k?");
        assert_eq!(to("s3://b/p/k", "/").unwrap(), "/k");
        assert_eq!(to("-", "s3://b/k").unwrap(), "s3://b/k");
    }

    #[test]
    fn hostile_or_missing_names_are_refused() {
        for (from, into) in [("s3://b/a/..", "out/"), ("s3://b/a/", "out/"), ("-", "s3://b/")] {
            assert!(to(from, into).is_err(), "{from} {into}");
        }
    }
}
