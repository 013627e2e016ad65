//! Owns a slow and lossy line of datagrams between one client and one server, as a process of its own,
//! so that it can be started in a network namespace.
//!
//! It is here because not every kernel has netem. Must never: change a datagram or their order.

use anyhow::{Context, Result};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Datagrams on their way in one direction; what is beyond gets lost, as in a router.
const QUEUE: usize = 4096;
const LARGEST: usize = 1 << 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the client sends to
    #[arg(long)]
    listen: SocketAddr,
    /// Where the server is
    #[arg(long)]
    to: SocketAddr,
    /// How long a datagram is on its way
    #[arg(long)]
    delay: humantime::Duration,
    /// How many of a hundred datagrams get lost
    #[arg(long)]
    loss: f64,
}

/// Only returns when a socket breaks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let front = UdpSocket::bind(args.listen).context("no port to listen on")?;
    let back = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let (server, client) = (Arc::new(OnceLock::from(args.to)), Arc::new(OnceLock::new()));
    let up = Direction { from: front.try_clone()?, to: back.try_clone()?, goal: server };
    let down = Direction { from: back, to: front, goal: Arc::clone(&client) };
    let (delay, loss) = (args.delay.into(), args.loss / 100.0);
    let uplink = thread::spawn(move || up.carry(delay, loss, Some(&client)));
    down.carry(delay, loss, None)?;
    uplink.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
    Ok(())
}

type Waiting = (Instant, Vec<u8>);

struct Direction {
    from: UdpSocket,
    to: UdpSocket,
    /// Who gets the datagrams, once that is known.
    goal: Arc<OnceLock<SocketAddr>>,
}

impl Direction {
    /// `who` learns where the first datagram came from.
    fn carry(self, delay: Duration, loss: f64, who: Option<&OnceLock<SocketAddr>>) -> Result<()> {
        let Self { from, to, goal } = self;
        let (put, take) = sync_channel(QUEUE);
        thread::spawn(move || deliver(&take, &to, &goal));
        take_in(&from, &put, delay, loss, who).context("the line is broken")
    }
}

fn take_in(
    from: &UdpSocket,
    put: &SyncSender<Waiting>,
    delay: Duration,
    loss: f64,
    who: Option<&OnceLock<SocketAddr>>,
) -> io::Result<()> {
    let mut buffer = vec![0; LARGEST];
    let mut chance = fastrand::Rng::with_seed(1);
    loop {
        let (size, sender) = match from.recv_from(&mut buffer) {
            Ok(got) => got,
            // Word that nobody listened to an earlier one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        if let Some(who) = who {
            who.get_or_init(|| sender);
        }
        if chance.f64() >= loss {
            // Lost, when the queue is full.
            let _lost = put.try_send((Instant::now() + delay, buffer[..size].to_vec()));
        }
    }
}

fn deliver(take: &Receiver<Waiting>, to: &UdpSocket, goal: &OnceLock<SocketAddr>) {
    while let Ok((due, datagram)) = take.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if let Some(goal) = goal.get() {
            // Lost, when it cannot be sent.
            let _lost = to.send_to(&datagram, goal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use std::net::UdpSocket;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn datagrams_go_both_ways_and_take_their_time() {
        // The line may not listen yet to the first datagrams.
        let (client, server) = (socket(10_000), socket(50));
        let listen = socket(1).local_addr().unwrap();
        let args = Args {
            listen,
            to: server.local_addr().unwrap(),
            delay: Duration::from_millis(20).into(),
            loss: 0.0,
        };
        // It ends with the process.
        thread::spawn(move || run(&args));
        let mut buffer = [0; 10];
        let (size, line) = loop {
            client.send_to(b"there", listen).unwrap();
            if let Ok(got) = server.recv_from(&mut buffer) {
                break got;
            }
        };
        assert_eq!(&buffer[..size], b"there");
        let started = Instant::now();
        server.send_to(b"back", line).unwrap();
        let size = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..size], b"back");
        assert!(started.elapsed() >= Duration::from_millis(20));
    }

    fn socket(patience: u64) -> UdpSocket {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(patience))).unwrap();
        socket
    }
}
