//! Receives that are ended in the middle, and go on.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use haul_core::{ErrorKind, PeerEnd, PeerEvent, Throttle};
use haul_p2p::Ticket;

use crate::doubles::{Made, is_made};
use crate::kit::{
    Got, Sending, bytes, engine, engine_with, file, impatient, options, receive, receiving, send,
    send_these, start, tree, write,
};

const MIB: u64 = 1 << 20;
const SIZE: u64 = (48 << 20) + 4097;

async fn send_large(seed: u64) -> Sending {
    let what = haul_p2p::What::File {
        source: Made::new("large", SIZE, seed).source(),
        size: SIZE,
        mode: Some(0o640),
        modified: Some(UNIX_EPOCH + Duration::from_secs(1_234_567_890)),
    };
    let offers = vec![Ok(haul_p2p::Offer { path: haul_core::RelPath::new("large"), what })];
    let mut sending = send_these(offers, options(), engine()).await;
    sending.offered().await;
    sending
}

/// Receives until so much is there, and no further.
async fn some(ticket: &Ticket, into: &Path, bytes: u64) -> Got {
    let slow = engine_with(|options| options.throttle = Some(Throttle::new(96 << 20)));
    let receiving = start(ticket, into, receiving(), slow).await;
    receiving.landed(bytes).await;
    receiving.cancel().await
}

/// The only thing in a folder, which has no name yet.
fn partial(folder: &Path) -> PathBuf {
    let all: Vec<_> = tree(folder).into_keys().collect();
    assert!(
        all.len() == 1 && all[0].to_str().unwrap().starts_with(".haul-"),
        "what is there is not one file under construction: {all:?}"
    );
    folder.join(&all[0])
}

fn is_complete(folder: &Path, seed: u64) {
    assert_eq!(tree(folder).into_keys().collect::<Vec<_>>(), [Path::new("large")]);
    let content = std::fs::read(folder.join("large")).unwrap();
    assert_eq!(content.len() as u64, SIZE);
    assert!(is_made(&content, seed), "the contents differ");
    let modified = folder.join("large").metadata().unwrap().modified().unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_234_567_890));
}

/// S4.37, S4.38, U4.3: a receive that is cancelled leaves nothing under its name, and the next one
/// fetches what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_receive_goes_on() {
    let to = tempfile::tempdir().unwrap();
    let mut sending = send_large(1).await;
    let got = some(&sending.ticket, to.path(), 10 * MIB).await;
    assert_eq!(got.result.unwrap_err().kind(), ErrorKind::Cancelled);
    let left = sending.peer(|event| matches!(event, PeerEvent::Left(_))).await;
    assert!(matches!(left, PeerEvent::Left(PeerEnd::Gone)), "{left:?}");
    partial(to.path());

    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (1, 0, 0));
    assert!(got.meter.resumed >= 9 * MIB, "{:?}", got.meter);
    assert_eq!((got.meter.landed, got.meter.total), (SIZE, Some(SIZE)));
    assert_eq!(got.meter.wire, SIZE - got.meter.resumed, "nothing is fetched twice");
    is_complete(to.path(), 1);
    assert_eq!(sending.stop().await.finished, 1);
}

/// S4.37, S4.38, U4.3: ended twenty times, it still ends right, and never begins again.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_interruptions_do_no_harm() {
    let to = tempfile::tempdir().unwrap();
    let sending = send_large(2).await;
    let mut before = 0;
    for i in 1..=20 {
        // Also at offsets at which no group ends.
        let got = some(&sending.ticket, to.path(), i * (2 * MIB + 70_001)).await;
        assert_eq!(got.result.unwrap_err().kind(), ErrorKind::Cancelled, "{i}");
        let there = got.meter.resumed;
        assert!(there + MIB >= before, "{i}: {there} of {before} are left");
        before = got.meter.landed;
        partial(to.path());
    }
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (1, 0, 0));
    assert!(got.meter.resumed + MIB >= before, "{} of {before}", got.meter.resumed);
    is_complete(to.path(), 2);
    sending.stop().await;
}

/// What happens to a file.
type Damage = fn(&std::fs::File);

/// S4.38, U4.3: what was damaged meanwhile is fetched again, and nothing else of it.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_mended() {
    let sending = send_large(3).await;
    let damages: [(&str, u64, Damage); 6] = [
        ("a bit in the middle", 1, |file| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, 5 * MIB + 17).unwrap();
            file.write_all_at(&[byte[0] ^ 1], 5 * MIB + 17).unwrap();
        }),
        ("the first byte and another", 2, |file| {
            file.write_all_at(b"?", 0).unwrap();
            file.write_all_at(b"?", 8 * MIB).unwrap();
        }),
        ("zeros", 2, |file| file.write_all_at(&vec![0; 300_000], 3 * MIB - 100_000).unwrap()),
        ("cut off", 48, |file| file.set_len(6 * MIB + 1).unwrap()),
        ("nothing left", 48, |file| file.set_len(0).unwrap()),
        ("something behind it", 0, |file| {
            let end = file.metadata().unwrap().len();
            file.write_all_at(&[1; 5000], end).unwrap();
        }),
    ];
    for (what, most_lost, damage) in damages {
        let to = tempfile::tempdir().unwrap();
        let got = some(&sending.ticket, to.path(), 16 * MIB).await;
        let path = partial(to.path());
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        damage(&file);
        drop(file);
        let before = got.meter.landed / MIB * MIB;
        let got = receive(&sending.ticket, to.path(), receiving()).await;
        assert_eq!(got.counts(), (1, 0, 0), "{what}");
        is_complete(to.path(), 3);
        let resumed = got.meter.resumed;
        assert!(resumed + most_lost * MIB >= before, "{what}: {resumed} of {before}");
        assert_eq!(got.meter.wire, SIZE - resumed, "{what}");
    }
    sending.stop().await;
}

