//! Lines that are slow, and senders that are silent.

use std::sync::Arc;
use std::time::Duration;

use haul_core::{Engine, ErrorKind, PeerEvent, RetryPolicy, Throttle};
use iroh::endpoint::{QuicTransportConfig, VarInt};
use tokio::sync::Semaphore;

use crate::doubles::{Made, Wait};
use crate::fake::{self, Content, Fake, Step, Trip, contents, hash, listed};
use crate::kit::{
    bytes, engine, engine_with, file, must, options, receiving, send_these, start, until,
};

const MIB: u64 = 1 << 20;

/// An engine that tries once, and takes this for a stall.
fn once(stall: Duration) -> Engine {
    engine_with(|options| (options.retry, options.stall) = (RetryPolicy::with_tries(1), stall))
}

/// D2: when a request for a part of a file fails, what the others have on its way is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_does_not_take_others_with_it() {
    let to = tempfile::tempdir().unwrap();
    let (data, trip) = (bytes(40 << 20, 1), Arc::new(Trip::default()));
    let content = Content { trips: Some(trip), ..Content::of(&data) };
    let script = vec![Step::Entries(vec![listed("large", &data)]), Step::End(1)];
    let fake = Fake::start(vec![script], [(hash(&data), content)].into()).await;
    let once = once(Duration::from_secs(20));
    let got = start(&fake.ticket, to.path(), receiving(), once).await.end().await;
    assert_eq!(got.error("large").kind(), ErrorKind::Stalled);
    let landed = got.meter.landed;
    // All of what was asked for first, and not half of it.
    assert!(landed >= 16 * MIB, "{:?}", got.meter);
    // The next one has the rest.
    let got = start(&fake.ticket, to.path(), receiving(), engine()).await.end().await;
    assert_eq!((got.counts(), got.meter.resumed), ((1, 0, 0), landed));
    assert!(std::fs::read(to.path().join("large")).unwrap() == data);
    fake.stop().await;
}

/// D2: on a slow line many requests wait for their turns, each for longer than anybody may be silent.
/// None of them is given up as long as something comes of any.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_share_a_slow_line_wait_for_their_turns() {
    const FILES: u64 = 15;
    let offers = (0..FILES).map(|i| {
        let name = format!("large {i}");
        file(&name, Made::new(&name, 2 * MIB, i).source(), 2 * MIB)
    });
    let slow = engine_with(|options| options.throttle = Some(Throttle::new(128 << 10)));
    let mut sending = send_these(offers.collect(), options(), slow).await;
    sending.offered().await;
    let to = tempfile::tempdir().unwrap();
    let stall = Duration::from_millis(400);
    let mut many = receiving();
    many.jobs = FILES as usize;
    let receiving = start(&sending.ticket, to.path(), many, once(stall)).await;
    receiving.landed(3 * MIB / 2).await;
    let got = receiving.cancel().await;
    assert!(got.meter.landed >= 3 * MIB / 2, "{:?}", got.settled);
    assert_eq!(got.result.unwrap_err().kind(), ErrorKind::Cancelled);
    sending.handle.cancel();
    drop(must("the share", sending.handle).await);
}

/// D15: a sender that has said that it is still at it, and then says nothing any more, is an error.
/// One that is of another time and cannot say so may take longer, but not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_mute_sender_is_an_error() {
    for (script, stall) in [
        (vec![Step::Alive, Step::Alive], Duration::from_millis(500)),
        (vec![], Duration::from_millis(20)),
    ] {
        let to = tempfile::tempdir().unwrap();
        let fake = Fake::start(vec![script], contents([])).await;
        let got = start(&fake.ticket, to.path(), receiving(), once(stall)).await.end().await;
        let e = got.result.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Stalled, "{e}");
        fake.stop().await;
    }
}

/// D15: a sender that hashes for longer than anybody may be silent says so, and is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hashes_for_long_is_waited_for() {
    let (to, pieces) = (tempfile::tempdir().unwrap(), Arc::new(Semaphore::new(0)));
    let mut made = Made::new("large", 3 * MIB, 7);
    made.wait = Some(Wait::Pieces(Arc::clone(&pieces)));
    let offers = vec![file("large", made.source(), 3 * MIB)];
    let sending = send_these(offers, options(), engine()).await;
    let stall = Duration::from_millis(700);
    let patient = engine_with(|options| options.stall = stall);
    let receiving = start(&sending.ticket, to.path(), receiving(), patient).await;
    // Longer than its patience.
    tokio::time::sleep(stall * 5).await;
    pieces.add_permits(Semaphore::MAX_PERMITS);
    let got = receiving.end().await;
    assert_eq!((got.counts(), got.retries()), ((1, 0, 0), 0), "{:?}", got.events);
    sending.stop().await;
}

/// D15: a sender that does not even let a receiver say what it wants is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_listen_is_given_up() {
    let transport = QuicTransportConfig::builder().max_concurrent_bidi_streams(VarInt::from_u32(0));
    let endpoint = iroh::Endpoint::builder(iroh::endpoint::presets::Minimal)
        .alpns(vec![b"haul/1".to_vec()])
        .relay_mode(iroh::RelayMode::Disabled)
        .transport_config(transport.build())
        .clear_ip_transports()
        .bind_addr((std::net::Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .bind()
        .await
        .unwrap();
    let ticket = fake::ticket_of(endpoint.id(), endpoint.bound_sockets(), Vec::new(), [5; 16]);
    let taking = async {
        let mut all = Vec::new();
        while let Some(incoming) = endpoint.accept().await {
            all.push(incoming.accept().unwrap().await);
        }
    };
    let to = tempfile::tempdir().unwrap();
    let receiving = async {
        let engine = once(Duration::from_millis(500));
        start(&ticket, to.path(), receiving(), engine).await.end().await
    };
    let got = tokio::select! {
        () = taking => unreachable!("it takes whoever comes"),
        got = receiving => got,
    };
    assert_eq!(got.result.unwrap_err().kind(), ErrorKind::Stalled);
    endpoint.close().await;
}

/// D22: a receiver that came second to a sender for one hears that, and not that nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn who_came_too_late_hears_why() {
    const FULL: u32 = 2;
    let to = tempfile::tempdir().unwrap();
    let fake = Fake::start(vec![vec![Step::Close(FULL)]], contents([])).await;
    let receiving = start(&fake.ticket, to.path(), receiving(), engine()).await;
    let meter = Arc::clone(&receiving.meter);
    until("that it is turned away", || meter.snapshot().retried > 0).await;
    fake.stop().await;
    let e = receiving.end().await.result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Rejected, "{e}");
    assert!(e.to_string().contains("served as many receivers as it wanted to"), "{e}");
    assert!(e.hint().is_some());
}

/// D11: a sender that is gone without a word is missed before the transport would miss it by itself,
/// which takes half a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_was_killed_is_missed_soon() {
    let (to, pieces) = (tempfile::tempdir().unwrap(), Arc::new(Semaphore::new(0)));
    let mut made = Made::new("large", MIB, 7);
    made.wait = Some(Wait::Pieces(pieces));
    let offers = vec![file("large", made.source(), MIB)];
    let mut sending = send_these(offers, options(), engine()).await;
    let receiving =
        start(&sending.ticket, to.path(), receiving(), once(Duration::from_secs(90))).await;
    sending.peer(|event| matches!(event, PeerEvent::Joined { .. })).await;
    drop(sending); // the job is aborted where it is
    let gone = tokio::time::Instant::now();
    let e = must("the end", receiving.end()).await.result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Connect, "{e}");
    assert!(gone.elapsed() < Duration::from_secs(25), "{:?}", gone.elapsed());
}
