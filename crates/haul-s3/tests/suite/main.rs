//! The S3 backend against the in-memory store, over a real socket.
//!
//! Owns what only requests on the wire can show: how many there are, what they carry, and what comes
//! of a store that misbehaves. Must never retry: one call is one attempt, and that is tested too.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]

mod believed;
mod contact;
mod copies;
mod direct;
mod gates;
mod kit;
mod listed;
mod listing;
mod presign;
mod rates;
mod regions;
mod remove;
mod stores;
mod uploads;
