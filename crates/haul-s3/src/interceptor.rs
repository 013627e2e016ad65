//! Requests without what some front ends rewrite, and with what every one has to say.
//!
//! Owns the last look at a request before it is signed. Must never touch anything that S3 itself
//! gives a meaning to.

use aws_sdk_s3::config::ConfigBag;
use aws_sdk_s3::config::Intercept;
use aws_sdk_s3::config::RuntimeComponents;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::error::BoxError;

/// Google's front end rewrites `Accept-Encoding`, and its store does not know `x-id`; either would
/// spoil the signature.
#[derive(Debug)]
pub(crate) struct Bare;

impl Intercept for Bare {
    fn name(&self) -> &'static str {
        "haul::Bare"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().remove("accept-encoding");
        let uri = without_x_id(request.uri());
        if let Some(uri) = uri {
            request.set_uri(uri)?;
        }
        Ok(())
    }

    /// What is stored as gzip is decoded on the way for whoever does not take gzip, and then the answer
    /// does not say how long it is. Said of objects alone: documents are not to be encoded.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if request.method() == "HEAD" {
            request.headers_mut().insert("accept-encoding", "gzip");
        }
        Ok(())
    }
}

/// The header by which whoever asks agrees to pay (S3 user guide, "Requester Pays buckets").
pub(crate) const PAYER: &str = "x-amz-request-payer";

/// Says it in every request.
#[derive(Debug)]
pub(crate) struct Payer;

impl Intercept for Payer {
    fn name(&self) -> &'static str {
        "haul::Payer"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert(PAYER, "requester");
        Ok(())
    }
}

/// The URI without the operation's name that the SDK adds; `None` when it has none.
fn without_x_id(uri: &str) -> Option<String> {
    let (path, query) = uri.split_once('?')?;
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("x-id=")).collect();
    let query = kept.join("&");
    Some(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operation_s_name_goes() {
        assert_eq!(without_x_id("/b/k"), None);
        assert_eq!(without_x_id("/b/k?x-id=GetObject").unwrap(), "/b/k");
        assert_eq!(without_x_id("/b/k?a=1&x-id=G&b=x-id=2").unwrap(), "/b/k?a=1&b=x-id=2");
    }
}
