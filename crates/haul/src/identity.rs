//! What a place is, whatever it is called.
//!
//! Owns the one answer to "the same?" and "inside?" for every verb: it follows from what a location
//! resolves to (the store behind the endpoint, bucket and key; device and inode), and must never
//! depend on the options that it was typed with.

use haul_core::handle::JobContext;
use haul_core::{Attributes, Entry, Error, ErrorKind, Hint, Location, Op, RelPath, Result};
use haul_local::Whereabouts;
use haul_s3::{ListSpec, ObjectId, S3Client, S3Lister, StoreId};

use crate::Haul;

/// Which side of a job a location is on: each has a store of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Dest,
}

/// What a location is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlaceId {
    /// A file or folder of this machine, be it there or not.
    Disk(Whereabouts),
    /// An object, or all keys that begin alike.
    Store(ThingId),
    /// A stream or an address: never the same as anything else.
    Elsewhere,
}

/// An object, or the name of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThingId {
    pub(crate) store: StoreId,
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// How a destination lies to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Neither is in the other.
    Apart,
    /// They are one.
    Same,
    /// The destination is in the source.
    DestInside,
    /// The source is in the destination.
    SourceInside,
}

impl Relation {
    fn of(same: bool, holds: bool, held: bool) -> Self {
        match (same, holds, held) {
            (true, ..) => Self::Same,
            (_, true, _) => Self::DestInside,
            (_, _, true) => Self::SourceInside,
            _ => Self::Apart,
        }
    }
}

impl PlaceId {
    /// How `dest` lies to this, its source, where both name trees.
    pub(crate) fn relation(&self, dest: &Self) -> Relation {
        let (same, holds, held) = match (self, dest) {
            (Self::Disk(a), Self::Disk(b)) => (a.is(b), a.holds(b), b.holds(a)),
            (Self::Store(a), Self::Store(b)) if a.store == b.store => return a.relation(b),
            _ => (false, false, false),
        };
        Relation::of(same, holds, held)
    }
}

impl PlaceId {
    /// The path from `dest` down to this, its source, where the source is inside of it.
    pub(crate) fn below(&self, dest: &Self) -> Option<RelPath> {
        match (self, dest) {
            (Self::Disk(from), Self::Disk(to)) => from.below(to).map(RelPath::new),
            (Self::Store(from), Self::Store(to)) if from.store == to.store && to.holds(from) => {
                let top = to.key.trim_end_matches('/');
                let rest = from.key.trim_end_matches('/').strip_prefix(top)?;
                let rest = rest.trim_start_matches('/');
                (!rest.is_empty()).then(|| RelPath::new(rest))
            }
            _ => None,
        }
    }
}

impl ThingId {
    pub(crate) fn new(client: &S3Client, bucket: &str, key: &str) -> Self {
        Self { store: client.store(), bucket: bucket.to_owned(), key: key.to_owned() }
    }

    /// The object, whatever version of it.
    pub(crate) fn of(client: &S3Client, object: &ObjectId) -> Self {
        Self::new(client, &object.bucket, &object.key)
    }

    /// Whether `other`, as a tree, is this tree or below it, if the stores are one.
    fn holds(&self, other: &Self) -> bool {
        let tree = self.key.strip_suffix('/').unwrap_or(&self.key);
        let rest = other.key.strip_prefix(tree);
        let below = |r: &str| tree.is_empty() || r.is_empty() || r.starts_with('/');
        self.bucket == other.bucket && rest.is_some_and(below)
    }

    /// How `dest` lies to this, if the stores are one.
    fn relation(&self, dest: &Self) -> Relation {
        let (holds, held) = (self.holds(dest), dest.holds(self));
        Relation::of(holds && held, holds, held)
    }
}

impl Haul {
    /// What `location` is on that side of a job.
    pub(crate) async fn place_id(&self, location: &Location, side: Side) -> Result<PlaceId> {
        Ok(match location {
            Location::Local(path) => PlaceId::Disk(Whereabouts::of(path).await?),
            Location::S3 { bucket, key } => {
                let client = match side {
                    Side::Source => self.source_client().await?,
                    Side::Dest => self.dest_client().await?,
                };
                PlaceId::Store(ThingId::new(&client, bucket, key))
            }
            _ => PlaceId::Elsewhere,
        })
    }

