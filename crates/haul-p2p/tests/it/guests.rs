//! Receivers that are slow, silent, back again or too late, and what the sender makes of them.

use std::sync::Arc;
use std::time::Duration;

use bao_tree::ChunkRanges;
use haul_core::{ErrorKind, Event, PeerEnd, PeerEvent, TransferHandle};
use haul_p2p::{Format, Offer, Relay, ShareEnd, Ticket};
use iroh::endpoint::{Connection, ConnectionError, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, RelayMode};
use iroh_blobs::protocol::{ChunkRangesExt as _, GetRequest, Request};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::doubles::{Kept, Made, Wait, whole};
use crate::fake::{self, FromReceiver, frame, hash};
use crate::kit::{
    Sending, bytes, engine, engine_with, file, impatient, must, options, receive, receiving, send,
    send_these, start, tree, until, write,
};

const MIB: u64 = 1 << 20;

/// What a receiver of today adds to its hello.
const RECENT: (u32, bool) = (0, true);

/// An endpoint that takes so many bytes of a stream before somebody reads them.
async fn narrow(window: u32) -> Endpoint {
    let config = QuicTransportConfig::builder()
        .stream_receive_window(VarInt::from_u32(window))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .build();
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .transport_config(config)
        .clear_ip_transports()
        .bind_addr((std::net::Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .bind()
        .await
        .unwrap()
}

async fn connect(endpoint: &Endpoint, ticket: &Ticket) -> Connection {
    let (id, addr, _) = fake::parts_of(ticket);
    let addr = iroh::EndpointAddr::new(id).with_ip_addr(addr);
    endpoint.connect(addr, b"haul/1").await.unwrap()
}

/// A guest of a share, with the streams that it talks on.
struct Guest {
    connection: Connection,
    say: iroh::endpoint::SendStream,
    _list: iroh::endpoint::RecvStream,
}

impl Guest {
    /// Joins as a receiver of today's, or of the first.
    async fn join(endpoint: &Endpoint, ticket: &Ticket, recent: bool) -> Self {
        let connection = connect(endpoint, ticket).await;
        let (mut say, list) = connection.open_bi().await.unwrap();
        let hello = FromReceiver::Hello { secret: fake::parts_of(ticket).2, list: true };
        let hello = if recent { frame(&(hello, RECENT)) } else { frame(&hello) };
        say.write_all(&hello).await.unwrap();
        Self { connection, say, _list: list }
    }

    async fn ask(&self, request: &[u8]) -> iroh::endpoint::RecvStream {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(request).await.unwrap();
        send.finish().unwrap();
        recv
    }

    /// Asks for some bytes of a content.
    async fn get(&self, hash: [u8; 32], range: std::ops::Range<u64>) -> iroh::endpoint::RecvStream {
        let request = GetRequest::blob_ranges(hash.into(), ChunkRanges::bytes(range));
        self.ask(&postcard::to_stdvec(&Request::Get(request)).unwrap()).await
    }
}

async fn close_of(connection: &Connection) -> u64 {
    match must("to be sent away", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

fn joined(event: &PeerEvent) -> bool {
    matches!(event, PeerEvent::Joined { .. })
}

fn left(event: &PeerEvent) -> bool {
    matches!(event, PeerEvent::Left(_))
}

/// A share of one file, of which no more is sent than is let through after it was hashed.
async fn send_held(receivers: Option<u64>) -> (Sending, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(100));
    let mut made = Made::new("large", 4 * MIB, 1);
    made.wait = Some(Wait::Pieces(Arc::clone(&permits)));
    let mut sharing = options();
    sharing.receivers = receivers;
    let mut sending =
        send_these(vec![file("large", made.source(), 4 * MIB)], sharing, engine()).await;
    sending.offered().await;
    permits.forget_permits(1000);
    (sending, permits)
}

/// D1: receivers that do not know the word for it wait for what is still being hashed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_hashed_is_waited_for() {
    let permits = Arc::new(Semaphore::new(0));
    let mut made = Made::new("late", 100_000, 3);
    made.wait = Some(Wait::Pieces(Arc::clone(&permits)));
    let sending = send_these(vec![file("late", made.source(), 100_000)], options(), engine()).await;
    let endpoint = narrow(1 << 20).await;
    let guest = Guest::join(&endpoint, &sending.ticket, false).await;
    let mut answer = guest.get(hash(&whole(3, 100_000)), 0..100_000).await;
    let early = tokio::time::timeout(Duration::from_millis(200), answer.read(&mut [0; 8])).await;
    assert!(early.is_err(), "{early:?}");
    permits.add_permits(100);
    let all = must("the answer", answer.read_to_end(200_000)).await.unwrap();
    assert!(all.len() > 100_000);
    // And what does not come is not waited for once all is hashed.
    let mut none = guest.get(hash(b"nowhere"), 0..1).await;
    let code = must("a refusal", none.received_reset()).await.unwrap();
    assert_eq!(code, Some(VarInt::from_u32(18)));
    endpoint.close().await;
    sending.stop().await;
}

/// D2: a peer that takes little, but takes it all the time, is not given up, however long a write
/// takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_is_no_stall() {
    const SIZE: u64 = 640 << 10;
    let made = Made::new("slow", SIZE, 1).source();
    let hasty = engine_with(|options| options.stall = Duration::from_millis(200));
    let mut sending = send_these(vec![file("slow", made, SIZE)], options(), hasty).await;
    sending.offered().await;
    let endpoint = narrow(16 << 10).await;
    let guest = Guest::join(&endpoint, &sending.ticket, true).await;
    let mut answer = guest.get(hash(&whole(1, SIZE)), 0..SIZE).await;
    let (mut came, mut piece) = (0, [0; 4 << 10]);
    while let Some(read) = must("a piece", answer.read(&mut piece)).await.unwrap() {
        came += read as u64;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert!(came > SIZE, "{came}");
    endpoint.close().await;
    sending.stop().await;
}

/// D3, D21: what is in memory of the files that are sent is within the budget, however many receivers
/// there are and however little they read; and those who do not read hold up nobody, neither while they
/// are there nor after they were killed.
#[tokio::test(flavor = "multi_thread")]
async fn memory_bounds_the_sender_and_silent_receivers_hold_up_nobody() {
    const SIZE: u64 = 24 * MIB;
    let made = Made::new("large", SIZE, 1);
    let users = Arc::clone(&made.users);
    let kept = Kept::new(made);
    let live = kept.live();
    let small = engine_with(|options| options.memory = 4 * MIB);
    let source = Arc::new(kept);
    let mut sending = send_these(vec![file("large", source, SIZE)], options(), small).await;
    sending.offered().await;
    live.forget_peak();
    let mut mute = Vec::new();
    for _ in 0..3 {
        let endpoint = narrow(1 << 10).await;
        let guest = Guest::join(&endpoint, &sending.ticket, true).await;
        let mut streams = Vec::new();
        for i in 0..12 {
            streams.push(guest.get(hash(&whole(1, SIZE)), i * 2 * MIB..(i + 1) * 2 * MIB).await);
        }
        mute.push((endpoint, guest, streams));
    }
    // Each of their requests is served as far as that goes.
    until("reading for them", || users.read() >= SIZE + 36 * MIB).await;
    for killed in [false, true] {
        let to = tempfile::tempdir().unwrap();
        let got = receive(&sending.ticket, to.path(), receiving()).await;
        assert_eq!(got.counts(), (1, 0, 0), "{:?}", got.settled);
        assert!(
            killed || mute.iter().all(|(_, guest, _)| guest.connection.close_reason().is_none())
        );
        // Without a goodbye.
        for (endpoint, ..) in mute.drain(..) {
            drop(endpoint);
        }
    }
    assert!(live.peak() <= 4 * MIB, "{} bytes at once", live.peak());
    sending.stop().await;
}

/// D6: files with the same bytes stand in for each other.
#[tokio::test(flavor = "multi_thread")]
async fn files_with_the_same_bytes_stand_in_for_each_other() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for size in [9_000, (2 << 20) + 5] {
        for name in ["a", "b", "c"] {
            write(from.path(), &format!("{name}{size}"), &bytes(size, size as u64));
        }
    }
    let mut sending = send(from.path(), options()).await;
    sending.offered().await;
    for name in ["a9000", "b9000", "a2097157"] {
        std::fs::remove_file(from.path().join(name)).unwrap();
    }
    write(from.path(), "b2097157", &bytes((2 << 20) + 5, 7));
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (6, 0, 0), "{:?}", got.settled);
    assert!(tree(to.path()).into_values().all(|all| all == bytes(all.len(), all.len() as u64)));
    sending.stop().await;
}

