//! Ctrl-C and friends.
//!
//! Owns what signals mean: the first stops and cleans up, the second exits at once.

use std::sync::atomic::{AtomicBool, Ordering};

use haul::Haul;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::output;

static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether the first signal was SIGTERM.
pub(crate) fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// Waits for a signal and asks `haul` to stop; a second signal ends the process. Never returns.
pub(crate) async fn watch(haul: &Haul) -> std::convert::Infallible {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched: Ctrl-C will not clean up");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => TERMINATED.store(true, Ordering::Relaxed),
    }
    output::note("haul: interrupted, cleaning up (once more to quit at once)");
    haul.cancel();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    quit()
}

#[expect(clippy::exit, reason = "the user asked twice")]
fn quit() -> ! {
    let code = if terminated() { Exit::Terminated } else { Exit::Interrupted };
    std::process::exit(code as i32)
}
