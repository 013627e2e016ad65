//! Digests against known values.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haul_core::{Algorithm, Algorithms, ErrorKind};
use haul_local::{Digests, Wanted, digest, stamp_at};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").unwrap();
        text
    })
}

fn all(md5_parts: u64) -> Wanted {
    let crc = Algorithms::default().with(Algorithm::Crc64Nvme).with(Algorithm::Crc32c);
    Wanted { crc, md5: true, md5_parts: Some(md5_parts), blake3: true }
}

async fn of(content: &[u8], wanted: Wanted) -> Digests {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, content).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let on_bytes = move |n| {
        count.fetch_add(n, Ordering::Relaxed);
    };
    let digests = digest(&path, wanted, on_bytes).await.unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), content.len() as u64);
    assert_eq!(digests.sums.len(), content.len() as u64);
    assert_eq!(digests.stamp, stamp_at(&path).await.unwrap());
    digests
}

#[tokio::test]
async fn known_values() {
    let d = of(b"123456789", all(4)).await;
    assert_eq!(d.sums.get(Algorithm::Crc64Nvme).unwrap().value, 0xae8b_1486_0a79_9888);
    assert_eq!(d.sums.get(Algorithm::Crc32c).unwrap().value, 0xe306_9283);
    assert_eq!(d.sums.get(Algorithm::Crc32), None);
    assert_eq!(hex(&d.md5.unwrap()), "25f9e794323b453885f5181f1b624d0b");
    let parts: Vec<_> = d.md5_parts.iter().map(|p| hex(p)).collect();
    assert_eq!(
        parts,
        [
            "81dc9bdb52d04dc20036dbd8313ed055", // 1234
            "674f3c2c1a8a6f90461e8a66fb5550ba", // 5678
            "45c48cce2e2d7fbdea1afc51c7c6ad26", // 9
        ]
    );
    let empty = of(b"", all(4)).await;
    assert_eq!(hex(&empty.md5.unwrap()), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(empty.md5_parts, [empty.md5.unwrap()]);
    assert_eq!(
        hex(&empty.blake3.unwrap()),
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
    let nothing = of(b"x", Wanted::default()).await;
    assert!(nothing.md5.is_none() && nothing.md5_parts.is_empty() && nothing.blake3.is_none());
}

#[tokio::test]
async fn parts_across_reads() {
    let content: Vec<u8> = (0..1_000_000_u64).map(|i| ((i * i) >> 7) as u8).collect();
    let size = 300_001;
    let d = of(&content, all(size)).await;
    let mut expected = Vec::new();
    for part in content.chunks(size as usize) {
        expected.push(of(part, all(1 << 30)).await.md5.unwrap());
    }
    assert_eq!(d.md5_parts, expected);
    let exactly = of(&content[..600_002], all(size)).await;
    assert_eq!(exactly.md5_parts, expected[..2]);
}

#[tokio::test]
async fn a_file_that_changes_has_no_digest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, vec![1; 1 << 20]).unwrap();
    let file = path.clone();
    let grow = move |_| {
        let mut file = std::fs::File::options().append(true).open(&file).unwrap();
        std::io::Write::write_all(&mut file, b"more").unwrap();
    };
    let error = digest(&path, all(1 << 20), grow).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
    let folder = digest(dir.path(), all(1), |_| {}).await.unwrap_err();
    assert_eq!(folder.kind(), ErrorKind::Invalid, "{folder}");
    let missing = digest(dir.path().join("x"), all(1), |_| {}).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}

/// Nobody reads on when nobody waits.
#[tokio::test]
async fn dropping_it_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, vec![1; 4 << 20]).unwrap();
    let (reached, stop) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicU64::new(0)));
    let (tell, count) = (Arc::clone(&reached), Arc::clone(&stop));
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let on_bytes = move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        tell.notify_one();
        let _released = wait.lock().unwrap().recv();
    };
    let task = tokio::spawn(digest(path, all(1 << 20), on_bytes));
    reached.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(release);
    // The closure goes when the thread has ended.
    while Arc::strong_count(&stop) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stop.load(Ordering::Relaxed), 1);
}
