//! Responses of routes that the gateway answers itself, after all checks of the route.

use http::Response;
use http::header::{self, HeaderValue};

use super::Answer;
use super::error::Refused;
use super::forward::security_headers;
use super::request::call::Call;
use super::response::body::ResponseBody;
use crate::policy::direct_response::DirectResponse;
use crate::policy::path::Ambiguous;
use crate::policy::route::Route;
use crate::refusal::Refusal;

/// The response of a route without a backend. The body of the request is not read.
///
/// # Errors
/// [`Refusal::AmbiguousPath`] where the rest of the path could lead elsewhere than below the configured address.
pub(super) fn answer(direct: &DirectResponse, route: &Route, call: &Call<'_>) -> Result<Answer, Refused> {
    let mut response = match direct {
        DirectResponse::Fixed(fixed) => {
            let mut response = Response::new(ResponseBody::full(fixed.body.clone()));
            *response.status_mut() = fixed.status;
            response.headers_mut().clone_from(&fixed.headers);
            response
        }
        DirectResponse::Redirect(redirect) => {
            let location = redirect.location(&call.parts.uri, route.allowed_in_path);
            let location = location.map_err(|Ambiguous| Refusal::AmbiguousPath)?;
            let mut response = Response::new(ResponseBody::full(""));
            *response.status_mut() = redirect.status;
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
    };
    if route.security_headers {
        security_headers::add(response.headers_mut());
    }
    if route.requirements.customer {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}
