//! Forwarding: the call of an admitted caller goes to a backend, and its response comes back.

pub(crate) mod backend_assertion;
pub mod headers;
pub(crate) mod json_response;
mod redirects;
pub(super) mod security_headers;
mod status_retry;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};

use super::error::Refused;
use super::exchange::Exchange;
use super::observe::record::Record;
use super::request::call::{self, Call};
use super::request::head::Head;
use super::response::body::ResponseBody;
use super::response::event_stream::{self, EventStream};
use super::response::response_framing::{self, AnswerFault};
use super::websocket::tunnel::Agreed;
use super::{Answer, Gateway, identifier};
use crate::auth::Caller;
use crate::backend::admission::circuit_breaker::Try;
use crate::backend::fault::FaultNote;
use crate::backend::pool::response_body::AnswerBody;
use crate::backend::pool::{Deadlines, Repeat, SendOptions, SendProgress};
use crate::backend::{Backend, Failure, NoToken, Permit};
use crate::body_stream::{Pace, RequestBody};
use crate::config::raw::Retry;
use crate::customer::Identifier;
use crate::policy::route::Route;
use crate::refusal::Refusal;

impl Gateway {
    /// Forwards the call of an admitted caller; returns the backend's response, ready for the caller.
    pub(super) async fn forward(
        &self,
        route: &Route,
        admitted: &Caller,
        call: Box<Call<'_>>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refused> {
        if route.own_addresses.is_some() {
            exchange.host = Some(Rc::clone(&call.head.host));
        }
        let (request, repeat) = self.outgoing(route, admitted, call, exchange)?;
        // The pool takes it out once it is on its way.
        let mut request = Some(request);
        let is_head = request.as_ref().is_some_and(|request| *request.method() == Method::HEAD);
        // How long a caller takes with its body says nothing about the backend.
        let is_at_hand = request.as_ref().is_some_and(|request| request.body().progress().is_none());
        let try_by = if is_at_hand { Try::Complete } else { Try::Upload };
        exchange.record.trace.step("backend queue");
        let permit = route.backend.enter(try_by).await.map_err(|failure| {
            note_no_entry(&route.backend, failure, &exchange.record.backend_fault);
            self.failed(route, failure, &exchange.record)
        })?;
        exchange.record.trace.asks(exchange.record.method, &route.backend.name);
        let sent = Instant::now();
        let sending = SendProgress::new(sent);
        let body = Pace { pause: route.backend.timeout, until: exchange.record.until };
        let options = SendOptions {
            repeat,
            key: route.backend.key_of(admitted.customer.as_ref().map(Identifier::as_str)),
            caller: Some(exchange.record.source.address),
            patience: Deadlines { now: sent, head: route.timeout, body },
            sending: &sending,
            request_id: &exchange.record.request_id,
            fault: &exchange.record.backend_fault,
        };
        let outcome = match &route.retry_on {
            Some(rules) if repeat == Repeat::Once => {
                Box::pin(status_retry::send(&self.pool, &route.backend, rules, &mut request, options)).await
            }
            _ => self.pool.send(&route.backend, &mut request, options).await,
        };
        let time = sending.begun().elapsed();
        exchange.record.backend_time = Some(time);
        // What found no room, or was answered badly, says nothing about how long answers take.
        if is_at_hand && outcome.as_ref().err().is_none_or(|failure| failure.means_gone()) {
            route.backend.learn_from(outcome.is_ok().then_some(time), sending.begun() + time);
        }
        let resent = sending.attempts().saturating_sub(1);
        exchange.record.trace.answered(resent, outcome.as_ref().map(told).map_err(|failure| failure.as_str()));
        let response = outcome.map_err(|failure| self.failed(route, failure, &exchange.record))?;
        self.worker_metrics().backend_answered(&route.backend.name, time);
        route.backend.note_answer(sending.begun() + time);
        exchange.record.trace.step("response");
        self.returned(route, response, is_head, permit, exchange)
    }

