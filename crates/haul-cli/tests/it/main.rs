//! The command line, as a user or a script meets it.
//!
//! Owns: the proof that the `haul` binary keeps its word on exit codes, on both streams, on
//! destinations and on what it leaves behind. Each test spawns the real binary with an environment
//! of its own, against a store inside the test. Must never wait for time, only for what happened.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure in a test is a panic")]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "why it skips, what it measured")]

mod attributes;
mod bad_arguments;
mod bad_files;
mod bad_stores;
mod bars;
mod batch;
mod changes;
mod configuration;
mod destinations;
mod disk_full;
mod docs;
mod doctor;
mod durable;
mod foreign;
mod harness;
mod keys;
mod listing;
mod memory;
mod mounts;
mod pair;
mod peers;
mod peers_ends;
mod peers_misuse;
mod publish;
mod results;
mod rotation;
mod scale;
mod secrets;
mod signals;
mod store_copies;
mod streams;
mod tour;
mod trees;
mod uploads;
mod web;
