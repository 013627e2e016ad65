//! Whether two things have the same content.
//!
//! Owns the evidence: sizes, checksums, ETags of one part and of many. No byte is read twice: what
//! the other side can be compared by is found out first, and then a file is read once for that. Must
//! never call the same what nothing shows to be: that is unknown.

use std::path::Path;

use haul_core::handle::JobContext;
use haul_core::{Algorithms, Difference, Engine, Op, Result, Verified};
use haul_local::{Wanted, digest};
use haul_s3::{ObjectId, ObjectInfo, S3Client, first_part_size, multipart_etag};

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same, as shown by this.
    Same(Verified),
    /// Not the same.
    Differs(Difference),
    /// Of one size, and nothing else is there to tell by.
    Unknown,
}

impl Verdict {
    fn of(equal: bool, by: Verified) -> Self {
        if equal { Self::Same(by) } else { Self::Differs(Difference::Content) }
    }
}

/// Asks about an object, by the retry policy.
pub(crate) async fn look(
    engine: &Engine,
    cx: &JobContext,
    client: &S3Client,
    object: &ObjectId,
) -> Result<ObjectInfo> {
    let policy = engine.options().retry;
    let look = || haul_s3::stat(client, object, Op::Compare);
    engine.retrying(policy, cx, &object.to_string(), look).await
}

/// What an ETag looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EtagKind {
    /// The MD5 of the content.
    Md5([u8; 16]),
    /// The MD5 of the MD5s of so many parts.
    Parts(u64),
    /// Something else.
    Opaque,
}

fn kind_of(etag: &str) -> EtagKind {
    let (hex, parts) = match etag.split_once('-') {
        Some((hex, parts)) => (hex, Some(parts)),
        None => (etag, None),
    };
    let value = (hex.len() == 32).then(|| u128::from_str_radix(hex, 16).ok()).flatten();
    match (value, parts.map(str::parse)) {
        (Some(md5), None) => EtagKind::Md5(md5.to_be_bytes()),
        (Some(_), Some(Ok(parts @ 1..))) => EtagKind::Parts(parts),
        _ => EtagKind::Opaque,
    }
}

/// Compares a file with an object that was looked at (U0.5).
pub(crate) async fn file_with_object(
    engine: &Engine,
    cx: &JobContext,
    path: &Path,
    (client, object, info): (&S3Client, &ObjectId, &ObjectInfo),
) -> Result<Verdict> {
    let size = haul_local::stamp_at(path).await?.size;
    if size != info.size {
        return Ok(Verdict::Differs(Difference::Size));
    }
    if size == 0 {
        return Ok(Verdict::Same(Verified::Size));
    }
    if let Some(theirs) = info.checksum {
        let crc: Algorithms = [theirs.algorithm].into_iter().collect();
        let ours = read(cx, path, Wanted { crc, ..Wanted::default() }).await?;
        let equal = ours.sums.get(theirs.algorithm) == Some(theirs);
        return Ok(Verdict::of(equal, Verified::Checksum(theirs.algorithm)));
    }
    let etag = info.etag.as_deref().filter(|_| client.quirks().etag_is_md5);
    match etag.map_or(EtagKind::Opaque, kind_of) {
        EtagKind::Md5(md5) => {
            let ours = read(cx, path, Wanted { md5: true, ..Wanted::default() }).await?;
            Ok(Verdict::of(ours.md5 == Some(md5), Verified::Etag))
        }
        EtagKind::Parts(parts) if client.quirks().multipart_etag => {
            let policy = engine.options().retry;
            let ask = || first_part_size(client, object);
            let part = engine.retrying(policy, cx, &object.to_string(), ask).await?;
            let told = part.filter(|p| *p > 0 && size.div_ceil(*p) == parts);
            let own = engine.options().part.part_size;
            let sizes = told.map_or_else(|| likely_parts(own), |part| vec![part]);
            // One read for each size that gives this number of parts: most often there is one.
            for part in sizes.into_iter().filter(|p| size.div_ceil(*p) == parts) {
                let wanted = Wanted { md5_parts: Some(part), ..Wanted::default() };
                let ours = read(cx, path, wanted).await?;
                if Some(multipart_etag(&ours.md5_parts)) == info.etag {
                    return Ok(Verdict::Same(Verified::Etag));
                }
            }
            // Edited; or, where the store does not tell, cut in a way that nobody thought of.
            let edited = Verdict::Differs(Difference::Content);
            Ok(if told.is_some() { edited } else { Verdict::Unknown })
        }
        _ => Ok(Verdict::Unknown),
    }
}

