//! What a ticket stands for, and which tickets are over.
//!
//! Owns the two things that a sender's key comes from besides the identity: everything that decides
//! what is shared, and how often tickets for it were ended. The same command gives the same ticket
//! only while both are the same: who was given some of a folder must not get more of it when it is
//! shared again, and what was revoked or has expired must not come back. What cannot be looked up
//! counts as ended.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul::{Error, ErrorKind, Hint, Location, Op, Result, ShareKey};

use crate::args::SendArgs;
use crate::config::{self, ProfileRef};
use crate::identity::Identity;
use crate::settings;

/// How often it is looked whether a ticket was revoked while it is shared.
const LOOK: Duration = Duration::from_secs(1);

/// Fields one after the other, so that no two lists of them look the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.extend((field.len() as u64).to_le_bytes());
        self.0.extend(field);
    }

    fn add_all<T: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = T>) {
        let mut own = Self::default();
        fields.into_iter().for_each(|field| own.add(field));
        self.add(own.0);
    }
}

/// Everything that decides what is shared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    sources: Fields,
    /// The sources, and what is taken of them and how.
    all: Fields,
    /// The same, and when it ends by itself; `None` if it does not.
    limited: Option<Fields>,
}

impl Subject {
    pub(crate) fn of(args: &SendArgs, from: &[Location]) -> anyhow::Result<Self> {
        let mut sources = Fields::default();
        let mut places: Vec<_> = from.iter().map(source).collect();
        places.sort_unstable();
        sources.add_all(places);
        if from.iter().any(|place| matches!(place, Location::S3 { .. })) {
            sources.add_all(store(args));
        }
        let mut all = sources.clone();
        for choice in [named(&args.format), named(&args.symlinks)] {
            all.add(choice);
        }
        all.add(args.name.as_deref().unwrap_or_default());
        let patterns = settings::patterns(&args.filter)?;
        all.add_all(patterns.iter().map(|p| format!("{}{}", u8::from(p.include), p.text)));
        let filter = &args.filter;
        for size in [filter.min_size, filter.max_size] {
            all.add_all(size.map(|size| size.0.to_le_bytes()));
        }
        for moment in [&filter.newer_than, &filter.older_than] {
            // As it was typed: what is a week old is something else every day, on purpose.
            all.add_all(moment.as_ref().map(|moment| &moment.typed));
        }
        let receivers = if args.once { Some(1) } else { args.max_receivers };
        let limited = (receivers.is_some() || args.expire.is_some()).then(|| {
            let mut limited = all.clone();
            limited.add_all(receivers.map(u64::to_le_bytes));
            limited.add_all(args.expire.map(|life| life.as_millis().to_le_bytes()));
            limited
        });
        Ok(Self { sources, all, limited })
    }
}

fn named(choice: &impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Which store, as far as names in it can mean something else in another.
fn store(args: &SendArgs) -> [String; 3] {
    let of = |names: &[&str]| names.iter().find_map(|name| config::variable(name));
    let args = &args.store;
    let endpoint = args.endpoint_url.clone();
    let endpoint = endpoint.or_else(|| of(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
    let profile = args.profile.as_ref().and_then(ProfileRef::aws).map(str::to_owned);
    let profile = profile.or_else(|| of(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]));
    let endpoint = endpoint.unwrap_or_default().trim_end_matches('/').to_owned();
    [endpoint, profile.unwrap_or_default(), args.no_sign_request.to_string()]
}

/// A source as it is, and not as it is shown: what is not shown of an address may decide what it
/// stands for.
fn source(from: &Location) -> Vec<u8> {
    let path = match from {
        Location::Local(path) => path,
        Location::Http(url) => return url.clone().into_bytes(),
        Location::S3 { bucket, key } => return format!("s3://{bucket}/{key}").into_bytes(),
        other => return other.to_string().into_bytes(),
    };
    let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
    let mut bytes = whole.unwrap_or_else(|_| path.clone()).into_os_string().into_encoded_bytes();
    // A slash behind a folder means its contents: another share.
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        bytes.push(b'/');
    }
    bytes
}

/// What is known of tickets for one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    /// How many were ended.
    ended: u64,
    /// When the present one ends, in seconds since 1970.
    until: Option<u64>,
}

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let ended = words.next()?.parse().ok()?;
        let until = words.next().map(str::parse).transpose().ok()?;
        words.next().is_none().then_some(Self { ended, until })
    }

    /// The next ticket's, once this one is over.
    fn next(self) -> Self {
        Self { ended: self.ended.saturating_add(1), until: None }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The tickets of one identity that are over: small files in the state folder, which tell nothing of
/// what was shared or of its tickets.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    folder: PathBuf,
    identity: Identity,
}

