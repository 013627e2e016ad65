//! What backends declare instead of being asked who they are.
//!
//! Owns the vocabulary of abilities. The engine must decide by these alone, never by a backend's
//! name.

use std::ops::RangeInclusive;

use crate::checksum::Algorithm;
use crate::gate::Gate;

/// What a source can do.
#[derive(Debug, Clone, Default)]
pub struct SourceLimits {
    /// Requests in flight to this endpoint; `None` where requests cost nothing (local disk).
    pub gate: Option<Gate>,
    /// Whether bytes come over a network: decides where throttling and stall timers apply.
    pub network: bool,
    /// Whether a range can be read twice at little cost, so that a chunk need not be held in
    /// memory for its checksum or for a retry.
    pub cheap_reread: bool,
}

/// In which order a target takes its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Any chunk at any time, several at once.
    Any,
    /// Strictly one after the other, as a pipe does.
    Sequential,
}

/// What a target can take.
#[derive(Debug, Clone)]
pub struct TargetLimits {
    /// Requests in flight to this endpoint; `None` where requests cost nothing.
    pub gate: Option<Gate>,
    /// Whether bytes leave over a network.
    pub network: bool,
    /// Order of chunks.
    pub order: Order,
    /// Smallest and largest chunk, in bytes; the smallest does not bind the last chunk.
    pub part: RangeInclusive<u64>,
    /// Most chunks in one object.
    pub max_parts: u64,
    /// Whether every chunk but the last must have the same size.
    pub equal_parts: bool,
    /// Whether a chunk must be at hand twice: for a checksum that precedes it, or for a retry.
    pub replays: bool,
    /// The checksum that the target wants for every chunk.
    pub checksum: Option<Algorithm>,
}

impl Default for TargetLimits {
    /// A local file: any order, any size.
    fn default() -> Self {
        Self {
            gate: None,
            network: false,
            order: Order::Any,
            part: 1..=u64::MAX,
            max_parts: u64::MAX,
            equal_parts: false,
            replays: false,
            checksum: None,
        }
    }
}
