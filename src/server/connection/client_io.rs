//! A caller's bytes: seen on their way to and from the HTTP parser.
//!
//! Five things need the bytes themselves: the head as it was sent (the parser forgives what must not be forgiven),
//! writes that get stuck, the parser's own answers, which say nothing and are replaced by ours, the end: a
//! connection that is closed while the caller still sends would be reset, and the answer lost with it;
//! and the frames of HTTP/2, of which the library takes any number and sends some that callers do not survive.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::goaway::GoAway;
use super::h2_flood::{Fault, Frames};
use crate::gateway::Gateway;
use crate::gateway::connection::Connection;
use crate::gateway::connection::drain::Drain;
use crate::refusal::Refusal;

/// A stream of a caller's bytes.
pub(in crate::server) struct Wire<Stream> {
    stream: Stream,
    connection: Rc<Connection>,
    /// Only HTTP/1.1 has heads to look at and answers to replace.
    gateway: Option<Rc<Gateway>>,
    replacement: Option<Replacement>,
    lingering: Option<Lingering>,
    http2: Option<Box<Http2>>,
}

/// What only HTTP/2 needs.
struct Http2 {
    frames: Frames,
    goaway: GoAway,
}

/// How long the rest of a request is taken and thrown away after its answer.
const LINGER: Duration = Duration::from_secs(3);
/// The same after the last GOAWAY: what still comes was never taken, and its caller knows that.
const LINGER_GONE: Duration = Duration::from_millis(500);
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
    pub(in crate::server) fn http1(stream: Stream, connection: Rc<Connection>, gateway: Rc<Gateway>) -> Self {
        Self { stream, connection, gateway: Some(gateway), replacement: None, lingering: None, http2: None }
    }

    /// HTTP/2.
    pub(in crate::server) fn http2(stream: Stream, connection: Rc<Connection>) -> Self {
        let http2 = Some(Box::new(Http2 {
            frames: Frames::new(Instant::now(), !connection.is_of_one_caller()),
            goaway: GoAway::default(),
        }));
        Self { stream, connection, gateway: None, replacement: None, lingering: None, http2 }
    }

    /// The stream itself, where nothing is on its way any more.
    pub(in crate::server) fn into_stream(self) -> Stream {
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
        // The library closes a connection whose caller has nothing more to say.
        if this.has_gone() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if Pin::new(&mut this.stream).poll_read(context, buffer)?.is_pending() {
            // Only here is it sure that no call has come already.
            if this.goes_away() {
                this.close_if_idle();
                if let Poll::Ready(Err(error)) = this.poll_goaway(context) {
                    return Poll::Ready(Err(error));
                }
            }
            return if this.has_gone() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if this.gateway.is_some() {
            this.connection.bytes_read(&buffer.filled()[before..]);
            if this.connection.is_broken() {
                // The parser would take more of it, for as long as it comes.
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        if let Some(http2) = &mut this.http2 {
            let frames = &mut http2.frames;
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
        self.connection.broken(fault.as_str());
        if let Some(farewell) = self.http2.as_ref().and_then(|http2| http2.frames.farewell(fault)) {
            let _ = Pin::new(&mut self.stream).poll_write(context, &farewell);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        io::Error::other(fault.as_str())
    }

    /// Notes what was written of these pieces.
    fn frames_sent<'a>(&mut self, written: usize, pieces: impl IntoIterator<Item = &'a [u8]>) {
        let Some(http2) = &mut self.http2 else { return };
        let frames = &mut http2.frames;
        let mut left = written;
        for piece in pieces {
            let sent = &piece[..piece.len().min(left)];
            frames.sent(sent);
            left -= sent.len();
        }
        self.connection.frames_moved(frames.is_in_head(), frames.has_open_streams());
    }

    /// Whether the connection is to end, and this is HTTP/2.
    fn goes_away(&self) -> bool {
        self.http2.is_some() && self.connection.drain() != Drain::None
    }

    /// Whether the caller has been told which stream was the last.
    fn has_gone(&self) -> bool {
        self.http2.as_ref().is_some_and(|http2| http2.goaway.is_over())
    }

    /// Says which stream was the last, where the connection is to be closed and none is open.
    fn close_if_idle(&mut self) {
        if let Some(http2) = &mut self.http2
            && self.connection.drain() == Drain::Close
        {
            http2.goaway.close_if_idle(&mut http2.frames);
        }
    }

    /// Says what is due of the end, and writes all that is to be written before.
    fn poll_goaway(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(http2) = &mut self.http2 else { return Poll::Ready(Ok(())) };
        let Http2 { frames, goaway } = &mut **http2;
        if goaway.advance(self.connection.drain(), frames) {
            self.connection.note_goaway();
        }
        ready!(goaway.poll_write(&mut self.stream, context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Gathers what the library writes, to be written together with the frame that follows.
    fn poll_gather(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(http2) = &mut self.http2 else { return Poll::Ready(Ok(bytes.len())) };
        let Http2 { frames, goaway } = &mut **http2;
        let gathered = goaway.poll_gather(&mut self.stream, context, frames, bytes);
        self.connection.frames_moved(frames.is_in_head(), frames.has_open_streams());
        gathered
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
        let patience = if self.http2.is_some() { LINGER_GONE } else { LINGER };
        let lingering =
            self.lingering.get_or_insert_with(|| Lingering { until: Box::pin(sleep(patience)), left: LINGER_BYTES });
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
        if this.goes_away() {
            let outcome = this.poll_gather(context, bytes);
            return this.noted(outcome);
        }
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
        if this.goes_away() {
            let outcome = this.poll_gather(context, first);
            return this.noted(outcome);
        }
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
        let outcome =
            if this.goes_away() { this.poll_goaway(context) } else { Pin::new(&mut this.stream).poll_flush(context) };
        this.noted(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            if this.goes_away() {
                ready!(this.poll_goaway(context))?;
            }
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        if this.has_gone() || this.gateway.is_some() && this.connection.has_unread() {
            ready!(this.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
