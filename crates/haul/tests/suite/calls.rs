//! How many requests a transfer makes, and what they carry.
//!
//! Owns: the counts that are promised. A count that changes is a change of behaviour.

use std::collections::BTreeMap;

use haul::{CopyRequest, PlanPolicy, Verified};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, KIB, Kit, MIB, PART, assert_same, or_hang, s3};

type Summary = BTreeMap<Op, usize>;

fn summary<const N: usize>(calls: [(Op, usize); N]) -> Summary {
    calls.into()
}

/// S3.9, S3.14, S3.34: HEAD, and a ranged GET for each part.
#[tokio::test]
async fn a_download_is_one_look_and_a_read_for_every_part() {
    let kit = Kit::with_parts(256 * KIB).await;
    let (object, content) = kit.object("k", 3 * 256 * KIB + 128 * KIB);
    let etag = format!("\"{}\"", kit.stored("k").unwrap().etag);
    let report = kit.copy(&object, &kit.local("f")).await.unwrap();
    assert_same(&std::fs::read(kit.path("f")).unwrap(), &content);
    let calls = kit.server.calls();
    assert_eq!(calls.summary(), summary([(Op::HeadObject, 1), (Op::GetObject, 4)]));
    let mut ranges = Vec::new();
    for get in calls.of(Op::GetObject) {
        assert_eq!(get.header("if-match"), Some(&*etag));
        assert_eq!(get.status, Some(206));
        ranges.push(get.target.range_bounds().unwrap());
    }
    ranges.sort_unstable();
    let part = 256 * KIB;
    let end = content.len() as u64 - 1;
    assert_eq!(
        ranges,
        [
            (0, Some(part - 1)),
            (part, Some(2 * part - 1)),
            (2 * part, Some(3 * part - 1)),
            (3 * part, Some(end))
        ]
    );
    let sent: u64 = calls.of(Op::GetObject).iter().map(|c| c.response_bytes).sum();
    assert_eq!(sent, content.len() as u64, "no byte comes twice");
    assert!(matches!(report.verified, Verified::Checksum(_)), "{}", report.verified);
    assert_eq!(report.retried, 0);
}

/// X3.3: nothing to read is not asked for.
#[tokio::test]
async fn an_empty_object_is_looked_at_and_not_read() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("empty", 0);
    kit.copy(&object, &kit.local("f")).await.unwrap();
    assert_eq!(std::fs::read(kit.path("f")).unwrap(), b"");
    assert_eq!(kit.server.calls().summary(), summary([(Op::HeadObject, 1)]));
}

/// S3.10, X3.6: every range names the version.
#[tokio::test]
async fn a_versioned_object_is_read_by_its_version() {
    let kit = Kit::with_parts(100 * KIB).await;
    kit.server.store().set_versioning(BUCKET, true);
    let (object, old) = kit.object("k", 250 * KIB);
    let version = kit.stored("k").unwrap().version_id;
    kit.object("k", 100 * KIB);
    let mut request = CopyRequest::new(object, kit.local("f"));
    request.version_id = Some(version.clone());
    kit.request(request).await.unwrap();
    assert_same(&std::fs::read(kit.path("f")).unwrap(), &old);
    for call in kit.server.calls().list() {
        let asked = call.target.query.iter().find(|(name, _)| name == "versionId");
        assert_eq!(asked.map(|(_, v)| v), Some(&version), "{:?}", call.op());
    }
}

