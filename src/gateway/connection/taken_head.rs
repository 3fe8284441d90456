//! The proof that the head of a request has been taken off its connection, with the framing of its body.

use http::{HeaderMap, HeaderName, Method, Request, Version, header};

use super::Connection;
use super::framing::BodyFraming;
use crate::refusal::Refusal;

/// The head of a request, taken off the bytes of its connection: the next request begins behind it and its body.
/// Without one no record is opened, and without a record nothing is answered.
#[derive(Debug)]
pub(crate) struct TakenHead {
    body: Result<BodyFraming, Refusal>,
    is_clear: bool,
    is_simple: bool,
    expects_continue: bool,
    asks_upgrade: bool,
}

impl TakenHead {
    /// The head of this request.
    pub(crate) fn of<Body>(request: &Request<Body>, connection: &Connection) -> Self {
        let headers = request.headers();
        let is_simple = !headers.keys().any(asks_for_more);
        let body = if is_simple { Ok(BodyFraming::Length(0)) } else { body_framing(headers) };
        let expects_continue = body != Ok(BodyFraming::Length(0)) && headers.contains_key(header::EXPECT);
        let asks_upgrade = match request.version() {
            // Extended CONNECT (RFC 8441).
            Version::HTTP_2 => *request.method() == Method::CONNECT,
            // RFC 9110 section 7.8.
            _ => !is_simple && headers.contains_key(header::UPGRADE),
        };
        if connection.is_multiplexed() {
            return Self { body, is_clear: true, is_simple, expects_continue, asks_upgrade };
        }
        // Nothing that is refused for its framing goes on on this connection, whatever stands here for it.
        let framing = *body.as_ref().unwrap_or(&BodyFraming::Chunked);
        let is_clear = connection.next_head(framing) == Some(false) && body.is_ok();
        Self { body, is_clear, is_simple, expects_continue, asks_upgrade }
    }

    /// No head: the bytes were no request, and the start of the next one is unknown.
    pub(crate) fn none(connection: &Connection) -> Self {
        connection.lost_track();
        Self {
            body: Err(Refusal::MalformedRequest),
            is_clear: false,
            is_simple: false,
            expects_continue: false,
            asks_upgrade: false,
        }
    }

    /// The framing of the body.
    ///
    /// # Errors
    /// [`Refusal::MalformedRequest`] where there is no single way to read it.
    pub(crate) fn body_framing(&self) -> Result<BodyFraming, Refusal> {
        self.body
    }

    /// True if the client may hold its body back until 100 Continue (RFC 9110 section 10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// True if the request asks for another protocol.
    pub(crate) fn asks_upgrade(&self) -> bool {
        self.asks_upgrade
    }

    /// True if it says nothing of a body, an expectation or another protocol.
    pub(crate) fn is_simple(&self) -> bool {
        self.is_simple
    }

    /// True if the start of the next request is known.
    pub(crate) fn is_clear(&self) -> bool {
        self.is_clear
    }
}

/// The framing of the body, where there is one way to read it (RFC 9112 section 6.3).
fn body_framing(headers: &HeaderMap) -> Result<BodyFraming, Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            let alone = !headers.contains_key(header::CONTENT_LENGTH);
            return if alone { Ok(BodyFraming::Chunked) } else { Err(Refusal::MalformedRequest) };
        }
        _ => return Err(Refusal::MalformedRequest),
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(BodyFraming::Length(0)),
        (Some(length), None) => {
            let digits =
                length.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).map(BodyFraming::Length).ok_or(Refusal::MalformedRequest)
        }
        _ => Err(Refusal::MalformedRequest),
    }
}

/// True for a field that announces a body, or asks for an answer before the answer. Most requests have none of them, and
/// to look for all in one pass costs less than to look each of them up.
fn asks_for_more(name: &HeaderName) -> bool {
    matches!(*name, header::TRANSFER_ENCODING | header::CONTENT_LENGTH | header::EXPECT | header::UPGRADE)
}
