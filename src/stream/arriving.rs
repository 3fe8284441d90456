//! The body of a caller's request as it arrives.
//!
//! A caller may be answered before its body has come as a whole. Most clients then still send the rest, and many lose
//! the answer, or the next call on this connection, where nobody reads it. So the rest of a body that nobody wants any
//! more is read and thrown away, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::timeout;

/// How much of a body is read that nobody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discard {
    /// Bytes.
    pub bytes: u64,
    /// How long its end is waited for.
    pub patience: Duration,
}

/// A body that is read to its end, or to the bounds of [`Discard`], also where it is dropped before.
#[derive(Debug)]
pub struct ArrivingBody {
    /// None: it has ended, or broken off.
    incoming: Option<Incoming>,
    discard: Discard,
}

impl ArrivingBody {
    /// What arrives here, on a worker.
    pub fn new(incoming: Incoming, discard: Discard) -> Self {
        Self { incoming: Some(incoming).filter(|incoming| !incoming.is_end_stream()), discard }
    }
}

impl Body for ArrivingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = Pin::new(incoming).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            this.incoming = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for ArrivingBody {
    fn drop(&mut self) {
        // At the end of a worker there is nobody left to read.
        if let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream())
            && tokio::runtime::Handle::try_current().is_ok()
        {
            tokio::task::spawn_local(discard(incoming, self.discard));
        }
    }
}

/// Reads the rest. Where it is larger than that, what has come is left until the time is over, so that the answer is
/// written before HTTP/2 resets the stream.
async fn discard(mut incoming: Incoming, Discard { bytes, patience }: Discard) {
    let mut left = bytes;
    let rest = std::future::poll_fn(|context| {
        while left > 0 {
            match std::task::ready!(Pin::new(&mut incoming).poll_frame(context)) {
                Some(Ok(frame)) => left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64)),
                None | Some(Err(_)) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    });
    let _ = timeout(patience, rest).await;
}
