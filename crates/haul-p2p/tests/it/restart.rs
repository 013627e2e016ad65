//! Senders that go away and come back.

use std::path::Path;
use std::sync::Arc;

use haul_core::{ErrorKind, Event, RetryPolicy, Throttle};
use haul_p2p::{ShareKey, ShareOptions, Ticket};
use tokio::sync::Semaphore;

use crate::doubles::{Made, Wait, is_made};
use crate::fake::{Fake, Step, contents, listed, parts_of};
use crate::kit::{
    Receiving, Sending, bytes, engine, engine_with, file, impatient, loopback, must, receive,
    receiving, send, send_these, start, tree, until, write,
};

const MIB: u64 = 1 << 20;

fn options_of(key: &ShareKey) -> ShareOptions {
    let mut options = ShareOptions::new(key.clone());
    options.net = loopback();
    options
}

/// The same share again, once nobody has its port any more.
async fn again(from: &Path, key: &ShareKey, before: &Ticket) -> Sending {
    let (_, addr, _) = parts_of(before);
    until("its port", || std::net::UdpSocket::bind(addr).is_ok()).await;
    let sending = send(from, options_of(key)).await;
    assert!(sending.ticket == *before, "the ticket is another");
    sending
}

/// A share of some files, and a receiver that has some of them.
async fn half_way(from: &Path, to: &Path, key: &ShareKey) -> (Sending, Receiving) {
    write(from, "large", &bytes((24 << 20) + 5, 1));
    for i in 0..200 {
        write(from, &format!("small/{i}"), &bytes(2000, 100 + i));
    }
    let mut sending = send(from, options_of(key)).await;
    sending.offered().await;
    let slow = engine_with(|options| options.throttle = Some(Throttle::new(48 << 20)));
    let receiving = start(&sending.ticket, to, receiving(), slow).await;
    receiving.landed(8 * MIB).await;
    (sending, receiving)
}

/// S4.33, S4.38, S4.41, U4.3: the sender is stopped and started again; a receiver that runs goes on
/// by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_comes_back_is_found_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = ShareKey::of(&[7; 32], b"restart");
    let (sending, receiving) = half_way(from.path(), to.path(), &key).await;
    let ticket = sending.ticket.clone();
    sending.stop().await;
    let sending = again(from.path(), &key, &ticket).await;
    let got = receiving.end().await;
    assert_eq!(got.counts(), (201, 0, 0), "{:?}", got.settled);
    assert!(got.retries() > 0);
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");
    // What was there when it went is not fetched again, apart from what was on its way.
    assert!(got.meter.wire < got.meter.landed + 4 * MIB, "{:?}", got.meter);
    assert_eq!(got.meter.landed, got.meter.total.unwrap());
    sending.stop().await;
}

/// S4.33: the same without a goodbye: the sender's process is gone, and another is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_vanishes_is_found_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = ShareKey::of(&[8; 32], b"vanish");
    let (sending, receiving) = half_way(from.path(), to.path(), &key).await;
    let ticket = sending.ticket.clone();
    drop(sending); // the job is aborted where it is
    let sending = again(from.path(), &key, &ticket).await;
    let got = receiving.end().await;
    let (copied, skipped, failed) = got.counts();
    assert_eq!((copied + skipped, failed), (201, 0), "{:?}", got.settled);
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");
    sending.stop().await;
}

