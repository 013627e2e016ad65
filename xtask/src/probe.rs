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
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
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
        self.body.take(1 << 20).read_to_string(&mut text)?;
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
