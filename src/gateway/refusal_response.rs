//! The responses to refused requests, and to bytes that were never a request.

use std::rc::Rc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Version};

use super::connection::Connection;
use super::connection::taken_head::TakenHead;
use super::error::{self, Refused};
use super::observe::record::Record;
use super::response::body::ResponseBody;
use super::{Answer, Gateway, endpoints};
use crate::auth::{CustomerTokenSource, Requirements};
use crate::policy::Policy;
use crate::refusal::Refusal;

impl Gateway {
    /// The response to bytes that were never a request, in place of the parser's own.
    pub(crate) fn refuse_unparsed(&self, connection: Rc<Connection>, refusal: Refusal) -> Vec<u8> {
        let taken = TakenHead::none(&connection);
        let arrival = self.arrival(Rc::clone(&connection), self.ids.make(), &HeaderMap::new());
        let mut record =
            Record::open(Rc::clone(&self.telemetry), arrival, &taken, &Method::default(), Version::HTTP_11);
        record.unparsed();
        record.refusal = Some(refusal);
        self.summarize_refusal(&connection, &refusal.into(), &mut record);
        let policy = &self.current().policy;
        let mut response = error::response(&refusal.into(), record.id(), policy.error_bodies(None));
        record.answered(response.status());
        connection.settings().apply_headers(response.headers_mut());
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\nx-request-id: {}\r\n",
            response.status(),
            response.body().len(),
            record.id()
        )
        .into_bytes();
        for (name, value) in response.headers() {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(response.body());
        bytes
    }
}

/// The response to a refused request, in the form of its endpoint.
pub(super) fn refusal_response(refused: &Refused, record: &mut Record, policy: &Policy) -> Answer {
    const OAUTH: [&str; 4] = [
        endpoints::token::NAME,
        endpoints::revoke_introspect::REVOKE,
        endpoints::revoke_introspect::INTROSPECT,
        endpoints::backchannel_logout::NAME,
    ];
    let bodies = policy.error_bodies(record.route_number);
    record.refusal = Some(refused.refusal);
    if refused.refusal == Refusal::Internal {
        tracing::error!(request_id = record.id(), route = &*record.route, "internal gateway error");
    }
    if refused.oauth || OAUTH.contains(&&*record.route) {
        endpoints::token::error_response(refused)
    } else if *record.route == *endpoints::security_events::NAME {
        endpoints::security_events::error_response(refused)
    } else {
        let mut response = error::response(refused, record.id(), bodies).map(ResponseBody::full);
        tell_of_route(record.route_number, policy, response.headers_mut());
        response
    }
}

/// What the route says in its challenges: where its metadata are, and that it asks for proofs of possession.
pub(super) fn tell_of_route(number: Option<u32>, policy: &Policy, headers: &mut HeaderMap) {
    let Some(route) = number.and_then(|number| policy.routes.get(number as usize)) else { return };
    if !headers.contains_key(header::WWW_AUTHENTICATE) {
        return;
    }
    if let Some(address) = &route.metadata_address {
        tell_metadata(address, &route.requirements, headers);
    }
    error::ask_for_proof(headers, route.requirements.proof);
}

/// Names the metadata of the route in the challenge (RFC 9728 section 5.1). Where only a customer has a token, and shows it as
/// clients show theirs, a challenge that OAuth clients understand comes beside.
fn tell_metadata(address: &str, requirements: &Requirements, headers: &mut HeaderMap) {
    let Some(challenge) = headers.get(header::WWW_AUTHENTICATE).and_then(|challenge| challenge.to_str().ok()) else {
        return;
    };
    let comma = if challenge.contains('=') { "," } else { "" };
    let told = format!(r#"{challenge}{comma} resource_metadata="{address}""#);
    let is_beside =
        challenge.starts_with("JWT") && requirements.customer_token_sources.contains(&CustomerTokenSource::Bearer);
    if let Ok(value) = HeaderValue::from_str(&told) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    if is_beside && let Ok(value) = HeaderValue::from_str(&format!(r#"Bearer resource_metadata="{address}""#)) {
        headers.append(header::WWW_AUTHENTICATE, value);
    }
}

/// True if the connection closes with this refusal: because the start of the next request is unknown, or because no
/// request on it would be answered otherwise.
pub(super) fn ends_connection(refusal: Refusal, connection: &Connection) -> bool {
    use Refusal as R;
    match refusal {
        R::AddressNotAllowed => connection.is_of_one_caller(),
        R::MalformedRequest | R::Host | R::MalformedBody | R::BodyTimeout | R::ClientCertificate => true,
        _ => false,
    }
}

#[cfg(test)]
mod documentation;