    /// How the tree `to` at the destination lies to the tree `from` at the source.
    pub(crate) async fn relation(&self, from: &Location, to: &Location) -> Result<Relation> {
        let from = self.place_id(from, Side::Source).await?;
        let to = self.place_id(to, Side::Dest).await?;
        if let (PlaceId::Store(from), PlaceId::Store(to)) = (&from, &to)
            && let nested @ (Relation::DestInside | Relation::SourceInside) = from.relation(to)
            && (from.store == to.store || self.looks_like_one(from, to).await?)
        {
            return Ok(nested);
        }
        Ok(from.relation(&to))
    }

    /// Whether two stores that are called differently show the same objects where one tree is said to
    /// be in the other: the same names, ETags and times. What cannot be listed tells nothing; the job
    /// itself will say why.
    async fn looks_like_one(&self, from: &ThingId, to: &ThingId) -> Result<bool> {
        let deeper = if from.key.len() > to.key.len() { from } else { to };
        let slash = if deeper.key.ends_with('/') { "" } else { "/" };
        let prefix = format!("{}{slash}", deeper.key);
        let cx = JobContext::unwatched(self.stop.token());
        let mut seen = Vec::new();
        for client in [self.source_client().await?, self.dest_client().await?] {
            let spec = ListSpec::new(deeper.bucket.clone(), prefix.clone());
            let mut listing = self.engine.listing(Box::new(S3Lister::new(client, spec)), &cx);
            let Some(Ok(page)) = listing.next().await else { return Ok(false) };
            let told = |e: Entry| (e.path, e.size, e.etag, e.modified);
            seen.push(page.entries.into_iter().map(told).collect::<Vec<_>>());
        }
        Ok(seen.first().is_some_and(|all| !all.is_empty()) && seen.first() == seen.last())
    }
}

/// The error for a `thing` that is its own destination.
pub(crate) fn onto_itself(
    op: Op,
    location: impl std::fmt::Display,
    thing: &str,
    asked: &Attributes,
) -> Error {
    let what = format!("source and destination are the same {thing}");
    let e = Error::new(ErrorKind::Invalid, op, location, what);
    match op {
        _ if *asked == Attributes::default() => e,
        Op::Move => e.with_hint(Hint::CopyInPlace),
        _ => e.with_hint(Hint::NameOneStore),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haul_s3::S3Options;

    async fn thing(endpoint: &str, region: &str, key: &str) -> PlaceId {
        let mut options = S3Options::default();
        options.endpoint_url = Some(endpoint.to_owned());
        options.region = Some(region.to_owned());
        options.no_sign_request = true;
        let client = S3Client::connect(&options).await.unwrap();
        PlaceId::Store(ThingId::new(&client, "b", key))
    }

    #[tokio::test]
    async fn trees_of_keys_and_what_is_in_them() {
        let of = |key: &'static str| thing("http://127.0.0.1:9", "us-east-1", key);
        for (from, to, relation) in [
            ("", "x/", Relation::DestInside),
            ("a", "a/b/", Relation::DestInside),
            ("a/", "a/", Relation::Same),
            ("a", "a/", Relation::Same),
            ("a", "ab/", Relation::Apart),
            ("a/b", "a", Relation::SourceInside),
        ] {
            assert_eq!(of(from).await.relation(&of(to).await), relation, "{from:?} {to:?}");
        }
    }

    /// A.1, F.4: neither a region nor another name for this machine makes another store.
    #[tokio::test]
    async fn a_store_is_not_what_it_was_typed_as() {
        let a = thing("http://127.0.0.1:9", "us-east-1", "p/").await;
        let b = thing("http://localhost:9/", "eu-west-1", "p/q").await;
        assert_eq!(a.relation(&b), Relation::DestInside);
        let other = thing("http://127.0.0.1:10", "us-east-1", "p/q").await;
        assert_eq!(a.relation(&other), Relation::Apart);
    }

    #[tokio::test]
    async fn folders_that_contain_their_destination() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &std::path::Path| PlaceId::Disk(Whereabouts::now(path));
        let (top, new) = (at(dir.path()), at(&dir.path().join("new/sub")));
        assert_eq!(top.relation(&new), Relation::DestInside);
        assert_eq!(new.relation(&top), Relation::SourceInside);
        assert_eq!(top.relation(&PlaceId::Elsewhere), Relation::Apart);
    }
}
