//! How an object is cut into chunks: pure arithmetic.
//!
//! Owns the rules on part sizes. Must never do I/O or look at a clock: the same input always gives
//! the same plan, which resuming relies on.

use crate::limits::TargetLimits;
use crate::range::{ByteRange, ChunkSpec};

const MIB: u64 = 1 << 20;

/// What the user asked for.
#[derive(Debug, Clone, Copy)]
pub struct PlanPolicy {
    /// Part size to use where the limits allow.
    pub part_size: u64,
    /// Whether it was asked for explicitly: then a size that the target forbids is an error
    /// instead of being moved into bounds.
    pub explicit: bool,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A part size of zero.
    #[error("the part size must be at least 1 byte")]
    ZeroPart,
    /// An explicit part size outside of what the target takes.
    #[error("a part size of {part_size} bytes: this store takes {min} to {max} bytes")]
    PartSize {
        /// What was asked for.
        part_size: u64,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// More bytes than the target's parts can hold.
    #[error("{size} bytes are more than {max_parts} parts of at most {max} bytes can hold")]
    TooLarge {
        /// Size of the object.
        size: u64,
        /// Most parts.
        max_parts: u64,
        /// Largest part.
        max: u64,
    },
}

/// An object of known size, cut into equal chunks (the last may be shorter).
///
/// An empty object has one empty chunk, so that it exists afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkPlan {
    size: u64,
    part_size: u64,
}

impl ChunkPlan {
    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in every chunk but the last.
    pub fn part_size(&self) -> u64 {
        self.part_size
    }

    /// Number of chunks, at least 1.
    pub fn chunks(&self) -> u64 {
        self.size.div_ceil(self.part_size).max(1)
    }

    /// The chunks in order, made as they are asked for.
    pub fn iter(&self) -> impl Iterator<Item = ChunkSpec> + Send + use<> {
        let (size, part) = (self.size, self.part_size);
        (0..self.chunks()).map(move |index| {
            let start = index * part;
            ChunkSpec { index, range: ByteRange::new(start, start.saturating_add(part).min(size)) }
        })
    }
}

/// Cuts `size` bytes for a target.
///
/// Parts are equal (R2 demands it) and grow, rounded up to MiB, so that the target's number of
/// parts suffices: a fixed 5 MiB would stop at 48.8 GiB (X1.1).
///
/// ```
/// use haul_core::plan::{plan, PlanPolicy};
/// use haul_core::TargetLimits;
/// let s3 = TargetLimits { part: 5 << 20..=5 << 30, max_parts: 10_000, ..TargetLimits::default() };
/// let policy = PlanPolicy { part_size: 8 << 20, explicit: false };
/// let p = plan(5 << 40, &s3, policy).unwrap();
/// assert_eq!((p.part_size() >> 20, p.chunks()), (525, 9987));
/// ```
pub fn plan(size: u64, target: &TargetLimits, policy: PlanPolicy) -> Result<ChunkPlan, PlanError> {
    let (min, max) = (*target.part.start(), *target.part.end());
    let mut part_size = checked_part_size(target, policy)?;
    let needed = size.div_ceil(target.max_parts);
    if needed > part_size {
        part_size = needed.next_multiple_of(MIB).clamp(min, max);
    }
    if size.div_ceil(part_size) > target.max_parts {
        return Err(PlanError::TooLarge { size, max_parts: target.max_parts, max });
    }
    Ok(ChunkPlan { size, part_size })
}

fn checked_part_size(target: &TargetLimits, policy: PlanPolicy) -> Result<u64, PlanError> {
    let (min, max) = (*target.part.start(), *target.part.end());
    let PlanPolicy { part_size, explicit } = policy;
    if part_size == 0 {
        return Err(PlanError::ZeroPart);
    }
    if explicit && !target.part.contains(&part_size) {
        return Err(PlanError::PartSize { part_size, min, max });
    }
    Ok(part_size.clamp(min, max))
}

/// Part sizes for a stream whose length is not known: they double every tenth of the target's
/// parts until `cap`, so that short streams stay cheap and long ones still fit.
///
/// With S3's 10,000 parts, 8 MiB at first and a cap of 64 MiB, a stream may be 492 GiB long; an
/// expected size, given by the user, replaces the growth with equal parts.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    next: ByteRange,
    index: u64,
    first: u64,
    cap: u64,
    max_parts: u64,
    grow_every: u64,
}

impl StreamPlan {
    /// A plan for a stream. `cap` is the most that one part may hold, because a part of a stream
    /// has to be in memory.
    pub fn new(
        target: &TargetLimits,
        policy: PlanPolicy,
        expected: Option<u64>,
        cap: u64,
    ) -> Result<Self, PlanError> {
        let (min, max) = (*target.part.start(), (*target.part.end()).min(cap));
        let mut first = checked_part_size(target, policy)?;
        if policy.explicit && first > max {
            return Err(PlanError::PartSize { part_size: first, min, max });
        }
        if let Some(size) = expected {
            let needed = size.div_ceil(target.max_parts);
            if needed > first {
                first = needed.next_multiple_of(MIB);
            }
            if first > max {
                return Err(PlanError::TooLarge { size, max_parts: target.max_parts, max });
            }
        }
        if target.equal_parts && expected.is_none() && !policy.explicit {
            first = max; // the largest that fits, because it cannot grow on the way
        }
        let first = first.min(max).max(min);
        let grows = expected.is_none() && !target.equal_parts && target.max_parts != u64::MAX;
        let grow_every = if grows { (target.max_parts / 10).max(1) } else { u64::MAX };
        let cap = max.max(first);
        let next = ByteRange::new(0, first);
        Ok(Self { next, index: 0, first, cap, max_parts: target.max_parts, grow_every })
    }

