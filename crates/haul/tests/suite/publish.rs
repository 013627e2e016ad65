//! `publish`: files compared, uploaded where they differ, and a link for each (system S0).
//!
//! Owns: the queue and its workers, what is counted, what is a failure, what is uploaded again.

use haul::{
    ErrorKind, Jobs, Location, Outcome, Provider, PublishRequest, Result, Skip, Summary,
    TransferHandle,
};
use haul_testkit::{ChecksumSupport, Fault, Op, Rule, RuleHandle, StoreRules, sizes};

use crate::kit::{Kit, MIB, PART, all, or_hang, s3, set_concurrency};
use crate::many_kit::{patient, with};

pub(crate) fn publish_of(from: Location, to: Location) -> PublishRequest {
    PublishRequest::new(vec![from], to)
}

fn files(kit: &Kit, count: usize) {
    for i in 0..count {
        kit.write(&format!("in/{i:03}.txt"), format!("content {i}").as_bytes());
    }
}

async fn with_requests(requests: usize) -> Kit {
    Kit::with(StoreRules::default(), |o| {
        patient(o);
        set_concurrency(o, requests);
    })
    .await
}

/// Gives everything that could still happen the chance to.
async fn let_all_happen() {
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
}

/// S0.1, S0.4, S0.5, S0.6, S0.13, S0.14, S0.27, X0.2, X0.8: N workers, N requests in flight and
/// never more, whatever the number of files; the producer waits meanwhile.
#[tokio::test]
async fn so_many_at_once_and_never_more() {
    for n in [1, 4, 8, 16] {
        let kit = with_requests(n).await;
        files(&kit, 3 * n + 5);
        let hold = kit.server.faults().add(Rule::on(Op::HeadObject).always().then(Fault::Stall));
        let request = publish_of(kit.local("in/"), s3("p"));
        let job = Box::pin(kit.haul.publish(request)).await.unwrap();
        let many = tokio::spawn(all(job));
        or_hang("N at once", kit.server.calls().wait_in_flight(Op::HeadObject, n)).await;
        let_all_happen().await;
        assert_eq!(kit.count(Op::Any), n, "the rest waits");
        hold.release();
        let many = or_hang("the job", many).await.unwrap();
        assert_eq!(many.counts(), ((3 * n + 5) as u64, 0, 0, 0));
        assert_eq!(kit.server.calls().peak_in_flight(), n);
    }
}

/// X0.4, S0.25, S0.26: files of equal length go in waves, ceil(files / N) of them: while one wave is
/// held, no file of the next one has begun.
#[tokio::test]
async fn equal_files_go_in_waves() {
    for (count, n, waves) in [(10, 4, 3), (10, 8, 2), (12, 4, 3), (3, 1, 3), (5, 16, 1)] {
        let kit = with_requests(n).await;
        files(&kit, count);
        let width = u32::try_from(n).unwrap();
        let wave = |i| Rule::on(Op::HeadObject).nth(i * width + 1).times(width).then(Fault::Stall);
        let rules: Vec<_> = (0..waves).map(|i| kit.server.faults().add(wave(i))).collect();
        let job = Box::pin(kit.haul.publish(publish_of(kit.local("in/"), s3("p")))).await.unwrap();
        let many = tokio::spawn(all(job));
        let mut left = u32::try_from(count).unwrap();
        for (i, rule) in rules.iter().enumerate() {
            or_hang("the wave", rule.wait_hits(left.min(width))).await;
            let_all_happen().await;
            assert_eq!(rules.get(i + 1).map_or(0, RuleHandle::hits), 0, "{count} by {n}");
            left = left.saturating_sub(width);
            rule.release();
        }
        assert_eq!(left, 0);
        let many = or_hang("the job", many).await.unwrap();
        assert_eq!(many.counts(), (count as u64, 0, 0, 0));
    }
}

