//! The JSON answers of the login and OAuth endpoints: their header fields and their times.

use std::time::Duration;

use http::Response;
use http::header::{self, HeaderValue};

use crate::config::raw::NumberStyle;
use crate::gateway::response::body::ResponseBody;

/// A JSON response that must not be cached.
pub(crate) fn json_response(text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// `issued_at` in milliseconds and `expires_in` in seconds, as JSON values.
pub(crate) fn times(issued: Duration, lifetime: u64, style: NumberStyle) -> (String, String) {
    match style {
        NumberStyle::String => (format!("\"{}\"", issued.as_millis()), format!("\"{lifetime}\"")),
        NumberStyle::Number => (issued.as_millis().to_string(), lifetime.to_string()),
    }
}
