//! The local backend on real files.
//!
//! Owns: the proof of what `haul-local` says of links, names, durability and hints. One binary,
//! because it links faster than several.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]
#![expect(clippy::print_stderr, reason = "why it skips")]

mod beneath;
mod digest;
mod durable;
mod fold;
mod found;
mod kit;
mod known;
mod origin;
mod partial;
mod rename;
mod walk;
