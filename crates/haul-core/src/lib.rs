//! haul's vocabulary and its one transfer engine.
//!
//! This crate owns what every backend shares: locations, ranges, checksums, limits, the pure
//! [`plan`](plan::plan), the byte [`Budget`], the request [`Gate`], the [`Sequencer`], the one retry
//! layer, progress ([`Meter`], [`Event`]) and the [`Engine`], which ties them
//! together. It knows no network, no backend and no terminal: it must never name a store, print,
//! read the environment or exit.

pub mod budget;
mod bytes_source;
pub mod checksum;
pub mod engine;
pub mod entry;
pub mod error;
pub mod event;
pub mod fetch;
mod foreign;
pub mod gate;
pub mod handle;
mod hint;
pub mod lanes;
mod ledger;
pub mod limits;
mod listing;
pub mod location;
pub mod many;
pub mod meter;
pub mod name;
pub mod outcome;
mod parts;
pub mod payload;
pub mod plan;
pub mod pool;
pub mod proof;
pub mod range;
mod range_source;
pub mod redact;
pub mod report;
pub mod retry;
pub mod select;
pub mod sequencer;
mod sink;
pub mod source;
pub mod stall;
pub mod target;
pub mod throttle;
pub mod transfer;
pub mod workers;

pub use budget::{Budget, BudgetPermit};
pub use bytes_source::BytesSource;
pub use checksum::{Algorithm, Algorithms, Checksum, Sums};
pub use engine::{Engine, EngineOptions, Leftover};
pub use entry::{Entry, EntryKind, Lister, Page, RelPath, UnsafeName};
pub use error::{Error, ErrorKind, Op, Result, Retry};
pub use event::{Event, EventSender, PeerEnd, PeerEvent, Route};
pub use foreign::Foreign;
pub use gate::{Gate, GatePermit, Heard};
pub use handle::TransferHandle;
pub use hint::{Hint, HintText};
pub use limits::{Order, SourceLimits, TargetLimits};
pub use listing::Listing;
pub use location::{Location, MAX_KEY, ParseLocationError};
pub use meter::{Meter, MeterSnapshot};
pub use outcome::{Change, Difference, InOrder, Link, Outcome, Settled, Skip, Summary, Tally};
pub use payload::{Payload, PayloadReader};
pub use plan::{ChunkPlan, PlanError, PlanPolicy};
pub use proof::{FileStamp, ObjectStamp, Proof};
pub use range::{ByteRange, ChunkSpec};
pub use range_source::RangeSource;
pub use report::{Report, Verified};
pub use retry::RetryPolicy;
pub use select::{Filter, FilterRule, Pattern, PatternError, Shard};
pub use sequencer::Sequencer;
pub use source::{Body, Meta, Opened, ReadAt, ReadStream, Source, Validator};
pub use target::{Attributes, Committed, Receipt, Target, Upload, UploadSpec};
pub use throttle::Throttle;
pub use transfer::Job;
