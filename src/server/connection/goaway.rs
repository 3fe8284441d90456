//! The end of an HTTP/2 connection (RFC 9113 section 6.8).
//!
//! The HTTP library has an end of its own, which many clients do not survive. Java, undici and httpx give up calls in
//! flight at any GOAWAY, and httpx fails at any other frame behind one, and at a GOAWAY that names no stream. So a
//! connection ends where it has been quiet, by one GOAWAY that names its last stream. Where it never is quiet, a first
//! GOAWAY that names no stream goes out in one write with the end of an answer, and what crosses it is still answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::h2_flood::Frames;
use crate::gateway::connection::drain::Drain;

/// So much is gathered before it is written.
const GATHERED: usize = 64 * 1024;

/// The highest stream that there can be.
const NO_STREAM: u32 = 0x7fff_ffff;

/// How far the end is, and what is to be written of it and before it.
#[derive(Debug, Default)]
pub(super) struct GoAway {
    is_announced: bool,
    is_over: bool,
    /// Whether the answer on the last open stream has ended since this began.
    has_answered: bool,
    gathered: Vec<u8>,
    written: usize,
}

impl GoAway {
    /// Whether the last frame has been written, or is about to be.
    pub(in crate::server) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Adds the first frame, where it is due. Returns whether it was.
    pub(in crate::server) fn advance(&mut self, wish: Drain, frames: &mut Frames) -> bool {
        if self.is_over || !frames.is_between_answers() {
            return false;
        }
        let is_idle = !frames.has_open_streams();
        let is_first_due = wish == Drain::Now || wish == Drain::AfterNext && is_idle && self.has_answered;
        if is_first_due && !self.is_announced {
            self.is_announced = true;
            self.add(frames, NO_STREAM);
            return true;
        }
        false
    }

    /// Adds the last frame, where no stream is open.
    pub(super) fn close_if_idle(&mut self, frames: &mut Frames) {
        if !self.is_over && frames.is_between_answers() && !frames.has_open_streams() {
            self.is_over = true;
            self.add(frames, frames.last_stream());
        }
    }

    fn add(&mut self, frames: &mut Frames, last: u32) {
        let frame = Frames::goaway(last, 0);
        frames.sent(&frame);
        self.gathered.extend_from_slice(&frame);
    }

    /// Takes what the library writes. What it writes behind the last frame is nobody's.
    pub(super) fn poll_gather<Stream: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        frames: &mut Frames,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over {
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.gathered.len() >= GATHERED {
            ready!(self.poll_write(stream, context))?;
        }
        let was_open = frames.has_open_streams();
        frames.sent(bytes);
        self.has_answered |= was_open && !frames.has_open_streams();
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Writes all that has been gathered.
    pub(in crate::server) fn poll_write<Stream: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            match ready!(Pin::new(&mut *stream).poll_write(context, &self.gathered[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}
