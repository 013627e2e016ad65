//! What goes wrong while an object is read, to a file and to a pipe.
//!
//! Owns: rows 1 to 5, 7, 8 and 9 of the fault catalogue, downwards. Bytes are right or there are
//! none: a file shows the old or the new content, a pipe nothing but a prefix.

use haul::{ErrorKind, Event, Location, Options, PlanPolicy, Report, Result};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{self, BUCKET, Fifo, KIB, Kit, assert_same, finish, pattern};

const CHUNK: u64 = 64 * KIB;
/// Three and a half chunks.
const LEN: u64 = 3 * CHUNK + CHUNK / 2;
const OLD: &[u8] = b"what was there before";

#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    File,
    Pipe,
}

fn small_chunks(options: &mut Options) {
    options.engine.part = PlanPolicy { part_size: CHUNK, explicit: true };
}

async fn kit() -> (Kit, Vec<u8>) {
    kit_with(StoreRules::default()).await
}

async fn kit_with(rules: StoreRules) -> (Kit, Vec<u8>) {
    let kit = Kit::with(rules, small_chunks).await;
    let (_, content) = kit.object("k", LEN);
    (kit, content)
}

/// Downloads `k`; returns what came, having checked that nothing wrong is to be seen.
async fn download(kit: &Kit, to: To, content: &[u8]) -> (Result<Report>, Vec<Event>) {
    std::fs::write(kit.path("f"), OLD).unwrap();
    let fifo = (to == To::Pipe).then(|| Fifo::new(kit, "pipe"));
    let target = fifo.as_ref().map_or_else(|| kit.local("f"), |f| f.location.clone());
    let (result, events) = finish(kit.start(&kit::s3("k"), &target).await.unwrap()).await;
    if let Some(fifo) = fifo {
        let got = fifo.content().await;
        if result.is_ok() {
            assert_same(&got, content);
        } else {
            assert!(content.starts_with(&got), "{} wrong bytes came out", got.len());
        }
    } else {
        let want = if result.is_ok() { content } else { OLD };
        assert_same(&std::fs::read(kit.path("f")).unwrap(), want);
    }
    std::fs::remove_file(kit.path("pipe")).ok();
    kit.assert_nothing_left();
    (result, events)
}

/// What happens to one GET and is over after that.
fn passing() -> Vec<Fault> {
    vec![
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(503).retry_after(1),
        Fault::status(429),
        Fault::status(504),
        Fault::status(400).code("RequestTimeout"),
        Fault::status(403).code("RequestTimeTooSkewed"),
        Fault::Reset,
        Fault::ResetAfter(0),
        Fault::ResetAfter(1000),
        Fault::EarlyEnd(1),
        Fault::EarlyEnd(CHUNK),
        Fault::ShortBody(1),
        Fault::ShortBodyHidden(1),
        Fault::ShortBody(CHUNK - 1),
        Fault::WrongRange(1),
        Fault::WrongRange(-1),
        Fault::IgnoreRange,
        Fault::OkWithError("InternalError".into()),
        Fault::DropHeader("content-range".into()),
        Fault::SetHeader("content-range".into(), format!("bytes 0-{}/{LEN}", CHUNK - 1)),
        Fault::SetHeader("content-range".into(), "bytes */*".into()),
        Fault::Page { content_type: "text/html".into(), body: "<html>Log in</html>".into() },
        // A page that happens to be as long as the range.
        Fault::Page { content_type: "text/html".into(), body: "x".repeat(CHUNK as usize) },
    ]
}

/// S3.15, S3.40: what passes is tried again, with waits between.
#[tokio::test]
async fn what_passes_is_survived() {
    for fault in passing() {
        for to in [To::File, To::Pipe] {
            let (kit, content) = kit().await;
            let rule = Rule::on(Op::GetObject).range_start(CHUNK);
            let rule = kit.server.faults().add(rule.then(fault.clone()));
            let (result, events) = download(&kit, to, &content).await;
            let report = result.unwrap_or_else(|e| unreachable!("{fault:?} {to:?}: {e}"));
            assert_eq!((rule.hits(), report.retried), (1, 1), "{fault:?} {to:?}");
            assert_eq!(kit.count(Op::GetObject), 5, "{fault:?} {to:?}");
            let retries = events.iter().filter(|e| matches!(e, Event::Retrying { .. })).count();
            assert_eq!(retries, 1, "{fault:?}");
            assert!(matches!(events.last(), Some(Event::ItemDone { .. })), "{fault:?}");
        }
    }
}

