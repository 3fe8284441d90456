//! The body of a backend's response, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;
use crate::stream::{Broken, Pace, Stall};

/// Reads on from the connection on which its head came. Read to its end, it gives the connection back; dropped
/// before, it closes it.
pub struct AnswerBody {
    inner: Incoming,
    lease: Option<Lease>,
    stall: Stall,
    is_broken: bool,
}

impl AnswerBody {
    pub(super) fn new(inner: Incoming, lease: Lease, pace: Pace) -> Self {
        let mut body = Self { inner, lease: Some(lease), stall: Stall::new(pace), is_broken: false };
        body.release_at_end();
        body
    }

    /// Whoever sees that nothing more comes does not ask for it.
    fn release_at_end(&mut self) {
        if self.inner.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.release();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.is_broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        let Self { inner, lease, stall, .. } = this;
        let mut read = |context: &mut Context<'_>| Pin::new(&mut *inner).poll_frame(context);
        let frame = match lease.as_mut().and_then(Lease::link) {
            Some(link) => link.poll_until(context, read),
            None => read(context),
        };
        let Poll::Ready(frame) = frame else {
            return stall.poll(context).map(|()| Some(Err(Broken)));
        };
        stall.rest();
        match frame {
            Some(Ok(frame)) => {
                this.release_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => {
                // What came before goes out first: it would be lost with the caller's connection.
                this.is_broken = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                if let Some(lease) = lease.take() {
                    lease.release();
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AnswerBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}