/// Shares `offers` and hears all that is told until the end, which is asked for when `stop` comes.
async fn told(
    offers: Vec<haul_core::Result<Offer>>,
    sharing: haul_p2p::ShareOptions,
    stop: bool,
) -> (Vec<Event>, haul_core::Result<haul_p2p::Shared>) {
    let offers = futures::stream::iter(offers);
    let share = move |cx| haul_p2p::share(engine(), cx, offers, sharing);
    let mut handle = TransferHandle::start(&CancellationToken::new(), share);
    let mut events = handle.take_events().unwrap();
    if stop {
        // As soon as something happens.
        drop(must("something", events.recv()).await);
        handle.cancel();
    }
    let mut heard = Vec::new();
    while let Some(event) = must("the end", events.recv()).await {
        heard.push(event);
    }
    (heard, must("the end of the share", handle).await)
}

fn has_ticket(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Ticket(_)))
}

/// D7: who is stopped while a relay is looked for is stopped at once, and tells no ticket after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_stopped_tells_no_ticket() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for format in [Format::Haul, Format::Collection] {
        let mut sharing = options();
        (sharing.net.relay, sharing.format) = (Relay::Own(format!("http://{nobody}")), format);
        let made = Made::new("small", 10, 1).source();
        let (events, ended) = told(vec![file("small", made, 10)], sharing, true).await;
        assert!(!has_ticket(&events), "{events:?}");
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

