//! `sync` by content: an edit that neither size nor time tells is found.
//!
//! Owns: the kinds of evidence: checksums, MD5 ETags, ETags of parts, every byte.

use haul::{Algorithm, Compare, Provider, SyncRequest, Verified};
use haul_testkit::{ChecksumSupport, Op, StoreRules, sizes};

use crate::kit::{Kit, MIB, PART, s3};
use crate::many_kit::{sync_of, with};

fn by_content(request: SyncRequest) -> SyncRequest {
    with(request, |r| r.compare = Compare::Content)
}

/// A store that keeps no checksums, and whose multipart ETags are known to be MD5s of MD5s.
async fn without_checksums() -> Kit {
    let rules = StoreRules { checksums: ChecksumSupport::NotEvenAskedFor, ..StoreRules::default() };
    Kit::with(rules, |o| {
        o.source.provider = Some(Provider::Minio);
        o.dest.provider = Some(Provider::Minio);
    })
    .await
}

async fn assert_found(kit: &Kit, request: &SyncRequest, edited: &str, by: Verified) {
    let same = kit.sync(request.clone()).await;
    assert_eq!((same.summary().copied, same.summary().failed), (0, 0), "{:?}", same.failures());
    assert_eq!(same.skipped_by(), [by]);
    assert_eq!((kit.count(Op::GetObject), kit.count(Op::PutObject)), (0, 0), "no byte is moved");
    kit.edit_in_secret(edited);
    let by_time = with(request.clone(), |r| r.compare = Compare::Times);
    assert_eq!(kit.sync(by_time).await.summary().copied, 0, "nothing but the content tells");
    assert_eq!(kit.sync(request.clone()).await.counts(), (1, 0, 0, 0));
}

/// The checksum that the store keeps: one HEAD, and the file is read once.
#[tokio::test]
async fn by_checksum() {
    let kit = Kit::new().await;
    kit.write("in/f", &sizes::pattern(100_000, 1));
    kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.summary();
    kit.asked();
    let request = by_content(sync_of(&kit.local("in"), &s3("p")));
    assert_found(&kit, &request, "in/f", Verified::Checksum(Algorithm::Crc64Nvme)).await;
    kit.assert_alike("p/", "in");
    // And one for the times, where the edit was not within the second of the upload.
    assert!((2..=3).contains(&kit.count(Op::HeadObject)));
}

/// Without checksums: the ETag is the MD5.
#[tokio::test]
async fn by_md5_etag() {
    let kit = without_checksums().await;
    kit.write("in/f", &sizes::pattern(100_000, 1));
    kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.summary();
    kit.asked();
    let request = by_content(sync_of(&kit.local("in"), &s3("p")));
    assert_found(&kit, &request, "in/f", Verified::Etag).await;
    kit.assert_alike("p/", "in");
}

/// U0.5: the ETag of many parts, computed again by the size of the first one, whatever ours is.
#[tokio::test]
async fn by_multipart_etag() {
    let kit = without_checksums().await;
    kit.write("in/f", &sizes::pattern(usize::try_from(2 * PART + MIB).unwrap(), 1));
    kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.summary();
    assert_eq!(kit.stored("p/f").unwrap().part_sizes.len(), 3);
    kit.asked();
    let request = by_content(sync_of(&kit.local("in"), &s3("p")));
    assert_found(&kit, &request, "in/f", Verified::Etag).await;
    kit.assert_alike("p/", "in");
    kit.assert_nothing_left();
}

/// The other way: the file at the destination is the one that was edited.
#[tokio::test]
async fn a_damaged_copy_is_found_and_replaced() {
    let kit = Kit::new().await;
    kit.object("p/f", 50_000);
    let request = by_content(sync_of(&s3("p"), &kit.local("out")));
    kit.sync(request.clone()).await.summary();
    kit.asked();
    let again = kit.sync(request.clone()).await;
    assert_eq!(again.counts(), (0, 1, 0, 0));
    assert_eq!(kit.asked(), [(Op::ListObjects, 1), (Op::HeadObject, 1)]);
    kit.edit_in_secret("out/f");
    kit.set_age("out/f", 5000);
    assert_eq!(kit.sync(request).await.counts(), (1, 0, 0, 0));
    kit.assert_alike("p/", "out");
}

#[tokio::test]
async fn store_to_store_by_content() {
    let kit = Kit::new().await;
    for (key, content) in
        [("from/a", b"one"), ("from/b", b"two"), ("to/a", b"ONE"), ("to/b", b"two")]
    {
        kit.put(key, content);
    }
    let by_size = with(sync_of(&s3("from"), &s3("to")), |r| r.compare = Compare::Size);
    assert_eq!(kit.sync(by_size).await.counts(), (0, 2, 0, 0));
    kit.asked();
    let many = kit.sync(by_content(sync_of(&s3("from"), &s3("to")))).await;
    assert_eq!(many.counts(), (1, 1, 0, 0));
    assert_eq!(kit.bytes("to/a"), b"one");
    assert_eq!((kit.count(Op::GetObject), kit.count(Op::CopyObject)), (0, 1));
}

