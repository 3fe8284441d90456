//! The end of an HTTP/2 connection, in two steps (RFC 9113 section 6.8).
//!
//! The first GOAWAY names no stream: what crosses it on the way is still answered. The second names the last stream that
//! was, and the connection is closed. The HTTP library has such an end too, which many clients do not survive: Java,
//! undici and httpx give up calls in flight at any GOAWAY, and httpx fails at any other frame behind one. So the first
//! one is sent where no stream is open, in one write with the end of the last answer, and nothing between the two but
//! answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::frames::Frames;
use crate::gateway::connection::Goodbye;

/// So much is gathered before it is written.
const GATHERED: usize = 64 * 1024;

/// The highest stream that there can be.
const NO_STREAM: u32 = 0x7fff_ffff;

/// How far the end is, and what is to be written of it and before it.
#[derive(Debug, Default)]
pub(super) struct GoAway {
    is_announced: bool,
    is_over: bool,
    gathered: Vec<u8>,
    written: usize,
}

impl GoAway {
    /// Whether the last frame has been written, or is about to be.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Adds the frame that is due. Returns whether the first one has been added now.
    pub(super) fn advance(&mut self, wish: Goodbye, frames: &mut Frames) -> bool {
        if self.is_over || !frames.is_between_answers() {
            return false;
        }
        let is_idle = !frames.has_open_streams();
        if !self.is_announced && (wish == Goodbye::Now || is_idle && wish != Goodbye::None) {
            self.is_announced = true;
            self.add(frames, NO_STREAM);
            return true;
        }
        if self.is_announced && is_idle && wish == Goodbye::Close {
            self.is_over = true;
            self.add(frames, frames.last_stream());
        }
        false
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
        frames.sent(bytes);
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Writes all that has been gathered.
    pub(super) fn poll_write<Stream: AsyncWrite + Unpin>(
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
