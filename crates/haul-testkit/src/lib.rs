//! What haul's tests run against.
//!
//! Owns: an S3 store in memory ([`memory`]), faults on the wire in front of it ([`faults`]), a
//! record of every request ([`calls`]), all three behind one socket ([`TestServer`]), the sizes and
//! names worth trying ([`sizes`]), and what every backend must do ([`conformance`]). Must never be a dependency of anything that ships.

pub mod calls;
mod clock;
#[expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a failed check is a panic")]
pub mod conformance;
pub mod faults;
pub mod http;
#[expect(clippy::cast_possible_wrap, reason = "the S3 model counts in signed integers")]
pub mod memory;
mod server;
pub mod sizes;
mod wire;

pub use calls::{Call, Calls};
pub use faults::{Fault, FaultLayer, Faults, Rule, RuleHandle};
pub use memory::{ChecksumSupport, MemoryS3, StoreRules, StoredObject, synthetic_bytes};
pub use server::{S3OnWire, TestServer};
pub use wire::{BoxError, Op, Target, WireBody, wire_body};
