//! HTTP/1.1 connections: pools per lane, proxies, TLS.
//!
//! Owns how a request gets to a server and the head of its answer back, for every backend that speaks
//! HTTP, how chunks become a request's body, and what it means when that fails. It must never know what is asked for, follow a redirect,
//! try again, or read the environment but for proxies and what the system trusts.

mod body;
mod connect;
mod error;
mod payload;
mod pools;
mod proxies;
mod quick;
mod tls;

pub use body::{drain, next_bytes};
pub use error::{SendError, undelivered};
pub use hyper::body::Incoming;
pub use payload::{FailureSlot, PayloadBody};
pub use pools::{NetOptions, Pools};
pub use proxies::Proxies;

/// Any error, as HTTP stacks hand them around.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
