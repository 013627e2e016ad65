//! Ctrl-C and friends.
//!
//! Owns what signals mean: the first stops and cleans up, the second exits at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Waits for SIGINT, SIGTERM or SIGHUP (a closed terminal); whether it was not SIGINT. Signals count from
/// the call on, not only from when the future is first polled. Those that whoever started us has set to
/// be ignored, as `nohup` does and a shell for what runs in the background, stay so.
pub(crate) fn stop_signal() -> impl Future<Output = bool> {
    let [interrupt, terminate, hangup] = watched();
    async {
        let (Ok(interrupt), Ok(terminate), Ok(hangup)) = (interrupt, terminate, hangup) else {
            tracing::warn!("signals cannot be watched: Ctrl-C will not clean up");
            return std::future::pending().await;
        };
        tokio::select! {
            () = next(interrupt) => false,
            () = next(terminate) => true,
            () = next(hangup) => true,
        }
    }
}

/// The three signals; `None` where one is ignored.
fn watched() -> [std::io::Result<Option<Signal>>; 3] {
    // Before the first handler takes the place of what was inherited.
    static IGNORED: OnceLock<u64> = OnceLock::new();
    let ignored = *IGNORED.get_or_init(ignored);
    [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(|kind| {
        let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
        if is_ignored { Ok(None) } else { signal(kind).map(Some) }
    })
}

async fn next(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => {
            let _caught = signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The signals that are ignored, a bit for each, where the system tells.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
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
