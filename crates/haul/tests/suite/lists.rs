//! Long listings and large files: memory depends on neither.
//!
//! Owns: the measurement, in a process of its own, because the memory of a process is that of all its
//! tests.

use std::process::Command;

use haul::{
    Event, Haul, InOrder, ListRequest, PlanPolicy, PublishRequest, RemoveRequest, Summary,
    TransferHandle,
};
use haul_testkit::{StoreRules, sizes};

use crate::kit::{BUCKET, Kit, MIB, s3, set_concurrency};
use crate::many_kit::{mirror_of, patient, with};

/// Set in the process of its own.
const ALONE: &str = "HAUL_TEST_ALONE";

/// Keys in a listing.
const KEYS: usize = 200_000;

/// What may come on top of what was there before, the store included: a third of what the entries
/// would take, at some 240 bytes each. Measured: 6 MiB at most.
const MOST: u64 = 16 << 20;

/// Runs the test `name` again in a process of its own; false in that process.
fn elsewhere(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let ran = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    print!("{out}");
    assert!(ran.status.success(), "{out}{err}");
    assert!(out.contains("1 passed"), "{out}");
    true
}

/// A figure of `/proc/self/status` in bytes; `None` where there is none.
fn figure(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib << 10)
}

/// Runs `work` and says by how much the memory grew at its peak; `None` where the kernel does not
/// tell.
async fn growth(what: &str, work: impl Future<Output = ()>) -> Option<u64> {
    // 5: forget the peak (proc(5), "clear_refs").
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    let before = figure("VmRSS")?;
    work.await;
    let grown = figure("VmHWM")?.saturating_sub(before);
    println!("{what}: {} KiB", grown >> 10);
    Some(grown)
}

/// Reads all events in order, as the command does.
async fn read_through(mut handle: TransferHandle<Summary>) -> Summary {
    let mut events = handle.take_events().unwrap();
    let listening = async {
        let mut order = InOrder::default();
        while let Some(event) = events.recv().await {
            if let Event::Settled(settled) = event {
                drop(order.push(*settled));
            }
        }
    };
    futures::join!(handle, listening).0.unwrap()
}

fn fill(kit: &Kit, prefix: &str) {
    for i in 0..KEYS {
        let key = format!("{prefix}a-folder-of-some-length/{:03}/file-{i:07}", i % 100);
        kit.server.store().put_synthetic(BUCKET, &key, 10);
    }
}

async fn du(haul: &Haul) {
    let all = with(ListRequest::new(s3("p/")), |r| r.recursive = true);
    let mut listed = Box::pin(haul.list(all)).await.unwrap();
    let mut sum = 0;
    while let Some(page) = listed.next().await {
        sum += page.unwrap().entries.iter().map(|e| e.size).sum::<u64>();
    }
    assert_eq!(sum, 10 * KEYS as u64);
}

/// Runs a job to its end in silence.
async fn through(job: impl Future<Output = haul::Result<TransferHandle<Summary>>>) -> Summary {
    read_through(Box::pin(job).await.unwrap()).await
}

async fn filled() -> Kit {
    let kit = Kit::new().await;
    fill(&kit, "p/");
    std::fs::create_dir(kit.path("empty")).unwrap();
    // So that connections, threads and buffers are there before it is measured.
    kit.put("q/x", b"x");
    for (from, to) in [(s3("q"), kit.local("warm")), (kit.local("empty"), s3("q"))] {
        let meant = with(mirror_of(&from, &to), |r| r.max_delete = Some(1));
        through(kit.haul.sync(meant)).await;
    }
    kit
}

fn assert_flat(grown: &[Option<u64>]) {
    if grown.contains(&None) {
        return println!("skipped: this system does not tell the memory of a process");
    }
    assert!(grown.iter().flatten().all(|grown| *grown < MOST), "{grown:?}");
}

/// Done when: "listing streams (bounded memory)": `du` and a dry `rm -r`.
#[tokio::test]
async fn memory_does_not_grow_with_what_is_listed() {
    if elsewhere("lists::memory_does_not_grow_with_what_is_listed") {
        return;
    }
    let kit = filled().await;
    let removal = with(RemoveRequest::new(vec![s3("p/")]), |r| {
        (r.select.recursive, r.dry_run) = (true, true);
    });
    let du = growth("du", du(&kit.haul)).await;
    let remove = async {
        assert_eq!(through(kit.haul.remove_tree(removal)).await.removed, KEYS as u64);
    };
    assert_flat(&[du, growth("rm -r --dry-run", Box::pin(remove)).await]);
}

/// The same by `sync`, dry: all of it to copy, and all of it to remove.
#[tokio::test]
async fn memory_does_not_grow_with_what_is_compared() {
    if elsewhere("lists::memory_does_not_grow_with_what_is_compared") {
        return;
    }
    let kit = filled().await;
    let dry = |from, to| {
        with(mirror_of(&from, &to), |r| (r.dry_run, r.max_delete) = (true, Some(KEYS as u64)))
    };
    let (down, up) = (dry(s3("p"), kit.local("empty")), dry(kit.local("empty"), s3("p")));
    let copy = async {
        assert_eq!(through(kit.haul.sync(down)).await.copied, KEYS as u64);
    };
    let copy = growth("sync --dry-run", Box::pin(copy)).await;
    let delete = async {
        assert_eq!(through(kit.haul.sync(up)).await.removed, KEYS as u64);
    };
    assert_flat(&[copy, growth("sync --delete --dry-run", Box::pin(delete)).await]);
}

/// S0.23: files that are published at once share the memory that was set: up to 8 of 8 MiB are in
/// flight, 128 MiB go through, and 16 MiB were allowed. What the store, in this process too, has in its
/// buffers comes on top. Measured: 23 MiB.
#[tokio::test]
async fn memory_does_not_grow_with_what_is_published() {
    if elsewhere("lists::memory_does_not_grow_with_what_is_published") {
        return;
    }
    let rules = StoreRules { sink: true, ..StoreRules::default() };
    let kit = Kit::with(rules, |o| {
        set_concurrency(o, 8);
        patient(o);
        o.engine.memory = 16 * MIB;
        o.engine.part = PlanPolicy { part_size: 8 * MIB, explicit: true };
    })
    .await;
    for i in 0..16 {
        kit.write(&format!("in/{i}"), &sizes::pattern(8 << 20, i));
    }
    let request = PublishRequest::new(vec![kit.local("in/")], s3("p"));
    let publish = async {
        assert_eq!(through(kit.haul.publish(request)).await.copied, 16);
    };
    let grown = growth("publish", Box::pin(publish)).await;
    match grown {
        Some(grown) => assert!(grown < 48 * MIB, "{grown}"),
        None => println!("skipped: this system does not tell the memory of a process"),
    }
}
