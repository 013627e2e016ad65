//! Files to a store, with a link for each: `publish`.
//!
//! Owns compare, upload and link for one file after the other on each worker (S0.7). The queue is
//! bounded and its workers are awaited (S0.4-S0.8); where names could collide, all of them are listed
//! before anything is written (S0.3).

use std::sync::Arc;
use std::time::Instant;

use haul_core::handle::JobContext;
use haul_core::{
    Change, Error, ErrorKind, Foreign, Hint, Link, Location, Op, Outcome, Result, Settled, Skip,
    Summary, TransferHandle,
};
use haul_s3::{ObjectId, S3Client};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::compare::{self, Verdict};
use crate::mover::{How, Mover};
use crate::picks::{Origin, Pick, Rules, refuse_collisions};
use crate::tree::{Task, done, summary, tasks};
use crate::{Haul, LinkStyle, PublishRequest};

/// What stays as it is in the path of a link (RFC 3986, unreserved, and the slash).
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

#[derive(Debug, Clone)]
struct Publisher {
    mover: Mover,
    client: S3Client,
    link: LinkStyle,
    url_only: bool,
}

impl Haul {
    /// Starts to publish files.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` where the destination is in no store, a source is not on a disk, or
    /// links cannot live so long. From the handle: `Invalid` where two sources would get one name,
    /// and what [requests and disks](crate#errors) may end with where that ends the job. What goes
    /// wrong with one file is an event.
    pub async fn publish(&self, request: PublishRequest) -> Result<TransferHandle<Summary>> {
        let this = self.begin();
        if !matches!(request.to, Location::S3 { .. }) {
            let what = "links are made to objects: it must be a bucket or a prefix";
            return Err(Error::new(ErrorKind::Invalid, Op::Parse, &request.to, what)
                .with_hint(Hint::WritePrefix));
        }
        if let Some(other) =
            request.select.sources.iter().find(|s| !matches!(s, Location::Local(_)))
        {
            let what = "files of this machine are published";
            return Err(
                Error::new(ErrorKind::Invalid, Op::Open, other, what).with_hint(Hint::Presign)
            );
        }
        let client = this.dest_client().await?;
        this.refuse_bad_link(&request, &client).await?;
        let roots = this.roots(&request.select, true).await?;
        let mut rules = Rules::new(&request.select, false, None);
        rules.flatten = request.flatten;
        let how = How {
            attributes: request.attributes.clone(),
            overwrite: true,
            keep_times: false,
            remove_source: false,
            multipart_copy_above: haul_s3::COPY_OBJECT_LIMIT,
            dry_run: request.dry_run,
        };
        let place = this.place(request.to.clone()).await?;
        let dedupe = this.dedupe(request.dedupe.as_deref(), &place);
        let folders = roots.iter().filter_map(|root| root.kind.folder());
        let shared = this.shared(&rules, place, how, dedupe);
        let publisher = Publisher {
            mover: Mover(Arc::new(shared.reading(folders, rules.walk.symlinks).await?)),
            client,
            link: request.link,
            url_only: request.url_only,
        };
        let (engine, jobs) = (this.engine.clone(), this.jobs(request.jobs, false));
        Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
            let started = Instant::now();
            refuse_collisions(&engine, &cx, &roots, &rules).await?;
            let (items, jobs) = jobs.settle(tasks(&engine, &cx, roots, rules)).await;
            let work = move |task: Task<Box<Pick>>, cx| {
                let publisher = publisher.clone();
                async move { vec![done(task, |pick| publisher.settle(*pick, cx)).await] }
            };
            engine.many(jobs, &cx, items, work).await?;
            Ok(summary(&cx, started))
        }))
    }

    /// A life that no link can have is refused before anything is uploaded.
    async fn refuse_bad_link(&self, request: &PublishRequest, client: &S3Client) -> Result<()> {
        if let (LinkStyle::Presigned(expires), Location::S3 { bucket, .. }) =
            (&request.link, &request.to)
        {
            let probe = ObjectId::new(bucket, "x");
            haul_s3::presign_get(client, &probe, *expires).await?;
        }
        Ok(())
    }
}

impl Publisher {
    /// S0.7: compare, upload if needed, link.
    async fn settle(self, pick: Pick, cx: JobContext) -> Settled {
        let (from, to) = (Foreign::from(&pick.from), self.mover.0.to.name(&pick.to));
        let size = pick.entry.size;
        let (outcome, link) = match self.try_one(&pick, &cx).await {
            Ok((outcome, link)) => (outcome, link),
            Err(e) => (Outcome::Failed(e), None),
        };
        let mut settled = Settled::new(from, to, outcome).sized(size);
        settled.link = link;
        settled
    }

    async fn try_one(&self, pick: &Pick, cx: &JobContext) -> Result<(Outcome, Option<Link>)> {
        let object = self.mover.0.to.object(&pick.to)?;
        let outcome = if self.url_only {
            compare::look(&self.mover.0.engine, cx, &self.client, &object).await?;
            Outcome::Linked
        } else {
            self.upload(pick, &object, cx).await?
        };
        let there = !matches!(outcome, Outcome::Would(_));
        let link = if there { Some(self.link(&object).await?) } else { None };
        Ok((outcome, link))
    }

    async fn upload(&self, pick: &Pick, object: &ObjectId, cx: &JobContext) -> Result<Outcome> {
        let Origin::File(path) = &pick.from else {
            let what = "files of this machine are published";
            return Err(Error::new(ErrorKind::Invalid, Op::Open, &pick.from, what));
        };
        let engine = &self.mover.0.engine;
        let verdict = match compare::look(engine, cx, &self.client, object).await {
            Ok(info) => {
                let theirs = (&self.client, object, &info);
                Some(compare::file_with_object(engine, cx, path, theirs).await?)
            }
            // U0.2: only this means that it is not there; all else is a failure.
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        if let Some(Verdict::Same(by)) = verdict {
            return Ok(Outcome::Skipped(Skip::Same(by)));
        }
        if self.mover.0.how.dry_run {
            return Ok(Outcome::Would(Change::Copy));
        }
        let report = self.mover.copy(pick, cx).await?;
        Ok(Outcome::Copied(Box::new(report)))
    }

    async fn link(&self, object: &ObjectId) -> Result<Link> {
        match &self.link {
            LinkStyle::Presigned(expires) => {
                Ok(Link(haul_s3::presign_get(&self.client, object, *expires).await?.url))
            }
            LinkStyle::Below(base) => {
                let base = base.trim_end_matches('/');
                Ok(Link(format!("{base}/{}", utf8_percent_encode(&object.key, PATH))))
            }
        }
    }
}
