//! Faults on the wire: what a network, a proxy or a tired server does to a request.
//!
//! Owns: the rules ([`Rule`], [`Fault`], [`Faults`]) and the layer that applies them
//! ([`FaultLayer`]). Must never depend on the wall clock or on chance: a rule names the call it
//! hits, and a stall lasts until it is released.

mod layer;
mod shape;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::request::Parts;
use tokio::sync::watch;

pub use layer::FaultLayer;

use crate::wire::{Op, Target};

/// Code that runs before a request is executed.
pub type Hook = Arc<dyn Fn(&Parts) + Send + Sync>;

/// What goes wrong.
#[derive(Clone)]
pub enum Fault {
    /// An error answer; the request is not executed. Made by [`Fault::status`].
    Status {
        /// The HTTP status.
        status: u16,
        /// The S3 error code in the body.
        code: String,
        /// The `Retry-After` header, in seconds.
        retry_after: Option<u64>,
    },
    /// The connection closes without an answer; the request is not executed.
    Reset,
    /// The connection closes after this many bytes of the answer's body.
    ResetAfter(u64),
    /// The answer is this many bytes shorter than asked for, and `Content-Length` and
    /// `Content-Range` say so: a server that chose to send less.
    ShortBody(u64),
    /// The same, but `Content-Range` still claims all of it.
    ShortBodyHidden(u64),
    /// `Content-Length` claims all of it, and the connection closes this many bytes early.
    EarlyEnd(u64),
    /// Nothing happens until the rule is released or the client goes away; then all goes on.
    Stall,
    /// The same, after this many bytes of the answer's body.
    StallAfter(u64),
    /// A ranged GET is served another range, this many bytes further on, and says so.
    WrongRange(i64),
    /// A ranged GET is served the whole object with status 200.
    IgnoreRange,
    /// Status 200 with an `<Error>` of this code in the body; the request is not executed.
    OkWithError(String),
    /// The request is executed, then the connection closes without an answer.
    LoseAnswer,
    /// One bit of the answer's body, in the byte at this offset, is wrong.
    FlipBit(u64),
    /// One bit of the request's body, in the byte at this offset, is wrong.
    FlipRequestBit(u64),
    /// A header is missing from the answer.
    DropHeader(String),
    /// A header of the answer has this value.
    SetHeader(String, String),
    /// A redirect, as S3 sends it for a bucket of another region; the request is not executed.
    Redirect {
        /// 301, 302 or 307.
        status: u16,
        /// The `Location` header, if any: S3 leaves it out of a 301.
        location: Option<String>,
        /// The `x-amz-bucket-region` header, if any.
        region: Option<String>,
    },
    /// The answer is replaced by this one, with status 200 (a captive portal).
    Page {
        /// Its `Content-Type`.
        content_type: String,
        /// Its body.
        body: String,
    },
    /// The request waits this long before it is executed.
    Delay(Duration),
    /// Something else happens first: say, the object is replaced.
    Hook(Hook),
}

impl Fault {
    /// An error answer with the S3 code that usually comes with `status`.
    pub fn status(status: u16) -> Self {
        let code = match status {
            400 => "InvalidRequest",
            401 => "Unauthorized",
            403 => "AccessDenied",
            404 => "NoSuchKey",
            409 => "ConditionalRequestConflict",
            412 => "PreconditionFailed",
            429 => "TooManyRequests",
            501 => "NotImplemented",
            502 => "BadGateway",
            503 => "SlowDown",
            504 => "GatewayTimeout",
            _ => "InternalError",
        };
        Self::Status { status, code: code.to_owned(), retry_after: None }
    }

    /// The same with another S3 code.
    #[must_use]
    pub fn code(mut self, new: impl Into<String>) -> Self {
        if let Self::Status { code, .. } = &mut self {
            *code = new.into();
        }
        self
    }

