//! Answers as bodies.
//!
//! Owns the way from an answer to exactly so many bytes. Must never yield a byte beyond the range, or
//! end before it without an error.

use std::sync::Arc;

use futures::stream::StreamExt as _;
use haul_core::{Body, Op};
use haul_net::{Incoming, next_bytes};

use crate::address::Address;
use crate::error::{broken, nonsense};

/// The first `len` bytes of an answer: no fewer. What follows them is not read.
pub(crate) fn exactly(body: Incoming, len: u64, address: Arc<Address>) -> Body {
    futures::stream::try_unfold((body, len), move |(mut body, left)| {
        let address = Arc::clone(&address);
        async move {
            if left == 0 {
                return Ok(None);
            }
            let mut bytes = match next_bytes(&mut body).await {
                Some(Ok(bytes)) => bytes,
                Some(Err(e)) => return Err(broken(Op::Read, &address, e)),
                None => {
                    let what = format!("the answer ended {left} bytes early");
                    return Err(nonsense(Op::Read, &address, what));
                }
            };
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - bytes.len() as u64;
            Ok(Some((bytes, (body, left))))
        }
    })
    .boxed()
}