/// D22: a share of nothing has no ticket.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_nothing_has_no_ticket() {
    let missing =
        || haul_core::Error::new(ErrorKind::NotFound, haul_core::Op::Open, "x", "no file");
    for offers in [vec![], vec![Err(missing())]] {
        let (events, ended) = told(offers, options(), false).await;
        assert!(!has_ticket(&events), "{events:?}");
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// D18: where there is something to share for certain, the ticket does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_certain_has_a_ticket_at_once() {
    let mut sharing = options();
    sharing.certain = true;
    let offers = futures::stream::pending();
    let share = move |cx| haul_p2p::share(engine(), cx, offers, sharing);
    let mut handle = TransferHandle::start(&CancellationToken::new(), share);
    let mut events = handle.take_events().unwrap();
    let first = must("the ticket", events.recv()).await;
    assert!(matches!(first, Some(Event::Ticket(_))), "{first:?}");
    handle.cancel();
    drop(events);
    assert!(must("the end", handle).await.is_err());
}

/// D9: who asks for an outline and does not read it is given up like any other.
#[tokio::test(flavor = "multi_thread")]
async fn an_outline_that_nobody_reads_is_given_up() {
    const SIZE: u64 = 20 * MIB;
    let hasty = engine_with(|options| options.stall = Duration::from_millis(300));
    let made = Made::new("large", SIZE, 1).source();
    let mut sending = send_these(vec![file("large", made, SIZE)], options(), hasty).await;
    sending.offered().await;
    let endpoint = narrow(64).await;
    let guest = Guest::join(&endpoint, &sending.ticket, true).await;
    let root = hash(&whole(1, SIZE));
    let mut answer = guest.ask(&[&[0x80], root.as_slice()].concat()).await;
    let code = must("a reset", answer.received_reset()).await.unwrap();
    assert_eq!(code, Some(VarInt::from_u32(19)));
    endpoint.close().await;
    sending.stop().await;
}

/// D11: a receiver that is back while its last connection still counts has that one's place, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_back_has_its_place() {
    let (mut sending, permits) = send_held(Some(1)).await;
    let endpoint = narrow(1 << 20).await;
    let ghost = Guest::join(&endpoint, &sending.ticket, true).await;
    sending.peer(joined).await;
    let mut back = Guest::join(&endpoint, &sending.ticket, true).await;
    assert_eq!(close_of(&ghost.connection).await, 0);
    let (mut here, mut gone) = (0, 0);
    while (here, gone) != (1, 1) {
        match sending.peer(|event| joined(event) || left(event)).await {
            PeerEvent::Joined { .. } => here += 1,
            PeerEvent::Left(PeerEnd::Gone) => gone += 1,
            other => panic!("{other:?}"),
        }
    }
    // Another has none.
    let stranger = narrow(1 << 20).await;
    let other = Guest::join(&stranger, &sending.ticket, true).await;
    assert_eq!(close_of(&other.connection).await, 2);
    permits.add_permits(100);
    back.say.write_all(&frame(&FromReceiver::Bye { files: 1, failed: 0 })).await.unwrap();
    let shared = sending.end().await;
    assert_eq!((shared.end, shared.finished), (ShareEnd::Enough, 1));
}

/// D22: who comes too late for the only place hears why, and soon.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_late_hears_why() {
    let (mut sending, permits) = send_held(Some(1)).await;
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = start(&sending.ticket, first_dir.path(), receiving(), engine()).await;
    sending.peer(joined).await;
    let mut second = start(&sending.ticket, second_dir.path(), receiving(), engine()).await;
    // It is told to come back; meanwhile the first gets everything.
    loop {
        match must("an event", second.events.recv()).await {
            Some(Event::Retrying { error, .. }) if error.contains("as many receivers") => break,
            Some(_) => {}
            None => panic!("it gave up"),
        }
    }
    permits.add_permits(100);
    assert_eq!(first.end().await.counts(), (1, 0, 0));
    let got = second.end().await;
    let e = got.result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Rejected, "{e}");
    assert!(e.to_string().contains("the share is over"), "{e} {:?}", got.events);
    assert_eq!(sending.end().await.end, ShareEnd::Enough);
}

