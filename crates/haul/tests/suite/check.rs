//! `check`: two trees compared by content, with nothing changed and no byte moved.
//!
//! Owns: the verdict on each pair, and what it costs.

use haul::{Algorithm, Compare, Difference, Location, Outcome, SyncRequest, Verified};
use haul_testkit::{Fault, Op, Rule, StoreRules, sizes};

use crate::kit::{BUCKET, Kit, MIB, Many, PART, all, s3};
use crate::many_kit::{pages_of, second_store, sync_of, with};

/// Each item's last part of the name, and what was found.
/// `Err(None)` is unknown.
fn verdicts(many: &Many) -> Vec<(String, Result<Verified, Option<Difference>>)> {
    let verdict = |s: &haul::Settled| {
        let found = match &s.outcome {
            Outcome::Same(by) => Ok(*by),
            Outcome::Differs(how) => Err(Some(*how)),
            Outcome::Unknown => Err(None),
            other => unreachable!("{other:?}"),
        };
        let name = if s.from.is_empty() { &s.to } else { &s.from };
        (name.exact().rsplit('/').next().unwrap().to_owned(), found)
    };
    many.items.iter().map(verdict).collect()
}

fn fill(kit: &Kit) {
    for (name, content) in [("edited", "12345"), ("gone", "x"), ("longer", "123"), ("same", "same")]
    {
        kit.write(&format!("in/{name}"), content.as_bytes());
    }
    for (name, content) in
        [("edited", "12354"), ("longer", "1234"), ("only", "x"), ("same", "same")]
    {
        kit.put(&format!("p/{name}"), content.as_bytes());
        kit.write(&format!("out/{name}"), content.as_bytes());
    }
    kit.write("in/void", b"");
    kit.put("p/void", b"");
    kit.write("out/void", b"");
    for name in ["gone", "edited", "longer", "same", "void"] {
        let content = std::fs::read(kit.path(&format!("in/{name}"))).unwrap();
        kit.put(&format!("source/{name}"), &content);
    }
}

fn sides(kit: &Kit) -> Vec<(Location, Location, Verified)> {
    let crc = Verified::Checksum(Algorithm::Crc64Nvme);
    vec![
        (kit.local("in"), s3("p"), crc),
        (s3("source"), kit.local("out"), crc),
        (s3("source"), s3("p"), Verified::Etag),
        (kit.local("in"), kit.local("out"), Verified::Bytes),
    ]
}

/// Same, different, missing on either side: all four ways, and without a GET.
#[tokio::test]
async fn every_difference_is_found_and_no_object_is_read() {
    let kit = Kit::new().await;
    fill(&kit);
    for (from, to, by) in sides(&kit) {
        let (keys, tree) = (kit.keys(), kit.tree("."));
        let many = kit.check(sync_of(&from, &to)).await;
        let want = [
            ("edited", Err(Some(Difference::Content))),
            ("gone", Err(Some(Difference::MissingAtDestination))),
            ("longer", Err(Some(Difference::Size))),
            ("only", Err(Some(Difference::MissingAtSource))),
            ("same", Ok(by)),
            ("void", Ok(Verified::Size)),
        ];
        let want = want.map(|(name, found)| (name.to_owned(), found));
        assert_eq!(verdicts(&many), want, "{from} {to}");
        let sum = many.summary();
        assert_eq!((sum.same, sum.differing, sum.failed, sum.found), (2, 4, 0, 6));
        let one_way = kit.check(with(sync_of(&from, &to), |r| r.one_way = true)).await;
        assert_eq!((one_way.summary().same, one_way.summary().differing), (2, 3));
        assert!((kit.keys(), kit.tree(".")) == (keys, tree), "something was changed");
    }
    for op in [Op::GetObject, Op::PutObject, Op::CopyObject, Op::DeleteObjects] {
        assert_eq!(kit.count(op), 0, "{op:?}");
    }
}

#[tokio::test]
async fn by_size_alone() {
    let kit = Kit::new().await;
    fill(&kit);
    for (from, to, _) in sides(&kit) {
        let many = kit.check(with(sync_of(&from, &to), |r| r.compare = Compare::Size)).await;
        let sum = many.summary();
        assert_eq!((sum.same, sum.differing), (3, 3), "{from} {to}");
        assert!(verdicts(&many).contains(&("edited".to_owned(), Ok(Verified::Size))));
    }
    assert_eq!(kit.count(Op::HeadObject), 0, "the listings tell");
}

