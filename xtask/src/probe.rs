//! Owns a second opinion: the few S3 requests needed to see what a server holds, without haul.
//!
//! Must never: share code with haul, retry, or leave loopback. HTTP/1.0, so that no answer is chunked.

use crate::files::fill;
use crate::servers::Endpoint;
use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Take, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What S3's signature leaves as it is in a path.
const PATH: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
const PATIENCE: Duration = Duration::from_mins(2);

/// The same without the slash, for values in a query.
const VALUE: AsciiSet = PATH.add(b'/');
/// No answer in XML is longer.
const TEXT: u64 = 4 << 20;
/// What most clients upload in.
const PART: usize = 8 << 20;

/// A server, asked directly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe<'a> {
    endpoint: &'a Endpoint,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint) -> Self {
        Self { endpoint }
    }

    pub(crate) fn create_bucket(self, bucket: &str) -> Result<()> {
        let request = Request { method: "PUT", bucket, ..Request::default() };
        self.send(request)?.must_succeed("creating the bucket").map(drop)
    }

    /// Stores a small object.
    pub(crate) fn put(self, bucket: &str, key: &str, body: &[u8]) -> Result<()> {
        let request = Request { method: "PUT", bucket, key, body, ..Request::default() };
        self.send(request)?.must_succeed("storing an object").map(drop)
    }

    /// All objects whose keys begin like this, in the server's order.
    pub(crate) fn list(self, bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
        let prefix = utf8_percent_encode(prefix, &VALUE).to_string();
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let start = token.as_ref().map_or_else(String::new, |token| {
                format!("continuation-token={}&", utf8_percent_encode(token, &VALUE))
            });
            let query = format!("{start}encoding-type=url&list-type=2&prefix={prefix}");
            let request = Request { bucket, query: &query, ..Request::default() };
            let xml = self.send(request)?.must_succeed("listing a bucket")?.text()?;
            let encoded = xml.contains("<EncodingType>url</EncodingType>");
            for entry in xml.split("<Contents>").skip(1) {
                let entry = Listed::read(entry, encoded).context("not an entry of a listing")?;
                found.push(entry);
            }
            if between(&xml, "<IsTruncated>", "</IsTruncated>") != Some("true") {
                return Ok(found);
            }
            let next = between(&xml, "<NextContinuationToken>", "</NextContinuationToken>");
            token = Some(plain(next.context("a page without a token for the next")?));
        }
    }

    /// Stores a file as S3 clients store a big one: in parts.
    pub(crate) fn put_in_parts(self, bucket: &str, key: &str, path: &Path) -> Result<()> {
        let base = Request { bucket, key, ..Request::default() };
        let begin = Request { method: "POST", query: "uploads=", ..base };
        let xml = self.send(begin)?.must_succeed("beginning an upload")?.text()?;
        let upload = between(&xml, "<UploadId>", "</UploadId>").context("no upload id")?;
        let upload = utf8_percent_encode(upload, &VALUE).to_string();
        let mut file = File::open(path)?;
        let (mut part, mut list) = (vec![0; PART], String::new());
        for number in 1_u32.. {
            let length = fill(&mut file, &mut part)?;
            if length == 0 && number > 1 {
                break;
            }
            let query = format!("partNumber={number}&uploadId={upload}");
            let body = &part[..length];
            let put = Request { method: "PUT", query: &query, body, ..base };
            let answer = self.send(put)?.must_succeed("storing a part")?;
            let tag = answer.entity_tag.context("a part without an entity tag")?;
            write!(list, "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")?;
        }
        let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let query = format!("uploadId={upload}");
        let end = Request { method: "POST", query: &query, body: list.as_bytes(), ..base };
        let xml = self.send(end)?.must_succeed("completing an upload")?.text()?;
        ensure!(!xml.contains("<Error>"), "completing an upload: {xml}");
        Ok(())
    }

    /// The object's bytes, to be read to the end.
    pub(crate) fn get(self, bucket: &str, key: &str) -> Result<impl Read> {
        let request = Request { bucket, key, ..Request::default() };
        let answer = self.send(request)?.must_succeed("reading an object")?;
        let length = answer.length.context("an object came without its length")?;
        Ok(Exact { body: answer.body.take(length), missing: length })
    }

    pub(crate) fn delete(self, bucket: &str, key: &str) -> Result<()> {
        let request = Request { method: "DELETE", bucket, key, ..Request::default() };
        self.send(request)?.must_succeed("removing an object").map(drop)
    }

    /// How many multipart uploads of a bucket are open.
    pub(crate) fn open_uploads(self, bucket: &str) -> Result<usize> {
        let request = Request { bucket, query: "uploads=", ..Request::default() };
        let xml = self.send(request)?.must_succeed("listing multipart uploads")?.text()?;
        Ok(xml.matches("<UploadId>").count())
    }

    fn send(self, request: Request<'_>) -> Result<Answer> {
        let target = request.target();
        let authority = self.endpoint.authority();
        let mut head = format!("{} {target} HTTP/1.0\r\nHost: {authority}\r\n", request.method);
        for (name, value) in self.signature(request.method, &target)? {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(head, "Content-Length: {}\r\n\r\n", request.body.len())?;
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(request.body)?;
        Answer::read(stream)
    }

    fn signature(self, method: &str, target: &str) -> Result<Vec<(String, String)>> {
        let Endpoint { url, access_key, secret_key, region } = self.endpoint;
        let identity = Credentials::new(access_key, secret_key, None, None, "xtask").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let uri = format!("{url}{target}");
        let host = [("host", self.endpoint.authority())];
        let body = SignableBody::UnsignedPayload;
        let request = SignableRequest::new(method, uri, host.into_iter(), body)
            .map_err(|error| anyhow!("cannot sign: {error}"))?;
        let signed = sign(request, &parameters).map_err(|error| anyhow!("cannot sign: {error}"))?;
        let headers = signed.output().headers();
        Ok(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) entity_tag: String,
    pub(crate) modified: String,
}

impl Listed {
    fn read(xml: &str, encoded: bool) -> Option<Self> {
        let field = |name| between(xml, &format!("<{name}>"), &format!("</{name}>")).map(plain);
        let (mut key, size) = (field("Key")?, field("Size")?.parse().ok()?);
        // Some say so and do not encode. What is encoded has no other characters.
        if encoded && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            // Some write a space as a plus, and a plus never as itself.
            let spaced = key.replace('+', " ");
            key = percent_decode_str(&spaced).decode_utf8().ok()?.into_owned();
        }
        let entity_tag = field("ETag").unwrap_or_default().trim_matches('"').to_owned();
        Some(Self { key, size, entity_tag, modified: field("LastModified").unwrap_or_default() })
    }
}