/// D12: the size of what no listing knows is that which it turns out to have.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_those_that_files_have() {
    let unknown = Made::new("unknown", 2 * MIB, 1).source();
    let less = Made::new("less", 1000, 2).source();
    let offers = vec![file("unknown", unknown, 0), file("less", less, 5000)];
    let mut sending = send_these(offers, options(), engine()).await;
    let summary = sending.offered().await;
    assert_eq!(summary.bytes, 2 * MIB + 1000);
    let meter = sending.handle.meter().snapshot();
    assert_eq!((meter.total, meter.landed), (Some(2 * MIB + 1000), 2 * MIB + 1000));
    sending.stop().await;
}

/// D12, D14: in a share for other programs a place is taken by who asks for what is there, and the
/// share ends when one got what it asked for: not when one was there and said goodbye, nor when one
/// only looked what there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_polite_visit_is_not_a_receiver() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(from.path(), "empty", b"");
    write(from.path(), "full", &bytes(300_000, 1));
    let mut sharing = options();
    (sharing.format, sharing.receivers) = (Format::Collection, Some(1));
    let sending = send(from.path(), sharing).await;
    let Ticket::Content(ticket) = &sending.ticket else { panic!("another kind") };
    let endpoint = fake::endpoint(&[]).await;
    let visit = || endpoint.connect(ticket.addr().clone(), iroh_blobs::ALPN);
    let silent = visit().await.unwrap();
    let polite = visit().await.unwrap();
    polite.close(VarInt::from_u32(0), b"");
    let curious = visit().await.unwrap();
    let (mut send, mut recv) = curious.open_bi().await.unwrap();
    let list = GetRequest::blob(ticket.hash());
    send.write_all(&postcard::to_stdvec(&Request::Get(list)).unwrap()).await.unwrap();
    send.finish().unwrap();
    assert!(must("the list", recv.read_to_end(1000)).await.unwrap().len() > 96);
    curious.close(VarInt::from_u32(0), b"");
    // Neither the silent one nor those two have the place, or had it for good.
    let got = start(&sending.ticket, to.path(), receiving(), impatient()).await.end().await;
    assert_eq!(got.counts(), (2, 0, 0), "{:?}", got.settled);
    let shared = sending.end().await;
    assert_eq!((shared.end, shared.finished), (ShareEnd::Enough, 1));
    drop(silent);
    endpoint.close().await;
}

/// D14: a crowd of those who only connect keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_the_door_keeps_nobody_out() {
    let (sending, permits) = send_held(None).await;
    permits.add_permits(100);
    let mut crowd = Vec::new();
    for _ in 0..24 {
        let endpoint = fake::endpoint(&[]).await;
        let connection = connect(&endpoint, &sending.ticket).await;
        crowd.push((endpoint, connection));
    }
    let to = tempfile::tempdir().unwrap();
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!((got.counts(), got.retries()), ((1, 0, 0), 0), "{:?}", got.settled);
    for (endpoint, _) in crowd {
        endpoint.close().await;
    }
    sending.stop().await;
}

/// D19: of what a receiver does not know in full yet, the sender says no total; of an old receiver it
/// says what that one says.
#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_told_when_it_is_one() {
    let (mut sending, _permits) = send_held(None).await;
    let endpoint = narrow(1 << 20).await;
    for recent in [true, false] {
        let mut guest = Guest::join(&endpoint, &sending.ticket, recent).await;
        let PeerEvent::Joined { meter, .. } = sending.peer(joined).await else { panic!("another") };
        let landed = |bytes, total| FromReceiver::Landed { bytes, total };
        if recent {
            guest.say.write_all(&frame(&(landed(10, 20), false))).await.unwrap();
            until("the first", || meter.snapshot().landed == 10).await;
            assert_eq!(meter.snapshot().total, None);
            guest.say.write_all(&frame(&(landed(30, 90), true))).await.unwrap();
        } else {
            guest.say.write_all(&frame(&landed(30, 90))).await.unwrap();
        }
        until("the last", || meter.snapshot().landed == 30).await;
        assert_eq!(meter.snapshot().total, Some(90));
        guest.connection.close(VarInt::from_u32(0), b"");
        sending.peer(left).await;
    }
    endpoint.close().await;
    sending.stop().await;
}
