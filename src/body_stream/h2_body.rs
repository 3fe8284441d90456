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
}

impl H2Body {
    /// The body of a request with this `Content-Length`.
    pub fn new(frames: RecvStream, announced: Option<u64>) -> Self {
        Self { frames, announced, is_data_over: false }
    }
}

impl Body for H2Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if !this.is_data_over {
            match ready!(this.frames.poll_data(context)) {
                Some(Ok(data)) => {
                    // Fails only where the stream is gone, which the next frame tells.
                    let _ = this.frames.flow_control().release_capacity(data.len());
                    this.announced = this.announced.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                None => this.is_data_over = true,
            }
        }
        Poll::Ready(match ready!(this.frames.poll_trailers(context)) {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            // Only an end that was sent makes a body whole.
            Ok(None) => (!this.frames.is_end_stream()).then_some(Err(Broken)),
            Err(_) => Some(Err(Broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
