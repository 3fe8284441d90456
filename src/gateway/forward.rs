//! The way to the backend and back, for callers that have been admitted.

pub(crate) mod backend_assertion;
pub mod headers;
pub(crate) mod json_response;
pub(crate) mod response_framing;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};

use super::Gateway;
use super::error::{Detail, Refused};
use super::observe::record::Record;
use super::request::call::{self, Call, Upload};
use super::request::head::Head;
use super::response::body::ResponseBody;
use super::response::event_stream::{self, EventStream};
use crate::auth::Caller;
use crate::backend::Failure;
use crate::backend::admission::circuit_breaker::Try;
use crate::backend::pool::{Errand, Patience, Repeat};
use crate::body_stream::{Pace, RequestBody};
use crate::config::raw::Retry;
use crate::customer::Identifier;
use crate::json_body;
use crate::policy::route::{Placement, Route};
use crate::refusal::Refusal;
use response_framing::AnswerFault;

/// A customer that the caller names in the configured header must be the one of the token (contract 22).
pub(super) fn matches_named_customer(
    route: &Route,
    caller: &Caller,
    call: &Call<'_>,
    record: &mut Record,
) -> Result<(), Refusal> {
    let Some(Placement::Header(name)) = &route.placement else { return Ok(()) };
    let claimed = || call.parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    // Mostly nobody is named.
    if claimed().next().is_none() {
        return Ok(());
    }
    let named = Named::of(route, caller, call, record)?;
    if claimed().all(|claimed| named.may_be_called(caller, claimed)) { Ok(()) } else { mismatch(route, record) }
}

