//! What the HTTP backend does, alone and driven by the engine, against the test kit's server.
//!
//! Owns: the tests of reading, of streams, of redirects and of writing. Must never leave this machine.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]

mod conformance;
mod kit;
mod presigned;
mod reading;
mod redirects;
mod sized;
mod streams;
mod writing;
