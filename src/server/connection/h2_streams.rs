//! The streams of an HTTP/2 connection: tasks of a worker, ended where the caller does not take its answer.
//!
//! Streams share a connection that goes on, so neither a stuck write nor a deadline of the connection shows that one
//! of them is not read. What shows it is that the HTTP library has taken a piece of the answer and asks for no other.

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

/// Runs the streams of a connection as tasks of this worker.
#[derive(Clone)]
pub(in crate::server) struct Streams {
    /// The stream that has begun and is no task yet: the library calls the service, and then at once the executor.
    begun: Rc<Cell<Option<Rc<Reader>>>>,
    pause: Duration,
}

/// Whether the caller takes the answer.
#[derive(Debug, Default)]
pub(in crate::server) struct Reader {
    /// A piece of the answer has been handed on, and nothing was asked since.
    is_served: Cell<bool>,
    /// Something was asked since the last look.
    has_asked: Cell<bool>,
    stall: RefCell<Option<Stall>>,
}

/// The body of an answer; tells the reader how far it is.
pub(in crate::server) struct StreamBody {
    inner: ResponseBody,
    reader: Rc<Reader>,
}

impl Streams {
    /// For a connection whose caller may let each piece of an answer wait for so long.
    pub(in crate::server) fn new(pause: Duration) -> Self {
        Self { begun: Rc::default(), pause }
    }

    /// A stream begins.
    pub(in crate::server) fn begin(&self) -> Rc<Reader> {
        let reader = Rc::<Reader>::default();
        self.begun.set(Some(Rc::clone(&reader)));
        reader
    }

    /// The answer on a stream.
    pub(in crate::server) fn body(&self, inner: ResponseBody, reader: Rc<Reader>) -> StreamBody {
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

impl Reader {
    /// Ready once the caller has let an answer wait for too long.
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
