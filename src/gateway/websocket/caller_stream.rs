//! An HTTP/2 stream as bytes in both directions, behind the response to an extended CONNECT (RFC 8441 section 5).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// The stream of a CONNECT. Dropped, it ends what we send.
pub(crate) struct CallerStream {
    received: RecvStream,
    sent: SendStream<Bytes>,
    /// Received and not read yet.
    rest: Bytes,
    has_ended: bool,
}

/// The stream of a CONNECT whose response is not out yet, as it stands among the extensions of the request.
#[derive(Clone)]
pub(crate) struct AwaitedStream(Arc<Mutex<Option<oneshot::Receiver<CallerStream>>>>);

impl AwaitedStream {
    /// For one stream, which is sent once the response is out.
    pub(crate) fn new() -> (oneshot::Sender<CallerStream>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Arc::new(Mutex::new(Some(receiver)))))
    }

    /// Waits for the stream. `None`: there was no response, or it refused.
    pub(crate) async fn stream(self) -> Option<CallerStream> {
        let receiver = self.0.lock().ok()?.take();
        receiver?.await.ok()
    }
}

impl CallerStream {
    /// The stream, after the head of its response.
    pub(crate) fn new(received: RecvStream, sent: SendStream<Bytes>) -> Self {
        Self { received, sent, rest: Bytes::new(), has_ended: false }
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_ended, true) {
            return Ok(());
        }
        self.sent.send_data(Bytes::new(), true).map_err(io::Error::other)
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.received.poll_data(context)) {
                Some(Ok(data)) => this.rest = data,
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => {
                    let is_end = matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL));
                    return Poll::Ready(if is_end { Ok(()) } else { Err(io::Error::other(error)) });
                }
            }
        }
        let count = this.rest.len().min(buffer.remaining());
        buffer.put_slice(&this.rest[..count]);
        this.rest.advance(count);
        // Fails only where the stream is gone, which the next frame tells.
        let _ = this.received.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.sent.reserve_capacity(bytes.len());
        while this.sent.capacity() == 0 {
            match ready!(this.sent.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = this.sent.capacity().min(bytes.len());
        this.sent.send_data(Bytes::copy_from_slice(&bytes[..count]), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().end())
    }
}

impl Drop for CallerStream {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