/// S0.2: links alone are made as many at once.
#[tokio::test]
async fn links_alone_are_concurrent_too() {
    let kit = with_requests(8).await;
    files(&kit, 20);
    let request = publish_of(kit.local("in/"), s3("p"));
    kit.publish(request.clone()).await.summary();
    kit.asked();
    let hold = kit.server.faults().add(Rule::on(Op::HeadObject).always().then(Fault::Stall));
    let request = with(request, |r| r.url_only = true);
    let many = tokio::spawn(all(Box::pin(kit.haul.publish(request)).await.unwrap()));
    or_hang("8 at once", kit.server.calls().wait_in_flight(Op::HeadObject, 8)).await;
    hold.release();
    let many = or_hang("the job", many).await.unwrap();
    assert_eq!(many.counts(), (20, 0, 0, 0));
    assert_eq!(kit.server.calls().peak_in_flight(), 8);
    assert_eq!(kit.asked(), [(Op::HeadObject, 20)]);
}

/// S0.9, S0.21, S0.22: all workers share one client with its gate, so more workers are not more
/// requests.
#[tokio::test]
async fn workers_share_one_client() {
    let kit = with_requests(3).await;
    files(&kit, 30);
    let request = with(publish_of(kit.local("in/"), s3("p")), |r| r.jobs = Jobs::Fixed(16));
    let hold = kit.server.faults().add(Rule::on(Op::HeadObject).always().then(Fault::Stall));
    let many = tokio::spawn(all(Box::pin(kit.haul.publish(request)).await.unwrap()));
    or_hang("3 at once", kit.server.calls().wait_in_flight(Op::HeadObject, 3)).await;
    let_all_happen().await;
    hold.release();
    assert_eq!(or_hang("the job", many).await.unwrap().counts(), (30, 0, 0, 0));
    assert_eq!(kit.server.calls().peak_in_flight(), 3);
}

/// Stops a job of large files once parts are on their way.
async fn stopped(kit: &Kit) {
    for i in 0..6 {
        kit.write(&format!("in/{i}"), &sizes::pattern(usize::try_from(2 * PART).unwrap(), i));
    }
    let hold = kit.server.faults().add(Rule::on(Op::UploadPart).always().then(Fault::Stall));
    let job = Box::pin(kit.haul.publish(publish_of(kit.local("in"), s3("p")))).await.unwrap();
    or_hang("parts", hold.wait_hits(2)).await;
    kit.haul.cancel();
    let e = or_hang("the job", job).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled);
    // The server does not notice that nobody waits for it any more.
    hold.release();
    or_hang("the last request", kit.server.calls().wait_idle()).await;
}

/// S0.8: a job that is stopped has ended all its workers, and nothing half-done is visible.
#[tokio::test]
async fn a_stopped_job_ends() {
    let kit = Kit::with(StoreRules::default(), patient).await;
    stopped(&kit).await;
    assert!(kit.keys().is_empty());
}

/// U0.6: and no part of it stays behind.
#[tokio::test]
async fn a_stopped_job_leaves_no_parts() {
    let kit = Kit::with(StoreRules::default(), patient).await;
    stopped(&kit).await;
    kit.assert_nothing_left();
}

/// S0.7, S0.24: compare, upload, link: two small requests for a small file, and no third.
#[tokio::test]
async fn small_files_are_one_head_and_one_put() {
    let kit = Kit::new().await;
    files(&kit, 200);
    let many = kit.publish(publish_of(kit.local("in/"), s3("p"))).await;
    assert_eq!(many.counts(), (200, 0, 0, 0));
    assert_eq!(kit.asked(), [(Op::HeadObject, 200), (Op::PutObject, 200)]);
    assert!(many.items.iter().all(|s| s.link.is_some()));
    let order: Vec<_> = many.items.iter().map(|s| s.from.clone()).collect();
    assert!(order.is_sorted(), "U0.6: output in the order of names");
}

/// S0.11, S0.16, S0.17, U0.1, U0.3: one failure stops nothing; every result is there once, and the
/// bytes are those that were uploaded.
#[tokio::test]
async fn every_result_is_counted_once() {
    let kit = Kit::new().await;
    files(&kit, 30);
    kit.put("p/005.txt", b"content 5");
    kit.put("p/006.txt", b"content 6");
    for key in ["p/010.txt", "p/020.txt"] {
        let rule = Rule::on(Op::PutObject).key(key).always().then(Fault::status(403));
        kit.server.faults().add(rule);
    }
    let many = kit.publish(publish_of(kit.local("in/"), s3("p"))).await;
    assert_eq!(many.counts(), (26, 2, 0, 2));
    let sum = many.summary();
    assert_eq!((sum.found, sum.settled(), sum.complete), (30, 30, true));
    let failed: Vec<_> = many.failures();
    assert!(failed[0].contains("p/010.txt") && failed[1].contains("p/020.txt"), "{failed:?}");
    let bytes = (0..30).filter(|i| ![5, 6, 10, 20].contains(i));
    let bytes: usize = bytes.map(|i| format!("content {i}").len()).sum();
    assert_eq!(sum.bytes, bytes as u64);
    assert_eq!(kit.keys().len(), 28);
    for (i, link) in many.links().iter().enumerate() {
        assert_eq!(link.is_empty(), [10, 20].contains(&i), "skipped files have links, too");
    }
}

