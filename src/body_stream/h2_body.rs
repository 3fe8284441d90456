//! The body of an HTTP/2 request: DATA frames, then trailers (RFC 9113 section 8.1).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

use super::Broken;

/// A body that gives its window back as it is read. Dropped before its end, it resets the stream.
#[derive(Debug)]
pub struct H2Body {
    frames: RecvStream,
    /// Bytes left of `Content-Length`, to which the library holds the frames.
    announced: Option<u64>,
    is_data_over: bool,
    /// What came before it was asked for.
    ahead: Option<Result<Bytes, Broken>>,
}

impl H2Body {
    /// The body of a request with this `Content-Length`.
    pub fn new(frames: RecvStream, announced: Option<u64>) -> Self {
        Self { frames, announced, is_data_over: false, ahead: None }
    }

    /// Reads on to its first byte or its end, past empty DATA frames.
    pub fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.ahead.is_none() && !self.is_data_over {
            self.ahead = ready!(self.poll_data(context)).filter(|data| !matches!(data, Ok(data) if data.is_empty()));
        }
        Poll::Ready(())
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let data = ready!(self.frames.poll_data(context));
        Poll::Ready(match data {
            Some(Ok(data)) => {
                // Fails only where the stream is gone, which the next frame tells.
                let _ = self.frames.flow_control().release_capacity(data.len());
                self.announced = self.announced.map(|left| left.saturating_sub(data.len() as u64));
                Some(Ok(data))
            }
            Some(Err(_)) => Some(Err(Broken)),
            None => {
                self.is_data_over = true;
                None
            }
        })
    }
}

impl Body for H2Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Some(ahead) = this.ahead.take() {
            return Poll::Ready(Some(ahead.map(Frame::data)));
        }
        if !this.is_data_over
            && let Some(data) = ready!(this.poll_data(context))
        {
            return Poll::Ready(Some(data.map(Frame::data)));
        }
        Poll::Ready(match ready!(this.frames.poll_trailers(context)) {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            // Only an end that was sent makes a body whole.
            Ok(None) => (!this.frames.is_end_stream()).then_some(Err(Broken)),
            Err(_) => Some(Err(Broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.frames.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
