//! `POST /oauth/security_events`: another issuer pushes security events (RFC 8935, OpenID Shared Signals Framework).

use std::time::SystemTime;

use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::audited::EndpointEvent;
use super::json_answer::json_response;
use crate::auth::jwt::jws::LONGEST_TOKEN;
use crate::gateway::error::{self, Refused};
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Answer, Gateway, unix_seconds};
use crate::refusal::{Refusal, TokenFault};

/// The route name in log and metrics.
pub(crate) const NAME: &str = "security_events";

/// The media type of a security event token (RFC 8417 section 7.2).
const EVENT: &str = "application/secevent+jwt";

impl Gateway {
    /// Does what the event demands. 202 says that it is done everywhere, or that its type demands nothing here; 503, that the
    /// issuer should try again.
    pub(crate) async fn security_events(&self, call: Box<Call<'_>>, record: &mut Record) -> Result<Answer, Refused> {
        let outcome = self.security_event_told(call, record).await;
        let word = match &outcome {
            Ok(word) => word,
            Err(refused) => refused.refusal.as_str(),
        };
        self.worker_metrics().provider_event("security_event", word);
        self.note(EndpointEvent::IssuerEvent, record, word);
        outcome.map(|_| {
            let mut response = Answer::new(ResponseBody::full(""));
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        })
    }

    /// The outcome of an event, in a word.
    async fn security_event_told(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<&'static str, Refused> {
        if call.type_to_read()?.as_deref() != Some(EVENT) {
            return Err(Refused::of_types(&[EVENT]));
        }
        let body = call.read_body(LONGEST_TOKEN as u64, record).await?;
        let told = Refusal::SecurityEvent;
        let token = std::str::from_utf8(body.trim_ascii()).map_err(|_| told(TokenFault::Malformed))?;
        let authorization = authorization(&call.parts.headers);
        let now = unix_seconds(SystemTime::now());
        let event = call.policy.auth.security_event_told(token, authorization, now).await.map_err(told)?;
        if event.ended.is_empty() {
            return Ok(if event.is_verification { "verification" } else { "ignored" });
        }
        // RFC 8935 section 2: one that comes again is answered as the first time.
        Ok(if self.end_told(call.policy, &event, now, record).await? { "ok" } else { "repeated" })
    }
}

/// The single `Authorization`.
fn authorization(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// The `err` of a refusal (RFC 8935 section 2.4).
pub(crate) fn error_word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::SecurityEvent(TokenFault::Issuer) => "invalid_issuer",
        Refusal::SecurityEvent(TokenFault::Audience) => "invalid_audience",
        Refusal::SecurityEvent(TokenFault::UnknownClient) => "authentication_failed",
        Refusal::SecurityEvent(TokenFault::UnknownKey | TokenFault::Signature | TokenFault::Algorithm) => "invalid_key",
        _ => "invalid_request",
    }
}

/// A refusal in the form of RFC 8935 section 2.3.
pub(crate) fn error_response(refused: &Refused) -> Answer {
    let (row, word) = (refused.row(), error_word(refused.refusal));
    let mut response = json_response(format!(r#"{{"err":"{word}","description":"{}"}}"#, row.message));
    *response.status_mut() = row.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    error::advise(headers, refused, row.status);
    response
}
