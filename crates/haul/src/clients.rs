//! The clients of all stores in use.
//!
//! Owns them: one for each set of settings, connected on first use, so that everything that talks
//! to one endpoint shares its connections and its gate.

use std::sync::{Arc, Mutex, PoisonError};

use haul_core::Result;
use haul_s3::{S3Client, S3Options};
use tokio::sync::OnceCell;

type Slot = Arc<OnceCell<S3Client>>;

/// Clients by their settings; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clients(Arc<Mutex<Vec<(S3Options, Slot)>>>);

impl Clients {
    /// The client for these settings.
    pub(crate) async fn get(&self, options: &S3Options) -> Result<S3Client> {
        let slot = self.slot(options);
        // Boxed: looking for credentials is a large future, and every call would be as large.
        slot.get_or_try_init(|| Box::pin(S3Client::connect(options))).await.cloned()
    }

    fn slot(&self, options: &S3Options) -> Slot {
        // A handful of endpoints: looking through them is quicker than hashing.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| known == options) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        slots.push((options.clone(), Arc::clone(&slot)));
        slot
    }
}
