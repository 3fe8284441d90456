//! Graceful end of an HTTP/2 connection (RFC 9113 section 6.8).
//!
//! The HTTP library's graceful shutdown breaks many clients. Java, undici and httpx give up calls in flight at any
//! GOAWAY, and httpx fails at any frame after one, and at a GOAWAY that names no stream. So a connection ends when it
//! is quiet, by one GOAWAY that names its last stream. If it never is quiet, a first GOAWAY that names no stream goes
//! out in one write with the end of a response, and requests that cross it are still answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::h2_flood::FrameCounter;
use crate::gateway::connection::drain::Drain;

/// Most bytes to gather before a write.
const GATHERED: usize = 64 * 1024;

/// Highest stream id.
const NO_STREAM: u32 = 0x7fff_ffff;

/// Progress of the end, and bytes to write before and with it.
#[derive(Debug, Default)]
pub(super) struct GoAway {
    is_announced: bool,
    is_over: bool,
    /// True if the response on the last open stream has ended since this began.
    has_answered: bool,
    gathered: Vec<u8>,
    written: usize,
}

impl GoAway {
    /// True if the final GOAWAY has been written or queued.
    pub(in crate::server) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Queues the first GOAWAY if it is due. Returns whether it was.
    pub(in crate::server) fn advance(&mut self, wish: Drain, frames: &mut FrameCounter) -> bool {
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

    /// Queues the final GOAWAY if no stream is open.
    pub(super) fn close_if_idle(&mut self, frames: &mut FrameCounter) {
        if !self.is_over && frames.is_between_answers() && !frames.has_open_streams() {
            self.is_over = true;
            self.add(frames, frames.last_stream());
        }
    }

    fn add(&mut self, frames: &mut FrameCounter, last: u32) {
        let frame = FrameCounter::goaway(last, 0);
        frames.sent(&frame);
        self.gathered.extend_from_slice(&frame);
    }

    /// Takes what the library writes; discards what it writes after the final GOAWAY.
    pub(super) fn poll_gather<Stream: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        frames: &mut FrameCounter,
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

    /// Writes all that is queued.
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
