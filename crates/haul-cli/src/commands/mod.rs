//! One file per command.
//!
//! Each turns its arguments into a request, lets the library do it, and prints the result.

pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod demo;
pub(crate) mod mb;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod stat;
