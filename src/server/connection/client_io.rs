//! Byte stream of a client connection, inspected between socket and HTTP parser.
//!
//! Needed for: the raw request head (the parser is too lenient), stuck writes, the parser's own error responses, which
//! are replaced by ours, a lingering close (a connection that is closed while the caller still sends is reset, and the
//! response lost), and HTTP/2 frames, of which the library accepts any number and sends some that clients do not
//! survive.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::goaway::GoAway;
use super::h2_flood::{FloodFault, FrameCounter};
use super::half_close::{HalfClose, Watch};
use crate::gateway::Gateway;
use crate::gateway::connection::Connection;
use crate::gateway::connection::drain::Drain;
use crate::refusal::Refusal;

/// Byte stream of a client connection.
pub(in crate::server) struct ClientIo<Stream> {
    stream: Stream,
    connection: Rc<Connection>,
    /// HTTP/1.1 only: checks heads and replaces the parser's responses.
    gateway: Option<Rc<Gateway>>,
    replacement: Option<Replacement>,
    lingering: Option<Lingering>,
    http2: Option<Box<Http2>>,
    /// HTTP/1.1 only: how the end of a caller is told from the end of its direction.
    watch: Option<fn(&Stream) -> Option<Watch>>,
    /// The caller has ended its direction, and waits for its answer.
    half_closed: Option<Box<Watch>>,
    /// Bytes of the present answer have been written.
    is_in_answer: bool,
}

/// HTTP/2 only: frame counts and GOAWAY.
struct Http2 {
    frames: FrameCounter,
    goaway: GoAway,
}

/// Lingering close: longest time in which the rest of a request is read and discarded.
const LINGER: Duration = Duration::from_secs(3);
/// The same after the last GOAWAY: later requests were not processed, and the caller knows that.
const LINGER_GONE: Duration = Duration::from_millis(500);
/// Lingering close: most bytes.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

struct Lingering {
    until: Pin<Box<Sleep>>,
    left: usize,
}

/// Response that replaces one of the parser's.
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes of the parser's response.
    stands_for: usize,
}

impl<Stream: HalfClose> ClientIo<Stream> {
    /// HTTP/1.1.
    pub(in crate::server) fn http1(stream: Stream, connection: Rc<Connection>, gateway: Rc<Gateway>) -> Self {
        Self {
            stream,
            connection,
            gateway: Some(gateway),
            replacement: None,
            lingering: None,
            http2: None,
            watch: Some(Stream::watch),
            half_closed: None,
            is_in_answer: false,
        }
    }
}

impl<Stream> ClientIo<Stream> {
    /// HTTP/2.
    pub(in crate::server) fn http2(stream: Stream, connection: Rc<Connection>) -> Self {
        let http2 = Some(Box::new(Http2 {
            frames: FrameCounter::new(Instant::now(), !connection.is_of_one_caller()),
            goaway: GoAway::default(),
        }));
        Self {
            stream,
            connection,
            gateway: None,
            replacement: None,
            lingering: None,
            http2,
            watch: None,
            half_closed: None,
            is_in_answer: false,
        }
    }

    /// The stream, once nothing is left to be written.
    pub(in crate::server) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Replacement for these bytes, if they are the parser's own response: without a response of ours in flight only
    /// the parser has anything to write, which the bytes themselves do not show.
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

/// Refusal that corresponds to a response of the parser.
fn reason(answer: &[u8]) -> Refusal {
    match answer.get(..12) {
        Some(b"HTTP/1.1 414") => Refusal::TargetTooLong,
        Some(b"HTTP/1.1 431") => Refusal::HeadTooLarge,
        _ => Refusal::MalformedRequest,
    }
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<Stream> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The library closes a connection whose caller has nothing more to say.
        if this.has_gone() {
            return Poll::Ready(Ok(()));
        }
        if this.half_closed.is_some() {
            return this.poll_gone(context).map(Ok);
        }
        let (before, room) = (buffer.filled().len(), buffer.remaining());
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
            if buffer.remaining() == room && room > 0 && this.waits_for_answer() {
                return this.poll_gone(context).map(Ok);
            }
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

impl<Stream: AsyncWrite + Unpin> ClientIo<Stream> {
    /// Sends GOAWAY with the reason, if possible at once, and ends the connection.
    fn broken(&mut self, fault: FloodFault, context: &mut Context<'_>) -> io::Error {
        self.connection.broken(fault.as_str());
        if let Some(farewell) = self.http2.as_ref().and_then(|http2| http2.frames.farewell(fault)) {
            let _ = Pin::new(&mut self.stream).poll_write(context, &farewell);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        io::Error::other(fault.as_str())
    }

    /// Counts the frames in the written part of these buffers.
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

    /// True if this is HTTP/2 and the connection is to end.
    fn goes_away(&self) -> bool {
        self.http2.is_some() && self.connection.drain() != Drain::None
    }

    /// True once the final GOAWAY has been sent.
    fn has_gone(&self) -> bool {
        self.http2.as_ref().is_some_and(|http2| http2.goaway.is_over())
    }

    /// Queues the final GOAWAY, if the connection is to be closed and no stream is open.
    fn close_if_idle(&mut self) {
        if let Some(http2) = &mut self.http2
            && self.connection.drain() == Drain::Close
        {
            http2.goaway.close_if_idle(&mut http2.frames);
        }
    }

    /// Queues the GOAWAY that is due, and writes all that is queued.
    fn poll_goaway(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(http2) = &mut self.http2 else { return Poll::Ready(Ok(())) };
        let Http2 { frames, goaway } = &mut **http2;
        if goaway.advance(self.connection.drain(), frames) {
            self.connection.note_goaway();
        }
        ready!(goaway.poll_write(&mut self.stream, context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Queues what the library writes, to go out together with the next frame.
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

impl<Stream: AsyncWrite + Unpin> ClientIo<Stream> {
    /// True if the caller has ended its direction here behind a whole request, and may wait for its answer.
    fn waits_for_answer(&mut self) -> bool {
        if !self.connection.owes_answer() {
            return false;
        }
        let watch = self.watch.and_then(|watch| watch(&self.stream));
        self.half_closed = watch.and_then(|watch| watch.begin(&self.connection, self.is_in_answer)).map(Box::new);
        self.half_closed.is_some()
    }

    /// Ready once the caller that has ended its direction is gone, or has its answer: then the library reads the end.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(watch) = &mut self.half_closed else { return Poll::Ready(()) };
        if !self.connection.owes_answer() || watch.poll_ask(&mut self.stream, context).is_err() {
            return Poll::Ready(());
        }
        watch.poll_gone(context)
    }

    /// Writes the rest of a question that stands before the answer.
    fn poll_asked(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_in_answer = true;
        match &mut self.half_closed {
            Some(watch) => watch.poll_answer(&mut self.stream, context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<Stream: AsyncRead + Unpin> ClientIo<Stream> {
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

impl<Stream: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<Stream> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_asked(context))?;
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
        ready!(this.poll_asked(context))?;
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
        this.is_in_answer &= this.connection.is_answering();
        if this.half_closed.is_some() && !this.connection.owes_answer() {
            // The end of the caller's direction is still to be read.
            context.waker().wake_by_ref();
        }
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
