//! Writing without an engine.

use std::path::Path;
use std::sync::{Arc, Mutex};

use haul_core::checksum::Hasher;
use haul_core::meter::ChunkMeter;
use haul_core::payload::Tracker;
use haul_core::plan::{self, PlanPolicy};
use haul_core::stall::Pulse;
use haul_core::{
    Algorithms, Attributes, ChunkSpec, Meter, Payload, Receipt, Result, Target, TargetLimits,
    Upload, UploadSpec,
};

/// An upload of `size` bytes, in a single chunk.
pub(crate) fn spec(size: u64) -> UploadSpec {
    let policy = PlanPolicy { part_size: 1 << 30, explicit: false };
    let plan = plan::plan(size, &TargetLimits::default(), policy).unwrap();
    UploadSpec { plan: Some(plan), attributes: Attributes::default(), overwrite: true, read: None }
}

/// Puts `bytes` where `chunk` says.
pub(crate) async fn put(upload: &dyn Upload, chunk: ChunkSpec, bytes: &[u8]) -> Result<Receipt> {
    let mut hasher = Hasher::new(Algorithms::default());
    hasher.update(bytes);
    let tracker = Tracker {
        chunk: ChunkMeter::new(Meter::new()),
        pulse: Pulse::default(),
        wire: None,
        throttle: None,
        sums: Mutex::default(),
    };
    let segments = vec![bytes::Bytes::copy_from_slice(bytes)];
    let payload = Payload::memory(chunk, segments, hasher.sums(), Arc::new(tracker));
    upload.put(chunk, payload).await
}

/// Writes all of `bytes` with `spec`.
pub(crate) async fn write_as(target: &dyn Target, spec: &UploadSpec, bytes: &[u8]) -> Result<()> {
    let upload = target.begin(spec).await?;
    let chunk = spec.plan.as_ref().unwrap().iter().next().unwrap();
    let receipt = put(&*upload, chunk, bytes).await?;
    let sums = receipt.sums.clone();
    upload.commit(&[receipt], &sums).await?;
    Ok(())
}

/// Writes all of `bytes`.
pub(crate) async fn write(target: &dyn Target, bytes: &[u8]) -> Result<()> {
    write_as(target, &spec(bytes.len() as u64), bytes).await
}

/// Everything below `root`: files with their content, folders with a slash, links with an arrow.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if let Ok(target) = std::fs::read_link(&path) {
                found.push(format!("{name} -> {}", target.display()));
            } else if path.is_dir() {
                found.push(format!("{name}/"));
                folders.push(path);
            } else {
                found.push(format!("{name}={}", std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