/// A key, and how its ticket can end.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) share: ShareKey,
    /// What has to be ended with the share, if it ends by itself.
    limited: Option<PathBuf>,
    /// Where it would be revoked, and what is there now.
    revoked: (PathBuf, Record),
}

impl Book {
    /// The book in the state folder, for those who have this identity.
    pub(crate) fn of(identity: Identity) -> Self {
        Self { folder: config::state_dir().join("tickets"), identity }
    }

    fn path(&self, fields: &Fields) -> PathBuf {
        self.folder.join(ShareKey::of(&self.identity, &fields.0).name())
    }

    /// The key of a share that begins now: another one after each end of the last.
    pub(crate) fn key(&self, subject: &Subject, expire: Option<Duration>) -> Result<Key> {
        let now = SystemTime::now();
        let revoked = self.path(&subject.sources);
        let revoked = (revoked.clone(), read(&revoked)?);
        let mut fields = subject.all.clone();
        let mut limited = None;
        if let Some(subject) = &subject.limited {
            let path = self.path(subject);
            let mut record = read(&path)?;
            if record.until.is_some_and(|until| until <= seconds(now)) {
                record = record.next();
            }
            let end = expire.and_then(|life| now.checked_add(life)).map(seconds);
            record.until = record.until.max(end);
            // What cannot be ended later must not begin.
            write(&path, record)?;
            fields = subject.clone();
            fields.add(record.ended.to_le_bytes());
            limited = Some(path);
        }
        fields.add(revoked.1.ended.to_le_bytes());
        Ok(Key { share: ShareKey::of(&self.identity, &fields.0), limited, revoked })
    }

    /// Ends all tickets for the sources of `subject`, whatever was taken of them.
    pub(crate) fn revoke(&self, subject: &Subject) -> Result<()> {
        end(&self.path(&subject.sources))
    }
}

impl Key {
    /// Its share has ended by itself: its ticket is never good again.
    pub(crate) fn end(&self) -> Result<()> {
        self.limited.as_deref().map_or(Ok(()), end)
    }

    /// Waits until it is revoked.
    pub(crate) async fn revoked(&self) {
        let (path, before) = &self.revoked;
        loop {
            tokio::time::sleep(LOOK).await;
            // What cannot be read now is looked at again: only a record ends what runs.
            if read(path).is_ok_and(|now| now.ended != before.ended) {
                return;
            }
        }
    }
}

