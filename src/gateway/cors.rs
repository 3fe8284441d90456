//! CORS: preflights are answered here and never reach a backend; other responses get the header fields of their
//! route or endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use super::Answer;
use super::response::body::ResponseBody;
use crate::policy::cors::Cors;

/// The CORS rules of a route or an own endpoint, and the origin of a request.
#[derive(Debug)]
pub(crate) struct CorsContext {
    rules: Arc<Cors>,
    origin: Option<HeaderValue>,
}

impl CorsContext {
    /// The rules for a request with these fields.
    pub(super) fn of(rules: &Arc<Cors>, headers: &HeaderMap) -> Self {
        Self { rules: Arc::clone(rules), origin: headers.get(header::ORIGIN).cloned() }
    }

    /// Writes the CORS fields into a response, also into a refusal: the page must be able to read why.
    pub(super) fn apply_headers(&self, headers: &mut HeaderMap) {
        self.rules.apply_headers(self.origin.as_ref(), headers);
    }

    /// The response to a preflight.
    pub(super) fn preflight(&self) -> Answer {
        let mut response = Response::new(ResponseBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.rules.answer_preflight(self.origin.as_ref(), response.headers_mut());
        response
    }
}

/// The method that a preflight asks about; `None` for any other request.
pub(super) fn asked_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}
