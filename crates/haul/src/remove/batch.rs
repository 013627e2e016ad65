//! Removing objects by one request, and again what a try left.
//!
//! Owns the tries: each looks first at what is to go only while it is what was listed, unless the
//! store compares by itself. Must never remove by what an earlier try saw.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use haul_core::handle::JobContext;
use haul_core::{Error, ErrorKind, Hint, Op, Outcome, Result, Retry};
use haul_s3::{S3Client, compares_when_removing};

use super::{Doomed, Remover};
use crate::compare;

/// Objects that one request removes, and what has become of each.
pub(super) struct Batch<'a> {
    remover: &'a Remover,
    client: &'a S3Client,
    bucket: &'a str,
    prefix: &'a str,
    doomed: &'a [Doomed],
    fates: Mutex<Vec<Fate>>,
}

/// What has become of something that is to be removed.
#[derive(Debug)]
enum Fate {
    /// It is there, for all that is known; with what the last try ran into.
    Open(Option<Error>),
    Settled(Outcome),
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        remover: &'a Remover,
        (client, bucket, prefix): (&'a S3Client, &'a str, &'a str),
        doomed: &'a [Doomed],
    ) -> Self {
        let fates = Mutex::new(doomed.iter().map(|_| Fate::Open(None)).collect());
        Self { remover, client, bucket, prefix, doomed, fates }
    }

    /// An outcome for each, in order.
    pub(super) async fn remove(self, cx: &JobContext) -> Vec<Outcome> {
        let location = format!("s3://{}", self.bucket);
        let engine = &self.remover.engine;
        let policy = engine.options().retry;
        // Boxed: requests within requests make types that are too deep for the compiler.
        let attempt = || -> BoxFuture<'_, Result<()>> { Box::pin(self.attempt(cx)) };
        let tried = engine.retrying(policy, cx, &location, attempt).await;
        let whole = tried.err();
        let stopped =
            |e: &Option<Error>| e.as_ref().is_some_and(|e| e.kind() == ErrorKind::Cancelled);
        let fates = self.fates.into_inner().unwrap_or_else(PoisonError::into_inner);
        let outcome = |(doomed, fate): (&Doomed, Fate)| match (fate, &whole) {
            (Fate::Settled(outcome), _) => outcome,
            (Fate::Open(Some(e)), whole) if !stopped(whole) => Outcome::Failed(e),
            // The request as a whole failed: so did every key, each with the same words.
            (Fate::Open(_), Some(e)) => {
                let place = format!("{location}/{}{}", self.prefix, doomed.path.exact());
                let each = Error::new(e.kind(), Op::Remove, place, e.detail());
                Outcome::Failed(match e.hint() {
                    Some(hint) => each.with_hint(hint.clone()),
                    None => each,
                })
            }
            (Fate::Open(_), None) => Outcome::Removed,
        };
        self.doomed.iter().zip(fates).map(outcome).collect()
    }

    /// One try at all that is left. It looks again, because an earlier one may have removed an object
    /// though its answer was lost, and somebody may have put another in its place.
    async fn attempt(&self, cx: &JobContext) -> Result<()> {
        self.look(cx).await;
        let left = self.left();
        let named: Vec<_> = left.iter().map(|index| self.named(&self.doomed[*index])).collect();
        if named.is_empty() {
            return Ok(());
        }
        let failures = haul_s3::remove_many(self.client, self.bucket, &named).await?;
        let mut failures: HashMap<_, _> = failures.into_iter().collect();
        let mut again = None;
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, index) in left.into_iter().enumerate() {
            fates[index] = match failures.remove(&at) {
                None => Fate::Settled(Outcome::Removed),
                Some(e) if e.retry() == Retry::Never => Fate::Settled(Outcome::Failed(e)),
                Some(e) => {
                    let same = || Error::new(e.kind(), Op::Remove, e.location(), e.detail());
                    again = again.or_else(|| Some(same().with_retry(e.retry())));
                    Fate::Open(Some(e))
                }
            };
        }
        again.map_or(Ok(()), Err)
    }

    /// What is still to be removed.
    fn left(&self) -> Vec<usize> {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |(_, fate): &(usize, &Fate)| matches!(fate, Fate::Open(_));
        fates.iter().enumerate().filter(open).map(|(index, _)| index).collect()
    }

    fn named(&self, doomed: &Doomed) -> haul_s3::Doomed {
        let key = format!("{}{}", self.prefix, doomed.path.exact());
        let (version_id, etag) = (doomed.version.clone(), self.condition(doomed));
        haul_s3::Doomed { key, version_id, etag }
    }

    /// What the store itself compares.
    fn condition(&self, doomed: &Doomed) -> Option<String> {
        let seen = doomed.seen.as_ref().filter(|_| compares_when_removing(self.client))?;
        seen.etag().map(str::to_owned)
    }

    /// Settles what is not what was seen any more, where the store does not look by itself.
    async fn look(&self, cx: &JobContext) {
        let to_see = |index: &usize| {
            let doomed = &self.doomed[*index];
            doomed.seen.is_some() && self.condition(doomed).is_none()
        };
        let to_see: Vec<_> = self.left().into_iter().filter(to_see).collect();
        let looks = futures::stream::iter(to_see)
            .map(|index| async move { (index, self.stays(index, cx).await) });
        let mut looks = looks.buffered(self.remover.engine.options().concurrency);
        while let Some((index, stays)) = looks.next().await {
            if let Some(outcome) = stays {
                let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
                fates[index] = Fate::Settled(outcome);
            }
        }
    }

    /// What becomes of an object that is not what was seen any more, by a look just before the removal;
    /// `None` if it goes.
    async fn stays(&self, index: usize, cx: &JobContext) -> Option<Outcome> {
        let doomed = &self.doomed[index];
        let seen = doomed.seen.as_ref()?;
        let object = match self.remover.target.object(&doomed.path) {
            Ok(object) => object,
            Err(e) => return Some(Outcome::Failed(e)),
        };
        match compare::look(&self.remover.engine, cx, self.client, &object).await {
            Ok(now) if seen.is(&now) => None,
            Ok(_) => {
                let what = "it is not what was listed any more: it stays";
                let e = Error::new(ErrorKind::SourceChanged, Op::Remove, &object, what);
                Some(Outcome::Failed(e.with_hint(Hint::TryAgain)))
            }
            // Somebody else was faster.
            Err(e) if e.kind() == ErrorKind::NotFound => Some(Outcome::Removed),
            Err(e) => Some(Outcome::Failed(e)),
        }
    }
}
