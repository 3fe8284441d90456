//! A caller's bytes: seen on their way to and from the HTTP parser.
//!
//! Five things need the bytes themselves: the head as it was sent (the parser forgives what must not be forgiven),
//! writes that get stuck, the parser's own answers, which say nothing and are replaced by ours, the end: a
//! connection that is closed while the caller still sends would be reset, and the answer lost with it;
//! and the frames of HTTP/2, of which the library takes any number.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::frames::{Fault, Frames};
use crate::gateway::Gateway;
use crate::gateway::connection::Connection;
use crate::refusal::Refusal;

/// A stream of a caller's bytes.
pub(super) struct Wire<Stream> {
    stream: Stream,
    connection: Rc<Connection>,
    /// Only HTTP/1.1 has heads to look at and answers to replace.
    gateway: Option<Rc<Gateway>>,
    replacement: Option<Replacement>,
    lingering: Option<Lingering>,
    /// Only of HTTP/2.
    frames: Option<Box<Frames>>,
}

/// How long the rest of a request is taken and thrown away after its answer.
const LINGER: Duration = Duration::from_secs(3);
/// And how much of it.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

struct Lingering {
    until: Pin<Box<Sleep>>,
    left: usize,
}

/// An answer of ours that goes out in the place of one of the parser's.
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    /// How many bytes of the parser's it stands for.
    stands_for: usize,
}

impl<Stream> Wire<Stream> {
    /// HTTP/1.1.
    pub(super) fn http1(stream: Stream, connection: Rc<Connection>, gateway: Rc<Gateway>) -> Self {
        Self { stream, connection, gateway: Some(gateway), replacement: None, lingering: None, frames: None }
    }

    /// HTTP/2.
    pub(super) fn http2(stream: Stream, connection: Rc<Connection>) -> Self {
        let frames = Some(Box::new(Frames::new(Instant::now())));
        Self { stream, connection, gateway: None, replacement: None, lingering: None, frames }
    }

    /// The stream itself, where nothing is on its way any more.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// What goes out for these bytes, where they are the parser's own: where no answer of ours is on its way, only the
    /// parser has anything to write, and that is never told from the bytes.
    fn replacement(&self, bytes: &[u8]) -> Option<Replacement> {
        let gateway = self.gateway.as_ref().filter(|_| !self.connection.is_answering())?;
        let refusal = reason(bytes);
        let ours = gateway.refuse_unparsed(Rc::clone(&self.connection), refusal);
        Some(Replacement { bytes: ours, written: 0, stands_for: bytes.len() })
    }

    fn noted<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.connection.write_is_stuck(outcome.is_pending());
        outcome
    }
}

/// The refusal for which the parser has answered so.
fn reason(answer: &[u8]) -> Refusal {
    match answer.get(..12) {
        Some(b"HTTP/1.1 414") => Refusal::TargetTooLong,
        Some(b"HTTP/1.1 431") => Refusal::HeadTooLarge,
        _ => Refusal::MalformedRequest,
    }
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<Stream> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if this.gateway.is_some() {
            this.connection.bytes_read(&buffer.filled()[before..]);
        }
        if let Some(frames) = &mut this.frames {
            if let Err(fault) = frames.received(&buffer.filled()[before..], Instant::now) {
                return Poll::Ready(Err(this.broken(fault, context)));
            }
            this.connection.frames_moved(frames.is_in_head(), frames.has_open_streams());
        }
        Poll::Ready(Ok(()))
    }
}

impl<Stream: AsyncWrite + Unpin> Wire<Stream> {
    /// Says why, where that can be said at once, and ends the connection.
    fn broken(&mut self, fault: Fault, context: &mut Context<'_>) -> io::Error {
        self.connection.broken(fault.word());
        if let Some(farewell) = self.frames.as_ref().and_then(|frames| frames.farewell(fault)) {
            let _ = Pin::new(&mut self.stream).poll_write(context, &farewell);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        io::Error::other(fault.word())
    }

    /// Notes what was written of these pieces.
    fn frames_sent<'a>(&mut self, written: usize, pieces: impl IntoIterator<Item = &'a [u8]>) {
        let Some(frames) = &mut self.frames else { return };
        let mut left = written;
        for piece in pieces {
            let sent = &piece[..piece.len().min(left)];
            frames.sent(sent);
            left -= sent.len();
        }
        self.connection.frames_moved(frames.is_in_head(), frames.has_open_streams());
    }

    fn poll_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(replacement) = &mut self.replacement else { return Poll::Ready(Ok(0)) };
        while replacement.written < replacement.bytes.len() {
            let left = &replacement.bytes[replacement.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => replacement.written += written,
            }
        }
        let stands_for = replacement.stands_for;
        self.replacement = None;
        Poll::Ready(Ok(stands_for))
    }
}

impl<Stream: AsyncRead + Unpin> Wire<Stream> {
    /// Reads until the caller has closed its side too, within bounds.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering =
            self.lingering.get_or_insert_with(|| Lingering { until: Box::pin(sleep(LINGER)), left: LINGER_BYTES });
        let mut waste = [0; 8 * 1024];
        while lingering.left > 0 && lingering.until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut waste);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(buffer.filled().len())
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<Stream> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_none() {
            this.replacement = this.replacement(bytes);
        }
        let outcome = if this.replacement.is_some() {
            this.poll_replacement(context)
        } else {
            Pin::new(&mut this.stream).poll_write(context, bytes)
        };
        if let Poll::Ready(Ok(written)) = outcome {
            this.frames_sent(written, [bytes]);
        }
        this.noted(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        if this.replacement.is_none() {
            this.replacement = this.replacement(first);
        }
        let outcome = if this.replacement.is_some() {
            this.poll_replacement(context)
        } else {
            Pin::new(&mut this.stream).poll_write_vectored(context, slices)
        };
        if let Poll::Ready(Ok(written)) = outcome {
            this.frames_sent(written, slices.iter().map(|slice| &**slice));
        }
        this.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The parser asks for it once it has written all that it had.
        this.connection.all_written();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.noted(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        if this.gateway.is_some() && this.connection.has_unread() {
            ready!(this.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
