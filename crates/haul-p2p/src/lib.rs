//! haul's session family: files between people, by ticket.
//!
//! Owns everything that knows iroh: endpoints, tickets, what peers say to each other, and contents
//! with their proof. A sender hashes files where they are and answers requests for ranges of them; a
//! receiver asks for what it has not got, proves every piece as it comes and puts it in its place.
//! The wire format of contents is that of `iroh-blobs`, so that other programs of its ecosystem can
//! be on the other side; what they cannot say (names, times, modes, how it went) goes over a stream of
//! haul's own.
//!
//! It must never print, read the environment, publish an address that it was not asked to, or trust
//! what a peer says.

mod answer;
mod checking;
mod content;
mod copies;
mod deadline;
mod door;
mod encode;
mod endpoint;
mod fault;
mod host;
mod import;
mod large;
mod links;
mod listing;
mod names;
mod old;
mod outline;
mod reading;
mod receive;
mod room;
mod session;
mod share;
mod shelf;
mod source;
mod take;
#[cfg(test)]
mod testing;
mod ticket;
mod visit;
mod width;
mod wire;

pub use endpoint::{Congestion, Net, Relay};
pub use receive::{
    DEFAULT_JOBS, DEFAULT_MOST, IfExists, Look, ReceiveOptions, Received, ReceivedKind, Receiver,
};
pub use share::{
    Format, Offer, ShareEnd, ShareKey, ShareOptions, Shared, What, default_jobs, share,
};
pub use ticket::{ShareTicket, Ticket};
