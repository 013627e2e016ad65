//! What haul remembers between runs: the index of contents that stores have.
//!
//! Owns one SQLite file, which several processes may use at once. It is a memory and no truth: what
//! it says is a hint that the caller checks with the store, and all of it can be removed at any
//! time at the price of work done again. It must never read the environment: the caller says where
//! the file is.

mod contents;
mod database;
mod error;
mod files;
mod shared;

pub use contents::{Content, ContentIndex, Known, Place};
pub use files::FileId;
pub use shared::SharedIndex;
