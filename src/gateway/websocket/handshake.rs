//! The WebSocket handshake (RFC 6455 section 4.2, RFC 8441): the only upgrade that is let through, and only on routes
//! that allow it. It is read strictly, repeated to the backend over HTTP/1.1, and the backend's response is checked.

use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version, response};

use super::caller_stream::AwaitedStream;
use crate::auth::dpop::Proof;
use crate::gateway::connection::framing::BodyFraming;
use crate::gateway::host::Host;
use crate::gateway::rate_limit::caller_share::HeldShare;
use crate::gateway::request::call::Call;
use crate::gateway::websocket_protocol::{VERSION, WEBSOCKET};
use crate::policy::route::Route;
use crate::refusal::{DpopFault, Refusal};

/// The GUID that a server appends to the key (RFC 6455 section 1.3).
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A caller's handshake, on a route with WebSockets.
pub(crate) struct Handshake {
    /// `Sec-WebSocket-Key`, which the backend must answer.
    key: HeaderValue,
    /// The caller's stream, where it is one of HTTP/2; otherwise its connection becomes the WebSocket.
    pub(crate) stream: Option<AwaitedStream>,
    /// The header fields of the request, from which the caller is checked again later.
    pub(crate) shown: HeaderMap,
    /// The DPoP proof of the handshake.
    pub(crate) proof: Option<Result<Proof, DpopFault>>,
    /// Its share of the caller's WebSockets, once it has been admitted.
    pub(crate) held: Option<HeldShare>,
    /// The requested path.
    pub(crate) path: Box<str>,
    /// The requested host.
    pub(crate) host: Rc<Host>,
    /// The name of its route.
    pub(crate) route: Arc<str>,
}

impl Handshake {
    /// Reads a handshake. `None`: an upgrade that is ignored, as HTTP/1.1 allows.
    ///
    /// # Errors
    /// The reason for which the handshake is refused.
    pub(crate) fn read(route: &Route, call: &mut Call<'_>) -> Result<Option<Box<Self>>, Refusal> {
        let Call { parts, head, .. } = call;
        let is_http2 = parts.version == Version::HTTP_2;
        if route.websocket.is_none() {
            return if is_http2 { Err(Refusal::ConnectNotAllowed) } else { Ok(None) };
        }
        let is_asked = is_http2 || (parts.version == Version::HTTP_11 && names_websocket(&parts.headers));
        if !is_asked {
            return Ok(None);
        }
        if one(&parts.headers, &header::SEC_WEBSOCKET_VERSION) != Some(VERSION.as_bytes()) {
            return Err(Refusal::WebsocketVersion);
        }
        if parts.method != Method::GET || (!is_http2 && head.body != BodyFraming::Length(0)) {
            return Err(Refusal::WebsocketHandshake);
        }
        let key = if is_http2 {
            new_key()?
        } else {
            let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).cloned().ok_or(Refusal::WebsocketHandshake)?;
            let is_alone = one(&parts.headers, &header::SEC_WEBSOCKET_KEY).is_some();
            let is_key = BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16);
            if !is_alone || !is_key {
                return Err(Refusal::WebsocketHandshake);
            }
            key
        };
        let stream = parts.extensions.remove::<AwaitedStream>().filter(|_| is_http2);
        if is_http2 && stream.is_none() {
            return Err(Refusal::Internal);
        }
        let (shown, host) = (parts.headers.clone(), Rc::clone(&head.host));
        let path = parts.uri.path().into();
        let route = Arc::clone(&route.name);
        Ok(Some(Box::new(Self { key, stream, shown, proof: None, held: None, path, host, route })))
    }

    /// Writes the handshake into the request to the backend.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        switch(headers);
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        headers.insert(header::SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// True if this response of the backend accepts the handshake.
    pub(super) fn is_answered_by(&self, head: &response::Parts) -> bool {
        let accept = one(&head.headers, &header::SEC_WEBSOCKET_ACCEPT);
        let is_taken_up = accept.is_some_and(|accept| accept == accepting(self.key.as_bytes()).as_bytes());
        head.status == StatusCode::SWITCHING_PROTOCOLS && names_websocket(&head.headers) && is_taken_up
    }

    /// True for a status that opens a WebSocket over HTTP/2 (RFC 8441 section 5), as only a 101 does over HTTP/1.1.
    pub(crate) fn would_be_opened_by(&self, status: StatusCode) -> bool {
        self.stream.is_some() && status.is_success()
    }

    /// Turns that response into the one to the caller.
    pub(crate) fn answer(&self, head: &mut response::Parts) {
        if self.stream.is_some() {
            head.status = StatusCode::OK;
            head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        } else {
            switch(&mut head.headers);
        }
    }
}

/// Writes `Upgrade`, which `Connection` must name (RFC 9110 section 7.8).
fn switch(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// True if `Upgrade` is WebSocket and nothing else, and `Connection` names it.
fn names_websocket(headers: &HeaderMap) -> bool {
    let is_named = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    one(headers, &header::UPGRADE).is_some_and(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
        && headers.get_all(header::CONNECTION).iter().any(is_named)
}

/// The value of a field that is not repeated.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// A new `Sec-WebSocket-Key`: 16 random bytes.
fn new_key() -> Result<HeaderValue, Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::Internal)?;
    HeaderValue::from_str(&BASE64.encode(bytes)).map_err(|_| Refusal::Internal)
}

/// `Sec-WebSocket-Accept`, the proof that a server has read the key (RFC 6455 section 4.2.2). It keeps no secret, so
/// SHA-1 will do.
fn accepting(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(SUFFIX);
    BASE64.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(accepting(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_websocket_is_named_once_and_alone() {
        let headers = |pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"));
            }
            headers
        };
        assert!(names_websocket(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        for pairs in [
            &[("connection", "upgrade")][..],
            &[("upgrade", "websocket")],
            &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
            &[("connection", "upgrade"), ("upgrade", "h2c")],
            &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "websocket")],
            &[("connection", "upgrades"), ("upgrade", "websocket")],
        ] {
            assert!(!names_websocket(&headers(pairs)), "{pairs:?}");
        }
    }
}
