//! The rate limit, on the wire of a store.
//!
//! Owns: S0.22. The clock stands still but for what is waited for: nothing here depends on how fast the
//! machine is.

use std::sync::Arc;
use std::time::Duration;

use haul_core::{Engine, EngineOptions, PlanPolicy, TargetLimits, Throttle};
use haul_s3::{ObjectId, S3Source, S3Target};
use haul_testkit::conformance::{MemorySource, MemoryTarget, transfer};
use haul_testkit::sizes;
use tokio::time::Instant;

use crate::kit::{BUCKET, start};

const MIB: u64 = 1 << 20;

fn engine() -> Engine {
    let mut options = EngineOptions::default();
    options.part = PlanPolicy { part_size: 5 * MIB, explicit: true };
    options.throttle = Some(Throttle::new(MIB));
    options.stall = Duration::from_hours(24);
    Engine::new(options)
}

/// S0.22: 22 MiB at 1 MiB a second are 22 seconds, in four requests at once as in one.
#[tokio::test(start_paused = true)]
async fn the_rate_limit_bounds_an_upload_and_a_download() {
    let (server, client) = start().await;
    for len in [22 * MIB, 3 * MIB] {
        let content = sizes::pattern(usize::try_from(len).unwrap(), 4);
        let object = ObjectId::new(BUCKET, "k");
        let at_least = Duration::from_millis(len / MIB * 1000 - 200);
        let start = Instant::now();
        let target = Arc::new(S3Target::new(client.clone(), object.clone()));
        let source = Arc::new(MemorySource::new(content.clone()));
        transfer(&engine(), source, target).await.unwrap();
        let up = start.elapsed();
        assert!(up >= at_least, "{up:?}");
        let start = Instant::now();
        let target = MemoryTarget::new(TargetLimits::default());
        let source = Arc::new(S3Source::new(client.clone(), object));
        transfer(&engine(), source, Arc::new(target.clone())).await.unwrap();
        let down = start.elapsed();
        assert_eq!(target.content().unwrap(), content);
        assert!(down >= at_least, "{down:?}");
        let most = 2 * at_least + Duration::from_secs(5);
        assert!(up < most && down < most, "no less than that either: {up:?} {down:?}");
    }
    assert_eq!(server.calls().in_flight(), 0);
}