/// S1.10, S1.22, S1.38: what fits one request takes one request.
#[tokio::test]
async fn a_small_upload_is_one_put() {
    for len in [0, 1, MIB, PART] {
        let kit = Kit::new().await;
        let (file, content) = kit.file("f.txt", len);
        let report = kit.copy(&file, &s3("k")).await.unwrap();
        assert_eq!(kit.server.calls().summary(), summary([(Op::PutObject, 1)]), "{len}");
        let put = &kit.server.calls().of(Op::PutObject)[0];
        assert_eq!(put.header("content-length"), Some(&*len.to_string()));
        assert_eq!(put.header("content-type"), Some("text/plain"));
        assert_eq!(put.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"), "{len}");
        assert!(put.header("x-amz-checksum-crc64nvme").is_some(), "{len}");
        assert_same(&kit.stored("k").unwrap().bytes(), &content);
        assert!(matches!(report.verified, Verified::Checksum(_)), "{}", report.verified);
    }
}

/// S1.8, S1.21: 20 MB in parts of 5 MiB.
#[tokio::test]
async fn a_large_upload_is_equal_parts_with_checksums() {
    let kit = Kit::with(StoreRules { equal_parts: true, ..StoreRules::default() }, |_| ()).await;
    let (file, content) = kit.file("f.mp4", 20_000_000);
    let report = kit.copy(&file, &s3("k")).await.unwrap();
    let calls = kit.server.calls();
    assert_eq!(
        calls.summary(),
        summary([
            (Op::CreateMultipartUpload, 1),
            (Op::UploadPart, 4),
            (Op::CompleteMultipartUpload, 1)
        ])
    );
    for part in calls.of(Op::UploadPart) {
        assert_eq!(part.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        assert!(part.header("x-amz-checksum-crc64nvme").is_some());
        assert_eq!(part.header("content-encoding"), None, "no aws-chunked");
        assert_eq!(part.header("x-amz-trailer"), None);
    }
    let stored = kit.stored("k").unwrap();
    assert_eq!(stored.part_sizes, [PART, PART, PART, 20_000_000 - 3 * PART]);
    assert_eq!(stored.attributes.content_type.as_deref(), Some("video/mp4"));
    assert_same(&stored.bytes(), &content);
    assert!(matches!(report.verified, Verified::Checksum(_)), "{}", report.verified);
    let sent: u64 = calls.of(Op::UploadPart).iter().map(|c| c.request_bytes).sum();
    assert_eq!(sent, 20_000_000, "no byte goes twice");
}

#[tokio::test]
async fn bodies_are_signed_only_on_request() {
    let kit = Kit::with(StoreRules::default(), |o| {
        o.dest.sign_payload = true;
        o.source = o.dest.clone();
    })
    .await;
    let (file, content) = kit.file("f", 2 * PART + 1);
    kit.copy(&file, &s3("k")).await.unwrap();
    for part in kit.server.calls().of(Op::UploadPart) {
        let hash = part.header("x-amz-content-sha256").unwrap();
        assert_eq!(hash.len(), 64, "{hash}");
    }
    assert_same(&kit.stored("k").unwrap().bytes(), &content);
}

/// Design section 1, promise 6: requests in flight are bounded, and the bound is made use of
/// (S1.11, S3.13).
#[tokio::test]
async fn as_many_requests_at_once_as_asked_for() {
    for concurrency in [1, 4] {
        let kit = Kit::with_concurrency(concurrency).await;
        let calls = kit.server.calls();
        let (object, _) = kit.object("k", 8 * PART);
        let waits = u32::try_from(concurrency).unwrap();
        for (op, from, to) in [
            (Op::GetObject, object.clone(), kit.local("f")),
            (Op::UploadPart, kit.local("f"), s3("up")),
        ] {
            calls.clear();
            let hold = kit.server.faults().add(Rule::on(op).times(waits).then(Fault::Stall));
            let job = kit.start(&from, &to).await.unwrap();
            or_hang("full use", calls.wait_in_flight(op, concurrency)).await;
            hold.release();
            or_hang("the copy", job).await.unwrap();
            assert_eq!(calls.peak_of(op), concurrency, "{op:?}");
            assert_eq!(calls.peak_in_flight(), concurrency, "{op:?}");
        }
    }
}

/// Several transfers share the bound: files times parts never multiplies.
#[tokio::test]
async fn transfers_share_the_requests() {
    let kit = Kit::with_concurrency(2).await;
    // Long enough for the second to come while the first is there, however busy the machine is.
    let delay = Fault::Delay(std::time::Duration::from_millis(50));
    kit.server.faults().add(Rule::on(Op::GetObject).always().then(delay));
    let jobs = (0..4).map(|i| {
        let (object, _) = kit.object(&format!("k{i}"), 3 * PART);
        let to = kit.local(&format!("f{i}"));
        let kit = &kit;
        async move { kit.copy(&object, &to).await }
    });
    let done = futures::future::join_all(jobs.collect::<Vec<_>>()).await;
    for report in done {
        assert_eq!(report.unwrap().bytes, 3 * PART);
    }
    assert_eq!(kit.server.calls().peak_in_flight(), 2);
    kit.assert_nothing_left();
}

#[tokio::test]
async fn two_stores_each_get_their_own_requests() {
    let there = Kit::new().await;
    let kit = Kit::with(StoreRules::default(), |o| {
        o.source = crate::kit::s3_options(&there.server);
    })
    .await;
    let (object, content) = there.object("k", 2 * PART + 1);
    kit.copy(&object, &s3("copy")).await.unwrap();
    assert_eq!(there.server.calls().summary(), summary([(Op::HeadObject, 1), (Op::GetObject, 3)]));
    assert_eq!(
        kit.server.calls().summary(),
        summary([
            (Op::CreateMultipartUpload, 1),
            (Op::UploadPart, 3),
            (Op::CompleteMultipartUpload, 1)
        ])
    );
    assert_same(&kit.stored("copy").unwrap().bytes(), &content);
}

#[tokio::test]
async fn a_part_size_no_store_takes_is_refused_before_any_upload() {
    let kit = Kit::with(StoreRules::default(), |o| {
        o.engine.part = PlanPolicy { part_size: PART - 1, explicit: true };
    })
    .await;
    let (file, _) = kit.file("f", 100);
    let e = kit.copy(&file, &s3("k")).await.unwrap_err();
    assert_eq!(e.kind(), haul::ErrorKind::Invalid, "{e}");
    assert_eq!(kit.count(Op::Any), 0);
}
