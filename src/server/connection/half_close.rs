//! Callers that end their direction behind a request and read on, as `nc` and old clients do: they get their answer.
//!
//! One that goes away looks alike at first. Over TLS, close_notify ends a direction, and only then the connection ends;
//! without TLS the end is the same, but what is sent to a caller that is gone is answered with a reset. So it is asked by
//! an interim answer, 100 Continue, which every client of HTTP/1.1 understands (RFC 9110 section 15.2).

use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{io, net};

use tokio::io::{AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::gateway::connection::Connection;
use crate::socket::Socket;

/// What asks whether anybody is there.
const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Watches for the end of a caller that has ended its direction.
pub(in crate::server) struct Watch {
    question: &'static [u8],
    /// Bytes of it that are written.
    asked: usize,
    gone: Pin<Box<dyn Future<Output = ()>>>,
}

/// Stream of a caller that may end its direction alone.
pub(in crate::server) trait HalfClose {
    /// Watches for the end of the caller; `None` where it is the same as that of its direction.
    fn watch(&self) -> Option<Watch>;

    /// Lets the connection end with a reset, where only its end tells the caller that all of a response has come. TLS
    /// tells it by close_notify.
    fn end_by_reset(&self) {}
}

impl HalfClose for Socket {
    fn watch(&self) -> Option<Watch> {
        let socket = duplicate(&self.0).ok()?;
        let gone = async move { drop(socket.ready(Interest::ERROR).await) };
        Some(Watch { question: QUESTION, asked: 0, gone: Box::pin(gone) })
    }

    fn end_by_reset(&self) {
        drop(self.0.set_zero_linger());
    }
}

impl HalfClose for TlsStream<Socket> {
    fn watch(&self) -> Option<Watch> {
        let socket = duplicate(&self.get_ref().0.0).ok()?;
        // Nothing but the end follows close_notify.
        let gone = async move { drop(socket.peek(&mut [0]).await) };
        Some(Watch { question: b"", asked: 0, gone: Box::pin(gone) })
    }
}

impl<Stream: HalfClose> HalfClose for Box<Stream> {
    fn watch(&self) -> Option<Watch> {
        (**self).watch()
    }

    fn end_by_reset(&self) {
        (**self).end_by_reset();
    }
}

/// From the process before, which reads from the caller.
impl HalfClose for UnixStream {
    fn watch(&self) -> Option<Watch> {
        None
    }
}

impl Watch {
    /// Begins, where the answer may still come; then nothing follows it.
    pub(super) fn begin(mut self, connection: &Connection, is_in_answer: bool) -> Option<Self> {
        if is_in_answer && !self.question.is_empty() {
            return None;
        }
        if !connection.takes_interim() {
            self.question = b"";
        }
        connection.end_soon();
        Some(self)
    }

    /// Writes as much of the question as there is room for.
    pub(super) fn poll_ask(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        while self.asked < self.question.len() {
            match Pin::new(&mut *stream).poll_write(context, &self.question[self.asked..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => self.asked += count,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Ready once the answer may be written: behind a question that has been begun.
    pub(super) fn poll_answer(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.asked == 0 {
            self.question = b"";
        }
        self.poll_ask(stream, context)?;
        if self.asked < self.question.len() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Ready once the caller is gone.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.gone.as_mut().poll(context)
    }
}

/// The same socket once more, to be watched by itself.
fn duplicate(socket: &TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(net::TcpStream::from(socket.as_fd().try_clone_to_owned()?))
}
