//! HTTP/2 streams: each request a task of its worker, its response sent as the caller's windows allow.
//!
//! Streams share a connection, so neither a stuck write nor a deadline of the connection shows that one response is not
//! read. The sign is a chunk of its body for which the windows have no room.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, Response, header};
use http_body::{Body as _, Frame};
use tokio::sync::oneshot;

use crate::body_stream::{Broken, Pace, Stall};
use crate::gateway::Answer;
use crate::gateway::request::request_id::REQUEST_ID;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::response::date::date;
use crate::gateway::websocket::caller_stream::CallerStream;

/// Fields whose value is another one in each response. They are sent without indexing (RFC 7541 section 6.2.3): in the
/// table of the connection they would displace those that come again, and each would be compared with all before it.
const NEW_EACH_TIME: [HeaderName; 2] = [REQUEST_ID, HeaderName::from_static("ratelimit")];

/// What an extended CONNECT becomes with a 2xx (RFC 8441 section 5).
pub(in crate::server) struct Connect {
    pub(in crate::server) received: RecvStream,
    pub(in crate::server) stream: oneshot::Sender<CallerStream>,
}

/// Waits for the answer. `None`: the caller has reset the stream.
pub(in crate::server) async fn answered(
    mut answering: Pin<&mut impl Future<Output = Answer>>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Answer> {
    poll_fn(|context| match answering.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => respond.poll_reset(context).map(|_| None),
    })
    .await
}

/// Sends a response. Each chunk of its body may wait for `pause`.
pub(in crate::server) async fn send(
    answer: Answer,
    mut respond: SendResponse<Bytes>,
    connect: Option<Connect>,
    pause: Duration,
) {
    let (parts, body) = answer.into_parts();
    let mut head = Response::from_parts(parts, ());
    let is_tunnel = connect.is_some() && head.status().is_success();
    complete(head.headers_mut(), &body, is_tunnel);
    // Those of backends are gone; what the gateway says of HTTP/1.1 has no place here (RFC 9113 section 8.2.2).
    if !head.status().is_success() {
        for name in [header::CONNECTION, header::UPGRADE] {
            head.headers_mut().remove(name);
        }
    }
    let is_last = body.is_end_stream() && !is_tunnel;
    let Ok(stream) = respond.send_response(head, is_last) else { return respond.send_reset(Reason::INTERNAL_ERROR) };
    match connect {
        Some(connect) if is_tunnel => {
            // Nobody is there to take it where the gateway has answered by itself.
            let _ = connect.stream.send(CallerStream::new(connect.received, stream));
        }
        _ if is_last => {}
        _ => Sending { stream, stall: body.until().map(|until| Stall::new(Pace { pause, until })), body }.run().await,
    }
}

/// Adds `Date`, and `Content-Length` where it is known; a tunnel has none (RFC 9110 section 9.3.6).
fn complete(headers: &mut HeaderMap, body: &ResponseBody, is_tunnel: bool) {
    headers.entry(header::DATE).or_insert_with(date);
    for name in NEW_EACH_TIME {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
    if is_tunnel {
        headers.remove(header::CONTENT_LENGTH);
    } else if !body.is_end_stream()
        && let Some(length) = body.size_hint().exact()
    {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

/// A response whose body is on its way. Dropped before its end, it resets the stream.
struct Sending {
    stream: SendStream<Bytes>,
    body: ResponseBody,
    stall: Option<Stall>,
}

impl Sending {
    /// Sends the body, and returns early where the caller resets the stream or does not read.
    async fn run(mut self) {
        while let Some(frame) = poll_fn(|context| self.poll_frame(context)).await {
            let Ok(frame) = frame else { return self.stream.send_reset(Reason::INTERNAL_ERROR) };
            match frame.into_data() {
                Ok(data) => {
                    let is_last = self.body.is_end_stream();
                    if !data.is_empty() && !poll_fn(|context| self.poll_room(context)).await {
                        return;
                    }
                    if self.stream.send_data(data, is_last).is_err() || is_last {
                        return;
                    }
                }
                Err(frame) => {
                    let _ = self.stream.send_trailers(frame.into_trailers().unwrap_or_default());
                    return;
                }
            }
        }
        let _ = self.stream.send_data(Bytes::new(), true);
    }

    /// The next frame of the body; none once the caller has reset the stream.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => self.stream.poll_reset(context).map(|_| None),
            frame => frame,
        }
    }

    /// Waits until the windows have room; false where the caller has reset the stream, or does not read. Asks for one
    /// byte only: what streams that wait ask for is kept from the others.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.stream.capacity() == 0 {
            self.stream.reserve_capacity(1);
        }
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {
                    let stall = self.stall.as_mut();
                    return stall.map_or(Poll::Pending, |stall| stall.poll(context).map(|()| false));
                }
            }
        }
        if let Some(stall) = &mut self.stall {
            stall.rest();
        }
        Poll::Ready(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_new_in_each_response_is_not_indexed() {
        let mut headers = HeaderMap::new();
        for name in ["x-request-id", "ratelimit", "server"] {
            headers.insert(name, http::HeaderValue::from_static("one"));
        }
        complete(&mut headers, &ResponseBody::full("four"), false);
        let indexed = |name: &str| headers.get(name).map(|value| !value.is_sensitive());
        assert_eq!(["x-request-id", "ratelimit", "server"].map(indexed), [Some(false), Some(false), Some(true)]);
        assert_eq!(headers.get("content-length").map(|length| length.as_bytes()), Some(&b"4"[..]));
        assert!(headers.contains_key("date"));
    }
}
