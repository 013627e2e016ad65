//! How the file server behaves.
//!
//! Owns: the switches for all requests and the acts for single ones. Must never act itself.

use bytes::Bytes;

/// What the server does to every request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpRules {
    /// Whether ranges work; without, they are ignored.
    pub ranges: bool,
    /// Whether `If-Match` and `If-Range` are looked at.
    pub conditions: bool,
    /// The entity tag.
    pub tag: Tag,
    /// The date of modification.
    pub modified: Modified,
    /// Whether answers state their length; without, they are chunked.
    pub length: bool,
    /// The only `Authorization` that is let in.
    pub authorization: Option<String>,
    /// More headers for every answer with content.
    pub headers: Vec<(&'static str, String)>,
    /// The status of a PUT that went well.
    pub stored: u16,
}

impl Default for HttpRules {
    fn default() -> Self {
        Self {
            ranges: true,
            conditions: true,
            tag: Tag::Strong,
            modified: Modified::LongAgo,
            length: true,
            authorization: None,
            headers: Vec::new(),
            stored: 201,
        }
    }
}

/// Entity tags to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A new one for every version.
    Strong,
    /// The same, marked as weak.
    Weak,
    /// None.
    None,
}

/// Dates of modification to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modified {
    /// Hours before the answer, a second apart for each version.
    LongAgo,
    /// In the second of the answer: it may change again within it.
    JustNow,
    /// None.
    None,
}

/// What happens to one request instead of, or together with, its answer.
#[derive(Clone, Debug)]
pub enum Act {
    /// This status, with these headers and a short body.
    Status(u16, Vec<(&'static str, String)>),
    /// A redirect with this status to this place.
    Redirect(u16, String),
    /// The connection breaks after so many bytes of the body.
    Break(usize),
    /// The body says nothing more after so many bytes.
    Stall(usize),
    /// The request is served, and the answer is lost.
    LostAnswer,
    /// The content is replaced before the request is served.
    Replace(Bytes),
    /// The range is ignored, and all of the content comes.
    Whole,
    /// `Content-Range` says this, whatever comes.
    ClaimRange(&'static str),
    /// `ETag` says this; an empty one leaves it out.
    ClaimTag(&'static str),
    /// A range that is so many bytes shorter, as it says itself.
    Shorter(u64),
}