/// Part sizes to try where the store does not tell: haul's own, and those that tools are known to use
/// (aws 8 MiB, rclone and s3cmd 5 to 16 MiB, s5cmd 50 MiB, mc and MinIO 16 to 128 MiB).
fn likely_parts(own: u64) -> Vec<u64> {
    const MIB: u64 = 1 << 20;
    let mut sizes = vec![own];
    let known = [5, 6, 7, 8, 10, 12, 15, 16, 20, 24, 25, 32, 48, 50, 64, 100, 128, 256, 512, 1024];
    sizes.extend(known.iter().map(|mib| mib * MIB).filter(|size| *size != own));
    sizes
}

async fn read(cx: &JobContext, path: &Path, wanted: Wanted) -> Result<haul_local::Digests> {
    let reading = digest(path, wanted, |_| ());
    let read = cx.cancel.run_until_cancelled(reading).await;
    read.unwrap_or_else(|| Err(haul_core::Error::cancelled(Op::Compare, path.display())))
}

/// Compares two files, both read once and at the same time.
pub(crate) async fn files(cx: &JobContext, a: &Path, b: &Path) -> Result<Verdict> {
    let wanted = Wanted { blake3: true, ..Wanted::default() };
    let (a, b) = futures::try_join!(read(cx, a, wanted), read(cx, b, wanted))?;
    if a.sums.len() != b.sums.len() {
        return Ok(Verdict::Differs(Difference::Size));
    }
    Ok(Verdict::of(a.blake3 == b.blake3, Verified::Bytes))
}

/// An object as its store showed it.
pub(crate) type Shown<'a> = (&'a S3Client, &'a ObjectInfo);

/// Compares two objects by what their stores keep of them.
pub(crate) fn objects((of_a, a): Shown<'_>, (of_b, b): Shown<'_>) -> Verdict {
    if a.size != b.size {
        return Verdict::Differs(Difference::Size);
    }
    if a.size == 0 {
        return Verdict::Same(Verified::Size);
    }
    if let (Some(a), Some(b)) = (a.checksum, b.checksum)
        && a.algorithm == b.algorithm
    {
        return Verdict::of(a == b, Verified::Checksum(a.algorithm));
    }
    etags((of_a, a.etag.as_deref()), (of_b, b.etag.as_deref()))
}

/// Compares ETags. Equal ones are the same content. Different ones tell something only where both are
/// plain MD5s: the same content in other parts has another ETag.
pub(crate) fn etags(a: (&S3Client, Option<&str>), b: (&S3Client, Option<&str>)) -> Verdict {
    let ((of_a, Some(a)), (of_b, Some(b))) = (a, b) else { return Verdict::Unknown };
    compared_etags(a, b, of_a.quirks().etag_is_md5 && of_b.quirks().etag_is_md5)
}

fn compared_etags(a: &str, b: &str, are_md5: bool) -> Verdict {
    match (kind_of(a), kind_of(b)) {
        (EtagKind::Md5(a), EtagKind::Md5(b)) if a == b || are_md5 => {
            Verdict::of(a == b, Verified::Etag)
        }
        (EtagKind::Parts(_), EtagKind::Parts(_)) if a == b => Verdict::Same(Verified::Etag),
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_understood() {
        let md5 = "0cc175b9c0f1b6a831c399e269772661";
        assert!(matches!(kind_of(md5), EtagKind::Md5(_)));
        assert_eq!(kind_of(&format!("{md5}-3")), EtagKind::Parts(3));
        for opaque in ["", "xyz", "0cc175b9", &format!("{md5}-0"), &format!("{md5}-x")] {
            assert_eq!(kind_of(opaque), EtagKind::Opaque, "{opaque}");
        }
        let same = Verdict::Same(Verified::Etag);
        assert_eq!(compared_etags(md5, md5, true), same);
        let parts = format!("{md5}-2");
        assert_eq!(compared_etags(&parts, &parts, true), same);
        assert_eq!(compared_etags(&parts, md5, true), Verdict::Unknown);
        let other = "1cc175b9c0f1b6a831c399e269772661";
        let edited = Verdict::Differs(Difference::Content);
        assert_eq!(compared_etags(md5, other, true), edited);
        assert_eq!(compared_etags(md5, other, false), Verdict::Unknown);
        assert_eq!(compared_etags(md5, md5, false), same);
        assert_eq!(compared_etags("xyz", "xyz", true), Verdict::Unknown);
        assert_eq!(compared_etags(&parts, &format!("{other}-2"), true), Verdict::Unknown);
    }
}
