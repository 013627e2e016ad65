//! What a command runs with.
//!
//! Owns the flags of every command, the configuration, and, for the lines of a batch, the engine
//! that they share.

use std::rc::Rc;

use haul::{Haul, Options, S3Options};

use crate::args::{Common, ProgressMode};
use crate::config::Config;
use crate::output;

/// What a command runs with.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) common: Common,
    pub(crate) config: Rc<Config>,
    /// Whether lines about what was changed are left out.
    hushed: bool,
    /// The engine of the batch that the command is a line of.
    batch: Option<Haul>,
}

impl Session {
    pub(crate) fn new(common: Common, config: Rc<Config>) -> Self {
        let hushed = common.quiet;
        Self { common, config, hushed, batch: None }
    }

    /// A line of a batch: its flags, the engine of all.
    pub(crate) fn line(&self, common: Common, config: Rc<Config>, haul: &Haul) -> Self {
        let outer = &self.common;
        let hushed = self.hushed || common.quiet;
        let common = Common {
            quiet: true, // the batch tells what there is to tell
            verbose: common.verbose.max(outer.verbose),
            json: common.json || outer.json,
            progress: ProgressMode::None,
            config: None,
        };
        Self { common, config, hushed, batch: Some(haul.clone()) }
    }

    /// Whether the command is a line of a batch, which then minds the signals.
    pub(crate) fn in_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// The library with these settings; in a batch only the stores are the command's own.
    pub(crate) fn haul(&self, options: Options) -> Haul {
        match &self.batch {
            Some(shared) => {
                // Stores that are equal share their connections, so nothing else may differ.
                let all = shared.options();
                let (requests, timeout) = (all.engine.concurrency, all.source.timeout);
                let shared_by_all = |mut s3: S3Options| {
                    (s3.requests, s3.timeout) = (requests, timeout);
                    s3
                };
                shared.with_stores(shared_by_all(options.source), shared_by_all(options.dest))
            }
            None => Haul::new(options),
        }
    }

    /// Whether lines about what was changed are wanted: not with `--quiet`, but as JSON always.
    pub(crate) fn tells_changes(&self) -> bool {
        self.common.json || !self.hushed
    }

    /// One line about what was changed.
    pub(crate) fn changed(&self, line: &str) -> haul::Result<()> {
        if self.tells_changes() { output::changed(line) } else { Ok(()) }
    }

    /// Whether a summary and other notes are wanted.
    pub(crate) fn tells(&self) -> bool {
        let Common { quiet, json, progress, .. } = &self.common;
        !quiet && !json && *progress != ProgressMode::Json
    }
}