/// S0.21: a store that asks for fewer requests gets them again, later.
#[tokio::test]
async fn slow_down_is_heeded() {
    let kit = Kit::new().await;
    files(&kit, 6);
    for op in [Op::HeadObject, Op::PutObject] {
        kit.server.faults().add(Rule::on(op).times(3).then(Fault::status(503)));
    }
    let many = kit.publish(publish_of(kit.local("in/"), s3("p"))).await;
    assert_eq!(many.counts(), (6, 0, 0, 0));
    assert!(many.summary().retried >= 6);
}

/// U0.2: only "not found" means that it is not there. A refusal, a failing store, silence: nothing is
/// uploaded on a guess.
#[tokio::test]
async fn a_head_that_fails_is_a_failure() {
    for (fault, kind) in [
        (Fault::status(403), ErrorKind::AccessDenied),
        (Fault::status(500), ErrorKind::Server),
        (Fault::Stall, ErrorKind::Stalled),
    ] {
        let kit = Kit::with(StoreRules::default(), |o| {
            o.engine.retry = haul::RetryPolicy::with_tries(2);
            o.source.timeout = std::time::Duration::from_millis(200);
            o.dest.timeout = o.source.timeout;
        })
        .await;
        files(&kit, 3);
        let rule = Rule::on(Op::HeadObject).key("p/001.txt").always().then(fault.clone());
        kit.server.faults().add(rule);
        let many = kit.publish(publish_of(kit.local("in/"), s3("p"))).await;
        assert_eq!(many.counts(), (2, 0, 0, 1), "{fault:?}");
        let Outcome::Failed(e) = &many.items[1].outcome else { unreachable!() };
        assert_eq!(e.kind(), kind, "{fault:?}: {e}");
        assert!(kit.stored("p/001.txt").is_none(), "{fault:?}");
        assert!(many.items[1].link.is_none());
        assert_eq!(many.summary().missing, 0, "{fault:?} is not 'not found'");
    }
}

/// S0.7, U0.3: what is there already is skipped, with its link; what was edited goes again.
#[tokio::test]
async fn a_second_publish_uploads_nothing() {
    let kit = Kit::new().await;
    files(&kit, 10);
    kit.write("in/empty", b"");
    let request = publish_of(kit.local("in/"), s3("p"));
    assert_eq!(kit.publish(request.clone()).await.counts(), (11, 0, 0, 0));
    kit.asked();
    let again = kit.publish(request.clone()).await;
    assert_eq!(again.counts(), (0, 11, 0, 0));
    assert_eq!(kit.asked(), [(Op::HeadObject, 11)]);
    assert!(again.links().iter().all(|link| link.contains("X-Amz-Signature")));
    assert!(again.items.iter().all(|s| matches!(s.outcome, Outcome::Skipped(Skip::Same(_)))));
    kit.edit_in_secret("in/003.txt");
    assert_eq!(kit.publish(request).await.counts(), (1, 10, 0, 0));
    kit.assert_alike("p/", "in");
}

/// U0.5: one byte of a multipart object, on a store that keeps no checksums: compared by the MD5s of
/// its parts.
#[tokio::test]
async fn an_edit_of_the_same_size_is_seen_in_parts_too() {
    for checksums in [ChecksumSupport::Accept, ChecksumSupport::NotEvenAskedFor] {
        let rules = StoreRules { checksums, ..StoreRules::default() };
        let kit = Kit::with(rules, |_| ()).await;
        kit.write("in/f", &sizes::pattern(usize::try_from(2 * PART + MIB).unwrap(), 1));
        let request = publish_of(kit.local("in/"), s3("p"));
        assert_eq!(kit.publish(request.clone()).await.counts(), (1, 0, 0, 0));
        assert_eq!(kit.stored("p/f").unwrap().part_sizes.len(), 3);
        assert_eq!(kit.publish(request.clone()).await.counts(), (0, 1, 0, 0), "{checksums:?}");
        kit.edit_in_secret("in/f");
        assert_eq!(kit.publish(request).await.counts(), (1, 0, 0, 0), "{checksums:?}");
        kit.assert_alike("p/", "in");
        kit.assert_nothing_left();
    }
}

