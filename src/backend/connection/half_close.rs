//! Reads on from a connection that can no longer be written to.
//!
//! A server may respond before it has read the whole request, and close (RFC 9112 section 9.5). Then the next write
//! fails while the response may still wait to be read. The HTTP library would end the exchange at a failed write; so
//! the error is hidden, later writes are discarded, and the connection ends at the end of reading.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::backend::endpoints::connection_limit::ConnectionPermit;

/// Byte stream to a server; write errors are hidden.
pub(super) struct BackendIo<IO> {
    io: IO,
    signs: Arc<Signs>,
    /// The write error, if there was one.
    lost: Option<io::ErrorKind>,
}

/// State of a connection, shared with its stream.
#[derive(Debug, Default)]
pub(super) struct Signs {
    heard: AtomicBool,
    lost: AtomicBool,
    /// True if bytes came after the end of an answer.
    excess: AtomicBool,
    /// Requests so far.
    requests: AtomicU32,
    /// Counts the connection until it is gone, an upgraded one as well.
    permit: Option<ConnectionPermit>,
}

impl Signs {
    /// State of a new connection, which holds this permit.
    pub(super) fn holding(permit: Option<ConnectionPermit>) -> Self {
        Self { permit, ..Self::default() }
    }

    /// Counts a request; returns how many there are with it.
    pub(super) fn count_request(&self) -> u32 {
        let requests = self.requests().saturating_add(1);
        self.requests.store(requests, Ordering::Relaxed);
        requests
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// True if the connection is counted.
    pub(super) fn is_counted(&self) -> bool {
        self.permit.is_some()
    }

    /// Forgets received bytes: a new exchange begins.
    pub(super) fn clear_heard(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    /// True if the server has sent anything since.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Notes bytes after the end of an answer.
    pub(super) fn note_excess(&self) {
        self.excess.store(true, Ordering::Relaxed);
    }

    /// True if bytes came after the end of an answer.
    pub(super) fn has_excess(&self) -> bool {
        self.excess.load(Ordering::Relaxed)
    }

    /// True if nothing can be sent any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<IO> BackendIo<IO> {
    /// Wraps a stream; its state goes to `signs`.
    pub(in crate::backend) fn new(io: IO, signs: Arc<Signs>) -> Self {
        Self { io, signs, lost: None }
    }

    /// Replaces a failed write by a successful one.
    fn forgiven<T>(&mut self, written: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "the backend stopped reading a request");
                self.lost = Some(error.kind());
                self.signs.lost.store(true, Ordering::Relaxed);
                Poll::Ready(Ok(instead))
            }
            other => other,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for BackendIo<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            this.signs.heard.store(true, Ordering::Relaxed);
        } else if let Some(kind) = this.lost
            && buffer.remaining() > 0
        {
            // The failed write has taken the error with it. An answer that ends with its connection must not seem whole.
            return Poll::Ready(Err(kind.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for BackendIo<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.lost.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.forgiven(written, bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let all = || pieces.iter().map(|piece| piece.len()).sum();
        if this.lost.is_some() {
            return Poll::Ready(Ok(all()));
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(context, pieces);
        this.forgiven(written, all())
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lost.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut this.io).poll_flush(context);
        this.forgiven(flushed, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Bytes that a server sent before it reset the connection.
    struct Reset(&'static [u8]);

    impl AsyncRead for Reset {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(std::mem::take(&mut self.get_mut().0));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Reset {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn after_a_failed_write_what_was_said_is_read_and_its_end_is_no_good_end() {
        let signs = Arc::<Signs>::default();
        let mut io = BackendIo::new(Reset(b"too large"), Arc::clone(&signs));
        assert!(!signs.is_lost() && !signs.has_heard());
        io.write_all(b"upload").await.unwrap();
        assert!(signs.is_lost(), "nothing is sent on it any more");
        io.write_all(&[0; 100_000]).await.unwrap();
        io.flush().await.unwrap();
        let mut said = Vec::new();
        let end = io.read_to_end(&mut said).await.unwrap_err();
        assert_eq!((&*said, end.kind()), (&b"too large"[..], io::ErrorKind::ConnectionReset));
        assert!(signs.has_heard());
    }

    #[tokio::test]
    async fn without_a_failed_write_the_end_is_an_end() {
        let signs = Arc::<Signs>::default();
        let mut io = BackendIo::new(Reset(b"whole"), Arc::clone(&signs));
        let mut said = String::new();
        io.read_to_string(&mut said).await.unwrap();
        assert!(said == "whole" && signs.has_heard() && !signs.is_lost());
        signs.clear_heard();
        assert!(!signs.has_heard());
    }
}
