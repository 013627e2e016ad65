//! An S3 endpoint on a folder: what `haul serve` and `haul demo` run, and the socket under the
//! test kit.
//!
//! Owns: one listening socket and its connections ([`Server`]), the keys a client needs
//! ([`Credentials`]), and the wiring of `s3s` on top of a folder ([`folder_service`]).
//! Must never: print, read the environment, or be taken for a production server. It has no rate
//! limits and no users; it listens where the caller says and nowhere else.

mod credentials;
mod files;
mod folder;
mod keys;
mod listing;
mod parts;
mod server;

pub use credentials::Credentials;
pub use folder::{Error, folder_service, serve_folder};
pub use s3s::service::S3Service;
pub use server::Server;