/// Writes the identifier where the route wants it: what the backend knows the customer by, where it is told.
pub(super) fn place(
    route: &Route,
    caller: &Caller,
    call: &mut Call<'_>,
    record: &mut Record,
) -> Result<Option<String>, Refused> {
    let Some(placement) = &route.placement else { return Ok(None) };
    let named = Named::of(route, caller, call, record)?;
    let value = named.value.as_deref();
    if let Some(previous) = &named.previous {
        let value = HeaderValue::from_str(previous.as_str()).map_err(|_| Refusal::Internal)?;
        call.parts.headers.insert(route.previous_header.clone(), value);
    }
    match placement {
        Placement::Header(name) => {
            if let Some(value) = value {
                call.parts.headers.insert(name, field_value(value)?);
            }
        }
        Placement::Body(pointer) => {
            let bytes = call.body.bytes().cloned().ok_or(Refusal::Internal)?;
            is_plain_json(call, &bytes)?;
            let document = json_body::Document::parse(&bytes, pointer).map_err(|_| Refusal::Json)?;
            let claimed = document.value();
            if claimed.as_deref().is_some_and(|claimed| !named.may_be_called(caller, claimed.as_bytes())) {
                mismatch(route, record)?;
            }
            // Where nobody is proved, as can be in mode observe, nobody may be named either.
            if value.is_none() && claimed.is_none() {
                return Ok(None);
            }
            if bytes.is_empty() {
                call.parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            call.body = Upload::Read(document.with(value.unwrap_or_default()).into());
            headers::body_changed(&mut call.parts.headers);
        }
    }
    Ok(named.value)
}

/// What the backend knows the customer by.
struct Named {
    value: Option<String>,
    /// The same under the key before, while that is told.
    previous: Option<Identifier>,
}

impl Named {
    fn of(route: &Route, caller: &Caller, call: &Call<'_>, record: &Record) -> Result<Self, Refusal> {
        let Some(customer) = &caller.customer else { return Ok(Self { value: None, previous: None }) };
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        if route.send_subject {
            let origin = deriver.trace(customer.as_str()).map_err(|_| Refusal::Internal)?;
            return Ok(Self { value: Some(origin.subject), previous: None });
        }
        let Some(pairwise) = &route.pairwise else {
            return Ok(Self { value: Some(customer.as_str().to_owned()), previous: caller.previous.clone() });
        };
        let own = pairwise.for_backend(deriver, customer).map_err(|_| Refusal::Internal)?;
        let previous = pairwise.previous_of(&own, super::unix_seconds(record.time));
        Ok(Self { value: Some(own.as_str().to_owned()), previous })
    }

    /// Whether a caller may call its customer so: as the backend does, or by the identifier in the token. Each may be
    /// the one under the key before.
    fn may_be_called(&self, caller: &Caller, claimed: &[u8]) -> bool {
        let identifiers = [&caller.customer, &caller.previous, &self.previous];
        let identifiers = identifiers.into_iter().flatten().map(Identifier::as_str);
        identifiers.chain(self.value.as_deref()).any(|name| name.as_bytes() == claimed)
    }
}

/// A name of a customer as a header field. A subject may have spaces at its ends, which are no part of the value there
/// (RFC 9110 section 5.5): it would become another customer's name.
fn field_value(name: &str) -> Result<HeaderValue, Refusal> {
    let value = HeaderValue::from_str(name).ok().filter(|_| name.trim_matches([' ', '\t']) == name);
    value.ok_or_else(|| {
        tracing::error!("a customer's subject cannot stand in a header: see routes[].identifier");
        Refusal::Internal
    })
}

impl Gateway {
    /// Sends the request of a caller that has been admitted, and brings the response.
    pub(super) async fn forward(
        &self,
        route: &Route,
        admitted: &Caller,
        request: &mut Option<Request<RequestBody>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let backend = &route.backend;
        if let Some(mut handshake) = record.handshake.take() {
            handshake.held = self.websocket_share(route, admitted, record)?;
            record.handshake = Some(handshake);
        }
        if let Some(RequestBody::Caller(body)) = request.as_mut().map(Request::body_mut)
            && record.awaits_body()
        {
            body.hold(self.upload_share(route, admitted, record)?);
        }
        let is_head = request.as_ref().is_some_and(|request| *request.method() == Method::HEAD);
        // How long a caller takes with its body says nothing about the backend.
        let is_at_hand = request.as_ref().is_some_and(|request| request.body().progress().is_none());
        let try_by = if is_at_hand { Try::Complete } else { Try::Upload };
        let permit = backend.enter(try_by).await.map_err(|failure| self.failed(route, failure, record))?;
        let repeat = request.as_mut().map_or(Repeat::Unsent, |request| settled(route, request));
        let sent = Instant::now();
        let begun = Cell::new(sent);
        let body = Pace { pause: backend.timeout, until: record.until };
        let errand = Errand {
            repeat,
            key: backend.key_of(admitted.customer.as_ref().map(Identifier::as_str)),
            caller: Some(record.source.address),
            patience: Patience { now: sent, head: route.timeout, body },
            begun: &begun,
            request_id: &record.request_id,
        };
        let outcome = self.pool.send(backend, request, errand).await;
        let time = begun.get().elapsed();
        record.backend_time = Some(time);
        // What found no room, or was answered badly, says nothing about how long answers take.
        if is_at_hand && outcome.as_ref().err().is_none_or(|failure| failure.means_gone()) {
            backend.learn_from(outcome.is_ok().then_some(time), begun.get() + time);
        }
        let response = outcome.map_err(|failure| self.failed(route, failure, record))?;
        self.cells().backend_answered(&backend.name, time);
        backend.note_answer(begun.get() + time);
        let (mut head, content) = response.into_parts();
        // Each side of a gateway speaks its own version (RFC 9110 section 2.5).
        let received = std::mem::replace(&mut head.version, Version::HTTP_11);
        if let Some(handshake) = record.handshake.take_if(|_| head.status == StatusCode::SWITCHING_PROTOCOLS) {
            let switched = self.switched(route, handshake, head, permit, record);
            return switched.map_err(|fault| self.wrong(route, content.server(), fault, record));
        }
        if let Err(fault) = response_framing::settle(&mut head, received) {
            return Err(self.wrong(route, content.server(), fault, record));
        }
        let refused_us = head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            || (head.status == StatusCode::UNAUTHORIZED && !route.pass_unauthorized);
        if refused_us {
            self.cells().backend_failed(&backend.name, "credential");
            return Err(Refusal::BackendCredential.into());
        }
        headers::prepare_response(&mut head.headers, route, received);
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

    /// Says what is wrong with an answer of which no other reader could be sure, and counts it.
    fn wrong(&self, route: &Route, server: &str, fault: AnswerFault, record: &Record) -> Refused {
        route.backend.log_bad_response(server, &record.request_id, &fault);
        self.failed(route, Failure::Malformed, record)
    }

    /// Counts a backend's failure, unless it was the caller whose request broke off.
    fn failed(&self, route: &Route, failure: Failure, record: &Record) -> Refused {
        if let Some(fault) = record.progress.fault() {
            return call::refused(fault, route.body_limit);
        }
        self.cells().backend_failed(&route.backend.name, failure.as_str());
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

/// Says what the message needs to stand alone, and whether it may be sent twice.
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
    match route.retry {
        Retry::Safe => Repeat::Once,
        Retry::Idempotent if is_idempotent(request.method()) => Repeat::Once,
        Retry::Idempotent | Retry::Never => Repeat::Unsent,
    }
}

/// Larger bodies are not kept to be sent again.
const KEPT_FOR_RETRY: u64 = 64 * 1024;

/// Whether the body must be at hand because the route's requests may be sent twice, or because the backend can refuse
/// them unseen, as by HTTP/2.
pub(super) fn is_kept_for_retry(route: &Route, head: &Head) -> bool {
    let may_be_sent_twice = route.retry == Retry::Safe || route.backend.servers.speak_http2();
    may_be_sent_twice && head.body_length().is_some_and(|length| length > 0 && length <= KEPT_FOR_RETRY)
}

fn mismatch(route: &Route, record: &mut Record) -> Result<(), Refusal> {
    if route.enforce {
        return Err(Refusal::IdentifierMismatch);
    }
    record.observed.get_or_insert(Refusal::IdentifierMismatch);
    Ok(())
}

/// A body into which something is written must be JSON in UTF-8, and not encoded again.
fn is_plain_json(call: &Call<'_>, bytes: &Bytes) -> Result<(), Refused> {
    if bytes.is_empty() {
        return Ok(());
    }
    let encoded = call
        .parts
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let is_json = call.type_to_read()?.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"));
    match (encoded, is_json) {
        (true, _) => Err(Refused::with(Detail::Coding, Refusal::ContentType)),
        (false, false) => Err(Refused::of_types(&["application/json"])),
        (false, true) => Ok(()),
    }
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS)
}