/// U0.5: what nothing shows to be the same is sent again: here an ETag of parts that says nothing.
#[tokio::test]
async fn what_cannot_be_compared_is_sent_again() {
    let rules = StoreRules { checksums: ChecksumSupport::NotEvenAskedFor, ..StoreRules::default() };
    let kit = Kit::with(rules, |o| o.dest.provider = Some(Provider::B2)).await;
    kit.write("in/f", &sizes::pattern(usize::try_from(2 * PART + MIB).unwrap(), 1));
    kit.write("in/small", b"its ETag is its MD5");
    let request = publish_of(kit.local("in/"), s3("p"));
    assert_eq!(kit.publish(request.clone()).await.counts(), (2, 0, 0, 0));
    assert_eq!(kit.publish(request.clone()).await.counts(), (1, 1, 0, 0));
    kit.edit_in_secret("in/f");
    assert_eq!(kit.publish(request).await.counts(), (1, 1, 0, 0));
    kit.assert_alike("p/", "in");
}

/// U0.5: an upload in parts that fails is taken back.
#[tokio::test]
async fn a_failed_upload_in_parts_is_aborted() {
    let kit = Kit::new().await;
    kit.write("in/f", &sizes::pattern(usize::try_from(2 * PART).unwrap(), 1));
    kit.write("in/g", b"small");
    kit.server.faults().add(Rule::on(Op::UploadPart).always().then(Fault::status(403)));
    let many = kit.publish(publish_of(kit.local("in/"), s3("p"))).await;
    assert_eq!(many.counts(), (1, 0, 0, 1));
    assert_eq!(kit.keys(), ["p/g"]);
    kit.assert_nothing_left();
}

async fn refused(kit: &Kit, request: PublishRequest) -> haul::Error {
    let started: Result<TransferHandle<Summary>> = Box::pin(kit.haul.publish(request)).await;
    match started {
        Ok(handle) => or_hang("the job", handle).await.unwrap_err(),
        Err(e) => e,
    }
}

/// S0.3, U0.6: two files that would get one key are found before anything is written.
#[tokio::test]
async fn collisions_are_refused_before_anything_is_written() {
    let kit = Kit::new().await;
    kit.write("in/a/x", b"1");
    kit.write("in/b/x", b"2");
    kit.write("in/first", b"0");
    let flat = with(publish_of(kit.local("in"), s3("p")), |r| r.flatten = true);
    let e = refused(&kit, flat).await;
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("in/a/x") && e.to_string().contains("in/b/x"), "{e}");
    let both = PublishRequest::new(vec![kit.local("in/a/x"), kit.local("in/b/x")], s3("p"));
    assert_eq!(refused(&kit, both).await.kind(), ErrorKind::Invalid);
    assert_eq!(kit.count(Op::Any), 0);
}

/// Requests that make no sense are refused, before anything is written.
#[tokio::test]
async fn nonsense_is_refused() {
    let kit = Kit::new().await;
    kit.write("in/f", b"x");
    kit.put("q/x", b"x");
    let week = std::time::Duration::from_hours(7 * 24);
    let link = haul::LinkStyle::Presigned(week + std::time::Duration::from_secs(1));
    for request in [
        publish_of(kit.local("in"), kit.local("out")),
        publish_of(s3("q/"), s3("p")),
        with(publish_of(kit.local("in"), s3("p")), |r| r.link = link),
    ] {
        assert_eq!(refused(&kit, request).await.kind(), ErrorKind::Invalid);
    }
    assert_eq!(kit.keys(), ["q/x"]);
    let gone = PublishRequest::new(vec![kit.local("nowhere"), kit.local("in/f")], s3("p"));
    let many = kit.publish(gone).await;
    assert_eq!(many.counts(), (1, 0, 0, 1), "a source that is not there fails alone");
}
