//! Uploads that were never finished.

use haul_testkit::{Fault, Op, Rule};
use rustix::process::Signal;

use crate::harness::{BUCKET, MIB, World, within};

/// Leaves an upload behind, as a machine does that loses its power.
async fn leave_one(world: &World, key: &str) {
    world.file("big", vec![1; 20 * MIB]);
    let held = Rule::on(Op::UploadPart).key(key).then(Fault::Stall);
    let held = world.server.faults().add(held);
    let to = format!("s3://bucket/{key}");
    let run = world.haul(["cp", "big", &to]).spawn();
    within("an upload", async {
        while !world.server.store().uploads(BUCKET).iter().any(|u| format!("{u:?}").contains(key)) {
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    run.signal(Signal::KILL);
    run.end().await;
    held.release();
}

/// U1.1: what was left is found again and thrown away.
#[tokio::test]
async fn they_are_listed_and_aborted() {
    let world = World::new().await;
    leave_one(&world, "p/one").await;
    leave_one(&world, "p/two").await;
    let list = world.haul(["uploads", "ls", "--json", "s3://bucket/p/"]).run().await;
    let all = list.ok().json();
    assert_eq!(all.len(), 2, "{list}");
    assert_eq!(
        (&all[0]["type"], &all[0]["location"]),
        (&"upload".into(), &"s3://bucket/p/one".into())
    );
    assert!(all[0]["initiated"].is_string(), "{list}");
    // Young ones may be running: they are left alone unless asked for.
    let done = world.haul(["uploads", "abort", "s3://bucket"]).run().await;
    assert_eq!(done.ok().out(), "");
    assert!(done.err.contains("left 2 alone that began less than 1day ago"), "{done}");
    let id = all[0]["upload_id"].as_str().unwrap();
    let args = ["uploads", "abort", "s3://bucket", "--upload-id", id];
    let done = world.haul(args).run().await;
    assert_eq!(done.ok().out(), format!("aborted s3://bucket/p/one {id}\n"));
    let args = ["uploads", "abort", "s3://bucket", "--older-than", "0s"];
    let dry = world.haul(args.iter().chain(&["--dry-run"])).run().await;
    assert!(dry.ok().out().starts_with("would abort s3://bucket/p/two "), "{dry}");
    let done = world.haul(args).run().await;
    assert!(done.ok().out().starts_with("aborted s3://bucket/p/two "), "{done}");
    world.assert_clean();
    let args = ["uploads", "abort", "s3://bucket", "--upload-id", "none"];
    world.refuses(args, 4, "cannot discard * s3://bucket: no upload none is pending*").await;
}