/// Between stores the listings' ETags are enough where they are MD5s; where an object came in parts,
/// a HEAD of each tells the checksum. Never a GET.
#[tokio::test]
async fn between_stores_by_etag_or_checksum() {
    let kit = Kit::new().await;
    let (content, _) = kit.file("f", 2 * PART + MIB);
    kit.copy(&content, &s3("a/parts")).await.unwrap();
    kit.put("b/parts", &kit.bytes("a/parts"));
    assert_ne!(kit.stored("a/parts").unwrap().etag, kit.stored("b/parts").unwrap().etag);
    kit.put("a/small", b"small");
    kit.put("b/small", b"small");
    kit.asked();
    let many = kit.check(sync_of(&s3("a"), &s3("b"))).await;
    let crc = Verified::Checksum(Algorithm::Crc64Nvme);
    assert_eq!(
        verdicts(&many),
        [("parts".to_owned(), Ok(crc)), ("small".to_owned(), Ok(Verified::Etag))]
    );
    assert_eq!(kit.asked(), [(Op::ListObjects, 2), (Op::HeadObject, 2)]);
    let mut edited = kit.bytes("b/parts");
    edited[100] ^= 1;
    kit.put("b/parts", &edited);
    let many = kit.check(sync_of(&s3("a"), &s3("b"))).await;
    assert_eq!(verdicts(&many)[0].1, Err(Some(Difference::Content)));
    assert_eq!(kit.count(Op::GetObject), 0);
}

/// A.8: where stores keep nothing to compare by, that is what is said, and nobody calls it the same.
#[tokio::test]
async fn no_more_is_claimed_than_was_seen() {
    let rules = StoreRules { default_checksum: false, ..StoreRules::default() };
    let kit = Kit::with(rules, |_| ()).await;
    kit.server.store().put_synthetic(BUCKET, "a/x", 1000);
    kit.put("b/x", &sizes::pattern(1000, 1));
    let many = kit.check(sync_of(&s3("a"), &s3("b"))).await;
    assert_eq!(verdicts(&many), [("x".to_owned(), Err(None))]);
    assert_eq!((many.summary().unknown, many.summary().settled()), (1, 1));
}

#[tokio::test]
async fn between_two_endpoints() {
    let kit = Kit::new().await;
    let (other, haul) = second_store(&kit).await;
    for i in 0..3 {
        other.store().put(BUCKET, &format!("p/{i}"), vec![i; 100]);
        kit.put(&format!("p/{i}"), &[i; 100]);
    }
    kit.put("p/1", &[7; 100]);
    let many = all(Box::pin(haul.check(sync_of(&s3("p"), &s3("p")))).await.unwrap()).await;
    assert_eq!((many.summary().same, many.summary().differing), (2, 1));
}

/// What cannot be looked at is a failure, and neither same nor different; the rest goes on.
#[tokio::test]
async fn failures_are_no_verdicts() {
    let kit = Kit::with(pages_of(3), |_| ()).await;
    for i in 0..6 {
        kit.write(&format!("in/{i}"), b"content");
        kit.put(&format!("p/{i}"), b"content");
    }
    kit.server.faults().add(Rule::on(Op::HeadObject).key("p/2").always().then(Fault::status(403)));
    let request: SyncRequest = sync_of(&kit.local("in"), &s3("p"));
    let many = kit.check(request.clone()).await;
    assert_eq!((many.summary().same, many.summary().failed), (5, 1));
    kit.server.faults().clear();
    kit.server.faults().add(Rule::on(Op::ListObjects).nth(2).then(Fault::status(403)));
    let many = kit.check(request).await;
    let failed = many.result.is_err() || many.summary().failed == 1;
    assert!(failed && !verdict_of_absence(&many), "what was not listed is not missing");
}

fn verdict_of_absence(many: &Many) -> bool {
    let absent =
        |s: &haul::Settled| matches!(s.outcome, Outcome::Differs(Difference::MissingAtDestination));
    many.items.iter().any(absent)
}