/// R.4: an object that was replaced while it was copied is older than its copy; the ETags tell.
#[tokio::test]
async fn etags_that_differ_are_not_overruled_by_times() {
    for checksums in [ChecksumSupport::Accept, ChecksumSupport::InvalidArgument] {
        let rules = StoreRules { checksums, ..StoreRules::default() };
        let kit = Kit::with(rules, |o| {
            o.source.provider = Some(Provider::Minio);
            o.dest.provider = Some(Provider::Minio);
        })
        .await;
        for (key, content) in
            [("from/a", b"one"), ("from/b", b"two"), ("to/a", b"ONE"), ("to/b", b"two")]
        {
            kit.put(key, content);
        }
        let request = sync_of(&s3("from"), &s3("to"));
        let many = kit.sync(request.clone()).await;
        assert_eq!(many.counts(), (1, 1, 0, 0), "{checksums:?}: {:?}", many.failures());
        assert_eq!(kit.bytes("to/a"), b"one");
        kit.asked();
        assert_eq!(kit.sync(request).await.counts(), (0, 2, 0, 0));
        assert_eq!(kit.count(Op::HeadObject), 0, "what is the same takes no look");
    }
}

#[tokio::test]
async fn local_to_local_by_content() {
    let kit = Kit::new().await;
    kit.write("in/f", &sizes::pattern(100_000, 1));
    let request = by_content(sync_of(&kit.local("in"), &kit.local("out")));
    kit.sync(request.clone()).await.summary();
    assert_found(&kit, &request, "in/f", Verified::Bytes).await;
    assert_eq!(kit.tree("in"), kit.tree("out"));
}

/// A file that is edited in the second in which it was uploaded, to the same size: the store's time
/// tells nothing, the kept time does.
#[tokio::test]
async fn an_edit_within_the_second_of_the_upload_is_seen() {
    let kit = Kit::new().await;
    kit.write("in/f", b"before");
    assert_eq!(kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.counts(), (1, 0, 0, 0));
    let uploaded = kit.stored("p/f").unwrap().modified;
    kit.write("in/f", b"edited");
    let file = std::fs::File::options().write(true).open(kit.path("in/f")).unwrap();
    let second = uploaded.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let within = std::time::Duration::new(second, 999_999_999);
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + within).unwrap();
    assert_eq!(kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.counts(), (1, 0, 0, 0));
    assert_eq!(&kit.stored("p/f").unwrap().bytes()[..], b"edited");
    assert_eq!(kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.counts(), (0, 1, 0, 0));
}

/// A.8, F.10: objects of parts with other ETags, and no checksums: the strict comparison copies, and
/// `check` claims nothing.
#[tokio::test]
async fn other_etags_of_parts_are_never_the_same() {
    let kit = without_checksums().await;
    let (one, content) = kit.file("one", PART + MIB);
    kit.copy(&one, &s3("from/x")).await.unwrap();
    kit.copy(&s3("from/x"), &s3("from/copy")).await.unwrap();
    std::fs::write(kit.path("two"), sizes::pattern(content.len(), 99)).unwrap();
    for key in ["to/x", "to/copy"] {
        kit.copy(&kit.local("two"), &s3(key)).await.unwrap();
    }
    let many = kit.check(sync_of(&s3("from"), &s3("to"))).await;
    let sum = many.summary();
    assert_eq!((sum.same, sum.differing + sum.unknown), (0, 2));
    assert!(sum.unknown > 0, "{sum:?}");
    let many = kit.sync(by_content(sync_of(&s3("from"), &s3("to")))).await;
    assert_eq!(many.counts(), (2, 0, 0, 0));
    assert!(kit.bytes("to/x") == content);
}

/// A.8: a file and an object that keeps nothing to compare by: `--checksum` is never weaker than the
/// times are.
#[tokio::test]
async fn no_evidence_is_copied() {
    let rules = StoreRules { checksums: ChecksumSupport::NotEvenAskedFor, ..StoreRules::default() };
    let kit = Kit::with(rules, |o| {
        o.source.provider = Some(Provider::B2);
        o.dest.provider = Some(Provider::B2);
    })
    .await;
    kit.write("in/f", &sizes::pattern(usize::try_from(2 * PART + MIB).unwrap(), 1));
    let request = by_content(sync_of(&kit.local("in"), &s3("p")));
    kit.sync(request.clone()).await.summary();
    assert_eq!(kit.check(request.clone()).await.summary().unknown, 1);
    kit.edit_in_secret("in/f");
    assert_eq!(kit.sync(request).await.counts(), (1, 0, 0, 0));
    kit.assert_alike("p/", "in");
}

/// A.26: an older file of the same size in the place of another, with its own time.
#[tokio::test]
async fn an_older_file_of_the_same_size_is_seen() {
    let kit = Kit::new().await;
    kit.write("in/f", b"newer");
    let across = sync_of(&kit.local("in"), &kit.local("out"));
    kit.sync(across.clone()).await.summary();
    kit.write("in/f", b"older");
    kit.set_age("in/f", -100_000);
    assert_eq!(kit.sync(across.clone()).await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.tree("in"), kit.tree("out"));
    // One at the destination that was edited since is made like the source again.
    kit.write("out/f", b"other");
    assert_eq!(kit.sync(across.clone()).await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.sync(across).await.counts(), (0, 1, 0, 0));
    kit.put("p/f", b"older");
    let down = sync_of(&s3("p"), &kit.local("down"));
    kit.sync(down.clone()).await.summary();
    kit.write("down/f", b"other");
    kit.set_age("down/f", 100_000);
    assert_eq!(kit.sync(down).await.counts(), (1, 0, 0, 0));
    kit.assert_alike("p/", "down");
}
