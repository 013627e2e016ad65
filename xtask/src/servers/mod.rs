//! Owns what a real S3 server is to this tool: how to install it, start it, and know it apart.
//!
//! Must never: listen anywhere but on loopback, or keep data that a stop should have removed.

mod ceph;
pub(crate) mod commands;
pub(crate) mod endpoint;
mod garage;
mod instance;
mod launch;
mod minio;
mod moto;
mod peers;
mod serve;

pub(crate) use endpoint::Endpoint;
pub(crate) use instance::{Instance, Running};
pub(crate) use launch::{Launch, StartOptions, start};

use crate::tools::Tools;
use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The servers haul is tried against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Garage,
    Minio,
    Ceph,
    Moto,
    /// `haul serve`: no other program needed
    HaulServe,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::HaulServe, Self::Garage, Self::Minio, Self::Ceph, Self::Moto];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Garage => "garage",
            Self::Minio => "minio",
            Self::Ceph => "ceph",
            Self::Moto => "moto",
            Self::HaulServe => "haul-serve",
        }
    }

    /// The server behind the name. `haul` is the binary that `haul serve` needs.
    pub(crate) fn server(self, haul: Option<PathBuf>) -> Box<dyn Server> {
        match self {
            Self::Garage => Box::new(garage::Garage),
            Self::Minio => Box::new(minio::Minio),
            Self::Ceph => Box::new(ceph::Ceph),
            Self::Moto => Box::new(moto::Moto),
            Self::HaulServe => Box::new(serve::HaulServe { haul }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A check of the interop suite that says nothing about haul on this server, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// The check's name, or its beginning.
    pub(crate) check: &'static str,
    pub(crate) reason: &'static str,
}

/// A real S3 server.
pub(crate) trait Server {
    fn kind(&self) -> Kind;

    /// What it lacks to be started, if anything.
    fn missing(&self, tools: &Tools) -> Option<String>;

    fn install(&self, tools: &Tools) -> Result<()>;

    /// One line: name and version.
    fn version(&self, tools: &Tools) -> Result<String>;

    /// Starts it; returns when it answers requests.
    fn launch(&self, launch: &mut Launch<'_>) -> Result<Endpoint>;

    /// Where it differs from S3 by its own choice.
    fn limits(&self) -> &'static [Limit] {
        &[]
    }
}
