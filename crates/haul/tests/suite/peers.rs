//! Sharing and downloading through the facade: events for programs, stores at either end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use haul::{
    Channel, DownloadEvent, ErrorKind, Haul, Location, Net, Options, Outcome, ReceiveOptions,
    ReceiveRequest, Relay, ShareEvent, ShareKey, ShareOptions, Sharing,
};

/// The loopback and nothing else.
fn loopback() -> Net {
    let mut net = Net::default();
    (net.relay, net.bind) = (Relay::None, Some(([127, 0, 0, 1], 0).into()));
    net
}

fn sharing() -> ShareOptions {
    let mut options = ShareOptions::new(ShareKey::random());
    options.net = loopback();
    options
}

fn receiving() -> ReceiveOptions {
    let mut options = ReceiveOptions::default();
    options.net = loopback();
    options
}

/// What was heard of each file.
type Heard<E> = Arc<Mutex<Vec<E>>>;

fn ear<E: Send + 'static>() -> (Heard<E>, impl Fn(E) + Send + 'static) {
    let heard: Heard<E> = Arc::default();
    let ear = Arc::clone(&heard);
    (heard, move |event| ear.lock().unwrap().push(event))
}

fn files(folder: &Path) {
    std::fs::write(folder.join("large"), vec![7; 9 << 20]).unwrap();
    std::fs::write(folder.join("empty"), "").unwrap();
    for i in 0..150 {
        std::fs::write(folder.join(format!("small {i}")), format!("{i}").repeat(i)).unwrap();
    }
}

async fn share(folder: &Path, heard: impl Fn(ShareEvent) + Send + 'static) -> Sharing {
    let haul = Haul::new(Options::default());
    haul.share_files_parallel(heard, vec![folder.to_owned()], sharing()).await.unwrap()
}

/// S4.19, S4.20, S4.21, S4.23: paths in, a ticket out, a ticket in, files out; with a sink that tasks
/// share. S4.8, S4.10, S4.13, S4.14, S4.16: every file begins, moves by exactly its size and ends,
/// whatever its size, and nothing is told twice (X4.5) or after the end.
#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_told_from_beginning_to_end() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    files(from.path());
    let (offered, ear_of_share) = ear();
    let sharing = share(from.path(), ear_of_share).await;
    let haul = Haul::new(Options::default());
    let (got, ear_of_download) = ear();
    let summary = haul
        .download_files_parallel(
            ear_of_download,
            sharing.ticket(),
            to.path().to_owned(),
            receiving(),
        )
        .await
        .unwrap();
    assert_eq!((summary.copied, summary.failed), (152, 0));
    sharing.stop();
    let shared = sharing.ended().await.unwrap();
    assert_eq!((shared.items.copied, shared.finished), (152, 1));

    let mut told: BTreeMap<u64, (u64, u64, u32)> = BTreeMap::new();
    for event in offered.lock().unwrap().iter() {
        match event {
            ShareEvent::Size { file, size, .. } => {
                assert!(told.insert(*file, (*size, 0, 0)).is_none(), "{file} begins twice");
            }
            ShareEvent::OutboardProgress { file, bytes } => {
                let (_, moved, over) = told.get_mut(file).unwrap();
                assert!(*bytes > 0 && *over == 0);
                *moved += bytes;
            }
            ShareEvent::Done { file, hash } => {
                assert!(hash.is_some());
                told.get_mut(file).unwrap().2 += 1;
            }
            ShareEvent::CopyDone { file } => assert!(told.contains_key(file)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), 152);
    assert!(told.values().all(|(size, moved, over)| size == moved && *over == 1), "{told:?}");

    let mut told: BTreeMap<u64, (u64, u64, u32)> = BTreeMap::new();
    for event in got.lock().unwrap().iter() {
        match event {
            DownloadEvent::TryProvider { file, size, provider, .. } => {
                assert!(!provider.is_empty());
                assert!(told.insert(*file, (*size, 0, 0)).is_none(), "{file} begins twice");
            }
            DownloadEvent::Progress { file, bytes } => {
                let (_, moved, over) = told.get_mut(file).unwrap();
                assert!(*bytes > 0 && *over == 0);
                *moved += bytes;
            }
            DownloadEvent::PartComplete { file } => told.get_mut(file).unwrap().2 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), 152);
    assert!(told.values().all(|(size, moved, over)| size == moved && *over == 1), "{told:?}");
}

