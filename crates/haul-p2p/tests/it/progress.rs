//! How far it is, as those see it who look often.

use std::sync::Arc;

use haul_core::{Event, Meter, MeterSnapshot};
use tokio::sync::Semaphore;

use crate::doubles::{Made, Wait, is_made};
use crate::kit::{Receiving, engine, file, options, receiving, send_these, start, until};

/// More than 100 MB, and no multiple of anything.
const SIZE: u64 = (110 << 20) + 12_345;

/// What a meter showed, each time something else.
#[derive(Default)]
struct Seen(Vec<u64>);

impl Seen {
    fn look(&mut self, meter: &Meter) -> MeterSnapshot {
        let now = meter.snapshot();
        let last = self.0.last().copied().unwrap_or(0);
        assert!(now.landed >= last, "it went back from {last} to {}", now.landed);
        assert!(now.total.is_none_or(|total| now.landed <= total), "{now:?}");
        assert!(now.landed <= SIZE, "{now:?}");
        if now.landed > last || self.0.is_empty() {
            self.0.push(now.landed);
        }
        now
    }

    /// Small steps, and all of it in the end.
    fn judge(&self, what: &str) {
        assert_eq!(self.0.last(), Some(&SIZE), "{what}");
        assert!(self.0.len() > 20, "{what}: {} values only", self.0.len());
        let largest = self.0.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(largest <= SIZE / 4, "{what}: a step of {largest} bytes");
    }
}

/// S4.7, S4.8, S4.9, S4.14, S4.29, S4.30, X4.2, X4.3: while a large file is hashed and fetched the
/// meters rise in small steps to its size, never back and never beyond. A third of it, and no more,
/// is let through each time somebody has looked.
#[tokio::test(flavor = "multi_thread")]
async fn meters_rise_in_small_steps() {
    let to = tempfile::tempdir().unwrap();
    let permits = Arc::new(Semaphore::new(0));
    let mut made = Made::new("large", SIZE, 5);
    made.wait = Some(Wait::Pieces(Arc::clone(&permits)));
    let offers = vec![file("large", made.source(), SIZE)];
    let mut sending = send_these(offers, options(), engine()).await;
    let (meter, mut hashing) = (sending.handle.meter(), Seen::default());
    until("hashing", || {
        permits.add_permits(8);
        hashing.look(&meter).landed == SIZE
    })
    .await;
    hashing.judge("hashing");
    sending.offered().await;

    let mut receiving = start(&sending.ticket, to.path(), receiving(), engine()).await;
    let (mut whole, mut item, mut of_item) = (Seen::default(), Seen::default(), None);
    let mut over = false;
    until("fetching", || {
        permits.add_permits(8);
        whole.look(&receiving.meter);
        while let Ok(event) = receiving.events.try_recv() {
            match event {
                Event::ItemStarted { meter, .. } => of_item = Some(meter),
                Event::Settled(_) => over = true,
                _ => {}
            }
        }
        of_item.as_ref().is_some_and(|meter| {
            item.look(meter);
            over
        })
    })
    .await;
    whole.look(&receiving.meter);
    item.look(&of_item.unwrap());
    whole.judge("fetching");
    item.judge("fetching the file");
    assert_eq!(receiving.meter.snapshot().total, Some(SIZE));
    let Receiving { handle, .. } = receiving;
    assert_eq!(handle.await.unwrap().copied, 1);
    assert!(is_made(&std::fs::read(to.path().join("large")).unwrap(), 5), "the contents differ");
    // What the sender has hashed once it counts once.
    assert_eq!(meter.snapshot().landed, SIZE);
    sending.stop().await;
}

/// S4.32: several files of all sizes add up, whatever becomes of them.
#[tokio::test(flavor = "multi_thread")]
async fn sums_are_right_when_some_fail() {
    let to = tempfile::tempdir().unwrap();
    let sizes = [0, 10, 100_000, 1 << 20, (1 << 20) + 1, 3 << 20];
    let mut offers: Vec<_> = sizes
        .iter()
        .map(|size| {
            let name = size.to_string();
            file(&name, Made::new(&name, *size, *size).source(), *size)
        })
        .collect();
    let mut locked = Made::new("locked", 5000, 1);
    locked.locked = true;
    offers.push(file("locked", locked.source(), 5000));
    let mut sending = send_these(offers, options(), engine()).await;
    let summary = sending.offered().await;
    let all: u64 = sizes.iter().sum();
    assert_eq!((summary.copied, summary.failed, summary.bytes), (6, 1, all));
    let hashed = sending.handle.meter().snapshot();
    assert_eq!((hashed.landed, hashed.total), (all, Some(all)));
    let got = start(&sending.ticket, to.path(), receiving(), engine()).await.end().await;
    assert_eq!(got.counts(), (6, 0, 1));
    assert_eq!((got.meter.landed, got.meter.total), (all, Some(all)));
    sending.stop().await;
}
