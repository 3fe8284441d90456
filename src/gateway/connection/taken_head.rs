//! The proof that the head of a request has been taken off its connection, with the framing of its body.

use http::{HeaderMap, Method, Request, Version, header};

use super::Connection;
use super::framing::BodyFraming;
use crate::refusal::Refusal;

/// The head of a request, taken off the bytes of its connection: the next request begins behind it and its body.
/// Without one no record is opened, and without a record nothing is answered.
#[derive(Debug)]
pub(crate) struct TakenHead {
    body: Result<BodyFraming, Refusal>,
    is_clear: bool,
    expects_continue: bool,
    asks_upgrade: bool,
}

impl TakenHead {
    /// The head of this request.
    pub(crate) fn of<Body>(request: &Request<Body>, connection: &Connection) -> Self {
        let body = body_framing(request.headers());
        let expects_continue = body != Ok(BodyFraming::Length(0)) && request.headers().contains_key(header::EXPECT);
        let asks_upgrade = asks_upgrade(request);
        if connection.is_multiplexed() {
            return Self { body, is_clear: true, expects_continue, asks_upgrade };
        }
        // Nothing that is refused for its framing goes on on this connection, whatever stands here for it.
        let framing = *body.as_ref().unwrap_or(&BodyFraming::Chunked);
        let is_clear = connection.next_head(framing) == Some(false) && body.is_ok();
        Self { body, is_clear, expects_continue, asks_upgrade }
    }

    /// No head: the bytes were no request, and the start of the next one is unknown.
    pub(crate) fn none(connection: &Connection) -> Self {
        connection.lost_track();
        Self { body: Err(Refusal::MalformedRequest), is_clear: false, expects_continue: false, asks_upgrade: false }
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

/// `Upgrade` over HTTP/1.1 (RFC 9110 section 7.8), CONNECT over HTTP/2 (RFC 8441).
fn asks_upgrade<B>(request: &Request<B>) -> bool {
    if request.version() == Version::HTTP_2 {
        *request.method() == Method::CONNECT
    } else {
        request.headers().contains_key(header::UPGRADE)
    }
}
