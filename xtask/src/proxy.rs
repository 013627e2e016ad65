//! Owns a proxy on loopback in front of one server: it notes every request, and can hold some back.
//!
//! Must never: change a byte of what passes, or know more of S3 than methods and headers.

use crate::servers::Endpoint;
use anyhow::{Context, Result};
use std::io::{self, BufRead, BufReader, Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What of a request is of interest here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The server was asked to copy what it has.
    pub(crate) copies: bool,
    /// Bytes of the body.
    pub(crate) body: u64,
}

/// A proxy that ends with this value.
#[derive(Debug)]
pub(crate) struct Proxy {
    endpoint: Endpoint,
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    delay: Duration,
    seen: Mutex<Vec<Seen>>,
    held: AtomicUsize,
    most_held: AtomicUsize,
    ended: AtomicBool,
}

impl Proxy {
    /// In front of `endpoint`; every PUT waits for `delay` before it goes on.
    pub(crate) fn start(endpoint: &Endpoint, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: endpoint.authority().to_owned(),
            delay,
            seen: Mutex::default(),
            held: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepted = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, &accepted));
        let endpoint = Endpoint { url: format!("http://{address}"), ..endpoint.clone() };
        Ok(Self { endpoint, address, shared, acceptor: Some(acceptor) })
    }

    /// The same server, through the proxy.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The requests since the last call.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The most requests that were held back at once, since the last call.
    pub(crate) fn take_most_held(&self) -> usize {
        self.shared.most_held.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the acceptor. Threads of connections end with their clients, which have ended.
        let _refused = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // A connection that breaks is the business of its two ends.
        thread::spawn(move || drop(relay(client, &shared)));
    }
}

/// Passes one connection on: answers as they come, requests one by one.
fn relay(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut server = TcpStream::connect(&shared.upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    let answering = thread::spawn(move || {
        let _broken = copy(&mut answers, &mut back);
        let _gone = back.shutdown(Shutdown::Both);
    });
    let mut requests = BufReader::new(client);
    let passed = loop {
        match pass_request(&mut requests, &mut server, shared) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let _gone = server.shutdown(Shutdown::Both);
    let _ended = answering.join();
    passed
}

/// Passes on one request; false at the end of the connection.
fn pass_request(
    client: &mut BufReader<TcpStream>,
    server: &mut TcpStream,
    shared: &Shared,
) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_until(b'\n', &mut head)? == 0 {
            return Ok(false);
        }
    }
    let seen = understand(&String::from_utf8_lossy(&head))?;
    let (length, waits) = (seen.body, seen.method == "PUT" && !shared.delay.is_zero());
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    if waits {
        let now = shared.held.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_held.fetch_max(now, Ordering::Relaxed);
        thread::sleep(shared.delay);
        shared.held.fetch_sub(1, Ordering::Relaxed);
    }
    server.write_all(&head)?;
    let passed = copy(&mut client.take(length), server)?;
    Ok(passed == length)
}

/// Reads the head of a request.
fn understand(head: &str) -> io::Result<Seen> {
    let mut lines = head.lines();
    let method = lines.next().and_then(|line| line.split(' ').next()).unwrap_or_default();
    let mut seen = Seen { method: method.to_owned(), copies: false, body: 0 };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => seen.body = value.trim().parse().map_err(io::Error::other)?,
            "x-amz-copy-source" => seen.copies = true,
            // haul always knows the length of what it sends.
            "transfer-encoding" => return Err(io::ErrorKind::Unsupported.into()),
            _ => {}
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::{Proxy, Seen, understand};
    use crate::servers::Endpoint;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn reads_what_matters_of_a_head() {
        let head =
            "PUT /b/k HTTP/1.1\r\nHost: x\r\nX-Amz-Copy-Source: /b/a\r\nContent-Length: 0\r\n";
        let seen = understand(head).unwrap();
        assert_eq!(seen, Seen { method: "PUT".to_owned(), copies: true, body: 0 });
        understand("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n").unwrap_err();
    }

    #[test]
    fn passes_bytes_and_holds_puts() {
        let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = upstream.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = upstream.accept().unwrap();
            let mut got = vec![0; 43];
            stream.read_exact(&mut got).unwrap();
            stream.write_all(b"answer").unwrap();
            got
        });
        let endpoint = Endpoint::local(port, String::new(), String::new());
        let proxy = Proxy::start(&endpoint, Duration::from_millis(200)).unwrap();
        let mut client = TcpStream::connect(proxy.endpoint().authority()).unwrap();
        let (request, started) =
            (b"PUT /k HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", Instant::now());
        client.write_all(request).unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        assert_eq!(server.join().unwrap(), request);
        // No earlier: a proxy may be late, never early.
        assert!(started.elapsed() >= Duration::from_millis(200));
        assert_eq!((proxy.take_most_held(), proxy.take_seen().len()), (1, 1));
    }
}
