//! Looking at, removing and creating single things when the wire is bad.
//!
//! Owns: the faults of `stat`, `rm` and `mb`.

use haul::{ErrorKind, Location, RemoveRequest, Stat};
use haul_testkit::{Fault, Op, Rule};

use crate::kit::{Kit, or_hang, s3};

fn bucket(name: &str) -> Location {
    Location::S3 { bucket: name.to_owned(), key: String::new() }
}

fn passing() -> [Fault; 4] {
    [Fault::status(503).retry_after(1), Fault::status(500), Fault::Reset, Fault::Stall]
}

#[tokio::test]
async fn what_passes_is_survived() {
    for fault in passing() {
        let kit = Kit::new().await;
        kit.object("k", 123);
        for op in [Op::HeadObject, Op::DeleteObject, Op::CreateBucket] {
            kit.fault(op, fault.clone());
        }
        let stat = or_hang("stat", Box::pin(kit.haul.stat(&s3("k"), None))).await.unwrap();
        assert!(matches!(stat, Stat::Object(info) if info.size == 123), "{fault:?}");
        or_hang("rm", Box::pin(kit.haul.remove(&s3("k"), None))).await.unwrap();
        assert!(kit.stored("k").is_none(), "{fault:?}");
        or_hang("mb", Box::pin(kit.haul.make_bucket(&bucket("new")))).await.unwrap();
        assert_eq!((kit.count(Op::DeleteObject), kit.count(Op::CreateBucket)), (2, 2));
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_removal_is_no_failure() {
    let kit = Kit::new().await;
    kit.object("k", 1);
    kit.fault(Op::DeleteObject, Fault::LoseAnswer);
    or_hang("rm", Box::pin(kit.haul.remove(&s3("k"), None))).await.unwrap();
    assert!(kit.stored("k").is_none());
}

/// One key or one of many: what passes is tried again for it alone.
#[tokio::test]
async fn keys_that_could_not_be_removed_yet_are_tried_again() {
    let kit = Kit::new().await;
    let remove = |keys: &[&str]| {
        kit.remove_tree(RemoveRequest::new(keys.iter().map(|key| s3(key)).collect()))
    };
    kit.object("k", 1);
    kit.fault(Op::DeleteObject, Fault::status(500));
    assert_eq!(remove(&["k"]).await.summary().removed, 1);
    assert!(kit.stored("k").is_none());

    for key in ["a", "b", "c"] {
        kit.object(key, 1);
    }
    let refusal = "<DeleteResult><Error><Key>a</Key><Code>SlowDown</Code></Error>\
        <Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>";
    let page = Fault::Page { content_type: "application/xml".into(), body: refusal.into() };
    kit.fault(Op::DeleteObjects, page);
    let many = remove(&["a", "b", "c"]).await;
    assert_eq!((many.summary().removed, many.summary().failed), (2, 1), "{:?}", many.failures());
    assert!(kit.stored("a").is_none(), "it was tried again");
    assert_eq!(kit.count(Op::DeleteObjects) + kit.count(Op::DeleteObject), 4);
}

#[tokio::test]
async fn a_lost_answer_to_a_new_bucket_is_no_failure() {
    let kit = Kit::new().await;
    kit.fault(Op::CreateBucket, Fault::LoseAnswer);
    or_hang("mb", Box::pin(kit.haul.make_bucket(&bucket("new")))).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let kit = Kit::new().await;
    let missing = kit.haul.stat(&s3("k"), None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let missing = kit.haul.remove(&s3("k"), None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let exists = kit.haul.make_bucket(&bucket(crate::kit::BUCKET)).await.unwrap_err();
    assert_eq!(exists.kind(), ErrorKind::AlreadyExists, "{exists}");
    assert_eq!(kit.count(Op::Any), 3);
}

#[tokio::test]
async fn a_cancel_ends_the_wait() {
    let kit = Kit::new().await;
    kit.object("k", 1);
    let rule = kit.server.faults().add(Rule::on(Op::HeadObject).always().then(Fault::Stall));
    let location = s3("k");
    let stop = async {
        rule.wait_hits(1).await;
        kit.haul.cancel();
    };
    let both = async { futures::join!(kit.haul.stat(&location, None), stop) };
    let (looked, ()) = or_hang("stat", Box::pin(both)).await;
    assert_eq!(looked.unwrap_err().kind(), ErrorKind::Cancelled);
}
