//! A connection to a server, read on after it could no longer be written to.
//!
//! A server may answer before it has read the whole request, and close (RFC 9112 section 9.5). Then the next write fails,
//! while the answer may still be waiting to be read. The HTTP library takes a failed write for the end of everything; so
//! it is not told of it, what it writes from then on is thrown away, and it sees the end where reading ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of bytes to and from a server.
pub(super) struct BackendIo<IO> {
    io: IO,
    signs: Arc<Signs>,
    /// Why nothing can be written any more.
    lost: Option<io::ErrorKind>,
}

/// What has been seen on a connection.
#[derive(Debug, Default)]
pub(super) struct Signs {
    heard: AtomicBool,
    lost: AtomicBool,
}

impl Signs {
    /// Begins to listen anew.
    pub(super) fn clear_heard(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    /// Whether the server has said anything since.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether nothing can be sent on it any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<IO> BackendIo<IO> {
    /// Puts its signs where `signs` are.
    pub(in crate::backend) fn new(io: IO, signs: Arc<Signs>) -> Self {
        Self { io, signs, lost: None }
    }

    /// Takes a failed write for one of so many bytes.
    fn forgiven<T>(&mut self, written: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a backend takes no more of a request");
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

    /// What a server had said before it reset the connection.
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
