//! What peers of haul say to each other.
//!
//! Owns the messages of protocol `haul/1` and their framing. The first stream of a connection is for
//! messages: a length of 4 bytes (little-endian) and that many bytes of postcard. All other streams
//! are requests for contents in the protocol of `iroh-blobs`, word for word. What is read here came
//! from somewhere else: every length has a bound that is checked before anything is allocated.

use std::time::Duration;

use haul_core::{Error, ErrorKind, Op, Result};
use iroh::endpoint::{ReadExactError, RecvStream, SendStream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault;
use crate::ticket::Secret;

/// The name of the protocol. Another number is another protocol.
pub(crate) const ALPN: &[u8] = b"haul/1";

/// The most bytes of a message.
const MOST: usize = 64 << 10;

/// Bytes of entries to gather in a message.
pub(crate) const PAGE: usize = 16 << 10;

/// The longest path, in bytes: what Linux takes.
pub(crate) const LONGEST_PATH: usize = 4096;

/// The longest text that tells what went wrong, in bytes.
pub(crate) const LONGEST_REASON: usize = 512;

/// The first byte of a request for the outline of a content, where `iroh-blobs` has the number of a
/// request's kind. The hash follows, and the outline is the answer.
pub(crate) const OUTLINE: u8 = 0x80;

/// What a receiver says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FromReceiver {
    /// First: which share it wants. `list` is false when it has the manifest already.
    Hello { secret: Secret, list: bool },
    /// From time to time: bytes verified and written so far, of those that it wants.
    Landed { bytes: u64, total: u64 },
    /// Last: what became of the files.
    Bye { files: u64, failed: u64 },
}

/// What follows a hello in its message. Senders that know nothing of it leave it alone: they read a
/// message as far as they understand it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wishes {
    /// Milliseconds after which the receiver wants to hear that the sender is still at it; 0 for
    /// never.
    pub(crate) alive: u32,
    /// Whether it knows that something is [not yet](fault::NOT_YET) hashed, and that a share is
    /// [over](fault::Close::Over).
    pub(crate) recent: bool,
}

/// What follows the bytes that landed in their message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Whether the receiver knows all that there is, so that the total is one.
    pub(crate) complete: bool,
}

/// What a sender says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FromSender {
    /// Some entries, in any order.
    Entries(Vec<Entry>),
    /// There are no more; so many were there.
    End { entries: u64 },
    /// There is nothing to say yet, as what is shared is still being hashed. Only for those who
    /// [wish](Wishes::alive) for it, at once and from time to time.
    Alive,
}

/// One thing that is shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its path, raw, with `/` between segments.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A file: its content's size and BLAKE3 hash.
    File { size: u64, hash: [u8; 32], mode: Option<u32>, modified: Option<Moment> },
    /// A folder with nothing in it.
    Folder,
    /// A symbolic link and where it leads.
    Symlink { target: Vec<u8> },
    /// Something that the sender wanted to share, and why it cannot.
    Failed { reason: String },
}

/// A time: whole seconds since 1970, rounded down, and the nanoseconds after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Moment {
    pub(crate) fn of(time: std::time::SystemTime) -> Option<Self> {
        let since = |e: Duration| i64::try_from(e.as_secs()).ok();
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Some(Self { seconds: since(after)?, nanoseconds: after.subsec_nanos() }),
            Err(before) => {
                let before = before.duration();
                let nanoseconds = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
                let whole = since(before)?.checked_add(i64::from(nanoseconds > 0))?;
                Some(Self { seconds: -whole, nanoseconds })
            }
        }
    }

    /// `None` for what the system has no time for.
    pub(crate) fn time(self) -> Option<std::time::SystemTime> {
        let whole = Duration::from_secs(self.seconds.unsigned_abs());
        let epoch = std::time::UNIX_EPOCH;
        let whole =
            if self.seconds < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
        (self.nanoseconds < 1_000_000_000)
            .then(|| whole?.checked_add(Duration::from_nanos(self.nanoseconds.into())))
            .flatten()
    }
}