/// S4.19: a channel is a sink, as the plan has it, and one that nobody reads any more holds up nothing.
/// S4.8: the last of a file is its hash.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_hears_of_every_file() {
    let from = tempfile::tempdir().unwrap();
    files(from.path());
    let haul = Haul::new(Options::default());
    for reads in [true, false] {
        let (sink, mut events) = tokio::sync::mpsc::unbounded_channel::<ShareEvent>();
        let paths = vec![from.path().to_owned()];
        let sharing = haul.share_files_parallel(Channel(sink), paths, sharing()).await.unwrap();
        if reads {
            let (mut names, mut hashes) = (BTreeMap::new(), BTreeMap::new());
            while hashes.len() < 152 {
                match events.recv().await.unwrap() {
                    ShareEvent::Size { file, name, .. } => drop(names.insert(file, name)),
                    ShareEvent::Done { file, hash } => drop(hashes.insert(file, hash.unwrap())),
                    _ => {}
                }
            }
            let nothing = names.iter().find(|(_, name)| name.ends_with("/empty")).unwrap().0;
            assert_eq!(hashes[nothing][..4], [0xaf, 0x13, 0x49, 0xb9]);
            // Two are empty.
            assert_eq!(hashes.into_values().collect::<BTreeSet<_>>().len(), 151);
        } else {
            drop(events);
        }
        sharing.stop();
        match sharing.ended().await {
            Ok(_) => {}
            // It was stopped before all of it could be had.
            Err(e) => assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}"),
        }
    }
}

/// S4.24, S4.25, S4.26, X4.1: what fails is told as failed, on both sides, and the rest arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_fails_is_told_and_the_rest_arrives() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(from.path().join("good"), "good").unwrap();
    std::os::unix::net::UnixListener::bind(from.path().join("socket")).unwrap();
    let (offered, ear_of_share) = ear();
    let sharing = share(from.path(), ear_of_share).await;
    let haul = Haul::new(Options::default());
    let (ticket, into) = (sharing.ticket().clone(), to.path().to_owned());
    let (got, ear_of_download) = ear();
    let summary =
        haul.download_files_parallel(ear_of_download, &ticket, into, receiving()).await.unwrap();
    let name = from.path().file_name().unwrap();
    assert_eq!(std::fs::read(to.path().join(name).join("good")).unwrap(), b"good");
    assert_eq!((summary.copied, summary.failed), (1, 1));
    drop(sharing);
    let failed = |event: &&DownloadEvent| {
        matches!(event, DownloadEvent::Error { name, error, .. }
            if name == "socket" && error.contains("peer"))
    };
    assert_eq!(got.lock().unwrap().iter().filter(failed).count(), 1);
    let failed = |event: &&ShareEvent| matches!(event, ShareEvent::Error { name, .. } if name.contains("socket"));
    assert_eq!(offered.lock().unwrap().iter().filter(failed).count(), 1);
}

/// S3.33, S4.12, S4.15, S4.39, X4.6: counters are atomics, and no task has to gather them; however
/// often a meter moves, it is looked at from time to time, by a clock that cannot jump; the handle's
/// counters can be polled by several tasks at once.
#[tokio::test(flavor = "multi_thread")]
async fn meters_can_be_polled_by_anybody() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    files(from.path());
    let sharing = share(from.path(), |_| ()).await;
    let to = Location::Local(to.path().to_owned());
    let request = ReceiveRequest::new(sharing.ticket().clone(), to, receiving());
    let job = Haul::new(Options::default()).receive(request).await.unwrap();
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (meter, tally) = (job.meter(), job.tally());
        watchers.spawn(async move {
            let (mut seen, mut over) = (0, 0);
            loop {
                let (now, items) = (meter.snapshot(), tally.snapshot());
                assert!(now.landed >= seen && items.settled() >= over, "never backwards");
                assert!(now.total.is_none_or(|total| now.landed <= total), "never past the total");
                (seen, over) = (now.landed, items.settled());
                if items.complete && over == items.found {
                    return (seen, over);
                }
                tokio::task::yield_now().await;
            }
        });
    }
    job.await.unwrap();
    for (landed, over) in watchers.join_all().await {
        assert!(landed > 9 << 20 && over == 152, "{landed} {over}");
    }
}

/// A job that nobody awaits leaves nothing behind, and what it shared is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_dropped_is_over() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    files(from.path());
    let sharing = share(from.path(), |_| ()).await;
    let ticket = sharing.ticket().clone();
    drop(sharing);
    let mut options = Options::default();
    options.engine.retry = haul::RetryPolicy::with_tries(1);
    let request = ReceiveRequest::new(ticket, Location::Local(to.path().to_owned()), receiving());
    let mut job = Haul::new(options).receive(request).await.unwrap();
    let mut events = job.take_events().unwrap();
    let e = job.await.unwrap_err();
    assert_eq!(e.kind(), haul::ErrorKind::Connect, "{e}");
    while let Some(event) = events.recv().await {
        if let haul::Event::Settled(settled) = event {
            assert!(matches!(settled.outcome, Outcome::Failed(_)));
        }
    }
}
