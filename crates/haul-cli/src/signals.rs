//! Ctrl-C and friends.
//!
//! Owns what signals mean: the first stops and cleans up, the second exits at once.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;

static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether the first signal was SIGTERM.
pub(crate) fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// Remembers for the exit code which signal came first.
pub(crate) fn remember(terminated: bool) {
    TERMINATED.store(terminated, Ordering::Relaxed);
}

/// Waits for SIGINT, SIGTERM or SIGHUP (a closed terminal); whether it was not SIGINT. Signals count from the call on, not only
/// from when the future is first polled.
pub(crate) fn stop_signal() -> impl Future<Output = bool> {
    let [interrupt, terminate, hangup] =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    async {
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (interrupt, terminate, hangup)
        else {
            tracing::warn!("signals cannot be watched: Ctrl-C will not clean up");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => true,
            _ = hangup.recv() => true,
        }
    }
}

/// A file that outgrows a limit (`ulimit -f`) is an error to report, not a reason to be killed with
/// the staged file left behind. The handler stays for the life of the process.
pub(crate) fn outlive_file_limits() {
    if let Err(e) = signal(SignalKind::from_raw(libc::SIGXFSZ)) {
        tracing::debug!("SIGXFSZ cannot be caught: {e}");
    }
}

/// Ends the process at once.
#[expect(clippy::exit, reason = "the user asked twice")]
pub(crate) fn quit() -> ! {
    let code = if terminated() { Exit::Terminated } else { Exit::Interrupted };
    std::process::exit(code as i32)
}