    /// The same with a `Retry-After` of so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        if let Self::Status { retry_after, .. } = &mut self {
            *retry_after = Some(seconds);
        }
        self
    }

    /// Runs `hook` before the request is executed.
    pub fn hook(hook: impl Fn(&Parts) + Send + Sync + 'static) -> Self {
        Self::Hook(Arc::new(hook))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, code, retry_after } => {
                write!(f, "Status({status} {code}, retry after {retry_after:?})")
            }
            Self::Reset => f.write_str("Reset"),
            Self::ResetAfter(n) => write!(f, "ResetAfter({n})"),
            Self::ShortBody(n) => write!(f, "ShortBody({n})"),
            Self::ShortBodyHidden(n) => write!(f, "ShortBodyHidden({n})"),
            Self::EarlyEnd(n) => write!(f, "EarlyEnd({n})"),
            Self::Stall => f.write_str("Stall"),
            Self::StallAfter(n) => write!(f, "StallAfter({n})"),
            Self::WrongRange(n) => write!(f, "WrongRange({n})"),
            Self::IgnoreRange => f.write_str("IgnoreRange"),
            Self::OkWithError(code) => write!(f, "OkWithError({code})"),
            Self::LoseAnswer => f.write_str("LoseAnswer"),
            Self::FlipBit(n) => write!(f, "FlipBit({n})"),
            Self::FlipRequestBit(n) => write!(f, "FlipRequestBit({n})"),
            Self::DropHeader(name) => write!(f, "DropHeader({name})"),
            Self::SetHeader(name, value) => write!(f, "SetHeader({name}: {value})"),
            Self::Redirect { status, location, region } => {
                write!(f, "Redirect({status} {location:?} {region:?})")
            }
            Self::Page { content_type, .. } => write!(f, "Page({content_type})"),
            Self::Delay(time) => write!(f, "Delay({time:?})"),
            Self::Hook(_) => f.write_str("Hook"),
        }
    }
}

/// Which calls go wrong, and how. By default the first one that matches, once.
///
/// ```
/// use haul_testkit::{Op, faults::{Fault, Faults, Rule}};
/// let faults = Faults::default();
/// let rule = faults.add(Rule::on(Op::GetObject).nth(2).then(Fault::status(503).retry_after(1)));
/// assert_eq!(rule.hits(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    op: Op,
    key: Option<String>,
    part: Option<u32>,
    range_start: Option<u64>,
    nth: u32,
    times: u32,
    faults: Vec<Fault>,
}

impl Rule {
    /// For calls of one operation, or [`Op::Any`].
    pub fn on(op: Op) -> Self {
        Self { op, key: None, part: None, range_start: None, nth: 1, times: 1, faults: Vec::new() }
    }

    /// Only calls for this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only calls for this part.
    #[must_use]
    pub fn part(mut self, number: u32) -> Self {
        self.part = Some(number);
        self
    }

    /// Only calls for a range that starts here.
    #[must_use]
    pub fn range_start(mut self, start: u64) -> Self {
        self.range_start = Some(start);
        self
    }

    /// From the `n`-th matching call on, counting from 1.
    #[must_use]
    pub fn nth(mut self, n: u32) -> Self {
        self.nth = n;
        self
    }

    /// This many calls in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Every matching call from the first (or `nth`) on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// What happens to them. Several faults of one rule all happen, in this order.
    #[must_use]
    pub fn then(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    fn matches(&self, target: &Target) -> bool {
        (self.op == Op::Any || self.op == target.op)
            && (self.key.is_none() || self.key == target.key)
            && (self.part.is_none() || self.part == target.part_number())
            && (self.range_start.is_none() || self.range_start == target.range_start())
    }
}

/// The rules in force. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<RuleHandle>>>,
}

impl Faults {
    /// Adds a rule. Every rule that matches a call applies, in the order they were added.
    pub fn add(&self, rule: Rule) -> RuleHandle {
        let handle = RuleHandle {
            rule: Arc::new(rule),
            progress: Arc::new(watch::Sender::new(Progress::default())),
        };
        self.lock().push(handle.clone());
        handle
    }

    /// Removes all rules, and releases what they hold.
    pub fn clear(&self) {
        for rule in self.lock().drain(..) {
            rule.release();
        }
    }

    /// What is to happen to a call, and counts it.
    fn hit_by(&self, target: &Target) -> Vec<RuleHandle> {
        self.lock().iter().filter(|rule| rule.sees(target)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RuleHandle>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One rule in force.
#[derive(Clone, Debug)]
pub struct RuleHandle {
    rule: Arc<Rule>,
    progress: Arc<watch::Sender<Progress>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    seen: u32,
    hits: u32,
    released: bool,
}

impl RuleHandle {
    /// How many calls it hit.
    pub fn hits(&self) -> u32 {
        self.progress.borrow().hits
    }

    /// Waits until it has hit `count` calls.
    pub async fn wait_hits(&self, count: u32) {
        drop(self.progress.subscribe().wait_for(|p| p.hits >= count).await);
    }

    /// Lets everything go on that it stalls, now and from now on.
    pub fn release(&self) {
        self.progress.send_modify(|p| p.released = true);
    }

    async fn released(&self) {
        drop(self.progress.subscribe().wait_for(|p| p.released).await);
    }

    fn sees(&self, target: &Target) -> bool {
        if !self.rule.matches(target) {
            return false;
        }
        let mut hit = false;
        self.progress.send_modify(|p| {
            p.seen = p.seen.saturating_add(1);
            let first = self.rule.nth.max(1);
            hit = p.seen >= first && p.seen - first < self.rule.times;
            p.hits += u32::from(hit);
        });
        hit
    }
}
