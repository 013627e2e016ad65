//! Requests that were signed for another region.
//!
//! Owns the answers that send a client elsewhere. Must never name another host: S3 does, and a client
//! that follows is a hole.

use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::{DEFAULT_REGION, MemoryS3, RegionCheck};

impl MemoryS3 {
    /// Refuses a request for a bucket of another region than `signed`, as the rules say.
    pub(super) fn check_region(&self, uri: &Uri, signed: Option<&str>, head: bool) -> S3Result<()> {
        let rule = self.rules().regions;
        let bucket = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let bucket = percent_decode_str(bucket).decode_utf8_lossy();
        let (Some(signed), false) = (signed, rule == RegionCheck::Off) else { return Ok(()) };
        let state = self.lock();
        let Ok(found) = state.bucket(&bucket) else { return Ok(()) };
        let region = if found.region.is_empty() { DEFAULT_REGION } else { found.region.as_str() };
        if region == signed {
            return Ok(());
        }
        let mut error = if rule == RegionCheck::Malformed {
            let words = format!(
                "The authorization header is malformed; the region '{signed}' is wrong; expecting \
                 '{region}'"
            );
            let mut error = S3Error::with_message(code("AuthorizationHeaderMalformed"), words);
            error.set_status_code(StatusCode::BAD_REQUEST);
            error
        } else {
            let words = "The bucket you are attempting to access must be addressed using the \
                         specified endpoint.";
            let mut error = S3Error::with_message(code("PermanentRedirect"), words);
            error.set_status_code(StatusCode::MOVED_PERMANENTLY);
            error
        };
        if (rule == RegionCheck::Redirect || head)
            && let Ok(value) = HeaderValue::from_str(region)
        {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-bucket-region", value);
            error.set_headers(headers);
        }
        Err(error)
    }
}

fn code(name: &str) -> S3ErrorCode {
    S3ErrorCode::from_bytes(name.as_bytes()).unwrap_or(S3ErrorCode::InternalError)
}