#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    method: &'a str,
    bucket: &'a str,
    key: &'a str,
    /// In the order of its names, encoded.
    query: &'a str,
    body: &'a [u8],
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { method: "GET", bucket: "", key: "", query: "", body: &[] }
    }
}

impl Request<'_> {
    fn target(&self) -> String {
        let Self { bucket, key, query, .. } = self;
        let slash = if key.is_empty() { "" } else { "/" };
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/{bucket}{slash}{}{mark}{query}", utf8_percent_encode(key, &PATH))
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// XML's text as it was meant.
fn plain(xml: &str) -> String {
    let mut pieces = xml.split('&');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';').unwrap_or(("", piece));
        let numbered = name.strip_prefix("#x").map_or_else(
            || name.strip_prefix('#').and_then(|digits| digits.parse().ok()),
            |digits| u32::from_str_radix(digits, 16).ok(),
        );
        let meant = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => numbered.and_then(char::from_u32),
        };
        text.extend(meant);
        text.push_str(rest);
    }
    text
}

struct Answer {
    status: u16,
    length: Option<u64>,
    entity_tag: Option<String>,
    body: BufReader<TcpStream>,
}

impl Answer {
    fn read(stream: TcpStream) -> Result<Self> {
        let mut body = BufReader::with_capacity(1 << 18, stream);
        let mut line = String::new();
        body.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("not an HTTP answer: {line:?}"))?;
        let (mut length, mut entity_tag) = (None, None);
        loop {
            line.clear();
            body.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("etag") {
                entity_tag = Some(value.trim().to_owned());
            }
        }
        Ok(Self { status, length, entity_tag, body })
    }

    fn must_succeed(self, what: &str) -> Result<Self> {
        if !(200..300).contains(&self.status) {
            let status = self.status;
            bail!("{what}: the server says {status}: {}", self.text().unwrap_or_default().trim());
        }
        Ok(self)
    }

    /// A short body, such as XML.
    fn text(self) -> Result<String> {
        let mut text = String::new();
        self.body.take(TEXT).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// A body that must not end early.
struct Exact {
    body: Take<BufReader<TcpStream>>,
    missing: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.body.read(buffer)?;
        self.missing -= read as u64;
        if read == 0 && !buffer.is_empty() && self.missing > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::Listed;

    #[test]
    fn reads_an_entry_of_a_listing() {
        let xml = "<Key>a&amp;b&#x20;&quot;c&#34;</Key><LastModified>2026</LastModified>\
                   <ETag>&quot;12&quot;</ETag><Size>7</Size></Contents>";
        let seen = Listed::read(xml, false).unwrap();
        assert_eq!((seen.key.as_str(), seen.size), ("a&b \"c\"", 7));
        assert_eq!((seen.entity_tag.as_str(), seen.modified.as_str()), ("12", "2026"));
        let xml = "<Key>a+b%2Bc%1b</Key><Size>7</Size>";
        assert_eq!(Listed::read(xml, true).unwrap().key, "a b+c\u{1b}");
        let xml = "<Key>not %41 encoded</Key><Size>7</Size>";
        assert_eq!(Listed::read(xml, true).unwrap().key, "not %41 encoded");
        assert_eq!(Listed::read("<Size>7</Size>", false), None);
    }
}
