//! An endpoint of this machine, and the way to others.
//!
//! Owns how connections are made: which addresses are listened on, which relays may be used, who
//! is told. Nothing is published unless it was asked for, and nothing here waits for a network that
//! is not there.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use haul_core::error::causes;
use haul_core::{Error, ErrorKind, Hint, Op, Result, Retry, Route};
use iroh::address_lookup::{DnsAddressLookup, PkarrPublisher};
use iroh::endpoint::{
    AckFrequencyConfig, BindOpts, Builder, Connection, IdleTimeout, QuicTransportConfig, VarInt,
    presets,
};
use iroh::{Endpoint, EndpointAddr, RelayConfig, RelayMode, RelayUrl, SecretKey, TransportAddr};
use iroh_mdns_address_lookup::MdnsAddressLookup;
use noq_proto::congestion::Bbr3Config;

use crate::fault;

/// How peers reach each other.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Net {
    /// The relays that may be used.
    pub relay: Relay,
    /// Whether peers on the local network are looked for, and told, by multicast DNS.
    pub lan: bool,
    /// Whether this endpoint's addresses are published on the internet (n0's DNS), so that a
    /// ticket stays good when they change.
    pub publish: bool,
    /// The only address to listen on; port 0 is any. All addresses otherwise.
    pub bind: Option<SocketAddr>,
    /// How fast is sent.
    pub congestion: Congestion,
}

/// How a sender finds out how fast it may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Congestion {
    /// CUBIC (RFC 9438), which nearly everybody uses: it takes every loss for a sign to slow down.
    #[default]
    Cubic,
    /// BBR, version 3: much faster where packets are lost for other reasons, as on bad radio. The
    /// transport calls it experimental.
    Bbr,
}

/// Servers that connect peers who cannot reach each other, and help them to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Relay {
    /// The public ones of n0, which are rate-limited.
    #[default]
    Public,
    /// None: direct connections only.
    None,
    /// The one at this URL.
    Own(String),
}

/// How long a share waits for a relay before its ticket is made without one. Where UDP does not get
/// out, iroh looks for 3 s before it turns to a relay, which then is the only way there is.
const RELAY_WAIT: Duration = Duration::from_secs(6);

/// How long a connection may take: hole punching and relays need a few round trips.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Bytes that may be on their way in one stream. The transport gives a connection up when a stream
/// has more than 1,024 gaps; packets have 1,200 bytes at least, so with this window there cannot be
/// as many, whatever is lost. Several streams at once make up for it.
const STREAM_WINDOW: u32 = 2 << 20;

/// Bytes that may be on their way in one connection: what a slow disk lets pile up in memory.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Bytes that are kept until a receiver has acknowledged them, at most and at least: a quarter of
/// what may be in memory.
const SEND_WINDOW: u64 = 8 << 20;
const SMALL_WINDOW: u64 = 1 << 20;

/// Silence of a sender after which it is taken to be gone: a new one may be there by then. Both sides
/// say something every third of it, whatever else there is to say.
const SILENT: Duration = Duration::from_secs(12);

/// Requests of one connection at once.
pub(crate) const STREAMS: u32 = 64;

/// Bytes of requests that may be on their way to one who only answers.
const REQUESTS_WINDOW: u32 = 2 << 20;

/// `answers`: whether this side gets requests and sends contents, and not the other way round.
fn transport(answers: bool, congestion: Congestion, memory: u64) -> QuicTransportConfig {
    let (stream, connection) = if answers {
        (REQUESTS_WINDOW / 2, REQUESTS_WINDOW)
    } else {
        (STREAM_WINDOW, CONNECTION_WINDOW)
    };
    // A quarter of the acknowledgements that QUIC asks for without being told: each costs both sides.
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10));
    let mut config = QuicTransportConfig::builder();
    if !answers {
        let silent = IdleTimeout::from(VarInt::from_u32(SILENT.as_millis() as u32));
        config = config.max_idle_timeout(Some(silent)).keep_alive_interval(SILENT / 3);
    }
    if congestion == Congestion::Bbr {
        config = config.congestion_controller_factory(Arc::new(Bbr3Config::default()));
    }
    config
        .ack_frequency_config(Some(acks))
        .max_concurrent_bidi_streams(VarInt::from_u32(if answers { STREAMS } else { 0 }))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(stream))
        .receive_window(VarInt::from_u32(connection))
        .send_window((memory / 4).clamp(SMALL_WINDOW, SEND_WINDOW))
        .build()
}

fn broken(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Io, Op::Open, "the network", what)
}

/// Who an endpoint is, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Role<'a> {
    pub(crate) key: SecretKey,
    /// What connections are taken for; none by those who only ask.
    pub(crate) protocols: &'a [&'a [u8]],
    /// How much may be in memory, over all.
    pub(crate) memory: u64,
}

/// An endpoint, on `port` if nobody else has it.
pub(crate) async fn bind(net: &Net, role: Role<'_>, port: Option<u16>) -> Result<Endpoint> {
    if let Some(port) = port.filter(|_| net.bind.is_none_or(|addr| addr.port() == 0)) {
        if let Ok(endpoint) = bind_at(net, role.clone(), port).await {
            return Ok(endpoint);
        }
        tracing::debug!("port {port} is taken");
    }
    bind_at(net, role, net.bind.map_or(0, |addr| addr.port())).await
}

