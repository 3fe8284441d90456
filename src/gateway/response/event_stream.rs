//! Server-sent events (`text/event-stream`), a response that never ends by itself. Its callers reconnect when it ends,
//! so while the process drains it ends whole and between two events. Any other response that is cut off shows as
//! broken.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};

use super::graceful_close::Farewell;
use crate::backend::pool::response_body::AnswerBody;
use crate::body_stream::Broken;

/// Separators between two events.
const BETWEEN: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];

/// A body of server-sent events.
pub(crate) struct EventStream {
    inner: AnswerBody,
    /// The last bytes sent.
    tail: [u8; 4],
    farewell: Rc<Farewell>,
    /// The time to end between two events, and then the time to end anywhere.
    end: Pin<Box<dyn Future<Output = ()>>>,
    is_due: bool,
    is_over: bool,
}

/// True if the response with these fields is an event stream.
pub(crate) fn is_one(headers: &HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..KIND.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(KIND)) && !headers.contains_key(header::CONTENT_LENGTH)
}

impl EventStream {
    /// A backend's event stream, until the farewell.
    pub(crate) fn new(inner: AnswerBody, farewell: &Rc<Farewell>) -> Self {
        Self {
            inner,
            tail: *b"\n\n\n\n",
            farewell: Rc::clone(farewell),
            end: Box::pin(Rc::clone(farewell).is_due()),
            is_due: false,
            is_over: false,
        }
    }

    /// The backend's body.
    pub(crate) fn backend(&self) -> &AnswerBody {
        &self.inner
    }

    fn is_between_events(&self) -> bool {
        BETWEEN.iter().any(|between| self.tail.ends_with(between))
    }

    fn pass(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(self.tail.len())..];
        self.tail.rotate_left(new.len());
        let from = self.tail.len() - new.len();
        self.tail[from..].copy_from_slice(new);
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if !this.is_over && this.end.as_mut().poll(context).is_ready() {
            this.is_over = this.is_due;
            if !std::mem::replace(&mut this.is_due, true) {
                this.end = Box::pin(Rc::clone(&this.farewell).is_over());
                this.is_over = this.end.as_mut().poll(context).is_ready();
            }
        }
        this.is_over |= this.is_due && this.is_between_events();
        if this.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.pass(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
