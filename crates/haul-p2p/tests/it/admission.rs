//! Who is let in, and when a share ends.

use std::sync::Arc;
use std::time::Duration;

use haul_core::{ErrorKind, Event, PeerEnd, PeerEvent, RetryPolicy, TransferHandle};
use haul_p2p::{ShareEnd, ShareOptions, Ticket};
use iroh::endpoint::{Connection, ConnectionError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::doubles::{Made, Wait};
use crate::fake::{self, FromReceiver, frame};
use crate::kit::{
    Sending, engine, engine_with, file, must, options, receive, receiving, send_these, start,
};

const SIZE: u64 = 4 << 20;

/// A share of one file, of which no more is sent than is let through after it was hashed.
async fn send_held(options: ShareOptions) -> (Sending, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let mut made = Made::new("large", SIZE, 1);
    made.wait = Some(Wait::Pieces(Arc::clone(&permits)));
    permits.add_permits(100);
    let mut sending = send_these(vec![file("large", made.source(), SIZE)], options, engine()).await;
    sending.offered().await;
    permits.forget_permits(1000);
    (sending, permits)
}

fn joined(event: &PeerEvent) -> bool {
    matches!(event, PeerEvent::Joined { .. })
}

fn left(event: &PeerEvent) -> bool {
    matches!(event, PeerEvent::Left(_))
}

/// S4.3: as many receivers as are wanted, and no more; one that goes away unfinished makes room, one
/// that is done does not; then the share is over.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_receivers_are_let_in() {
    let dir = || tempfile::tempdir().unwrap();
    let mut sharing = options();
    sharing.receivers = Some(1);
    let (mut sending, permits) = send_held(sharing).await;
    let (first_dir, second_dir) = (dir(), dir());
    let first = start(&sending.ticket, first_dir.path(), receiving(), engine()).await;
    sending.peer(joined).await;

    // A place may become free, so it is asked for again; this one does not wait for that.
    let once = engine_with(|options| options.retry = RetryPolicy::with_tries(1));
    let second = start(&sending.ticket, second_dir.path(), receiving(), once).await.end().await;
    let e = second.result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Rejected, "{e}");
    assert!(e.to_string().contains("as many receivers") && e.hint().is_some(), "{e}");

    first.cancel().await;
    let end = sending.peer(left).await;
    assert!(matches!(end, PeerEvent::Left(PeerEnd::Gone)), "{end:?}");
    permits.add_permits(100);
    let second = receive(&sending.ticket, second_dir.path(), receiving()).await;
    assert_eq!(second.counts(), (1, 0, 0));
    let shared = sending.end().await;
    assert_eq!((shared.end, shared.finished), (ShareEnd::Enough, 1));
}

/// S4.3: one after the other, each counted when it has everything; what fails does not count.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_have_everything_count() {
    let mut sharing = options();
    sharing.receivers = Some(2);
    let (mut sending, permits) = send_held(sharing).await;
    permits.add_permits(100);
    let to = tempfile::tempdir().unwrap();
    crate::kit::write(to.path(), "large", b"in the way");
    let partly = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(partly.counts(), (0, 0, 1));
    let end = sending.peer(left).await;
    assert!(matches!(end, PeerEvent::Left(PeerEnd::Partial { failed: 1 })), "{end:?}");
    for _ in 0..2 {
        let to = tempfile::tempdir().unwrap();
        assert_eq!(receive(&sending.ticket, to.path(), receiving()).await.counts(), (1, 0, 0));
    }
    let shared = sending.end().await;
    assert_eq!((shared.end, shared.finished), (ShareEnd::Enough, 2));
}

/// S4.37: a share ends when its time is over, also while somebody receives, who hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_expires() {
    let mut sharing = options();
    sharing.expires = Some(Duration::from_secs(4));
    let (sending, _permits) = send_held(sharing.clone()).await;
    let once = engine_with(|options| options.retry = RetryPolicy::with_tries(1));
    let to = tempfile::tempdir().unwrap();
    let receiving = start(&sending.ticket, to.path(), receiving(), once).await;
    let shared = sending.end().await;
    assert_eq!((shared.end, shared.finished), (ShareEnd::Expired, 0));
    let got = receiving.end().await;
    let over = |e: &haul_core::Error| e.kind() == ErrorKind::Rejected;
    assert!(got.result.as_ref().is_err_and(over) || !got.settled.is_empty(), "{:?}", got.settled);

    // While it hashes something that never comes.
    let mut made = Made::new("large", SIZE, 1);
    made.wait = Some(Wait::Pieces(Arc::new(Semaphore::new(0))));
    let offers = futures::stream::iter(vec![file("large", made.source(), SIZE)]);
    sharing.expires = Some(Duration::from_millis(100));
    let share = move |cx| haul_p2p::share(engine(), cx, offers, sharing);
    let handle = TransferHandle::start(&CancellationToken::new(), share);
    assert_eq!(must("the end of the share", handle).await.unwrap().end, ShareEnd::Expired);
}