    /// The most bytes that the plan can hold.
    pub fn capacity(&self) -> u64 {
        if self.max_parts == u64::MAX {
            return u64::MAX;
        }
        (0..self.max_parts).fold(0u64, |sum, i| sum.saturating_add(self.size_of(i)))
    }

    fn size_of(&self, index: u64) -> u64 {
        let doublings = (index / self.grow_every).min(32) as u32;
        self.first.saturating_mul(1 << doublings).min(self.cap)
    }
}

impl Iterator for StreamPlan {
    type Item = ChunkSpec;

    /// The next chunk at its full size; `None` once the target's parts are used up.
    fn next(&mut self) -> Option<ChunkSpec> {
        if self.index >= self.max_parts {
            return None;
        }
        let chunk = ChunkSpec { index: self.index, range: self.next };
        self.index += 1;
        let start = self.next.end;
        self.next = ByteRange::new(start, start.saturating_add(self.size_of(self.index)));
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s3() -> TargetLimits {
        TargetLimits { part: 5 * MIB..=5 << 30, max_parts: 10_000, ..TargetLimits::default() }
    }

    const fn policy(part_size: u64, explicit: bool) -> PlanPolicy {
        PlanPolicy { part_size, explicit }
    }

    /// S3.10, S3.36: chunk creation at the edges.
    #[test]
    fn edges() {
        let of = |size| plan(size, &s3(), policy(8 * MIB, false)).unwrap();
        assert_eq!(of(0).iter().collect::<Vec<_>>().len(), 1);
        assert_eq!(of(0).iter().next().unwrap().range, ByteRange::new(0, 0));
        assert_eq!(of(8 * MIB).chunks(), 1);
        assert_eq!(of(8 * MIB + 1).chunks(), 2);
        assert_eq!(of(8 * MIB + 1).iter().last().unwrap().range.len(), 1);
    }

    #[test]
    fn explicit_sizes_are_checked_and_implicit_ones_moved() {
        assert_eq!(plan(1, &s3(), policy(5_000_000, false)).unwrap().part_size(), 5 * MIB);
        assert!(matches!(
            plan(1, &s3(), policy(5_000_000, true)), // X1.7: MB is not MiB
            Err(PlanError::PartSize { .. })
        ));
        assert!(plan(1, &s3(), policy(6 << 30, true)).is_err());
        assert_eq!(plan(1, &s3(), policy(0, true)), Err(PlanError::ZeroPart));
        assert!(matches!(
            plan(u64::MAX, &s3(), policy(8 * MIB, false)),
            Err(PlanError::TooLarge { .. })
        ));
    }

    #[test]
    fn streams_grow_until_the_cap() {
        let p = StreamPlan::new(&s3(), policy(8 * MIB, false), None, 64 * MIB).unwrap();
        assert_eq!(p.capacity() >> 30, 492);
        let sizes: Vec<_> = p.map(|c| c.range.len() / MIB).collect();
        assert_eq!(sizes.len(), 10_000);
        assert_eq!((sizes[0], sizes[999], sizes[1000], sizes[9999]), (8, 8, 16, 64));
        let expected = StreamPlan::new(&s3(), policy(8 * MIB, false), Some(400 << 30), 64 * MIB);
        assert_eq!(expected.unwrap().next().unwrap().range.len(), 41 * MIB);
        assert!(StreamPlan::new(&s3(), policy(8 * MIB, false), Some(5 << 40), 64 * MIB).is_err());
        let r2 = TargetLimits { equal_parts: true, ..s3() };
        let p = StreamPlan::new(&r2, policy(8 * MIB, false), None, 64 * MIB).unwrap();
        assert!(p.take(3000).all(|c| c.range.len() == 64 * MIB));
    }

    proptest! {
        /// A plan covers everything once, in order, within the limits (S1.2, X1.1).
        #[test]
        fn plans_cover_once(
            size in 0u64..=60 << 40,
            part_size in 1u64..=6 << 30,
            max_parts in 1u64..=10_000,
            min in 1u64..=8 << 20,
            max in 8u64 << 20..=5 << 30,
        ) {
            let limits = TargetLimits { part: min..=max, max_parts, ..TargetLimits::default() };
            match plan(size, &limits, policy(part_size, false)) {
                Ok(p) => {
                    prop_assert!(p.chunks() <= max_parts);
                    prop_assert!((min..=max).contains(&p.part_size()));
                    let mut at = 0;
                    for (i, c) in p.iter().enumerate() {
                        prop_assert_eq!(c.index, i as u64);
                        prop_assert_eq!(c.range.start, at);
                        prop_assert!(c.range.len() == p.part_size() || c.range.end == size);
                        at = c.range.end;
                    }
                    prop_assert_eq!(at, size);
                }
                Err(PlanError::TooLarge { .. }) => prop_assert!(size > max_parts * (max - MIB)),
                Err(e) => prop_assert!(false, "{e}"),
            }
        }

        #[test]
        fn stream_plans_are_contiguous(first in 1u64..64 << 20, cap in 1u64..128 << 20) {
            let p = StreamPlan::new(&s3(), policy(first, false), None, cap).unwrap();
            let mut at = 0;
            for c in p.take(3500) {
                prop_assert_eq!(c.range.start, at);
                prop_assert!(c.range.len() >= 5 * MIB && c.range.len() <= cap.max(5 * MIB));
                at = c.range.end;
            }
        }
    }
}
