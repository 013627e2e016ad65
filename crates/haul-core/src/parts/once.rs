//! A stream that is sent on as it comes.
//!
//! Owns the rule that it is read once: who asks for the first byte gets all of them, and nobody
//! after that. Its last bytes are handed over only when the length and the checksum are known to be
//! right, because a target may show what it has got as soon as it has all of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::intake::Intake;
use crate::checksum::{Hasher, Sums};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::stall::Pulse;

/// A stream that can be read once; clones are the same stream.
#[derive(Debug, Clone)]
pub(crate) struct Once(Arc<Mutex<Option<Intake>>>);

impl Once {
    pub(crate) fn new(intake: Intake) -> Self {
        Self(Arc::new(Mutex::new(Some(intake))))
    }

    /// Whether somebody has begun to read it.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// A pass over its `len` bytes. Nothing is read before it is polled.
    pub(crate) fn open(&self, len: u64) -> Pass {
        Pass { once: self.clone(), len, under_way: None }
    }

    fn take(&self) -> Result<Intake> {
        let intake = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        intake.ok_or_else(|| {
            let what = "it has been read, and a stream can be read only once";
            Error::new(ErrorKind::Io, Op::Read, "the stream", what)
        })
    }
}

/// The one pass over a stream.
#[derive(Debug)]
pub(crate) struct Pass {
    once: Once,
    len: u64,
    under_way: Option<(Intake, Hasher)>,
}

impl Pass {
    /// The next bytes; `None` after the last. While the source lets us wait, `pulse` beats: its
    /// silence is not the target's, and has a timer of its own.
    pub(crate) async fn next(&mut self, pulse: &Pulse) -> Result<Option<Bytes>> {
        let (intake, hasher) = match &mut self.under_way {
            Some(under_way) => under_way,
            none => {
                let intake = self.once.take()?;
                let hasher = Hasher::new(intake.algorithms());
                none.insert((intake, hasher))
            }
        };
        let (period, len) = (intake.patience() / 8, self.len);
        let reading = async {
            let Some(bytes) = intake.next().await? else { return Ok(None) };
            hasher.update(&bytes);
            if intake.at() == len {
                intake.finish(&hasher.sums()).await?;
            }
            Ok(Some(bytes))
        };
        beating(pulse, period, reading).await
    }

    /// The sums of what has come.
    pub(crate) fn sums(&self) -> Sums {
        self.under_way.as_ref().map_or_else(Sums::default, |(_, hasher)| hasher.sums())
    }
}

async fn beating<F: Future>(pulse: &Pulse, period: Duration, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(period, &mut work).await {
            Ok(output) => return output,
            Err(_) => pulse.beat(1),
        }
    }
}