    /// The request to the backend, and whether it may be sent twice: the head is prepared first, the identifier written
    /// next, the assertion over all of it last.
    fn outgoing(
        &self,
        route: &Route,
        caller: &Caller,
        mut call: Box<Call<'_>>,
        exchange: &mut Exchange,
    ) -> Result<(Request<RequestBody>, Repeat), Refused> {
        let named = prepared(route, caller, &mut call, exchange)?;
        backend_assertion::add(route, caller, named, &mut call)?;
        let limit = route.body_limit.unwrap_or(call.connection.limits.body);
        let mut request = call.into_request(route, limit, &exchange.record);
        self.take_shares(route, caller, &mut request, exchange)?;
        let repeat = settled(route, &mut request);
        Ok((request, repeat))
    }

    /// Takes the caller's shares of WebSockets and uploads at the backend.
    fn take_shares(
        &self,
        route: &Route,
        admitted: &Caller,
        request: &mut Request<RequestBody>,
        exchange: &mut Exchange,
    ) -> Result<(), Refusal> {
        let record = &mut exchange.record;
        if let Some(handshake) = &mut exchange.handshake {
            handshake.held = self.websocket_share(route, admitted, record)?;
        }
        if let RequestBody::Caller(body) = request.body_mut()
            && record.awaits_body()
        {
            body.hold(self.upload_share(route, admitted, record)?);
        }
        Ok(())
    }

