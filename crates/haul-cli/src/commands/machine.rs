//! What this machine has to offer, for `haul doctor`.
//!
//! Owns the limits that a job can run into: open files, memory, space for temporary files, buffers of
//! the network.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::doctor::{Check, Verdict};
use crate::size::human;
use crate::{exit, identity};

/// Files that a job with the most requests and items may have open.
const FILES: u64 = 512;

/// What the program needs beside the data in flight.
const PROGRAM: u64 = 32 << 20;

/// Space for lists that do not fit into memory, such as what `sync` is to remove.
const SPACE: u64 = 64 << 20;

pub(super) fn checks(memory: u64, state: &Path) -> Vec<Check> {
    let mut checks = vec![open_files()];
    checks.extend(enough_memory(memory));
    checks.push(space("temporary", &std::env::temp_dir()));
    checks.push(state_folder(state));
    checks.extend(udp_buffers());
    checks.push(identity());
    checks
}

/// What a socket of a peer asks for: less loses packets when they come fast.
const UDP_BUFFER: u64 = 7 << 20;

fn udp_buffers() -> Option<Check> {
    let of = |name: &str| -> Option<u64> {
        let path = format!("/proc/sys/net/core/{name}");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let (receive, send) = (of("rmem_max")?, of("wmem_max")?);
    let mut text = format!("{} to receive, {} to send, at most", human(receive), human(send));
    if receive.min(send) >= UDP_BUFFER {
        return Some(Check::ok("UDP buffers", text));
    }
    let names = [("rmem_max", receive), ("wmem_max", send)];
    let small = names.iter().filter(|(_, most)| *most < UDP_BUFFER);
    let settings: Vec<_> = small.map(|(name, _)| format!("net.core.{name}={UDP_BUFFER}")).collect();
    text = format!("{text}: send and receive may be slow (sysctl -w {})", settings.join(" "));
    Some(Check::new(Verdict::Warn, "UDP buffers", text))
}

/// Where the secret is that tickets come from.
fn identity() -> Check {
    let (name, path) = ("identity", identity::path(None));
    let place = path.display();
    if !path.exists() {
        return Check::ok(name, format!("{place} (made when needed)"));
    }
    match identity::load(&path) {
        Ok(_) => Check::ok(name, format!("{place}")),
        Err(e) => Check::new(Verdict::Fail, name, exit::line(&e)),
    }
}

fn open_files() -> Check {
    let name = "open files";
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < FILES => {
            let text = format!("{most} at most: with many jobs that is too few (ulimit -n 4096)");
            Check::new(Verdict::Warn, name, text)
        }
        Some(most) => Check::ok(name, format!("{most} at most")),
        None => Check::ok(name, "no limit"),
    }
}

/// Memory of the machine, and of the container that this runs in.
fn enough_memory(memory: u64) -> Option<Check> {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    });
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 60) // no limit, as v1 has it
    });
    let least = available.into_iter().chain(limit).min()?;
    let needed = memory.saturating_add(PROGRAM);
    let of = match limit {
        Some(limit) if limit <= least => " in this container",
        _ => " free",
    };
    let text = format!("{}{of}; --memory {} of data", human(least), human(memory));
    let verdict = if least < needed { Verdict::Warn } else { Verdict::Ok };
    Some(Check::new(verdict, "memory", text))
}

fn space(name: &'static str, folder: &Path) -> Check {
    match rustix::fs::statvfs(folder) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} free in {}", human(free), folder.display());
            Check::new(if free < SPACE { Verdict::Warn } else { Verdict::Ok }, name, text)
        }
        Err(e) => {
            let e = haul::Error::io(haul::Op::Open, folder.display(), e.into());
            Check::new(Verdict::Warn, name, format!("{}: {}", folder.display(), e.detail()))
        }
    }
}

fn state_folder(folder: &Path) -> Check {
    let name = "state";
    let place = folder.display();
    match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Check::ok(name, format!("{place}")),
        Err(rustix::io::Errno::NOENT) => Check::ok(name, format!("{place} (made when needed)")),
        Err(e) => {
            let e = haul::Error::io(haul::Op::Write, place, e.into());
            Check::new(Verdict::Warn, name, format!("{e}: --dedupe cannot keep its index"))
        }
    }
}
