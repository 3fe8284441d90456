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
use super::h2_body::H2Body;

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
    incoming: Option<(IncomingBody, Arriving)>,
    discard: Discard,
}

/// The version of HTTP by which a body arrives.
#[derive(Debug)]
enum IncomingBody {
    Http1(Incoming),
    Http2(H2Body),
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
    /// Wraps the body of an HTTP/1.1 request on a worker; `arriving` is marked until its end.
    pub fn http1(incoming: Incoming, discard: Discard, arriving: &Arriving) -> Self {
        Self::new(IncomingBody::Http1(incoming), discard, arriving)
    }

    /// The same for HTTP/2.
    pub fn http2(incoming: H2Body, discard: Discard, arriving: &Arriving) -> Self {
        Self::new(IncomingBody::Http2(incoming), discard, arriving)
    }

    fn new(source: IncomingBody, discard: Discard, arriving: &Arriving) -> Self {
        let incoming = (!source.is_end_stream()).then(|| (source, arriving.clone()));
        Self { incoming, discard }
    }

    /// Over HTTP/2: reads on to its first byte or its end, whichever comes first. HTTP/1.1 says in the head whether there
    /// is a body.
    pub fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.incoming {
            Some((IncomingBody::Http2(body), _)) => body.poll_begun(context),
            _ => Poll::Ready(()),
        }
    }

    /// No body.
    pub fn none(discard: Discard) -> Self {
        Self { incoming: None, discard }
    }
}

impl IncomingBody {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(body) => Pin::new(body).poll_frame(context).map_err(|_| Broken),
            Self::Http2(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl Body for ArrivingBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let Some((incoming, _)) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = ready!(incoming.poll_frame(context));
        if matches!(frame, Some(Ok(_))) {
            return Poll::Ready(frame);
        }
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
            tokio::task::spawn_local(discard(incoming, self.discard, arriving));
        }
    }
}

/// Reads the rest. Where it is larger than that, a stream of HTTP/2 is left as it is until the time is over, so that
/// the answer is written before it is reset.
async fn discard(mut incoming: IncomingBody, bounds: Discard, _arriving: Arriving) {
    let Discard { bytes: mut left, patience, pause } = bounds;
    let rest = async {
        while left > 0 {
            let piece = std::future::poll_fn(|context| incoming.poll_frame(context));
            match timeout(pause, piece).await {
                Ok(Some(Ok(frame))) => left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64)),
                Ok(None | Some(Err(_))) | Err(_) => return,
            }
        }
        if matches!(incoming, IncomingBody::Http2(_)) {
            std::future::pending::<()>().await;
        }
    };
    let _ = timeout(patience, rest).await;
}