/// S3.34: a job ends with the error of its stages.
#[tokio::test]
async fn what_does_not_pass_is_given_up() {
    for fault in passing() {
        for to in [To::File, To::Pipe] {
            let (kit, content) = kit().await;
            let rule = Rule::on(Op::GetObject).range_start(0).always();
            let rule = kit.server.faults().add(rule.then(fault.clone()));
            // A body that breaks further on each time makes progress, and is another test; the
            // range that this header names is the one asked for.
            let moves = matches!(fault, Fault::ResetAfter(1..) | Fault::EarlyEnd(1));
            let right = matches!(&fault, Fault::SetHeader(_, v) if v.starts_with("bytes 0-"));
            if moves || right {
                continue;
            }
            let (result, events) = download(&kit, to, &content).await;
            let Err(e) = result else { unreachable!("{fault:?} {to:?}: it succeeded") };
            assert_eq!(rule.hits(), 3, "{fault:?} {to:?}: three tries, no more");
            assert!(e.to_string().contains("gave up after 3 tries"), "{fault:?}: {e}");
            assert!(!events.iter().any(|e| matches!(e, Event::ItemDone { .. })), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn the_first_look_is_tried_again_too() {
    for fault in [Fault::status(503).retry_after(1), Fault::status(500), Fault::Reset] {
        let (kit, content) = kit().await;
        kit.fault(Op::HeadObject, fault.clone());
        let (result, _) = download(&kit, To::File, &content).await;
        assert_eq!(result.unwrap().retried, 1, "{fault:?}");
        assert_eq!(kit.count(Op::HeadObject), 2, "{fault:?}");
    }
}

/// Row 3: what broke in the middle goes on from there (S3.40, U3.1).
#[tokio::test]
async fn a_broken_body_goes_on_from_where_it_broke() {
    for (fault, broke_at) in [(Fault::ResetAfter(50_000), 50_000), (Fault::EarlyEnd(1), CHUNK - 1)]
    {
        for to in [To::File, To::Pipe] {
            let (kit, content) = kit().await;
            let rule = Rule::on(Op::GetObject).range_start(CHUNK).then(fault.clone());
            kit.server.faults().add(rule);
            let report = download(&kit, to, &content).await.0.unwrap();
            assert_eq!(report.bytes, LEN);
            let calls = kit.server.calls().of(Op::GetObject);
            let again = calls.iter().filter(|c| {
                let start = c.target.range_start().unwrap();
                start > CHUNK && start < 2 * CHUNK
            });
            let again: Vec<_> = again.map(|c| c.target.range_bounds().unwrap()).collect();
            assert_eq!(again, [(CHUNK + broke_at, Some(2 * CHUNK - 1))], "{fault:?}");
            let sent: u64 = calls.iter().map(|c| c.response_bytes).sum();
            assert_eq!(sent, LEN, "{fault:?}: no byte comes twice");
            for call in calls {
                assert!(call.header("if-match").is_some(), "{fault:?}: pinned");
            }
        }
    }
}

/// Row 3 for an object that is asked for without a range.
#[tokio::test]
async fn a_broken_single_answer_goes_on_with_a_range() {
    let kit = Kit::new().await;
    let (object, content) = kit.object("k", LEN);
    kit.fault(Op::GetObject, Fault::ResetAfter(100_000));
    kit.copy(&object, &kit.local("f")).await.unwrap();
    assert_same(&std::fs::read(kit.path("f")).unwrap(), &content);
    let gets = kit.server.calls().of(Op::GetObject);
    assert_eq!(gets.len(), 2);
    let range = format!("bytes=100000-{}", LEN - 1);
    assert_eq!(gets[1].range(), Some(&*range));
}

/// Progress is not forgiven without limit: a byte a try is no transfer.
#[tokio::test]
async fn a_drip_of_bytes_is_given_up() {
    let (kit, content) = kit().await;
    let rule = Rule::on(Op::GetObject).always().then(Fault::ResetAfter(10));
    kit.server.faults().add(rule);
    download(&kit, To::File, &content).await.0.unwrap_err();
    assert!(kit.count(Op::GetObject) <= 4 * 3, "{} requests", kit.count(Op::GetObject));
}

/// Progress that deserves it is: faults all along do not add up to a failure.
#[tokio::test]
async fn a_fault_every_other_megabyte_is_survived() {
    let kit = Kit::with(StoreRules::default(), |o| {
        o.engine.part = PlanPolicy { part_size: 16 << 20, explicit: true };
    })
    .await;
    let (object, content) = kit.object("k", 12 << 20);
    let rule = Rule::on(Op::GetObject).times(7).then(Fault::ResetAfter(3 << 19));
    let rule = kit.server.faults().add(rule);
    let report = kit.copy(&object, &kit.local("f")).await.unwrap();
    assert_eq!((rule.hits(), report.retried), (7, 7));
    assert_same(&std::fs::read(kit.path("f")).unwrap(), &content);
}

/// Row 4: silence, before and in the middle of an answer (U3.3).
#[tokio::test]
async fn silence_is_not_waited_for() {
    for fault in [Fault::Stall, Fault::StallAfter(0), Fault::StallAfter(1000)] {
        for to in [To::File, To::Pipe] {
            let (kit, content) = kit().await;
            let rule = Rule::on(Op::GetObject).range_start(0).then(fault.clone());
            let rule = kit.server.faults().add(rule);
            let report = download(&kit, to, &content).await.0.unwrap();
            assert_eq!((rule.hits(), report.retried), (1, 1), "{fault:?} {to:?}");
            assert_eq!(kit.count(Op::GetObject), 5, "{fault:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_first_look_is_not_waited_for() {
    let (kit, content) = kit().await;
    let rule = kit.fault(Op::HeadObject, Fault::Stall);
    let report = download(&kit, To::File, &content).await.0.unwrap();
    assert_eq!((rule.hits(), report.retried, kit.count(Op::HeadObject)), (1, 1, 2));
}

#[tokio::test]
async fn silence_for_ever_is_an_error() {
    let (kit, content) = kit().await;
    let rule = kit.server.faults().add(Rule::on(Op::GetObject).always().then(Fault::Stall));
    let e = download(&kit, To::File, &content).await.0.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Stalled, "{e}");
    assert!(rule.hits() <= 4 * 3);
}

/// Row 5: a checksum that the store keeps is compared before anything is visible.
#[tokio::test]
async fn a_flipped_bit_is_found() {
    for to in [To::File, To::Pipe] {
        let (kit, content) = kit().await;
        kit.fault(Op::GetObject, Fault::FlipBit(100));
        std::fs::write(kit.path("f"), OLD).unwrap();
        let fifo = (to == To::Pipe).then(|| Fifo::new(&kit, "pipe"));
        let target = fifo.as_ref().map_or_else(|| kit.local("f"), |f| f.location.clone());
        let e = kit.copy(&kit::s3("k"), &target).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Verification, "{to:?}: {e}");
        assert_eq!(std::fs::read(kit.path("f")).unwrap(), OLD);
        if let Some(fifo) = fifo {
            assert_eq!(fifo.content().await.len(), content.len(), "a pipe cannot take back");
        }
        kit.assert_nothing_left();
    }
}

/// In one chunk, not even a pipe sees the wrong byte.
#[tokio::test]
async fn a_flipped_bit_in_one_chunk_never_comes_out() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("k", LEN);
    kit.fault(Op::GetObject, Fault::FlipBit(100));
    let fifo = Fifo::new(&kit, "pipe");
    let e = kit.copy(&object, &fifo.location).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Verification, "{e}");
    assert_eq!(fifo.content().await, b"");
}

/// Row 9: a replacement in the middle is an error, whether the store heeds `If-Match` or not (X3.6).
#[tokio::test]
async fn an_object_replaced_in_the_middle_is_never_mixed() {
    for conditional_get in [true, false] {
        for to in [To::File, To::Pipe] {
            let (kit, content) =
                kit_with(StoreRules { conditional_get, ..StoreRules::default() }).await;
            let store = kit.server.store().clone();
            let other = pattern(LEN + 1)[1..].to_vec();
            let replace = move |_: &_| drop(store.put(BUCKET, "k", other.clone()));
            let rule = Rule::on(Op::GetObject).range_start(2 * CHUNK);
            kit.server.faults().add(rule.then(Fault::hook(replace)));
            let e = download(&kit, to, &content).await.0.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::SourceChanged, "{e}");
        }
    }
}

/// With versions there is nothing to mix: the pinned version is read to its end.
#[tokio::test]
async fn an_object_replaced_in_a_versioned_bucket_is_read_on() {
    let (kit, _) = kit().await;
    kit.server.store().set_versioning(BUCKET, true);
    let (_, content) = kit.object("k", LEN);
    let store = kit.server.store().clone();
    let replace = move |_: &_| drop(store.put(BUCKET, "k", b"new".as_slice()));
    kit.server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::hook(replace)));
    download(&kit, To::File, &content).await.0.unwrap();
}