    /// Turns the backend's response into that to the caller.
    fn returned(
        &self,
        route: &Route,
        response: Response<AnswerBody>,
        is_head: bool,
        permit: Permit,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refused> {
        let record = &mut exchange.record;
        let (mut head, content) = response.into_parts();
        let host = exchange.host.as_deref();
        // Each side of a gateway speaks its own version (RFC 9110 section 2.5).
        let received = std::mem::replace(&mut head.version, Version::HTTP_11);
        if let Some(handshake) = exchange.handshake.take_if(|_| head.status == StatusCode::SWITCHING_PROTOCOLS) {
            let agreed = Agreed::new(route, handshake, &mut head);
            let agreed = agreed.map_err(|fault| self.wrong(route, content.server(), fault, record))?;
            headers::prepare_response(&mut head.headers, route, Version::HTTP_11, host);
            agreed.answer(&mut head);
            record.permit = Some(permit);
            exchange.agreed = Some(Box::new(agreed));
            return Ok(Response::from_parts(head, ResponseBody::full("")));
        }
        let settled = match &exchange.handshake {
            Some(handshake) if handshake.would_be_opened_by(head.status) => Err(AnswerFault::NotSwitched),
            _ => response_framing::settle(&mut head, received),
        };
        if let Err(fault) = settled {
            return Err(self.wrong(route, content.server(), fault, record));
        }
        if head.status == StatusCode::UNAUTHORIZED {
            route.backend.refused_credential();
        }
        let refused_us = head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            || (head.status == StatusCode::UNAUTHORIZED && !route.pass_unauthorized);
        if refused_us {
            self.worker_metrics().backend_failed(&route.backend.name, "credential");
            record.backend_fault.note(content.server(), format_args!("{} from the backend", head.status.as_u16()));
            return Err(Refusal::BackendCredential.into());
        }
        headers::prepare_response(&mut head.headers, route, received, host);
        record.permit = Some(permit);
        if !response_framing::has_content(is_head, head.status) {
            return Ok(Response::from_parts(head, ResponseBody::full("")));
        }
        let ruled = route.response_fields.as_ref().map(|rules| Arc::clone(rules.about()));
        let body = if event_stream::is_one(&head.headers) {
            ResponseBody::events(EventStream::new(content, &self.farewell), ruled)
        } else {
            ResponseBody::backend(content, ruled)
        };
        Ok(Response::from_parts(head, body))
    }

    /// Logs and counts a malformed response.
    fn wrong(&self, route: &Route, server: &str, fault: AnswerFault, record: &Record) -> Refused {
        route.backend.log_bad_response(server, &record.request_id, &fault);
        record.backend_fault.note(server, fault.phrase());
        self.failed(route, Failure::Malformed, record)
    }

    /// Counts a backend's failure, unless it was the caller whose request broke off.
    fn failed(&self, route: &Route, failure: Failure, record: &Record) -> Refused {
        if let Some(fault) = record.progress.fault() {
            return call::refused(fault, route.body_limit);
        }
        self.worker_metrics().backend_failed(&route.backend.name, failure.as_str());
        record.backend_fault.note_otherwise(failure.phrase());
        let refusal = match failure {
            Failure::Connect | Failure::Tls => Refusal::BackendConnect,
            Failure::Timeout => Refusal::BackendTimeout,
            Failure::Broken | Failure::Malformed => Refusal::BackendResponse,
            Failure::Overload => Refusal::BackendOverload,
            Failure::Unavailable => Refusal::BackendUnavailable,
        };
        let retry_after = (failure == Failure::Unavailable).then(|| route.backend.retry_after());
        Refused { retry_after, ..refusal.into() }
    }
}

/// Prepares the head of a call for the backend; returns the identifier that the backend is told.
pub(super) fn prepared(
    route: &Route,
    caller: &Caller,
    call: &mut Call<'_>,
    exchange: &mut Exchange,
) -> Result<Option<String>, Refused> {
    headers::prepare(call, route, caller, exchange);
    if let Some(credential) = &route.backend.authorization {
        credential.write(&mut call.parts.headers).map_err(|NoToken| {
            exchange.record.backend_fault.note_backend("no access token from the OAuth server");
            Refusal::BackendToken
        })?;
    }
    identifier::place(route, caller, call, &mut exchange.record)
}

/// Status and server of a response, for its span.
fn told(response: &Response<AnswerBody>) -> (u16, &str) {
    (response.status().as_u16(), response.body().server())
}

/// Notes why a backend takes no request at present.
fn note_no_entry(backend: &Backend, failure: Failure, note: &FaultNote) {
    match failure {
        Failure::Unavailable => note.note_backend("circuit breaker open"),
        _ => note.note_backend(format_args!("limit of {} requests at once reached", backend.limit())),
    }
}

/// Sets the header fields that the message needs, and returns whether it may be sent twice.
fn settled(route: &Route, request: &mut Request<RequestBody>) -> Repeat {
    if matches!(request.body(), RequestBody::Empty)
        && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH)
    {
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // The HTTP library takes it for granted that these have no body, unless they say so.
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.body(), RequestBody::Caller(_))
        && !request.headers().contains_key(header::CONTENT_LENGTH)
    {
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    *request.version_mut() = Version::HTTP_11;
    if may_be_repeated(route, request.method()) { Repeat::Once } else { Repeat::Unsent }
}

/// True if a request of this method may be processed twice.
fn may_be_repeated(route: &Route, method: &Method) -> bool {
    match route.retry {
        Retry::Safe => true,
        Retry::Idempotent => is_idempotent(method),
        Retry::Never => false,
    }
}

/// Largest body that is kept to be sent again, in bytes.
const KEPT_FOR_RETRY: u64 = 64 * 1024;

/// True if a body of known length must be buffered, because the request may be sent twice or the backend can refuse it
/// unseen, as by HTTP/2.
pub(super) fn is_kept_for_retry(route: &Route, method: &Method, head: &Head) -> bool {
    let may_be_sent_twice = has_second_time(route, method) || route.backend.servers.speak_http2();
    may_be_sent_twice && head.body_length().is_some_and(|length| length > 0 && length <= KEPT_FOR_RETRY)
}

/// The same for a larger one, where the backend has a buffer with room for it.
pub(super) fn is_buffered_for_retry(route: &Route, method: &Method, head: &Head) -> bool {
    let Some(buffer) = &route.backend.request_buffer else { return false };
    let has_room = |length| buffer.files.is_some() || length <= buffer.bytes;
    has_second_time(route, method)
        && head.body_length().is_some_and(|length| length > KEPT_FOR_RETRY && has_room(length))
}

/// True if the route lets a request with a body be sent again, whatever has become of it.
fn has_second_time(route: &Route, method: &Method) -> bool {
    route.retry == Retry::Safe || route.retry_on.is_some() && may_be_repeated(route, method)
}

/// Idempotent methods (RFC 9110 section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS)
}
