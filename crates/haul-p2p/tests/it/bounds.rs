//! How much is done at once.

use std::sync::Arc;

use haul_core::{Event, Throttle};
use tokio::sync::Barrier;

use crate::doubles::{Made, Users, Wait};
use crate::fake;
use crate::kit::{
    engine, engine_with, file, must, options, receive, receiving, send_these, start, start_deaf,
};

/// Files of `size` that share their users and wait for each other when they are opened for the
/// `from`th time.
fn meeting(count: u64, size: u64, from: u64, at_once: usize) -> (Vec<Made>, Arc<Users>) {
    let (users, barrier) = (Arc::<Users>::default(), Arc::new(Barrier::new(at_once)));
    let one = |i: u64| {
        let mut made = Made::new(&format!("file {i}"), size, i);
        made.users = Arc::clone(&users);
        made.wait = Some(Wait::Meeting(from, Arc::clone(&barrier)));
        made
    };
    ((0..count).map(one).collect(), users)
}

fn offers(files: Vec<Made>) -> Vec<haul_core::Result<haul_p2p::Offer>> {
    let offer = |made: Made| file(made.name(), made.clone().source(), made.size);
    files.into_iter().map(offer).collect()
}

/// S4.1, S4.2, S4.4, S4.6: as many files are hashed at once as was asked for: no fewer, because they wait
/// for each other, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_files_are_hashed_at_once() {
    for jobs in [1, 3, 8] {
        let (files, users) = meeting(jobs as u64 * 5, 3000, 0, jobs);
        let mut sharing = options();
        sharing.jobs = jobs;
        let mut sending = send_these(offers(files), sharing, engine()).await;
        let summary = sending.offered().await;
        assert_eq!((summary.copied, users.peak()), (jobs as u64 * 5, jobs as u64));
        sending.stop().await;
    }
    assert!((1..=8).contains(&options().jobs));
}

/// S4.3, S4.4, S4.6, S4.18, S4.28: as many files are fetched at once as was asked for, 6 if nothing was. They
/// meet before their first byte: one after the other, none would come.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_files_are_fetched_at_once() {
    assert_eq!(receiving().jobs, 6);
    for jobs in [1, 6] {
        let to = tempfile::tempdir().unwrap();
        let (files, _) = meeting(jobs as u64 * 2, (1 << 20) + 5, 1, jobs);
        let mut sending = send_these(offers(files), options(), engine()).await;
        sending.offered().await;
        let mut how = receiving();
        how.jobs = jobs;
        let mut receiving = start(&sending.ticket, to.path(), how, engine()).await;
        let (mut now, mut peak, mut over) = (0, 0, 0);
        while let Some(event) = must("the receive", receiving.events.recv()).await {
            match event {
                Event::ItemStarted { .. } => now += 1,
                Event::Settled(_) => (now, over) = (now - 1, over + 1),
                _ => {}
            }
            peak = peak.max(now);
        }
        assert_eq!((over, peak), (jobs * 2, jobs));
        receiving.handle.await.unwrap();
        sending.stop().await;
    }
}

/// S4.40: a rate limit at the sender counts what it sends, proofs included, once for each byte; one
/// at the receiver counts contents.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_counts_every_byte_once() {
    const SIZE: u64 = 3 << 20;
    const RATE: u64 = 64 << 20;
    for at_sender in [true, false] {
        let to = tempfile::tempdir().unwrap();
        let throttle = Throttle::new(RATE);
        let limited = || engine_with(|options| options.throttle = Some(throttle.clone()));
        let (here, there) = if at_sender { (limited(), engine()) } else { (engine(), limited()) };
        let made = |i| Made::new(&format!("{i}"), SIZE, i).source();
        let mut all: Vec<_> = (0..2).map(|i| file(&i.to_string(), made(i), SIZE)).collect();
        let small = |i: u64| Made::new(&format!("{i}"), 9000, i).source();
        all.extend((2..40).map(|i| file(&i.to_string(), small(i), 9000)));
        let mut sending = send_these(all, options(), here).await;
        sending.offered().await;
        let before = tokio::time::Instant::now();
        let got = start(&sending.ticket, to.path(), receiving(), there).await.end().await;
        assert_eq!(got.counts(), (40, 0, 0));
        let bytes = 2 * SIZE + 38 * 9000;
        assert_eq!(got.meter.landed, bytes);
        // What the limit has been asked for cannot be seen; that it was asked can: so many bytes
        // take at least so long, less what may pile up.
        let least = bytes as f64 / RATE as f64 - 0.1;
        assert!(before.elapsed().as_secs_f64() >= least, "{:?}", before.elapsed());
        sending.stop().await;
    }
}

