//! The store and the fault layer over a real socket, spoken to by the official SDK.
//!
//! Owns: the proof that the kit does what it says. Must never test haul itself.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]

mod client;
mod faults;
mod folder;
mod keys;
mod listing;
mod multipart;
mod objects;
mod rivals;
