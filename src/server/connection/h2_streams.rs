//! HTTP/2 streams as tasks of a worker, ended if the caller does not read its response.
//!
//! Streams share a connection, so neither a stuck write nor a deadline of the connection shows that one response is not
//! read. The sign is that the HTTP library has taken a chunk of the body and polls for no other.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;

use crate::body_stream::{Broken, Pace, Stall};
use crate::gateway::response::body::ResponseBody;

/// Executor of the streams of a connection, on this worker.
#[derive(Clone)]
pub(in crate::server) struct Streams {
    /// Stream that has begun and is no task yet: the library calls the service, and right after it the executor.
    begun: Rc<Cell<Option<Rc<StreamReader>>>>,
    pause: Duration,
}

/// Read progress of one response.
#[derive(Debug, Default)]
pub(in crate::server) struct StreamReader {
    /// A chunk has been handed on, and none was polled for since.
    is_served: Cell<bool>,
    /// Polled since the last look.
    has_asked: Cell<bool>,
    stall: RefCell<Option<Stall>>,
}

/// Response body that reports its read progress.
pub(in crate::server) struct StreamBody {
    inner: ResponseBody,
    reader: Rc<StreamReader>,
}

impl Streams {
    /// For a connection whose caller may let each chunk wait for `pause`.
    pub(in crate::server) fn new(pause: Duration) -> Self {
        Self { begun: Rc::default(), pause }
    }

    /// Begins a stream.
    pub(in crate::server) fn begin(&self) -> Rc<StreamReader> {
        let reader = Rc::<StreamReader>::default();
        self.begun.set(Some(Rc::clone(&reader)));
        reader
    }

    /// Response body of a stream.
    pub(in crate::server) fn body(&self, inner: ResponseBody, reader: Rc<StreamReader>) -> StreamBody {
        if let Some(until) = inner.until() {
            *reader.stall.borrow_mut() = Some(Stall::new(Pace { pause: self.pause, until }));
        }
        StreamBody { inner, reader }
    }
}

impl<Task: Future + 'static> Executor<Task> for Streams {
    fn execute(&self, task: Task) {
        let reader = self.begun.take();
        tokio::task::spawn_local(async move {
            let mut task = pin!(task);
            // Dropped, the task resets its stream.
            std::future::poll_fn(|context| match task.as_mut().poll(context) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => reader.as_ref().map_or(Poll::Pending, |reader| reader.poll(context)),
            })
            .await;
        });
    }
}

impl StreamReader {
    /// Ready once a chunk has waited for too long.
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut stall = self.stall.borrow_mut();
        let Some(stall) = &mut *stall else { return Poll::Pending };
        if self.has_asked.take() {
            stall.rest();
        }
        if self.is_served.get() { stall.poll(context) } else { Poll::Pending }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        this.reader.has_asked.set(true);
        this.reader.is_served.set(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