/// S4.5, U4.3: what a receiver does not take is not read at the sender: memory stays flat.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_reads_no_further_ahead_than_the_windows() {
    const SIZE: u64 = 96 << 20;
    let to = tempfile::tempdir().unwrap();
    let made = Made::new("large", SIZE, 1);
    let users = Arc::clone(&made.users);
    let mut sending =
        send_these(vec![file("large", made.source(), SIZE)], options(), engine()).await;
    sending.offered().await;
    assert_eq!(users.read(), SIZE);
    let slow = engine_with(|options| options.throttle = Some(Throttle::new(1 << 20)));
    let receiving = start(&sending.ticket, to.path(), receiving(), slow).await;
    receiving.landed(1 << 20).await;
    let got = receiving.cancel().await;
    let ahead = users.read() - SIZE - got.meter.wire;
    assert!(ahead <= 40 << 20, "{ahead} bytes were read that nobody wanted yet");
    sending.stop().await;
}

/// S4.9, S4.40, U4.3: a receiver that is slower than the network loses no connection by it.
#[tokio::test(flavor = "multi_thread")]
async fn slow_receivers_keep_their_connection() {
    const SIZE: u64 = 40 << 20;
    let to = tempfile::tempdir().unwrap();
    let made = Made::new("large", SIZE, 1).source();
    let mut sending = send_these(vec![file("large", made, SIZE)], options(), engine()).await;
    sending.offered().await;
    let slow = engine_with(|options| options.throttle = Some(Throttle::new(32 << 20)));
    let got = start(&sending.ticket, to.path(), receiving(), slow).await.end().await;
    assert_eq!((got.counts(), got.retries()), ((1, 0, 0), 0), "{:?}", got.events);
    sending.stop().await;
}

/// S4.5, U4.3: a list that is longer than the windows, and a receiver that is not ready for it:
/// nothing is lost by waiting.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_wait_for_slow_receivers() {
    const ENTRIES: usize = 60_000;
    let to = tempfile::tempdir().unwrap();
    let failed = |i: usize| fake::Entry {
        path: format!("{i}").into_bytes(),
        kind: fake::Kind::Failed { reason: "x".repeat(200) },
    };
    let numbers: Vec<_> = (0..ENTRIES).collect();
    let mut script: Vec<_> = numbers
        .chunks(64)
        .map(|page| fake::Step::Entries(page.iter().map(|i| failed(*i)).collect()))
        .collect();
    script.push(fake::Step::End(ENTRIES as u64));
    let fake = fake::Fake::start(vec![script], fake::contents([])).await;
    let (handle, mut events) = start_deaf(&fake.ticket, to.path(), receiving(), engine()).await;
    // Nobody listens: the job is held up, and the rest of the list is on its way or waits. However
    // long this is, nothing may come of it.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let (mut settled, mut retries) = (0, Vec::new());
    while let Some(event) = must("the receive", events.recv()).await {
        match event {
            Event::Settled(_) => settled += 1,
            Event::Retrying { error, .. } => retries.push(error),
            _ => {}
        }
    }
    assert_eq!((settled, retries), (ENTRIES, Vec::new()));
    assert_eq!(handle.await.unwrap().failed, ENTRIES as u64);
    fake.stop().await;
}

/// U4.3: any number of receivers at once, each with everything.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_do_not_disturb_each_other() {
    let files = (0..50).map(|i| Made::new(&format!("{i}"), i * 30_000, i)).collect();
    let sending = send_these(offers(files), options(), engine()).await;
    let one = || async {
        let to = tempfile::tempdir().unwrap();
        receive(&sending.ticket, to.path(), receiving()).await.counts()
    };
    let all = futures::future::join_all((0..4).map(|_| one())).await;
    assert_eq!(all, [(50, 0, 0); 4]);
    assert_eq!(sending.stop().await.finished, 4);
}
