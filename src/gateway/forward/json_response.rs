//! Filtered JSON responses: read whole, reduced by the rules of the route, and written anew. Unreadable content does
//! not pass, as callers may log all that they get (docs/asapp.md, requirement 43).

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response};
use http_body::Body as _;

use crate::gateway::observe::record::Record;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::response::response_framing::{self, AnswerFault};
use crate::gateway::response::text_form::{self, TextForm};
use crate::gateway::{Answer, body_headers, error};
use crate::json_body::member_graph::MemberGraph;
use crate::policy::response::ResponseRules;
use crate::policy::route::Route;
use crate::refusal::Refusal;

/// The filter of one response.
pub(crate) struct ResponseFilter<'a> {
    /// The rules of the route.
    pub(crate) rules: &'a ResponseRules,
    /// Where in a graph the document is, by which members are removed too.
    pub(crate) removed: Option<(&'a MemberGraph, &'a [u32])>,
    /// The caller gets no body.
    pub(crate) is_head: bool,
    /// The route.
    pub(crate) route: &'a Route,
}

impl ResponseFilter<'_> {
    /// The response, filtered.
    ///
    /// # Errors
    /// The body is not JSON, too large, or broke off.
    pub(crate) async fn filtered(&self, answer: Answer, record: &Record) -> Result<Answer, Refusal> {
        let Self { rules, is_head, route, .. } = *self;
        let (mut head, mut body) = answer.into_parts();
        let form = form_of(&head.headers, rules.any_content_type);
        body_headers::remove(&mut head.headers);
        for name in [header::TRAILER, header::ACCEPT_RANGES, header::CONTENT_ENCODING] {
            head.headers.remove(name);
        }
        if !response_framing::has_content(is_head, head.status) {
            if form.is_ok() && response_framing::has_content(false, head.status) {
                announce_json(&mut head.headers);
            }
            return Ok(Response::from_parts(head, ResponseBody::full("")));
        }
        let left = match collected(&mut body, rules.limit).await {
            Ok(bytes) if bytes.is_empty() => Ok(bytes),
            Ok(bytes) => form.and_then(|form| form.in_utf8(bytes, rules.limit)).and_then(|bytes| self.reduced(&bytes)),
            Err(fault) => Err(fault),
        };
        let left = match left {
            Err(fault) if head.status.is_success() => {
                let server = body.server().unwrap_or_default();
                route.backend.log_bad_response(server, &record.request_id, &fault);
                match fault {
                    AnswerFault::BrokeOff => body.note_broken_off(&record.backend_fault),
                    _ => record.backend_fault.note(server, fault.phrase()),
                }
                return Err(fault.into());
            }
            // What a backend says about its own faults is not for callers; that there was one is.
            Err(_) => {
                let (content_type, body) = error::of_backend(head.status, record.id(), route.errors.as_deref());
                head.headers.insert(header::CONTENT_TYPE, content_type);
                body
            }
            Ok(left) => {
                if !left.is_empty() {
                    announce_json(&mut head.headers);
                }
                left
            }
        };
        Ok(Response::from_parts(head, ResponseBody::full(left)))
    }

    /// What the rules leave of it.
    fn reduced(&self, bytes: &Bytes) -> Result<Bytes, AnswerFault> {
        if bytes.is_empty() {
            return Ok(Bytes::new());
        }
        self.rules.filter.apply_with(bytes, self.removed).map(Bytes::from).map_err(|_| AnswerFault::BrokenJson)
    }
}

/// The form of JSON.
fn form_of(headers: &HeaderMap, any_content_type: bool) -> Result<TextForm, AnswerFault> {
    if any_content_type || is_json(headers) { TextForm::of(headers) } else { Err(AnswerFault::NotJson) }
}

/// True for JSON by its `Content-Type`.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || kind.ends_with("+json")
}

/// Corrects `Content-Type` for what is forwarded: JSON in UTF-8.
fn announce_json(headers: &mut HeaderMap) {
    if is_json(headers) {
        text_form::now_in_utf8(headers);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
}

async fn collected(body: &mut ResponseBody, limit: usize) -> Result<Bytes, AnswerFault> {
    if body.size_hint().lower() > limit as u64 {
        return Err(AnswerFault::TooLarge);
    }
    let mut all = Vec::new();
    let mut body = std::pin::Pin::new(body);
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| AnswerFault::BrokeOff)?;
        let Some(data) = frame.data_ref() else { continue };
        if all.len() + data.len() > limit {
            return Err(AnswerFault::TooLarge);
        }
        all.extend_from_slice(data);
    }
    Ok(all.into())
}
