//! Two peers in one process, on the loopback, without relays.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what went wrong by panicking")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod admission;
mod bounds;
mod collection;
mod doubles;
mod failures;
mod fake;
mod guests;
mod hostile;
mod kit;
mod lines;
mod netns;
mod progress;
mod restart;
mod resume;
mod transfer;
