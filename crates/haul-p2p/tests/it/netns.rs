//! Two machines, as far as the kernel is concerned: network namespaces with a cable between them
//! that is slow, loses packets, and is pulled.
//!
//! The two ends are this program again: a child runs one of the ignored tests below, told by its
//! environment what to do.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use haul_core::{EngineOptions, Throttle};
use haul_p2p::{Net, Relay, ShareKey, ShareOptions};

use crate::kit::{bytes, engine, engine_with, receiving, send, skipped, start, tree, write};

/// Tells a child what to do.
const TASK: &str = "HAUL_TEST_NETNS";

fn ip(args: &str) -> Result<(), String> {
    run("ip", args)
}

fn run(program: &str, args: &str) -> Result<(), String> {
    let output = Command::new(program).args(args.split(' ')).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    let said = || format!("{program} {args}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(said)
}

/// Two namespaces and a cable; gone when this is dropped.
struct Cable {
    names: [String; 2],
}

impl Cable {
    /// `None`, and why, where there are none.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = |end| format!("haul{}-{number}{end}", std::process::id());
        let cable = Self { names: [name("a"), name("b")] };
        match cable.lay() {
            Ok(()) => Some(cable),
            Err(e) => {
                skipped(&format!("no network namespaces here: {e}"));
                None
            }
        }
    }

    fn lay(&self) -> Result<(), String> {
        let [a, b] = &self.names;
        ip(&format!("netns add {a}"))?;
        ip(&format!("netns add {b}"))?;
        ip(&format!("-n {a} link add eth0 type veth peer name eth0 netns {b}"))?;
        for (name, last) in [(a, 1), (b, 2)] {
            ip(&format!("-n {name} addr add 10.213.77.{last}/24 dev eth0"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(())
    }

    /// Makes what `end` sends late and lossy.
    fn bend(&self, end: usize, how: &str) -> Result<(), String> {
        let name = &self.names[end];
        run("tc", &format!("-n {name} qdisc add dev eth0 root netem {how}"))
    }

    fn pull(&self) {
        ip(&format!("-n {} link set eth0 down", self.names[0])).unwrap();
    }

    fn plug(&self) {
        ip(&format!("-n {} link set eth0 up", self.names[0])).unwrap();
    }

    /// Runs a child at one end. Its standard input is its life.
    fn child(&self, end: usize, test: &str, task: &str) -> Running {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.names[end]])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made cannot be removed.
            let _perhaps_not_there = ip(&format!("netns del {name}"));
        }
    }
}

/// A child; killed when this is dropped.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// What follows `word` on the next line that has it.
    fn says(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended without {word:?}");
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Lets it end by itself.
    fn end(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _perhaps_over = self.child.kill();
        let _perhaps_over = self.child.wait();
    }
}

/// What this process is to do, if it is a child.
fn task() -> Option<Vec<String>> {
    let task = std::env::var(TASK).ok();
    if task.is_none() {
        println!("skipped: this is for children of other tests");
    }
    Some(task?.split(' ').map(str::to_owned).collect())
}

fn net(last: u8) -> Net {
    let mut net = Net::default();
    (net.relay, net.bind) = (Relay::None, Some(([10, 213, 77, last], 0).into()));
    net
}

/// Ends when the parent lets go.
async fn parent_is_gone() {
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a child of the other tests"]
async fn child_sends() {
    let Some(task) = task() else { return };
    let mut options = ShareOptions::new(ShareKey::of(&[1; 32], b"netns"));
    options.net = net(1);
    let sending = send(Path::new(&task[0]), options).await;
    println!("\nticket {}", sending.ticket);
    parent_is_gone().await;
    sending.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a child of the other tests"]
async fn child_receives() {
    let Some(task) = task() else { return };
    let (to, ticket, rate) = (PathBuf::from(&task[0]), task[1].parse().unwrap(), &task[2]);
    let mut options = receiving();
    options.net = net(2);
    let limit = |options: &mut EngineOptions| {
        options.throttle = rate.parse().ok().filter(|rate| *rate > 0).map(Throttle::new);
    };
    let receiving = start(&ticket, &to, options, engine_with(limit)).await;
    let meter = std::sync::Arc::clone(&receiving.meter);
    let telling = tokio::spawn(async move {
        let mut told = 0;
        loop {
            let landed = meter.snapshot().landed;
            if landed > told {
                println!("\nlanded {landed}");
                told = landed;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let got = receiving.end().await;
    telling.abort();
    println!("\nresult {:?} wire {}", got.counts(), got.meter.wire);
    drop(engine());
}

/// Sends a folder over `cable`; `meanwhile` hears how much has landed.
fn transfer(cable: &Cable, from: &Path, rate: u64, mut meanwhile: impl FnMut(u64) -> bool) {
    let to = tempfile::tempdir().unwrap();
    let mut sender = cable.child(0, "netns::child_sends", from.to_str().unwrap());
    let ticket = sender.says("ticket ");
    let task = format!("{} {ticket} {rate}", to.path().display());
    let mut receiver = cable.child(1, "netns::child_receives", &task);
    while meanwhile(receiver.says("landed ").parse().unwrap()) {}
    let result = receiver.says("result ");
    let files = tree(from).values().filter(|content| *content != b"folder").count();
    assert!(result.starts_with(&format!("({files}, 0, 0)")), "{result}");
    receiver.end();
    sender.end();
    assert!(tree(to.path()) == tree(from), "the contents differ");
}

/// U4.3: a line with a delay of 50 ms that loses one packet in a hundred.
#[test]
fn a_long_and_lossy_line_loses_nothing() {
    let Some(cable) = Cable::new() else { return };
    if let Err(e) = cable.bend(0, "delay 50ms loss 1%") {
        return skipped(&format!("no netem here: {e}"));
    }
    let from = tempfile::tempdir().unwrap();
    write(from.path(), "large", &bytes((1 << 20) + (1 << 19), 1));
    for i in 0..100 {
        write(from.path(), &format!("small/{i}"), &bytes(1000, i));
    }
    transfer(&cable, from.path(), 0, |_| false);
}

/// S4.33, U4.3: the cable is pulled in the middle, and plugged in again: both sides go on.
#[test]
fn a_line_that_breaks_goes_on() {
    let Some(cable) = Cable::new() else { return };
    let from = tempfile::tempdir().unwrap();
    write(from.path(), "large", &bytes(16 << 20, 1));
    write(from.path(), "small", &bytes(1000, 2));
    transfer(&cable, from.path(), 8 << 20, |landed| {
        if landed < 4 << 20 {
            return true;
        }
        cable.pull();
        // Long enough for packets to be lost and tried again, and no matter how long.
        std::thread::sleep(std::time::Duration::from_secs(2));
        cable.plug();
        false
    });
}
