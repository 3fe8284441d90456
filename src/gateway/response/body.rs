//! The body of a response, with the record of its request, which closes when the body ends, however it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::{Body, Frame, SizeHint};

use super::event_stream::EventStream;
use super::trailers;
use crate::backend::fault::FaultNote;
use crate::backend::pool::response_body::AnswerBody;
use crate::body_stream::Broken;
use crate::fields::{self, FieldSet};
use crate::gateway::observe::record::Record;

/// The body of a response.
pub(crate) struct ResponseBody {
    content: Content,
    record: Option<Box<Record>>,
}

enum Content {
    Full(Bytes),
    /// With trailers behind it.
    Trailed(Bytes, Option<HeaderMap>),
    /// Trailers of these names do not pass, beside those that never do.
    Backend(Box<AnswerBody>, Option<Arc<FieldSet>>),
    /// The same for an event stream.
    Events(Box<EventStream>, Option<Arc<FieldSet>>),
}

impl ResponseBody {
    /// A body of these bytes; may be empty.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Full(bytes.into()), record: None }
    }

    /// A body of these bytes, with trailers.
    pub(crate) fn trailed(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self { content: Content::Trailed(bytes, Some(trailers)), record: None }
    }

    /// A backend's body. Trailers of names that are `ruled` do not pass.
    pub(crate) fn backend(body: AnswerBody, ruled: Option<Arc<FieldSet>>) -> Self {
        Self { content: Content::Backend(Box::new(body), ruled), record: None }
    }

    /// A backend's event stream, under the same rule.
    pub(crate) fn events(body: EventStream, ruled: Option<Arc<FieldSet>>) -> Self {
        Self { content: Content::Events(Box::new(body), ruled), record: None }
    }

    /// The backend server that it comes from.
    pub(crate) fn server(&self) -> Option<&str> {
        match &self.content {
            Content::Backend(body, _) => Some(body.server()),
            Content::Events(body, _) => Some(body.backend().server()),
            Content::Full(_) | Content::Trailed(..) => None,
        }
    }

    /// Notes what its server did that ended it early.
    pub(crate) fn note_broken_off(&self, note: &FaultNote) {
        match &self.content {
            Content::Backend(body, _) => body.note_broken_off(note),
            Content::Events(body, _) => body.backend().note_broken_off(note),
            Content::Full(_) | Content::Trailed(..) => {}
        }
    }

    /// The deadline of the exchange.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.record.as_ref().map(|record| record.until)
    }

    /// Attaches the record of its request.
    pub(crate) fn recorded(self, record: Box<Record>) -> Self {
        let mut body = Self { content: self.content, record: Some(record) };
        // Whoever sees an empty body does not ask for its end.
        if body.is_end_stream()
            && let Some(record) = &mut body.record
        {
            record.completed();
        }
        body
    }
}

/// The response to HEAD: it keeps the length of the content, and drops the content (RFC 9110 section 9.3.2).
pub(crate) fn without_content(answer: Response<ResponseBody>) -> Response<ResponseBody> {
    let (mut head, body) = answer.into_parts();
    let Content::Full(content) = &body.content else { return Response::from_parts(head, body) };
    if !content.is_empty() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| content.len().into());
    }
    Response::from_parts(head, ResponseBody::full(""))
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let frame = match &mut this.content {
            Content::Full(bytes) if bytes.is_empty() => None,
            Content::Full(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Trailed(bytes, trailers) if bytes.is_empty() => {
                trailers.take().map(|all| Ok(Frame::trailers(all)))
            }
            Content::Trailed(bytes, _) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Backend(body, ruled) => {
                passed(ready!(Pin::new(&mut **body).poll_frame(context)), ruled.as_deref())
            }
            Content::Events(body, ruled) => passed(ready!(Pin::new(&mut **body).poll_frame(context)), ruled.as_deref()),
        };
        let ended = this.is_end_stream();
        if let Some(Err(Broken)) = &frame {
            let body = match &this.content {
                Content::Backend(body, _) => Some(&**body),
                Content::Events(body, _) => Some(body.backend()),
                Content::Full(_) | Content::Trailed(..) => None,
            };
            if let (Some(body), Some(record)) = (body, &mut this.record) {
                record.broke_off(body);
            }
        }
        if let Some(record) = &mut this.record {
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                record.passed(data.len());
            }
            if frame.is_none() || (ended && !matches!(frame, Some(Err(_)))) {
                record.completed();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_empty(),
            Content::Trailed(bytes, trailers) => bytes.is_empty() && trailers.is_none(),
            Content::Backend(body, _) => body.is_end_stream(),
            Content::Events(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) | Content::Trailed(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Content::Backend(body, _) => body.size_hint(),
            Content::Events(body, _) => body.size_hint(),
        }
    }
}

/// A frame of a backend's response, without trailers that may not pass.
fn passed(
    frame: Option<Result<Frame<Bytes>, Broken>>,
    ruled: Option<&FieldSet>,
) -> Option<Result<Frame<Bytes>, Broken>> {
    match frame {
        Some(Ok(frame)) if frame.is_trailers() => filtered(frame, ruled).map(Ok),
        frame => frame,
    }
}

/// The trailers that may pass; `None` where none may.
fn filtered(frame: Frame<Bytes>, ruled: Option<&FieldSet>) -> Option<Frame<Bytes>> {
    let received = frame.into_trailers().unwrap_or_default();
    let mut kept = HeaderMap::new();
    for (name, value) in received.iter().filter(|(name, _)| trailers::may_pass(name, ruled)) {
        kept.append(name.clone(), value.clone());
    }
    fields::trim(&mut kept);
    (!kept.is_empty()).then(|| Frame::trailers(kept))
}
