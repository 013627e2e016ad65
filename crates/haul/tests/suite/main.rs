//! haul over real sockets and files: backends alike, requests counted, faults survived.
//!
//! Owns: the tests of the facade and the engine with their backends. One binary, because linking
//! the SDK is most of what a test costs.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]

mod calls;
mod calls_copy;
mod conformance;
mod faults_commit;
mod faults_copy;
mod faults_down;
mod faults_manage;
mod faults_refusal;
mod faults_source;
mod faults_up;
mod kit;
mod memory;
mod stops;
mod streams;
