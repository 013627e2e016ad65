//! Bytes for programs: `Haul::get` and its kin.
//!
//! Owns: what a reader gets, how its stream ends, and what is left when it goes away. The faults are
//! those of the catalogue: the engine is the same, and only the last hop is another.

use futures::StreamExt as _;
use haul::{Download, Error, ErrorKind, Event, Options, PlanPolicy, Proof, PutOptions, Verified};
use haul_testkit::http::{HttpRules, HttpServer};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{
    BUCKET, KIB, Kit, MIB, PART, assert_same, eventually, or_hang, pattern, s3, set_concurrency,
};

const CHUNK: u64 = 64 * KIB;
/// Three and a half chunks.
const LEN: u64 = 3 * CHUNK + CHUNK / 2;

fn small_chunks(options: &mut Options) {
    options.engine.part = PlanPolicy { part_size: CHUNK, explicit: true };
}

/// With an object of `len` bytes in `k`.
async fn kit(len: u64) -> (Kit, Vec<u8>) {
    let kit = Kit::with(StoreRules::default(), small_chunks).await;
    let (_, content) = kit.object("k", len);
    (kit, content)
}

/// Everything that comes, and how it ends.
async fn rest(download: &mut Download) -> (Vec<u8>, Option<Error>) {
    let mut all = Vec::new();
    let reading = async {
        while let Some(piece) = download.next().await {
            match piece {
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(e) => return Some(e),
            }
        }
        None
    };
    let error = or_hang("the stream", reading).await;
    if error.is_some() {
        assert!(download.next().await.is_none(), "an error is the end");
    }
    assert_eq!(download.report().is_some(), error.is_none());
    (all, error)
}

#[tokio::test]
async fn bytes_come_in_order_whatever_their_number() {
    for lanes in [0, 2] {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, LEN, 20 * CHUNK] {
            let kit = Kit::with(StoreRules::default(), |o| {
                small_chunks(o);
                o.engine.lanes = lanes;
            })
            .await;
            let (object, content) = kit.object("k.txt", len);
            let mut download = kit.haul.get(&object).await.unwrap();
            assert_eq!(download.size(), Some(len));
            let (got, error) = rest(&mut download).await;
            assert!(error.is_none(), "{len}: {error:?}");
            assert_same(&got, &content);
            let report = download.report().unwrap();
            assert_eq!(report.bytes, len);
            assert!(matches!(report.verified, Verified::Checksum(_)), "{}", report.verified);
            assert_eq!(download.meter().snapshot().landed, len);
        }
    }
}

/// What is known comes before the first byte; files tell it as objects do.
#[tokio::test]
async fn what_is_known_comes_first() {
    let (kit, _) = kit(5).await;
    let content_type = Some("text/x-test".to_owned());
    let mut dressed = haul_testkit::memory::Attributes { content_type, ..Default::default() };
    dressed.metadata.insert("colour".to_owned(), "blue".to_owned());
    let etag = kit.server.store().put_with(BUCKET, "dressed", pattern(9), dressed);
    let download = kit.haul.get(&s3("dressed")).await.unwrap();
    assert_eq!(download.attributes().content_type.as_deref(), Some("text/x-test"));
    assert_eq!(download.attributes().metadata["colour"], "blue");
    assert!(download.modified().is_some());
    let strong = download.proof().and_then(Proof::strong_etag);
    assert_eq!(strong, Some(etag.trim_matches('"')));
    let (file, _) = kit.file("f.txt", 7);
    let download = kit.haul.get(&file).await.unwrap();
    assert_eq!((download.size(), download.modified().is_some()), (Some(7), true));
    assert!(matches!(download.proof(), Some(Proof::File(_))));
}

/// Row 3: the connection is cut in the middle, and the bytes are right even so.
#[tokio::test]
async fn what_passes_is_survived() {
    for fault in [
        Fault::status(503),
        Fault::Reset,
        Fault::ResetAfter(50_000),
        Fault::EarlyEnd(1),
        Fault::ShortBodyHidden(1),
        Fault::StallAfter(1000),
    ] {
        let (kit, content) = kit(LEN).await;
        let rule = Rule::on(Op::GetObject).range_start(CHUNK).then(fault.clone());
        kit.server.faults().add(rule);
        let mut download = kit.haul.get(&s3("k")).await.unwrap();
        let mut events = download.take_events().unwrap();
        let (got, error) = rest(&mut download).await;
        assert!(error.is_none(), "{fault:?}: {error:?}");
        assert_same(&got, &content);
        assert_eq!(download.report().unwrap().retried, 1, "{fault:?}");
        let mut retries = 0;
        while let Ok(event) = events.try_recv() {
            retries += usize::from(matches!(event, Event::Retrying { .. }));
        }
        assert_eq!(retries, 1, "{fault:?}");
    }
}