/// U4.1: a ticket of another share of the same sender.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused() {
    let (mut sending, permits) = send_held(options()).await;
    permits.add_permits(100);
    let (_, addr, mut secret) = fake::parts_of(&sending.ticket);
    secret[0] ^= 1;
    let wrong = fake::ticket_of(fake::parts_of(&sending.ticket).0, vec![addr], Vec::new(), secret);
    assert!(wrong != sending.ticket);
    let to = tempfile::tempdir().unwrap();
    let got = receive(&wrong, to.path(), receiving()).await;
    let e = got.result.unwrap_err();
    assert_eq!((e.kind(), got.meter.retried), (ErrorKind::AccessDenied, 0), "{e}");
    assert!(e.to_string().contains("ticket") && e.hint().is_some(), "{e}");

    // The right one still works, and nobody has joined before.
    let right = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(right.counts(), (1, 0, 0));
    sending.peer(joined).await;
    sending.peer(left).await;
    let visits = sending.heard.iter().filter(|event| {
        matches!(event, Event::Peer { event: PeerEvent::Joined { .. } | PeerEvent::Left(_), .. })
    });
    assert_eq!(visits.count(), 0, "{:?}", sending.heard);
    sending.stop().await;
}

/// Connects like a receiver, and says nothing yet.
async fn visitor(ticket: &Ticket) -> (iroh::Endpoint, Connection) {
    let (id, addr, _) = fake::parts_of(ticket);
    let addr = iroh::EndpointAddr::new(id).with_ip_addr(addr);
    let endpoint = fake::endpoint(&[]).await;
    let connection = endpoint.connect(addr, b"haul/1").await.unwrap();
    (endpoint, connection)
}

/// The code that a connection is closed with.
async fn close_of(connection: &Connection) -> u64 {
    match must("to be sent away", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

/// U4.1: visitors that say nothing take nobody's place, and those that talk nonsense are sent away
/// at once.
#[tokio::test(flavor = "multi_thread")]
async fn rude_visitors_are_sent_away() {
    const MALFORMED: u64 = 4;
    let mut sharing = options();
    sharing.receivers = Some(1);
    let (sending, permits) = send_held(sharing).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(visitor(&sending.ticket).await);
    }
    // One with a stream on which nothing comes.
    let (mut half, _recv) = silent[0].1.open_bi().await.unwrap();
    half.write_all(&[20, 0]).await.unwrap();

    let landed = frame(&FromReceiver::Landed { bytes: u64::MAX, total: 0 });
    let nonsense: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 4],
        &[1, 0, 1, 0, 0],
        &[0; 4],
        &[1, 0, 0, 0, 99],
        &landed,
    ];
    for bytes in nonsense {
        let (endpoint, connection) = visitor(&sending.ticket).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        assert_eq!(close_of(&connection).await, MALFORMED, "{bytes:?}");
        endpoint.close().await;
    }

    permits.add_permits(100);
    let to = tempfile::tempdir().unwrap();
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (1, 0, 0));
    let shared = sending.end().await;
    assert_eq!((shared.end, shared.finished), (ShareEnd::Enough, 1));
}

/// U4.1: visitors that know the secret and then talk nonsense, lie about how far they are, or ask
/// for what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn guests_that_turn_rude_harm_nobody() {
    let (mut sending, permits) = send_held(options()).await;
    permits.add_permits(1000);
    let (_, _, secret) = fake::parts_of(&sending.ticket);
    let hello = || frame(&FromReceiver::Hello { secret, list: true });
    let landed = |bytes, total| frame(&FromReceiver::Landed { bytes, total });
    let bye = |files, failed| frame(&FromReceiver::Bye { files, failed });
    for (words, end) in [
        (vec![hello()], PeerEnd::Gone),
        (vec![b"\xff\xff\xff\xff".to_vec()], PeerEnd::Gone),
        (vec![landed(u64::MAX, u64::MAX), landed(0, 0), landed(5, 1)], PeerEnd::Gone),
        (vec![bye(u64::MAX, 0)], PeerEnd::Finished { files: u64::MAX }),
        (vec![bye(0, u64::MAX)], PeerEnd::Partial { failed: u64::MAX }),
    ] {
        let (endpoint, connection) = visitor(&sending.ticket).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&hello()).await.unwrap();
        sending.peer(joined).await;
        for bytes in &words {
            send.write_all(bytes).await.unwrap();
        }
        // A request for nothing that is here, and one that is none.
        let (mut other, mut answer) = connection.open_bi().await.unwrap();
        let _perhaps_gone = other.write_all(&[0xfe; 100]).await;
        let _perhaps_gone = other.finish();
        assert!(!must("an answer", answer.read_to_end(100)).await.is_ok_and(|a| !a.is_empty()));
        endpoint.close().await;
        let gone = sending.peer(left).await;
        assert!(matches!(&gone, PeerEvent::Left(how) if *how == end), "{gone:?} {words:?}");
    }
    let to = tempfile::tempdir().unwrap();
    assert_eq!(receive(&sending.ticket, to.path(), receiving()).await.counts(), (1, 0, 0));
    sending.stop().await;
}
