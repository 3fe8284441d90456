//! The redirect to https, on a listener that does nothing else.

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode;

use super::Answer;
use super::response::body::ResponseBody;
use crate::fields::FieldSet;
use crate::refusal::Refusal;

/// A 308 to the same target below `base`. `credentials` are the header fields in which some route takes one.
///
/// # Errors
/// [`Refusal::PlainHttp`] for a request with a credential or a body: it has been readable on the way, and must not seem
/// to work.
pub(super) fn to_https<B>(base: &str, request: &Request<B>, credentials: &FieldSet) -> Result<Answer, Refusal> {
    let (target, headers) = (request.uri(), request.headers());
    let sends_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0");
    let is_harmless = matches!(*request.method(), Method::GET | Method::HEAD)
        && !sends_body
        && !headers.keys().any(|name| credentials.contains(name))
        && !has_credential(target.query());
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let location =
        HeaderValue::from_str(&format!("{base}{path}")).ok().filter(|_| is_harmless && path.starts_with('/'));
    let mut response = Response::new(ResponseBody::full(""));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location.ok_or(Refusal::PlainHttp)?);
    Ok(response)
}

/// Parameters that carry a credential (RFC 6749 and 7523, RFC 6750 section 2.3).
const CREDENTIALS: [&str; 7] =
    ["client_secret", "client_assertion", "password", "refresh_token", "access_token", "subject_token", "assertion"];

/// True if a parameter of the query has the name of a credential.
fn has_credential(query: Option<&str>) -> bool {
    let mut parameters = query.unwrap_or_default().split('&');
    parameters.any(|parameter| {
        let name: Vec<u8> = percent_decode(parameter.split('=').next().unwrap_or_default().as_bytes()).collect();
        CREDENTIALS.iter().any(|credential| credential.as_bytes() == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_in_a_query_is_found_by_its_name() {
        assert!(has_credential(Some("a=%ff&access%5ftoken=x")) && has_credential(Some("client_secret")));
        assert!(!has_credential(Some("a=%ff&tokens=x&x=password")) && !has_credential(None));
    }
}
