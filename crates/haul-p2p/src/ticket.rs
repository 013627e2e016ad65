//! Tickets: what a receiver has to know.
//!
//! Owns their two kinds and how they are spelled. A ticket is a secret: whoever has it has what is
//! shared, so `Debug` never shows one. What is parsed here came from somewhere else.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use haul_core::{Error, ErrorKind, Hint, Op};
use iroh::{EndpointAddr, EndpointId, RelayUrl, TransportAddr};
use iroh_blobs::ticket::BlobTicket;
use iroh_tickets::{ParseError, Ticket as _};
use serde::{Deserialize, Serialize};

/// The longest ticket that is looked at, in bytes: one with 32 addresses has 1,200.
const LONGEST: usize = 8 << 10;

/// The most addresses that are kept of a ticket: each may be tried.
const ADDRESSES: usize = 32;

/// Bytes at the end that show whether a ticket was copied as a whole.
const CHECK: usize = 4;

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECK]);
    check
}

/// What names a share, at the sender that a ticket names. Whoever has it is let in.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a receiver has to know.
#[derive(Clone, PartialEq, Eq)]
pub enum Ticket {
    /// A share of haul's: names, times and modes travel, and the ticket is known before anything
    /// has been hashed.
    Share(ShareTicket),
    /// A content or a collection of contents, as `sendme` and others of the iroh ecosystem have it.
    Content(BlobTicket),
}

/// The ticket of a share.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareTicket {
    pub(crate) addr: EndpointAddr,
    pub(crate) secret: Secret,
    /// Whether the sender's addresses can be looked up, too.
    pub(crate) published: bool,
}

/// How a [`ShareTicket`] is written, with postcard. An enum, so that another kind can follow.
#[derive(Serialize, Deserialize)]
enum Wire {
    V0 {
        id: EndpointId,
        relays: Vec<RelayUrl>,
        addrs: Vec<SocketAddr>,
        secret: Secret,
        published: bool,
    },
}

impl iroh_tickets::Ticket for ShareTicket {
    const KIND: &'static str = "haul";

    fn encode_bytes(&self) -> Vec<u8> {
        let wire = Wire::V0 {
            id: self.addr.id,
            relays: self.addr.relay_urls().cloned().collect(),
            addrs: self.addr.ip_addrs().copied().collect(),
            secret: self.secret,
            published: self.published,
        };
        // Nothing in it can fail to be written: no maps, no lengths that are not known.
        let mut bytes = postcard::to_stdvec(&wire).unwrap_or_default();
        let check = check(&bytes);
        bytes.extend(check);
        bytes
    }

    fn decode_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let split = bytes.split_last_chunk::<CHECK>();
        let Some((bytes, _)) = split.filter(|(bytes, found)| **found == check(bytes)) else {
            return Err(postcard::Error::DeserializeBadCrc.into());
        };
        let Wire::V0 { id, relays, addrs, secret, published } = postcard::from_bytes(bytes)?;
        let relays = relays.into_iter().map(TransportAddr::Relay);
        let all = relays.chain(addrs.into_iter().map(TransportAddr::Ip)).take(ADDRESSES);
        Ok(Self { addr: EndpointAddr::from_parts(id, all), secret, published })
    }
}

impl Ticket {
    /// Whether a word may be meant as a ticket, right or wrong, in whatever letters.
    pub fn looks_like(word: &str) -> bool {
        let word = word.trim().to_ascii_lowercase();
        let body = word.strip_prefix("haul").or_else(|| word.strip_prefix("blob"));
        body.is_some_and(|body| {
            body.len() >= 40 && body.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
        })
    }

    /// Where the sender is.
    pub(crate) fn addr(&self) -> &EndpointAddr {
        match self {
            Self::Share(ticket) => &ticket.addr,
            Self::Content(ticket) => ticket.addr(),
        }
    }

    /// The beginning of the sender's key, as messages call it.
    pub fn sender(&self) -> String {
        self.addr().id.fmt_short().to_string()
    }
}

impl FromStr for Ticket {
    type Err = Error;

    /// QR codes have tickets in capital letters.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let refuse = |what: &str| {
            // The ticket itself stays out of the message: it is a secret, and long.
            Err(Error::new(ErrorKind::Invalid, Op::Parse, "the ticket", what)
                .with_hint(Hint::WholeTicket))
        };
        if text.len() > LONGEST {
            return refuse("it is too long");
        }
        let text = text.to_ascii_lowercase();
        let text = text.as_str();
        let parsed = if text.starts_with(BlobTicket::KIND) {
            BlobTicket::decode_string(text).map(|ticket| Self::Content(bounded(ticket)))
        } else if text.starts_with(ShareTicket::KIND) {
            ShareTicket::decode_string(text).map(Self::Share)
        } else {
            return refuse("it does not begin with haul or blob");
        };
        parsed.or_else(|_| refuse("part of it is missing or wrong"))
    }
}

/// The ticket with no more addresses than anybody has.
fn bounded(ticket: BlobTicket) -> BlobTicket {
    let (addr, hash, format) = ticket.into_parts();
    let addrs = addr.addrs.into_iter().take(ADDRESSES);
    BlobTicket::new(EndpointAddr::from_parts(addr.id, addrs), hash, format)
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(ticket) => f.write_str(&ticket.encode_string()),
            Self::Content(ticket) => f.write_str(&ticket.encode_string()),
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, ***)", self.sender())
    }
}

impl fmt::Debug for ShareTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareTicket({}, ***)", self.addr.id.fmt_short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iroh::SecretKey;
    use iroh_blobs::BlobFormat;
    use proptest::prelude::*;

    fn share() -> ShareTicket {
        let id = SecretKey::from_bytes(&[7; 32]).public();
        let addr = EndpointAddr::new(id)
            .with_ip_addr(([127, 0, 0, 1], 4433).into())
            .with_relay_url("http://127.0.0.1:3340".parse().unwrap());
        ShareTicket { addr, secret: Secret([9; 16]), published: true }
    }

    #[test]
    fn tickets_survive_being_written() {
        let ticket = Ticket::Share(share());
        let text = ticket.to_string();
        assert!(text.starts_with("haul") && Ticket::looks_like(&text), "{text}");
        assert_eq!(format!(" {text}\n").parse::<Ticket>().unwrap(), ticket);
        // D13: a QR code has it in capital letters, and it is as much of a secret.
        let capitals = format!(" {}\n", text.to_ascii_uppercase());
        assert!(Ticket::looks_like(&capitals), "{capitals}");
        assert_eq!(capitals.parse::<Ticket>().unwrap(), ticket);
        let blob = BlobTicket::new(share().addr, [3; 32].into(), BlobFormat::HashSeq);
        let ticket = Ticket::Content(blob);
        assert_eq!(ticket.to_string().parse::<Ticket>().unwrap(), ticket);
        assert!(!format!("{ticket:?}{:?}", share()).contains("0909"));
    }

    #[test]
    fn what_is_no_ticket_says_so_without_repeating_it() {
        let text = Ticket::Share(share()).to_string();
        let typo = text.replace(&text[70..72], "zz");
        for wrong in
            ["", "haul", "hello", &text[..60], &format!("{text}aa"), &typo, &"blob".repeat(9000)]
        {
            let e = wrong.parse::<Ticket>().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(wrong.len() < 9 || !e.to_string().contains(wrong), "{e}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_the_parser_panic(text in "(haul|blob)[a-z2-7]{0,300}", raw in any::<Vec<u8>>()) {
            let _either = text.parse::<Ticket>();
            let _either = ShareTicket::decode_bytes(&raw);
        }
    }
}