#[tokio::test]
async fn an_object_removed_in_the_middle_is_an_error() {
    let (kit, content) = kit().await;
    let store = kit.server.store().clone();
    let remove = move |_: &_| store.remove(BUCKET, "k");
    let rule = Rule::on(Op::GetObject).range_start(2 * CHUNK).then(Fault::hook(remove));
    kit.server.faults().add(rule);
    let e = download(&kit, To::File, &content).await.0.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
}

/// Row 38: a size is a claim; nothing is reserved or read for what is not there (U3.1).
#[tokio::test]
async fn a_lie_about_the_size_ends_in_an_error() {
    for claim in [LEN + 1, LEN - 1, 1 << 50] {
        let (kit, content) = kit().await;
        let lie = Fault::SetHeader("content-length".into(), claim.to_string());
        kit.server.faults().add(Rule::on(Op::HeadObject).always().then(lie));
        download(&kit, To::File, &content).await.0.unwrap_err();
    }
}

/// Row 2: a folder that the download made is gone with it.
#[tokio::test]
async fn folders_made_for_a_failed_download_are_removed() {
    let (kit, _) = kit().await;
    kit.server.faults().add(Rule::on(Op::GetObject).always().then(Fault::status(500)));
    let to = Location::Local(kit.path("new/folders/f"));
    kit.copy(&kit::s3("k"), &to).await.unwrap_err();
    assert!(!kit.path("new").exists());
}