/// What does not pass ends the stream, with the error, after bytes that are right as far as they go.
#[tokio::test]
async fn what_does_not_pass_ends_the_stream() {
    for (fault, kind) in
        [(Fault::status(500), ErrorKind::Server), (Fault::status(403), ErrorKind::AccessDenied)]
    {
        let (kit, content) = kit(LEN).await;
        let rule = Rule::on(Op::GetObject).range_start(2 * CHUNK).always();
        kit.server.faults().add(rule.then(fault.clone()));
        let mut download = kit.haul.get(&s3("k")).await.unwrap();
        let (got, error) = rest(&mut download).await;
        assert_eq!(error.map(|e| e.kind()), Some(kind), "{fault:?}");
        assert!(got.len() <= 2 * CHUNK as usize && content.starts_with(&got), "{}", got.len());
    }
}

/// Row 9: never a mixture of two versions.
#[tokio::test]
async fn an_object_replaced_in_the_middle_is_an_error() {
    let (kit, content) = kit(LEN).await;
    let store = kit.server.store().clone();
    let replace = move |_: &_| drop(store.put(BUCKET, "k", pattern(LEN + 1)));
    let rule = Rule::on(Op::GetObject).range_start(2 * CHUNK).then(Fault::hook(replace));
    kit.server.faults().add(rule);
    let mut download = kit.haul.get(&s3("k")).await.unwrap();
    let (got, error) = rest(&mut download).await;
    assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::SourceChanged));
    assert!(content.starts_with(&got));
}

/// Row 5: the whole is compared at the end, and a stream that is not right does not end as if it were.
#[tokio::test]
async fn a_wrong_byte_is_an_error_at_the_end() {
    let (kit, content) = kit(LEN).await;
    let rule = Rule::on(Op::GetObject).range_start(CHUNK).then(Fault::FlipBit(7));
    kit.server.faults().add(rule);
    let mut download = kit.haul.get(&s3("k")).await.unwrap();
    let (got, error) = rest(&mut download).await;
    assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Verification));
    assert_eq!(got.len(), content.len());
}

#[tokio::test]
async fn what_cannot_be_opened_is_an_error_of_the_call() {
    let (kit, _) = kit(5).await;
    for (from, kind) in [
        (s3("missing"), ErrorKind::NotFound),
        (s3(""), ErrorKind::Invalid),
        (kit.local("missing"), ErrorKind::NotFound),
        (kit.local(""), ErrorKind::Invalid),
    ] {
        let e = or_hang("the call", kit.haul.get(&from)).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
    }
}

/// Tasks on this runtime.
fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// A reader that does not read holds as much as it may, and one that goes away leaves nothing behind.
#[tokio::test]
async fn a_dropped_stream_leaves_no_task() {
    let kit = Kit::with(StoreRules::default(), |o| {
        small_chunks(o);
        set_concurrency(o, 1); // and so there is one connection, whoever asks
        (o.engine.lanes, o.engine.memory) = (0, 4 * CHUNK);
    })
    .await;
    kit.object("k", 40 * CHUNK);
    drop(rest(&mut kit.haul.get(&s3("k")).await.unwrap()).await);
    or_hang("silence", kit.server.calls().wait_idle()).await;
    let (before, gets) = (alive(), kit.count(Op::GetObject));
    for read in [false, true] {
        let mut download = kit.haul.get(&s3("k")).await.unwrap();
        if read {
            download.next().await.unwrap().unwrap();
        }
        assert!(alive() > before);
        drop(download);
        eventually("no task", || alive() <= before).await;
    }
    let asked = kit.count(Op::GetObject) - gets;
    assert!(asked <= 2 * 6, "{asked} chunks, and memory is for four of them");
}

/// While the first range stalls, too.
#[tokio::test]
async fn a_stream_that_waits_can_be_dropped() {
    let (kit, _) = kit(LEN).await;
    let rule = Rule::on(Op::GetObject).range_start(0).then(Fault::Stall);
    let rule = kit.server.faults().add(rule);
    let mut download = kit.haul.get(&s3("k")).await.unwrap();
    or_hang("the request", rule.wait_hits(1)).await;
    assert!(futures::poll!(download.next()).is_pending());
    drop(download);
    or_hang("silence", kit.server.calls().wait_idle()).await;
}

#[tokio::test]
async fn a_cancellation_ends_the_stream() {
    let (kit, _) = kit(40 * CHUNK).await;
    let mut download = kit.haul.get(&s3("k")).await.unwrap();
    download.next().await.unwrap().unwrap();
    kit.haul.cancel();
    let (_, error) = rest(&mut download).await;
    assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Cancelled));
}