async fn bind_at(net: &Net, role: Role<'_>, port: u16) -> Result<Endpoint> {
    let Role { key, protocols, memory } = role;
    let answers = !protocols.is_empty();
    let protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key)
        .alpns(protocols)
        .relay_mode(relay_mode(&net.relay)?)
        .transport_config(transport(answers, net.congestion, memory));
    if net.publish {
        builder = builder.address_lookup(PkarrPublisher::n0_dns());
    }
    let endpoint = listen(builder, net.bind, port)?.bind().await.map_err(|e| {
        let e = broken(format!("cannot listen: {e}"));
        if net.bind.is_some() { e.with_hint(Hint::BindHere) } else { e }
    })?;
    if net.lan {
        look_around(&endpoint);
    }
    Ok(endpoint)
}

fn listen(builder: Builder, only: Option<SocketAddr>, port: u16) -> Result<Builder> {
    let builder = builder.clear_ip_transports();
    match only {
        Some(addr) => builder.bind_addr(SocketAddr::new(addr.ip(), port)),
        None => builder.bind_addr((Ipv4Addr::UNSPECIFIED, port)).and_then(|builder| {
            // Not every machine has IPv6.
            let optional = BindOpts::default().set_is_required(false);
            builder.bind_addr_with_opts((Ipv6Addr::UNSPECIFIED, port), optional)
        }),
    }
    .map_err(broken)
}

fn relay_mode(relay: &Relay) -> Result<RelayMode> {
    Ok(match relay {
        Relay::Public => RelayMode::Default,
        Relay::None => RelayMode::Disabled,
        Relay::Own(url) => {
            let url: RelayUrl = url.parse().map_err(|_| {
                Error::new(ErrorKind::Invalid, Op::Parse, url, "it is no address of a relay")
                    .with_hint(Hint::WriteRelay)
            })?;
            let mut relay = RelayConfig::from(url);
            // Without TLS it has no QUIC either, to ask it for our address; iroh would wait 3 s for an
            // answer before it connects.
            if relay.url.scheme() == "http" {
                relay.quic = None;
            }
            RelayMode::Custom(relay.into())
        }
    })
}

/// Multicast DNS, where the network has it: a network that has not is no reason to fail.
fn look_around(endpoint: &Endpoint) {
    let mdns = MdnsAddressLookup::builder().service_name("haul").build(endpoint.id());
    match (mdns, endpoint.address_lookup()) {
        (Ok(mdns), Ok(lookups)) => lookups.add(mdns),
        (Err(e), _) => tracing::warn!("peers on this network cannot be looked for: {e}"),
        (_, Err(e)) => tracing::warn!("peers on this network cannot be looked for: {e}"),
    }
}

/// Lets an endpoint look up peers that publish their addresses.
pub(crate) fn look_up_published(endpoint: &Endpoint) {
    let (Ok(lookups), Ok(resolver)) = (endpoint.address_lookup(), endpoint.dns_resolver()) else {
        return;
    };
    lookups.add(DnsAddressLookup::n0_dns().dns_resolver(resolver.clone()).build());
}

/// Where others find `endpoint`: through its relay, if one answers soon, and at its addresses.
/// `false` if there should be a relay and none has answered.
pub(crate) async fn address(endpoint: &Endpoint, net: &Net) -> (EndpointAddr, bool) {
    let relayed = net.relay == Relay::None
        || tokio::time::timeout(RELAY_WAIT, endpoint.online()).await.is_ok();
    let mut addr = endpoint.addr();
    if net.bind.is_some_and(|addr| !addr.ip().is_unspecified()) {
        // The address that was asked for, be it that of the loopback, and no other.
        addr.addrs.retain(TransportAddr::is_relay);
        addr.addrs.extend(endpoint.bound_sockets().into_iter().map(TransportAddr::Ip));
    }
    (addr, relayed)
}

/// Connects to a peer. One attempt: the engine retries.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    addr: &EndpointAddr,
    protocol: &[u8],
) -> Result<Connection> {
    let name = name_of(&addr.id);
    let none = |what: String| {
        Error::new(ErrorKind::Connect, Op::Connect, &name, what)
            .with_retry(Retry::Backoff)
            .with_hint(Hint::ReachSender)
    };
    let connecting = endpoint.connect(addr.clone(), protocol);
    match tokio::time::timeout(CONNECT_WAIT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(e)) => Err(refusal(&name, &e).unwrap_or_else(|| none(e.to_string()))),
        Err(_) => Err(none(format!("no answer for {} s", CONNECT_WAIT.as_secs()))),
    }
}

/// A peer that answers and will not talk.
fn refusal(name: &str, e: &(dyn std::error::Error + 'static)) -> Option<Error> {
    use iroh::endpoint::ConnectionError;
    match causes(e).find_map(|cause| cause.downcast_ref::<ConnectionError>())? {
        e @ ConnectionError::ApplicationClosed(_) => Some(fault::lost(name, e)),
        // TLS alert 120: it speaks none of the protocols that were offered.
        ConnectionError::ConnectionClosed(close) if close.error_code == no_common_protocol() => {
            let what = "it shares in another way";
            Some(Error::new(ErrorKind::Protocol, Op::Connect, name, what))
        }
        _ => None,
    }
}

fn no_common_protocol() -> iroh::endpoint::TransportErrorCode {
    iroh::endpoint::TransportErrorCode::crypto(120)
}

/// How messages call a peer.
pub(crate) fn name_of(id: &iroh::EndpointId) -> String {
    format!("peer {}", id.fmt_short())
}

/// The way that a connection takes now.
pub(crate) fn route(connection: &Connection) -> Route {
    let paths = connection.paths();
    let selected = paths.into_iter().find(iroh::endpoint::Path::is_selected);
    match selected.map(|path| path.remote_addr().clone()) {
        Some(TransportAddr::Ip(addr)) => Route::Direct(addr.to_string()),
        Some(TransportAddr::Relay(url)) => Route::Relay(url.to_string()),
        _ => Route::Unknown,
    }
}
