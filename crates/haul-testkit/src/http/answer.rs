//! The answers of the file server.
//!
//! Owns: GET with ranges and conditions (RFC 9110), PUT, and what an act does to them. Must never
//! wait for anything but a stall that was planned.

use bytes::Bytes;
use futures::StreamExt as _;
use haul_core::ByteRange;
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
    HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::response::Builder;
use http::{HeaderMap, Method, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};

use super::rules::{Act, HttpRules, Modified, Tag};
use super::{File, State};
use crate::wire::{BoxError, WireBody, wire_body};

/// Bytes in a frame.
const STEP: usize = 16 << 10;

/// The clock of every answer: it stands still.
const NOW: &str = "Wed, 21 Oct 2015 09:00:00 GMT";

type Answer = Result<Response<WireBody>, BoxError>;

/// PUT: stores the body.
pub(super) fn put(state: &mut State, head: &Parts, sent: Bytes, act: Option<Act>) -> Answer {
    if let Some(refused) = refused(&state.rules, head, act.as_ref()) {
        return refused;
    }
    let path = head.uri.path();
    if text(&head.headers, &IF_NONE_MATCH) == Some("*") && state.files.contains_key(path) {
        return short(412, &[]);
    }
    let content_type = text(&head.headers, &CONTENT_TYPE).map(str::to_owned);
    let version = state.store(path, sent, content_type);
    if matches!(act, Some(Act::LostAnswer)) {
        return Err("the answer is lost, as planned".into());
    }
    short(state.rules.stored, &[("etag", format!("\"v{version}\""))])
}

/// GET, and HEAD as it is: nothing that tests should send.
pub(super) fn get(state: &mut State, head: &Parts, act: Option<Act>) -> Answer {
    if let Some(refused) = refused(&state.rules, head, act.as_ref()) {
        return refused;
    }
    let path = head.uri.path();
    match &act {
        Some(Act::Replace(content)) => {
            state.store(path, content.clone(), None);
        }
        Some(Act::LostAnswer) => return Err("the answer is lost, as planned".into()),
        _ => {}
    }
    if head.method != Method::GET {
        return short(405, &[]);
    }
    let Some(file) = state.files.get(path) else { return short(404, &[]) };
    Content { rules: &state.rules, file, act: act.as_ref() }.answer(&head.headers)
}

fn refused(rules: &HttpRules, head: &Parts, act: Option<&Act>) -> Option<Answer> {
    match act {
        Some(Act::Status(status, headers)) => return Some(short(*status, headers)),
        Some(Act::Redirect(status, to)) => {
            return Some(short(*status, &[("location", to.clone())]));
        }
        _ => {}
    }
    let wanted = rules.authorization.as_deref()?;
    (text(&head.headers, &AUTHORIZATION) != Some(wanted)).then(|| short(401, &[]))
}

/// A file on its way out.
struct Content<'a> {
    rules: &'a HttpRules,
    file: &'a File,
    act: Option<&'a Act>,
}