/// Two streams on one budget would wait for each other, because their readers decide when they move.
#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other_job() {
    let kit = Kit::with(StoreRules::default(), |o| {
        small_chunks(o);
        o.engine.memory = 2 * CHUNK;
    })
    .await;
    let (object, content) = kit.object("k", 20 * CHUNK);
    let mut first = kit.haul.get(&object).await.unwrap();
    eventually("what fits", || kit.count(Op::GetObject) >= 2).await;
    or_hang("silence", kit.server.calls().wait_idle()).await;
    let mut second = kit.haul.get(&object).await.unwrap();
    assert_same(&rest(&mut second).await.0, &content);
    kit.copy(&object, &kit.local("f")).await.unwrap();
    assert_same(&rest(&mut first).await.0, &content);
}

/// From one call into the other, on one `Haul` and with memory for a single part.
#[tokio::test]
async fn what_is_got_can_be_put() {
    let kit = Kit::with(StoreRules::default(), |o| o.engine.memory = PART).await;
    let (object, content) = kit.object("k", 3 * PART + 1);
    let download = kit.haul.get(&object).await.unwrap();
    let to = s3("copy");
    let putting = kit.haul.put_stream(&to, download, PutOptions::default());
    assert_eq!(or_hang("the stream", putting).await.unwrap().bytes, 3 * PART + 1);
    assert_same(&kit.stored("copy").unwrap().bytes(), &content);
}

#[tokio::test]
async fn bytes_are_bounded_by_what_the_caller_wants() {
    let (kit, content) = kit(LEN).await;
    let mut rules = HttpRules::default();
    (rules.ranges, rules.length) = (false, false);
    let web = HttpServer::with_rules(rules).unwrap();
    web.put("/k", content.clone());
    let url = haul::Location::parse(web.url("/k")).unwrap();
    for from in [s3("k"), url] {
        for limit in [LEN as usize, usize::MAX] {
            let got = or_hang("the bytes", kit.haul.get_bytes(&from, limit)).await.unwrap();
            assert_same(&got, &content);
        }
        for limit in [0, LEN as usize - 1] {
            let e = or_hang("the bytes", kit.haul.get_bytes(&from, limit)).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
            assert!(e.to_string().contains(&limit.to_string()), "{e}");
        }
    }
    kit.object("empty", 0);
    assert!(kit.haul.get_bytes(&s3("empty"), 0).await.unwrap().is_empty());
}

/// A size is a claim: nothing is reserved for it.
#[tokio::test]
async fn a_lie_about_the_size_reserves_nothing() {
    let (kit, _) = kit(LEN).await;
    let lie = Fault::SetHeader("content-length".into(), (1_u64 << 60).to_string());
    kit.server.faults().add(Rule::on(Op::HeadObject).always().then(lie));
    or_hang("the bytes", kit.haul.get_bytes(&s3("k"), usize::MAX)).await.unwrap_err();
}

#[tokio::test]
async fn a_range_is_asked_for_and_nothing_else() {
    let (kit, content) = kit(LEN).await;
    let (file, _) = kit.file("f", LEN);
    for from in [s3("k"), file] {
        for (start, end) in
            [(0, LEN), (CHUNK - 1, CHUNK + 1), (LEN - 1, LEN + 5), (7, 7), (LEN, LEN)]
        {
            kit.server.calls().clear();
            let mut download = kit.haul.get_range(&from, start..end).await.unwrap();
            let want = &content[start as usize..end.min(LEN) as usize];
            assert_eq!(download.size(), Some(want.len() as u64));
            let (got, error) = rest(&mut download).await;
            assert!(error.is_none(), "{start}..{end}: {error:?}");
            assert_same(&got, want);
            let calls = kit.server.calls().of(Op::GetObject);
            let sent: u64 = calls.iter().map(|c| c.response_bytes).sum();
            assert!(sent == 0 || sent == want.len() as u64, "{start}..{end}: {sent} bytes");
        }
        for (start, end) in [(LEN + 1, LEN + 2), (9, 8)] {
            let e = kit.haul.get_range(&from, start..end).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
        }
    }
}

/// A range that breaks off goes on where it broke, by the same pin.
#[tokio::test]
async fn a_broken_range_is_right_even_so() {
    let (kit, content) = kit(10 * MIB).await;
    kit.fault(Op::GetObject, Fault::ResetAfter(1000));
    let mut download = kit.haul.get_range(&s3("k"), 5..(5 + LEN)).await.unwrap();
    let (got, error) = rest(&mut download).await;
    assert!(error.is_none(), "{error:?}");
    assert_same(&got, &content[5..5 + LEN as usize]);
    for call in kit.server.calls().of(Op::GetObject) {
        assert!(call.header("if-match").is_some(), "pinned");
    }
}
