//! The body of a caller's request as it arrives.
//!
//! A caller may be answered before its body has come as a whole. Most clients then still send the rest, and many lose
//! the answer, or the next call on this connection, where nobody reads it. So the rest of a body that nobody wants any
//! more is read and thrown away, within bounds.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::Broken;

/// Limits for reading and discarding an unwanted body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discard {
    /// Bytes.
    pub bytes: u64,
    /// Longest time until its end.
    pub patience: Duration,
    /// And how long each piece of it: some clients leave a body as it is once they have the answer.
    pub pause: Duration,
}

/// A body that is read to its end, or to the bounds of [`Discard`], also where it is dropped before.
#[derive(Debug)]
pub struct ArrivingBody {
    /// None: it has ended, or broken off.
    incoming: Option<(Incoming, Arriving)>,
    /// True for HTTP/2.
    is_http2: bool,
    discard: Discard,
}

/// Marks a body as arriving, until it has ended and this is dropped.
#[derive(Debug, Clone, Default)]
pub struct Arriving(Rc<()>);

impl Arriving {
    /// True if any body marked with this is still arriving.
    pub fn is_any(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }
}

impl ArrivingBody {
    /// Wraps an incoming body on a worker; `arriving` is marked until its end.
    pub fn new(incoming: Incoming, is_http2: bool, discard: Discard, arriving: &Arriving) -> Self {
        let incoming = (!incoming.is_end_stream()).then(|| (incoming, arriving.clone()));
        Self { incoming, is_http2, discard }
    }
}

impl Body for ArrivingBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let Some((incoming, _)) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(&mut *incoming).poll_frame(context)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(_)) => Some(Err(Broken)),
            // The library takes a stream that was reset with NO_ERROR for one that has ended, but only an end that was
            // sent makes a body whole (RFC 9113 section 8.1).
            None => (this.is_http2 && !incoming.is_end_stream()).then_some(Err(Broken)),
        };
        this.incoming = None;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(|(incoming, _)| incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), |(incoming, _)| incoming.size_hint())
    }
}

impl Drop for ArrivingBody {
    fn drop(&mut self) {
        // At the end of a worker there is nobody left to read.
        if let Some((incoming, arriving)) = self.incoming.take()
            && !incoming.is_end_stream()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            tokio::task::spawn_local(discard(incoming, self.is_http2, self.discard, arriving));
        }
    }
}

/// Reads the rest. Where it is larger than that, a stream of HTTP/2 is left as it is until the time is over, so that
/// the answer is written before it is reset.
async fn discard(mut incoming: Incoming, is_http2: bool, bounds: Discard, _arriving: Arriving) {
    let Discard { bytes: mut left, patience, pause } = bounds;
    let rest = async {
        while left > 0 {
            let piece = std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context));
            match timeout(pause, piece).await {
                Ok(Some(Ok(frame))) => left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64)),
                Ok(None | Some(Err(_))) | Err(_) => return,
            }
        }
        if is_http2 {
            std::future::pending::<()>().await;
        }
    };
    let _ = timeout(patience, rest).await;
}