/// S4.38, D16: of a file under construction nothing goes into another content.
#[tokio::test(flavor = "multi_thread")]
async fn another_content_does_not_go_on_with_it() {
    let to = tempfile::tempdir().unwrap();
    let (first, second) = (send_large(4).await, send_large(5).await);
    some(&first.ticket, to.path(), 5 * MIB).await;
    let got = receive(&second.ticket, to.path(), receiving()).await;
    assert_eq!((got.counts(), got.meter.resumed), ((1, 0, 0), 0));
    let content = std::fs::read(to.path().join("large")).unwrap();
    assert!(is_made(&content, 5), "the contents differ");
    // D16: and nothing is left of the first.
    assert_eq!(tree(to.path()).into_keys().collect::<Vec<_>>(), [Path::new("large")]);
    first.stop().await;
    second.stop().await;
}

/// D16: what is left of a version that nobody has any more is used by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_of_another_version_is_used() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut data = bytes((24 << 20) + 5, 1);
    write(from.path(), "large", &data);
    let sending = send(from.path(), options()).await;
    let got = some(&sending.ticket, to.path(), 10 * MIB).await;
    let had = got.meter.landed / MIB;
    sending.stop().await;
    // Another byte, and something more at the end.
    data[3 << 20] ^= 1;
    data.extend_from_slice(&[7; 12345]);
    write(from.path(), "large", &data);
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (1, 0, 0));
    // Groups that were complete, and not the one that is another; streams may each have one begun.
    let resumed = got.meter.resumed / MIB;
    assert!(resumed + 6 >= had && resumed < had + 1, "{resumed} of {had}: {:?}", got.meter);
    assert_eq!(got.meter.wire, data.len() as u64 - got.meter.resumed);
    assert!(got.meter.checked >= got.meter.resumed, "{:?}", got.meter);
    assert!(std::fs::read(to.path().join("large")).unwrap() == data);
    assert_eq!(tree(to.path()).len(), 1);
    sending.stop().await;
}

/// D18: what is there is counted while it is looked at, once: the second time nothing is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_read_once() {
    let to = tempfile::tempdir().unwrap();
    let sending = send_large(8).await;
    let again = || receive(&sending.ticket, to.path(), receiving());
    assert_eq!(again().await.counts(), (1, 0, 0));
    // It came here, and is known.
    let got = again().await;
    assert_eq!(got.counts(), (0, 1, 0));
    let knows = got.meter.checked == 0;
    if !knows {
        crate::kit::skipped("this file system keeps no attributes of users");
    }
    // Something that nobody knows yet: a copy of it.
    std::fs::copy(to.path().join("large"), to.path().join("copy")).unwrap();
    std::fs::rename(to.path().join("copy"), to.path().join("large")).unwrap();
    let got = again().await;
    assert_eq!((got.counts(), got.meter.checked), ((0, 1, 0), SIZE));
    assert_eq!(again().await.meter.checked, if knows { 0 } else { SIZE });
    // Changed since, to the same size.
    let file = std::fs::File::options().write(true).open(to.path().join("large")).unwrap();
    file.write_all_at(b"?", 5).unwrap();
    let got = again().await;
    assert_eq!(got.error("large").kind(), ErrorKind::AlreadyExists);
    assert_eq!(got.meter.checked, SIZE);
    sending.stop().await;
}

/// S4.37, S4.38: a sender that is stopped in the middle says so; what is there stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_stops_is_told_apart() {
    let to = tempfile::tempdir().unwrap();
    let sending = send_large(6).await;
    let slow = engine_with(|options| {
        options.throttle = Some(Throttle::new(96 << 20));
        options.retry = haul_core::RetryPolicy::with_tries(1);
    });
    let receiving = start(&sending.ticket, to.path(), receiving(), slow).await;
    receiving.landed(8 * MIB).await;
    sending.stop().await;
    let got = receiving.end().await;
    let e = got.error("large");
    assert_eq!(e.kind(), ErrorKind::Connect);
    assert!(e.to_string().contains("stopped") && e.hint().is_some(), "{e}");
    partial(to.path());
}

/// S4.37: cancelled while it hashes, before it connects, and while nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_cancelled_at_once() {
    let to = tempfile::tempdir().unwrap();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(3));
    let mut made = Made::new("large", SIZE, 7);
    made.wait = Some(crate::doubles::Wait::Pieces(permits));
    let sending =
        send_these(vec![file("large", made.source(), SIZE)], options(), impatient()).await;
    // Nothing is listed, and will not be: the receiver waits.
    let receiving = start(&sending.ticket, to.path(), receiving(), impatient()).await;
    let meter = sending.handle.meter();
    crate::kit::until("some hashing", || {
        meter.snapshot().landed > 0 || !receiving.events.is_empty()
    })
    .await;
    let got = receiving.cancel().await;
    assert_eq!(got.result.unwrap_err().kind(), ErrorKind::Cancelled);
    sending.handle.cancel();
    let ended = crate::kit::must("the share", sending.handle).await;
    assert!(ended.is_err_and(|e| e.kind() == ErrorKind::Cancelled));
    assert!(tree(to.path()).is_empty());
}