/// D1: it comes back and has to hash everything again: a receiver that runs hears that it is not yet,
/// as often as it takes, and goes on when it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_comes_back_and_still_hashes_is_waited_for() {
    const SIZE: u64 = 24 << 20;
    let to = tempfile::tempdir().unwrap();
    let key = ShareKey::of(&[10; 32], b"hashing");
    let made = Made::new("large", SIZE, 1);
    let offer = |made: Made| vec![file("large", made.source(), SIZE)];
    let mut sending = send_these(offer(made.clone()), options_of(&key), engine()).await;
    sending.offered().await;
    let slow = engine_with(|options| {
        options.throttle = Some(Throttle::new(48 << 20));
        options.retry = RetryPolicy::with_tries(4);
    });
    let mut receiving = start(&sending.ticket, to.path(), receiving(), slow).await;
    receiving.landed(4 * MIB).await;
    let (_, addr, _) = parts_of(&sending.ticket);
    sending.stop().await;
    until("its port", || std::net::UdpSocket::bind(addr).is_ok()).await;
    let permits = Arc::new(Semaphore::new(0));
    let mut again = made;
    again.wait = Some(Wait::Pieces(Arc::clone(&permits)));
    let sending = send_these(offer(again), options_of(&key), engine()).await;
    // More often than it would try.
    let mut told = 0;
    while told < 5 {
        match must("an event", receiving.events.recv()).await {
            Some(Event::Retrying { error, .. }) => told += u32::from(error.contains("hashing")),
            Some(Event::Settled(one)) => panic!("{one:?}"),
            Some(_) => {}
            None => panic!("it gave up"),
        }
    }
    permits.add_permits(1000);
    let got = receiving.end().await;
    assert_eq!(got.counts(), (1, 0, 0), "{:?}", got.settled);
    assert!(is_made(&std::fs::read(to.path().join("large")).unwrap(), 1), "another content");
    sending.stop().await;
}

/// S4.33, S4.24: it comes back and has something else under a name: that file fails, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_comes_back_with_something_else_fails_that_file() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = ShareKey::of(&[9; 32], b"changed");
    let (sending, receiving) = half_way(from.path(), to.path(), &key).await;
    let ticket = sending.ticket.clone();
    sending.stop().await;
    write(from.path(), "large", &bytes((24 << 20) + 5, 2));
    let mut sending = again(from.path(), &key, &ticket).await;
    sending.offered().await;
    let got = receiving.end().await;
    assert_eq!(got.counts(), (200, 0, 1), "{:?}", got.settled);
    let e = got.error("large");
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    assert!(!to.path().join("large").exists());
    // Asked again, it gets what there is now.
    let got = receive(&sending.ticket, to.path(), crate::kit::receiving()).await;
    assert_eq!(got.counts(), (1, 200, 0), "{:?}", got.settled);
    let content = |root: &Path| std::fs::read(root.join("large")).unwrap();
    assert!(content(to.path()) == content(from.path()), "the contents differ");
    sending.stop().await;
}

/// S4.33, U4.1: the connection breaks while the list comes: the rest of it is asked for again,
/// nothing is taken twice, and a name that now stands for something else fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_goes_on() {
    let to = tempfile::tempdir().unwrap();
    let contents = contents([(b"same".to_vec()), b"before".to_vec(), b"after".to_vec()]);
    let [same, before, after] = [b"same".as_slice(), b"before", b"after"];
    let first = vec![
        Step::Entries(vec![listed("same", same), listed("changed", before)]),
        Step::Served(1),
        Step::Close(3),
    ];
    let second = vec![
        Step::Entries(vec![listed("same", same), listed("changed", after)]),
        Step::Entries(vec![listed("more", after)]),
        Step::End(3),
    ];
    let fake = Fake::start(vec![first, second], contents).await;
    let got = start(&fake.ticket, to.path(), receiving(), engine()).await.end().await;
    let (copied, _, failed) = got.counts();
    assert_eq!((copied, failed), (3, 1), "{:?}", got.settled);
    assert!(got.events.iter().any(|event| matches!(event, Event::Retrying { .. })));
    let changed = got.settled.iter().filter(|one| one.from == "changed");
    assert_eq!(changed.count(), 2);
    let there = tree(to.path());
    assert_eq!(there[Path::new("same")], same);
    assert_eq!(there[Path::new("more")], after);
    fake.stop().await;
}

/// S4.33: nobody comes back: it ends, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_stays_away_is_an_error() {
    let to = tempfile::tempdir().unwrap();
    let fake = Fake::start(vec![vec![Step::Close(3)]], contents([])).await;
    let got = start(&fake.ticket, to.path(), receiving(), impatient()).await.end().await;
    let e = got.result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Connect, "{e}");
    assert!(e.hint().is_some());
    assert_eq!(RetryPolicy::with_tries(2).tries, 2);
    assert_eq!(got.meter.retried, 1);
    fake.stop().await;
}
