//! Sources that change while they are read: an error, never a torn copy.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::harness::{BUCKET, MIB, World, within};

const HINT: &str = "(run the command again once nothing writes to it)";

/// Three parts, one after the other, with `change` while the first is on its way.
async fn upload_while(change: impl Fn(&Path) + Send + Sync + 'static, how: &str) {
    let world = World::new().await;
    let source = world.file("source", vec![1; 24 * MIB]);
    world.put("k", "old");
    let at: PathBuf = source.clone();
    let hook = world
        .server
        .faults()
        .add(Rule::on(Op::UploadPart).part(1).then(Fault::hook(move |_| change(&at))));
    let done = world.haul(["cp", "-c", "1", "source", "s3://bucket/k"]).run().await;
    assert_eq!(hook.hits(), 1);
    done.failed(1, &format!("cannot read *source: it {how} while it was being read {HINT}"));
    assert_eq!(done.out(), "");
    assert_eq!(world.stored("k"), b"old");
    world.assert_clean();
}

fn open(path: &Path) -> std::fs::File {
    std::fs::File::options().write(true).open(path).unwrap()
}

#[tokio::test]
async fn a_file_that_shrinks() {
    upload_while(|file| open(file).set_len(20 << 20).unwrap(), "became shorter").await;
    upload_while(|file| open(file).set_len(0).unwrap(), "became shorter").await;
}

#[tokio::test]
async fn a_file_that_grows() {
    let grow = |file: &Path| {
        let mut file = std::fs::File::options().append(true).open(file).unwrap();
        file.write_all(b"more").unwrap();
    };
    upload_while(grow, "grew").await;
}

#[tokio::test]
async fn a_file_that_is_edited_in_place() {
    upload_while(|file| open(file).write_all(b"edit").unwrap(), "was changed").await;
}

#[tokio::test]
async fn a_file_that_is_replaced() {
    let replace = |file: &Path| {
        let other = file.with_extension("new");
        std::fs::write(&other, vec![2; 24 * MIB]).unwrap();
        std::fs::rename(other, file).unwrap();
    };
    upload_while(replace, "was replaced").await;
}

#[tokio::test]
async fn a_file_that_is_removed() {
    upload_while(|file| std::fs::remove_file(file).unwrap(), "was removed").await;
}

/// What the object turns into while its second range is asked for.
async fn download_while(rules: StoreRules, change: &'static (dyn Fn(&World) + Sync), line: &str) {
    for args in [&["cp", "-c", "1", "s3://bucket/k", "old"][..], &["cat", "-c1", "s3://bucket/k"]] {
        let world = World::with(rules.clone()).await;
        world.put("k", vec![1; 24 * MIB]);
        world.file("old", "old");
        let tree = world.tree();
        let second = world.server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::Stall));
        let run = world.haul(args).spawn();
        within("the second range", second.wait_hits(1)).await;
        change(&world);
        second.release();
        let done = run.end().await;
        done.failed(1, line);
        assert!(done.bytes.iter().all(|b| *b == 1), "bytes of another object reached stdout");
        assert!(world.tree() == tree);
        world.assert_clean();
    }
}

#[tokio::test]
async fn an_object_that_is_replaced() {
    let replace: &(dyn Fn(&World) + Sync) = &|world| drop(world.put("k", vec![2; 24 * MIB]));
    let line = "cannot read s3://bucket/k: it was replaced while it was being read*";
    download_while(StoreRules::default(), replace, line).await;
    // A store that does not know `If-Match` cannot say so: haul has to see it.
    let rules = StoreRules { conditional_get: false, ..StoreRules::default() };
    download_while(rules, replace, line).await;
}

#[tokio::test]
async fn an_object_that_shrinks_or_goes_away() {
    let shrink: &(dyn Fn(&World) + Sync) = &|world| drop(world.put("k", vec![2; 9]));
    download_while(StoreRules::default(), shrink, "cannot read s3://bucket/k: it *").await;
    let remove: &(dyn Fn(&World) + Sync) = &|world| world.server.store().remove(BUCKET, "k");
    let line = "cannot read s3://bucket/k: *";
    for args in [["cp", "-c1", "s3://bucket/k", "old"], ["cat", "-q", "-c1", "s3://bucket/k"]] {
        let world = World::new().await;
        world.put("k", vec![1; 24 * MIB]);
        world.file("old", "old");
        let second = world.server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::Stall));
        let run = world.haul(args).spawn();
        within("the second range", second.wait_hits(1)).await;
        remove(&world);
        second.release();
        let done = run.end().await;
        assert!(matches!(done.code, 1 | 4), "{done}");
        done.failed(done.code, line);
        world.assert_clean();
    }
}

/// A version is immutable: what happens to the key afterwards does not matter.
#[tokio::test]
async fn a_versioned_object_that_is_replaced_is_still_read() {
    let world = World::new().await;
    world.server.store().set_versioning(BUCKET, true);
    world.put("k", vec![1; 24 * MIB]);
    let second = world.server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::Stall));
    let run = world.haul(["cat", "-c1", "s3://bucket/k"]).spawn();
    within("the second range", second.wait_hits(1)).await;
    world.put("k", vec![2; 24 * MIB]);
    second.release();
    let done = run.end().await;
    assert!(done.ok().bytes == vec![1; 24 * MIB]);
}