fn read(path: &Path) -> Result<Record> {
    match std::fs::read_to_string(path) {
        Ok(text) => Record::parse(&text).ok_or_else(|| {
            let what = "it does not say which tickets are over";
            Error::new(ErrorKind::Invalid, Op::Parse, path.display(), what)
                .with_hint(Hint::own("haul send --revoke writes it anew"))
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
        Err(e) => Err(Error::io(Op::Open, path.display(), e)),
    }
}

fn end(path: &Path) -> Result<()> {
    // Beyond all counts that a damaged record may have had.
    let anew = || Record { ended: seconds(SystemTime::now()).max(1), until: None };
    let next = match read(path) {
        Ok(record) => record.next(),
        Err(e) if e.kind() == ErrorKind::Invalid => anew(),
        Err(e) => return Err(e),
    };
    write(path, next)
}

/// Writes a record, whole or not at all.
fn write(path: &Path, record: Record) -> Result<()> {
    let failed = |e| Error::io(Op::Write, path.display(), e);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let until = record.until.map(|until| format!(" {until}")).unwrap_or_default();
    writeln!(file, "{}{until}", record.ended).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Send {
        #[command(flatten)]
        args: SendArgs,
    }

    fn subject(words: &[&str]) -> Subject {
        let args = Send::try_parse_from([&["send"], words].concat()).unwrap().args;
        let from: Vec<_> = args.sources.iter().map(|word| Location::parse(word).unwrap()).collect();
        Subject::of(&args, &from).unwrap()
    }

    fn book(folder: &Path) -> Book {
        Book { folder: folder.join("tickets"), identity: [7; 32] }
    }

    /// D4: whatever decides what is shared decides the ticket.
    #[test]
    fn a_ticket_stands_for_all_that_decides_what_is_shared() {
        let same = [
            (&["src", "s3://b/k"][..], &["s3://b/k", "./src"][..]),
            (
                &["--endpoint-url", "http://h/", "s3://b/k"],
                &["--endpoint-url", "http://h", "s3://b/k"],
            ),
            (&["--endpoint-url", "http://h", "src"], &["src"]),
            (&["--newer-than", "7d", "src"], &["--newer-than", "7d", "src"]),
        ];
        for (one, other) in same {
            assert_eq!(subject(one), subject(other), "{one:?} {other:?}");
        }
        let all: &[&[&str]] = &[
            &["src"],
            &["src/"],
            &["Cargo.toml"],
            &["src", "Cargo.toml"],
            &["--exclude", "*.key", "src"],
            &["--include", "*.key", "src"],
            &["--exclude", "a", "--include", "b", "src"],
            &["--include", "b", "--exclude", "a", "src"],
            &["--min-size", "1", "src"],
            &["--max-size", "1", "src"],
            &["--newer-than", "7d", "src"],
            &["--older-than", "7d", "src"],
            &["--newer-than", "8d", "src"],
            &["--symlinks", "follow", "src"],
            &["--format", "sendme", "src"],
            &["--once", "src"],
            &["--max-receivers", "2", "src"],
            &["--expire", "1h", "src"],
            &["https://h/doc?id=1"],
            &["https://h/doc?id=2"],
            &["https://u:p@h/doc?id=1"],
            &["s3://b/k"],
            &["--endpoint-url", "http://one", "s3://b/k"],
            &["--endpoint-url", "http://two", "s3://b/k"],
            &["--profile", "one", "s3://b/k"],
            &["--profile", "two", "s3://b/k"],
        ];
        let folder = tempfile::tempdir().unwrap();
        let mut keys: Vec<(&[&str], ShareKey)> = Vec::new();
        for words in all {
            let key = book(folder.path()).key(&subject(words), None).unwrap().share;
            for (other, earlier) in &keys {
                assert!(key != *earlier, "{words:?} and {other:?}");
            }
            keys.push((words, key));
        }
        let other = Book { identity: [8; 32], ..book(folder.path()) };
        assert!(other.key(&subject(&["src"]), None).unwrap().share != keys[0].1);
    }

    /// D4: an end is for good, of the one ticket or of all for the sources, and for nothing else.
    #[test]
    fn what_is_over_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (book, hour) = (book(folder.path()), Some(Duration::from_hours(1)));
        let key = |words: &[&str], expire| book.key(&subject(words), expire).unwrap();
        let (open, once) = (key(&["src"], None), key(&["--once", "src"], None));
        assert!(key(&["--once", "src"], None).share == once.share, "it was not ended");
        open.end().unwrap();
        assert!(key(&["src"], None).share == open.share, "it does not end by itself");
        once.end().unwrap();
        let second = key(&["--once", "src"], None);
        assert!(second.share != once.share && key(&["src"], None).share == open.share);

        // A time that is over is over, although the process that it was for was killed.
        let limited = ["--expire", "1h", "src"];
        let first = key(&limited, hour);
        assert!(key(&limited, hour).share == first.share);
        let path = first.limited.as_deref().unwrap();
        write(path, Record { until: Some(1), ..read(path).unwrap() }).unwrap();
        let next = key(&limited, hour);
        assert!(next.share != first.share && key(&limited, hour).share == next.share);

        book.revoke(&subject(&["--exclude", "x", "src"])).unwrap();
        for (words, before) in
            [(&["src"][..], &open), (&["--once", "src"], &second), (&limited, &next)]
        {
            assert!(key(words, None).share != before.share, "{words:?}");
        }
        let other = key(&["Cargo.toml"], None);
        book.revoke(&subject(&["src"])).unwrap();
        assert!(key(&["Cargo.toml"], None).share == other.share);
    }

    /// D4: who cannot find out what is over has no key that others may have.
    #[test]
    fn what_cannot_be_looked_up_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(folder.path());
        let before = book.key(&subject(&["src"]), None).unwrap();
        for text in ["", "x", "1 2 3", "-1"] {
            std::fs::create_dir_all(&book.folder).unwrap();
            std::fs::write(&before.revoked.0, text).unwrap();
            assert_eq!(book.key(&subject(&["src"]), None).unwrap_err().kind(), ErrorKind::Invalid);
        }
        // Ended once more, it is readable again, and none of the old ones.
        book.revoke(&subject(&["src"])).unwrap();
        assert!(book.key(&subject(&["src"]), None).unwrap().share != before.share);
        std::fs::remove_dir_all(&book.folder).unwrap();
        std::fs::write(&book.folder, "no folder").unwrap();
        assert!(book.key(&subject(&["--once", "src"]), None).is_err());
        assert!(book.revoke(&subject(&["src"])).is_err());
    }

    /// D4: a share that runs hears that its ticket was revoked.
    #[tokio::test(start_paused = true)]
    async fn what_runs_hears_of_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(folder.path());
        let key = book.key(&subject(&["src"]), None).unwrap();
        let early = tokio::time::timeout(Duration::from_mins(1), key.revoked()).await;
        assert!(early.is_err());
        book.revoke(&subject(&["src"])).unwrap();
        key.revoked().await;
    }
}
