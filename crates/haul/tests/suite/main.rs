//! haul over real sockets and files: backends alike, requests counted, faults survived.
//!
//! Owns: the tests of the facade and the engine with their backends. One binary, because linking
//! the SDK is most of what a test costs.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod bad_input;
mod calls;
mod calls_copy;
mod check;
mod conformance;
mod dedupe;
mod examples;
mod faults_commit;
mod faults_copy;
mod faults_down;
mod faults_manage;
mod faults_refusal;
mod faults_source;
mod faults_up;
mod get;
mod identity;
mod kit;
mod lists;
mod manage;
mod many_kit;
mod memory;
mod moves;
mod peers;
mod publish;
mod publish_links;
mod put;
mod stops;
mod streams;
mod sync;
mod sync_compare;
mod sync_delete;
mod sync_guards;
mod trees;
mod web;