/// Writes a message.
pub(crate) async fn send(to: &mut SendStream, message: &impl Serialize, peer: &str) -> Result<()> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(message, frame).map_err(|e| {
        Error::new(ErrorKind::Invalid, Op::Share, peer, "a message cannot be written")
            .with_source(e)
    })?;
    let len = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    to.write_all(&frame).await.map_err(|e| fault::of_write(peer, &e))
}

/// Reads a message; `None` at the end.
pub(crate) async fn receive<T: DeserializeOwned>(
    from: &mut RecvStream,
    peer: &str,
) -> Result<Option<T>> {
    Ok(receive_more::<T, ()>(from, peer).await?.map(|(message, ())| message))
}

/// Reads a message and what follows it, which is the default where there is nothing, or something
/// else.
pub(crate) async fn receive_more<T: DeserializeOwned, M: DeserializeOwned + Default>(
    from: &mut RecvStream,
    peer: &str,
) -> Result<Option<(T, M)>> {
    let Some(frame) = frame(from, peer).await? else { return Ok(None) };
    let read = postcard::take_from_bytes(&frame);
    let read =
        read.map(|(message, rest)| (message, postcard::from_bytes(rest).unwrap_or_default()));
    read.map(Some).map_err(|e| nonsense(peer, "a message makes no sense").with_source(e))
}

fn nonsense(peer: &str, what: &str) -> Error {
    Error::new(ErrorKind::Protocol, Op::Receive, peer, what)
}

/// The bytes of a message; `None` at the end.
async fn frame(from: &mut RecvStream, peer: &str) -> Result<Option<Vec<u8>>> {
    let nonsense = |what: &str| nonsense(peer, what);
    let mut len = [0; 4];
    match from.read_exact(&mut len).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => return Err(nonsense("a message is cut short")),
        Err(ReadExactError::ReadError(e)) => return Err(fault::of_read(peer, &e)),
    }
    let len = u32::from_le_bytes(len) as usize;
    if len > MOST {
        return Err(nonsense("a message is too long"));
    }
    let mut frame = vec![0; len];
    match from.read_exact(&mut frame).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(_)) => return Err(nonsense("a message is cut short")),
        Err(ReadExactError::ReadError(e)) => return Err(fault::of_read(peer, &e)),
    }
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn times_survive_on_both_sides_of_1970() {
        let nano = Duration::from_nanos(1);
        let times = [
            UNIX_EPOCH,
            UNIX_EPOCH - nano,
            UNIX_EPOCH - Duration::new(5, 999_999_999),
            UNIX_EPOCH + Duration::new(1_800_000_000, 1),
            SystemTime::now(),
        ];
        for time in times {
            assert_eq!(Moment::of(time).unwrap().time(), Some(time));
        }
        // Times that a peer makes up are times or none.
        for seconds in [i64::MIN, i64::MAX] {
            let _either = Moment { seconds, nanoseconds: 999_999_999 }.time();
        }
        assert_eq!(Moment { seconds: 0, nanoseconds: u32::MAX }.time(), None);
    }

    /// D15: a sender of the first haul/1 reads a hello with wishes as one without.
    #[test]
    fn wishes_are_none_of_an_old_senders_business() {
        let hello = FromReceiver::Hello { secret: Secret([3; 16]), list: true };
        let wishes = Wishes { alive: 20_000, recent: true };
        let frame = postcard::to_stdvec(&(&hello, wishes)).unwrap();
        let old: FromReceiver = postcard::from_bytes(&frame).unwrap();
        assert!(matches!(old, FromReceiver::Hello { list: true, secret } if secret.0 == [3; 16]));
        let (_, rest) = postcard::take_from_bytes::<FromReceiver>(&frame).unwrap();
        assert_eq!(postcard::from_bytes::<Wishes>(rest), Ok(wishes));
        // And an old receiver has none.
        assert_eq!(postcard::from_bytes::<Wishes>(b"").unwrap_or_default(), Wishes::default());
    }

    proptest! {
        #[test]
        fn no_message_makes_the_parser_panic(raw in any::<Vec<u8>>()) {
            let _either = postcard::from_bytes::<FromSender>(&raw);
            let _either = postcard::from_bytes::<FromReceiver>(&raw);
        }
    }
}
