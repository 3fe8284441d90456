//! Body of a backend's response, streamed from its connection.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::lease::Lease;
use super::worker_endpoints::WorkerEndpoint;
use crate::backend::connection::causes::Causes;
use crate::backend::fault::{Doing, FaultNote, ServerFault};
use crate::backend::{Backend, Failure};
use crate::body_stream::{Broken, Pace, Stall};

/// Response body. Read to its end, it returns the connection to the pool; dropped before, it closes it.
pub struct AnswerBody {
    inner: Incoming,
    lease: Option<Lease>,
    endpoint: Rc<WorkerEndpoint>,
    /// True for HTTP/2.
    is_http2: bool,
    /// True if only the end of the TLS connection ends it.
    ends_by_close: bool,
    stall: Stall,
    is_broken: bool,
    /// `Content-Length`, where there is one.
    length: Option<u64>,
    /// Reason for an early end, for the log, and its phrase; `None`: timed out.
    reason: Option<(String, Cow<'static, str>)>,
}

impl AnswerBody {
    /// A response with its body, on the connection of this lease.
    pub(super) fn new(response: Response<Incoming>, lease: Lease, pace: Pace) -> Response<Self> {
        let (head, inner) = response.into_parts();
        let (endpoint, is_http2) = (lease.endpoint(), lease.is_http2());
        let ends_by_close = endpoint.server.tls.is_some()
            && !is_http2
            && inner.size_hint().exact().is_none()
            && !head.headers.contains_key(header::TRANSFER_ENCODING);
        let mut body = Self {
            length: inner.size_hint().exact(),
            inner,
            lease: Some(lease),
            endpoint,
            is_http2,
            ends_by_close,
            stall: Stall::new(pace),
            is_broken: false,
            reason: None,
        };
        body.release_at_end();
        Response::from_parts(head, body)
    }

    /// Name of the server, as in logs and metrics.
    pub fn server(&self) -> &str {
        &self.endpoint.server.standing.name
    }

    /// Id of the server.
    pub fn server_id(&self) -> u64 {
        self.endpoint.server.id
    }

    /// Logs that the body ended early, in the response to this request.
    pub fn log_broken_off(&self, request_id: &HeaderValue) {
        let reason = self.reason.as_ref().map(|(reason, _)| reason.as_str());
        let reason = reason.unwrap_or("timed out (timeout): nothing more of the answer came");
        let fault = ServerFault::new(Failure::Broken, Doing::ReadBody, reason, self.phrase());
        self.endpoint.server.standing.note_fault(&fault, request_id);
    }

    /// Notes what the server did that ended the body early.
    pub fn note_broken_off(&self, note: &FaultNote) {
        note.note(self.server(), self.phrase());
    }

    /// How the body ended early: `closed early after 12 bytes of 100`.
    fn phrase(&self) -> String {
        let phrase = self.reason.as_ref().map_or("no more of the response in time", |(_, phrase)| phrase);
        match self.length {
            Some(length) => {
                format!("{phrase} after {} bytes of {length}", length.saturating_sub(self.inner.size_hint().lower()))
            }
            None => format!("{phrase} in the response body"),
        }
    }

    /// Ends the body early, after what came before has gone out: it would be lost with the caller's connection.
    fn break_off<T>(&mut self, reason: (String, Cow<'static, str>), context: &mut Context<'_>) -> Poll<T> {
        self.is_broken = true;
        self.reason = Some(reason);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Releases the lease at the end of the stream, which some readers never poll for.
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
            // The library takes a stream that was reset with NO_ERROR for one that has ended (RFC 9113 section 8.1): but an
            // answer is whole only where its end was said.
            None if this.is_http2 && !this.inner.is_end_stream() => {
                this.break_off(("the stream was reset".to_owned(), "HTTP/2 stream reset".into()), context)
            }
            Some(Err(error)) => {
                let causes = Causes::new(&error, &this.endpoint.server.http).in_body(this.ends_by_close);
                let reason = (causes.to_string(), causes.phrase());
                this.break_off(reason, context)
            }
            None => {
                if let Some(lease) = this.lease.take() {
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

impl fmt::Debug for AnswerBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AnswerBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Backend {
    /// Logs that a response cannot be used, and why: at most one line a second for each backend, with the count of
    /// suppressed lines.
    pub fn log_bad_response(&self, server: &str, request_id: &HeaderValue, reason: &dyn fmt::Display) {
        self.admission.log_bad_response(server, request_id, reason);
    }
}