impl Content<'_> {
    fn answer(&self, asked: &HeaderMap) -> Answer {
        let (tag, modified) = (self.tag(), self.modified());
        let matches = |name| text(asked, name).is_none_or(|want| Some(want) == tag.as_deref());
        if self.rules.conditions
            && (!matches(&IF_MATCH) || text(asked, &IF_MATCH).is_some_and(weak))
        {
            return short(412, &[]);
        }
        let size = self.file.content.len() as u64;
        // A weak tag never matches here (RFC 9110, 13.1.5).
        let unchanged = text(asked, &IF_RANGE).is_none_or(|want| {
            !weak(want) && (Some(want) == tag.as_deref() || Some(want) == modified.as_deref())
        });
        let ranges = self.rules.ranges && !matches!(self.act, Some(Act::Whole));
        let range = text(asked, &RANGE)
            .filter(|_| ranges && (unchanged || !self.rules.conditions))
            .and_then(|range| parse(range, size));
        let head = self.head(self.claimed(tag), modified);
        match range {
            None => self.send(head.status(200), &self.file.content),
            Some(range) if range.is_empty() => {
                short(416, &[("content-range", format!("bytes */{size}"))])
            }
            Some(range) => {
                let less = if let Some(Act::Shorter(by)) = self.act { *by } else { 0 };
                let range = ByteRange::new(range.start, range.end - less);
                let claim = match self.act {
                    Some(Act::ClaimRange(claim)) => (*claim).to_owned(),
                    _ => format!("bytes {}-{}/{size}", range.start, range.end - 1),
                };
                let (from, to) = (index(range.start), index(range.end));
                let head = head.status(206).header(CONTENT_RANGE, claim);
                self.send(head, &self.file.content.slice(from..to))
            }
        }
    }

    fn tag(&self) -> Option<String> {
        let version = self.file.version;
        match self.rules.tag {
            Tag::None => None,
            Tag::Strong => Some(format!("\"v{version}\"")),
            Tag::Weak => Some(format!("W/\"v{version}\"")),
        }
    }

    /// The tag that the answer shows: conditions are held against the true one.
    fn claimed(&self, tag: Option<String>) -> Option<String> {
        match self.act {
            Some(Act::ClaimTag(claim)) => Some((*claim).to_owned()).filter(|tag| !tag.is_empty()),
            _ => tag,
        }
    }

    fn modified(&self) -> Option<String> {
        match self.rules.modified {
            Modified::LongAgo => {
                Some(format!("Wed, 21 Oct 2015 07:28:{:02} GMT", self.file.version % 60))
            }
            Modified::JustNow => Some(NOW.to_owned()),
            Modified::None => None,
        }
    }

    fn head(&self, tag: Option<String>, modified: Option<String>) -> Builder {
        let mut head = Response::builder().header(DATE, NOW);
        if self.rules.ranges {
            head = head.header(ACCEPT_RANGES, "bytes");
        }
        for (name, value) in [(ETAG, tag), (LAST_MODIFIED, modified)] {
            if let Some(value) = value {
                head = head.header(name, value);
            }
        }
        self.rules.headers.iter().fold(head, |head, (name, value)| head.header(*name, value))
    }

    fn send(&self, head: Builder, content: &Bytes) -> Answer {
        let head =
            if self.rules.length { head.header(CONTENT_LENGTH, content.len()) } else { head };
        let (ends, breaks) = match self.act {
            Some(Act::Break(after)) => (Some(*after), true),
            Some(Act::Stall(after)) => (Some(*after), false),
            _ => (None, false),
        };
        let whole = content.slice(..content.len().min(ends.unwrap_or(usize::MAX)));
        let frames: Vec<_> = (0..whole.len())
            .step_by(STEP)
            .map(|at| Ok(Frame::data(whole.slice(at..whole.len().min(at + STEP)))))
            .collect();
        let frames = futures::stream::iter(frames);
        if ends.is_none() {
            return Ok(head.body(wire_body(StreamBody::new(frames)))?);
        }
        let end = async move {
            if !breaks {
                std::future::pending::<()>().await;
            }
            // What was sent before leaves first: the connection is flushed when the body waits.
            tokio::task::yield_now().await;
            Err(BoxError::from("it breaks, as planned"))
        };
        let body = wire_body(StreamBody::new(frames.chain(futures::stream::once(end))));
        Ok(head.body(body)?)
    }
}

/// A short answer with a body that nobody needs.
fn short(status: u16, headers: &[(&'static str, String)]) -> Answer {
    let body = if status == 204 { Bytes::new() } else { Bytes::from_static(b"a short page\n") };
    let head = Response::builder().status(status).header(DATE, NOW);
    let head = headers
        .iter()
        .fold(head, |head, (name, value)| head.header(HeaderName::from_static(name), value));
    Ok(head.body(wire_body(Full::new(body)))?)
}

/// `bytes=first-[last]`, cut to the size; empty when it begins beyond it. `None`: not understood.
fn parse(range: &str, size: u64) -> Option<ByteRange> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() { size } else { last.parse::<u64>().ok()?.saturating_add(1) };
    Some(ByteRange::new(first.min(size), end.min(size)))
}

fn weak(tag: &str) -> bool {
    tag.starts_with("W/")
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
