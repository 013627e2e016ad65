//! Bodies of answers.
//!
//! Owns how their bytes are taken. Must never wait for words that nobody needs.

use std::time::Duration;

use haul_core::stall;
use http_body::{Body as _, Frame};
use hyper::body::{Bytes, Incoming};

/// The next bytes of an answer; trailers are passed over.
pub async fn next_bytes(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        let frame =
            std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) if bytes.is_empty() => {}
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            Ok(Err(_trailers)) => {}
            Err(e) => return Some(Err(e)),
        }
    }
}

/// The most that is read of a body whose bytes do not matter much: S3's error documents are below
/// 1 KiB, the pages that come with redirects not much larger.
const SMALL: usize = 16 << 10;

/// How long that may take: nobody waits for words.
const SMALL_TIME: Duration = Duration::from_secs(2);

/// What there is of a small body. Read to its end, it leaves the connection for the next request.
pub async fn drain(mut body: Incoming) -> Vec<u8> {
    let mut all = Vec::new();
    if body.is_end_stream() {
        return all;
    }
    let reading = async {
        while all.len() < SMALL && !body.is_end_stream() {
            let Some(Ok(bytes)) = next_bytes(&mut body).await else { break };
            all.extend_from_slice(&bytes);
        }
    };
    stall::within(SMALL_TIME, reading).await;
    all
}
