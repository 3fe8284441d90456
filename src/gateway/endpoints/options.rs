//! The response to an OPTIONS that the gateway answers itself (RFC 9110 section 9.3.7).

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::gateway::Answer;
use crate::gateway::response::body::ResponseBody;
use crate::policy::route::Route;

/// A 204, with the methods of the route where there is one.
pub(crate) fn options(route: Option<&Route>) -> Answer {
    let mut response = Response::new(ResponseBody::full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Some(route) = route {
        let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
        if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
            response.headers_mut().insert(header::ALLOW, methods);
        }
    }
    response
}
