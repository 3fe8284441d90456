//! The response to a refusal: the one table from refusals to status codes, codes and messages.

mod challenge;

pub(super) use challenge::ask_for_proof;
use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::websocket_protocol::{VERSION, WEBSOCKET};
use crate::auth::ClientSources;
use crate::config::error_template::ErrorValues;
use crate::policy::error_bodies::ErrorBodies;
use crate::refusal::{ApiKeyFault, DpopFault, Refusal, TokenFault};

/// A refusal with further contents of its response.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The reason.
    pub(crate) refusal: Refusal,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// `Allow`: the supported methods.
    pub(crate) allow: Option<HeaderValue>,
    /// Further detail for the caller.
    pub(crate) detail: Option<Box<Detail>>,
    /// True if an OAuth endpoint refuses the request before it is reached.
    pub(crate) oauth: bool,
    /// True if the caller sent `Authorization`, and is challenged with Basic.
    pub(crate) basic: bool,
    /// True if the asking proxy understands no refusal but 401 and 403.
    pub(crate) narrow: bool,
    /// The `Set-Cookie` that removes a useless cookie.
    pub(crate) cookie: Option<HeaderValue>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            retry_after: None,
            allow: None,
            detail: None,
            oauth: false,
            basic: false,
            narrow: false,
            cookie: None,
        }
    }
}

impl Refused {
    /// A refusal with a detail.
    pub(super) fn with(detail: Detail, refusal: Refusal) -> Self {
        Self { detail: Some(Box::new(detail)), ..refusal.into() }
    }

    /// A refusal for a parameter of this name.
    pub(super) fn of_parameter(refusal: Refusal, name: &'static str) -> Self {
        Self::with(Detail::Parameter(name), refusal)
    }

    /// [`Refusal::Scope`], with the scopes that the route demands.
    pub(super) fn of_scopes(scopes: &[String]) -> Self {
        Self::with(Detail::Scopes(scopes.join(" ").into()), Refusal::Scope)
    }

    /// [`Refusal::ContentType`], with the accepted types.
    pub(super) fn of_types<Type: AsRef<str>>(accepted: &[Type]) -> Self {
        let accepted: Vec<&str> = accepted.iter().map(AsRef::as_ref).collect();
        Self::with(Detail::Types(accepted.join(", ").into()), Refusal::ContentType)
    }

    /// [`Refusal::BodyTooLarge`], with the limit in bytes.
    pub(super) fn of_limit(limit: u64) -> Self {
        Self::with(Detail::Limit(limit), Refusal::BodyTooLarge)
    }

    /// The same with the challenges of a route that takes clients' secrets too.
    pub(super) fn challenged_by(self, sources: Option<&ClientSources>, headers: &HeaderMap) -> Self {
        use Refusal as R;
        let is_about_client = matches!(
            self.refusal,
            R::NoCredential
                | R::ClientToken(_)
                | R::UnknownClient
                | R::WrongClientSecret
                | R::ClientAuthenticationMalformed
        );
        match sources.filter(|_| is_about_client) {
            Some(sources) => {
                let ClientSources { bearer, challenges, .. } = sources;
                let by_secret =
                    !matches!(self.refusal, R::ClientToken(TokenFault::Missing)) && sources.is_by_secret(headers);
                let challenges = Detail::Challenges { bearer: *bearer, by_secret, others: Arc::clone(challenges) };
                Self { detail: Some(Box::new(challenges)), ..self }
            }
            None => self,
        }
    }

    /// The same as [`Refused::row`], as it may stay in memory: without names that the caller made up.
    pub(super) fn kept_row(&self) -> Row {
        match self.detail.as_deref() {
            Some(Detail::Misfit { kept, .. }) => Row { message: misfit_message(kept).into(), ..row(self.refusal) },
            _ => self.row(),
        }
    }

    /// The row of the table, with the detail in its message.
    pub(super) fn row(&self) -> Row {
        use Refusal as R;
        let row = row(self.refusal);
        let Some(detail) = &self.detail else { return row };
        let message = match &**detail {
            Detail::Parameter(name) if self.refusal == R::Json => {
                format!("The member {name} must be a text (a JSON string).")
            }
            Detail::Parameter(name) => {
                let what = match self.refusal {
                    R::ParameterMissing | R::ClientAuthenticationMissing => "is missing",
                    R::ParameterRepeated => "is repeated or contradictory",
                    R::ParameterNotSupported => "is not supported, or not with this value",
                    R::SecretInQuery => "must not be sent in the query",
                    R::CustomerToken(TokenFault::NoKeys | TokenFault::Introspection) => return row,
                    R::CustomerToken(TokenFault::Actor) => "is a token for which this client must not act",
                    R::CustomerToken(TokenFault::Binding) => "is bound to a key that is not proved",
                    R::CustomerToken(TokenFault::Expired) => "has expired",
                    R::CustomerToken(_) => "is not a valid token of a customer",
                    _ => return row,
                };
                format!("The parameter {name} {what}.")
            }
            Detail::Scopes(scopes) => format!("The access token lacks a scope; this route needs: {scopes}."),
            Detail::Types(types) => format!("The content type is not supported here; accepted: {types}."),
            Detail::Charset => "The body must be in UTF-8.".to_owned(),
            Detail::Coding => "The body must not be encoded.".to_owned(),
            Detail::Limit(bytes) => format!("The request body is too large; the limit is {bytes} bytes."),
            Detail::Available(scopes) if scopes.is_empty() => {
                "This client has no scopes: leave the parameter out.".to_owned()
            }
            Detail::Available(scopes) => {
                format!("A requested scope is not available to this client; available: {scopes}.")
            }
            // No token was shown that could be wrong.
            Detail::Challenges { by_secret: true, .. } if matches!(self.refusal, R::ClientToken(_)) => {
                return self::row(R::UnknownClient);
            }
            Detail::Challenges { .. } => return row,
            Detail::Misfit { told, .. } => misfit_message(told),
            Detail::Json(cause) => format!("The body cannot be read as JSON in one way only: {cause}."),
            Detail::Grants(grants) => format!("The grant type is not supported; accepted: {grants}."),
        };
        Row { message: message.into(), ..row }
    }
}

fn misfit_message(misfit: &str) -> String {
    format!("The request does not fit the API description: {misfit}.")
}

/// Detail for the caller's developer. All of it is ASCII without quotes and backslashes, and none of it is the
/// caller's.
#[derive(Debug)]
pub(crate) enum Detail {
    /// The parameter that is the cause.
    Parameter(&'static str),
    /// The scopes that the route demands.
    Scopes(Box<str>),
    /// The scopes that the client may ask for.
    Available(Box<str>),
    /// The content types that are accepted.
    Types(Box<str>),
    /// The body is not in UTF-8.
    Charset,
    /// The body is encoded.
    Coding,
    /// The limit of the body, in bytes.
    Limit(u64),
    /// The place that does not fit the description of the API, and the rule.
    Misfit {
        /// As the caller is told, with names of its own.
        told: Box<str>,
        /// As it may be kept, without them.
        kept: Box<str>,
    },
    /// Why a body is no JSON, in a phrase.
    Json(&'static str),
    /// The grant types that are accepted.
    Grants(Box<str>),
    /// The ways in which the route takes clients: by token, and others.
    Challenges {
        /// By token.
        bearer: bool,
        /// The caller has shown a secret.
        by_secret: bool,
        /// The other challenges.
        others: Arc<[HeaderValue]>,
    },
}

/// Status, code and message of a refusal.
pub(crate) struct Row {
    /// The status.
    pub(crate) status: StatusCode,
    /// The code: the status and which of its causes it is.
    pub(crate) code: &'static str,
    /// A sentence for the caller's log.
    pub(crate) message: Cow<'static, str>,
}

/// The table of refusals (docs/asapp.md, "Status codes"). Refusals that share a row differ in our log only.
#[expect(clippy::too_many_lines, reason = "a flat table")]
pub(crate) fn row(refusal: Refusal) -> Row {
    use Refusal as R;
    let (status, code, message) = match refusal.in_set() {
        R::MalformedRequest => (400, "400-01", "The request is not well-formed HTTP."),
        R::Host => (400, "400-01", "The Host header is missing, repeated or not a valid host."),
        R::ForwardedFor => (400, "400-01", "X-Forwarded-For contains an invalid address."),
        R::AmbiguousPath => (400, "400-01", "The path is ambiguous."),
        R::AmbiguousRoute => (400, "400-01", "A header field or query parameter that chooses the route is ambiguous."),
        R::MalformedBody => (400, "400-01", "The request body is malformed: its framing or its encoding is broken."),
        R::CredentialRepeated => (400, "400-02", "A credential is sent more than once."),
        R::CredentialConflict => (400, "400-02", "Two different credentials are sent."),
        R::Json => (400, "400-03", "The body must be a JSON object without duplicate members."),
        R::Schema => (400, "400-16", "The request does not fit the API description."),
        R::ParameterMissing => (400, "400-04", "A parameter is missing."),
        R::ParameterRepeated => (400, "400-04", "A parameter is repeated or contradictory."),
        R::ParameterNotSupported => (400, "400-04", "A parameter is not supported, or not with this value."),
        R::SecretInQuery => (400, "400-04", "Secrets must not be sent in the query."),
        R::GrantType => (400, "400-05", "The grant type is not supported."),
        R::RefreshToken | R::RefreshTokenReused => (400, "400-07", "The refresh token is not valid."),
        R::AuthorizationRequest => (400, "400-11", "The authorization request is not valid."),
        R::LoginForm => (400, "400-12", "The login form has expired or is another browser's; begin again."),
        R::AuthorizationCode | R::AuthorizationCodeReused | R::CodeVerifier => {
            (400, "400-13", "The authorization code is not valid.")
        }
        R::WebsocketHandshake => (400, "400-08", "The WebSocket handshake is not valid."),
        R::ScopeNotAllowed => (400, "400-06", "A requested scope is not available to this client."),
        R::ResourceNotAllowed => (400, "400-09", "The requested resource is not available to this client."),
        R::UnauthorizedClient => (400, "400-10", "This client may not use this endpoint or this grant type."),
        R::ClientAuthentication => (400, "400-04", "Use exactly one method of client authentication."),
        R::CustomerToken(TokenFault::Missing) => (401, "401-01", "A customer credential is required."),
        R::ClientToken(TokenFault::NoKeys)
        | R::CustomerToken(TokenFault::NoKeys)
        | R::SecurityEvent(TokenFault::NoKeys)
        | R::ClientAssertion(TokenFault::NoKeys)
        | R::ClientToken(TokenFault::Introspection)
        | R::CustomerToken(TokenFault::Introspection) => {
            (503, "503-04", "The issuer's keys, or its answer, are unavailable; retry later.")
        }
        R::SecurityEvent(_) => (400, "400-15", "The logout token or security event is not valid here."),
        R::CustomerToken(TokenFault::Expired) => (401, "401-02", "The customer credential has expired."),
        R::Session(crate::refusal::SessionFault::Expired) => (401, "401-02", "The customer credential has expired."),
        R::CustomerToken(_) | R::Session(_) => (401, "401-03", "The customer credential is not valid."),
        R::LoginUnknownUser | R::LoginWrongPassword => (401, "401-04", "The username or the password is wrong."),
        R::NoCredential => (401, "401-10", "Credentials are required."),
        R::ClientToken(TokenFault::Expired) => (401, "401-12", "The access token has expired."),
        R::ClientToken(TokenFault::Missing) => (401, "401-11", "An access token is required."),
        R::ClientToken(_) => (401, "401-11", "The access token is not valid."),
        R::TokenCertificate => (401, "401-14", "The access token is bound to another certificate."),
        R::Dpop(DpopFault::Scheme | DpopFault::Unbound) => {
            (401, "401-15", "The access token does not match its authentication scheme.")
        }
        R::Dpop(_) => (401, "401-15", "The DPoP proof is missing or not valid."),
        R::ClientAuthenticationMissing => (401, "401-13", "Client authentication is missing."),
        R::ClientAuthenticationMalformed => {
            (401, "401-13", "The Authorization header is not Basic with a client id and a secret.")
        }
        R::UnknownClient | R::WrongClientSecret | R::ClientAssertion(_) => {
            (401, "401-13", "Client authentication failed.")
        }
        R::ApiKey(ApiKeyFault::Missing) => (403, "403-01", "An API key is required."),
        R::ApiKey(_) => (403, "403-01", "The API key is not valid for this route."),
        R::Scope => (403, "403-02", "The access token lacks a scope."),
        R::CrossSite => (403, "403-05", "A request authenticated by cookie must come from an allowed origin."),
        R::IdentifierMismatch => (403, "403-03", "The request names a different customer than its token."),
        R::AddressNotAllowed => (403, "403-04", "The client address is not allowed."),
        R::PlainHttp => (403, "403-06", "Use HTTPS, and replace any secret in this request: plain HTTP exposed it."),
        R::BadForwardedRequest => (403, "403-07", "The forwarded request is incomplete or contradictory."),
        R::NeedsBody => (
            403,
            "403-08",
            "This route needs the body of the request, or changes its target: no decision about it is possible here.",
        ),
        R::ClientCertificate | R::OtherCertificate => {
            (403, "403-09", "The client certificate of this connection is not accepted.")
        }
        R::NoRoute => (404, "404-01", "No route matches."),
        R::Method => (405, "405-01", "The method is not allowed here."),
        R::BodyTimeout => (408, "408-01", "The request body did not arrive in time."),
        R::BodyTooLarge => (413, "413-01", "The request body is too large."),
        R::TargetTooLong => (414, "414-01", "The request target is too long."),
        R::ContentType => (415, "415-01", "The content type or encoding is not supported here."),
        R::Expectation => (417, "417-01", "The expectation cannot be met."),
        R::WebsocketVersion => (426, "426-01", "The version of the WebSocket protocol must be 13."),
        R::Quota => (429, "429-03", "The quota of this API key is exhausted."),
        R::WebsocketShare => (429, "429-04", "Too many open WebSockets of this caller: close one, then open another."),
        R::UploadShare => (429, "429-05", "Too many concurrent uploads of this caller."),
        R::ReplayShare => (
            429,
            "429-06",
            "Too many unexpired assertions or proofs of this caller: send fewer, or let them expire sooner.",
        ),
        R::RateLimited => (429, "429-01", "Too many requests."),
        R::LoginRate | R::TokenRate | R::LoginLocked | R::TokenLocked => (429, "429-02", "Too many attempts."),
        R::Misdirected => (421, "421-01", "This connection was opened for another host."),
        R::HostNotServed => (421, "421-02", "This host is not served here."),
        R::HeadTooLarge => (431, "431-01", "The request head is too large."),
        R::Internal => (500, "500-01", "Internal gateway error."),
        R::ConnectNotAllowed => (501, "501-01", "CONNECT is not allowed here."),
        R::BackendConnect | R::BackendResponse => {
            (502, "502-01", "The backend could not be reached, or its response is not valid.")
        }
        R::BackendCredential => (502, "502-02", "The backend rejected the gateway's credential."),
        R::ResponseNotJson => (502, "502-03", "The backend's response is not valid JSON."),
        R::ResponseTooLarge => (502, "502-04", "The backend's response is too large."),
        R::BackendOverload | R::HashQueue | R::Memory | R::RequestBuffer => {
            (503, "503-01", "The gateway is overloaded; retry later.")
        }
        R::StateUnavailable => (503, "503-03", "The session store is unavailable; retry later."),
        R::BackendToken => (503, "503-06", "The gateway has no credential for the backend at present; retry later."),
        R::BackendUnavailable => (503, "503-05", "The backend is unavailable; retry later."),
        R::LoginBackend => (503, "503-02", "Login is unavailable; retry later."),
        R::BackendTimeout => (504, "504-01", "The backend did not respond in time."),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Row { status, code, message: message.into() }
}

/// The response to a refused request, with one of `bodies` in place of the usual JSON where they have one for it.
pub(crate) fn response(refused: &Refused, request_id: &str, bodies: Option<&ErrorBodies>) -> Response<Bytes> {
    let row = refused.row();
    let is_wide = row.status.is_client_error() && row.status != StatusCode::UNAUTHORIZED;
    let status = if refused.narrow && is_wide { StatusCode::FORBIDDEN } else { row.status };
    let values = ErrorValues { status: status.as_u16(), code: row.code, message: &row.message, request_id };
    let (content_type, body) = content(&values, bodies);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    if row.status == StatusCode::UNAUTHORIZED || refused.refusal == Refusal::Scope {
        challenge::write(headers, refused);
    }
    if refused.refusal == Refusal::WebsocketVersion {
        headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    }
    advise(headers, refused, row.status);
    response
}

/// Content type and body in place of a backend's error page.
pub(super) fn of_backend(status: StatusCode, request_id: &str, bodies: Option<&ErrorBodies>) -> (HeaderValue, Bytes) {
    let status = status.as_u16();
    let (code, message) = (format!("{status}-00"), format!("The backend responded with status {status}."));
    content(&ErrorValues { status, code: &code, message: &message, request_id }, bodies)
}

/// Content type and body. The usual body is JSON: ASCII, and nothing of the caller's but the request id, which has no
/// quotes.
fn content(values: &ErrorValues<'_>, bodies: Option<&ErrorBodies>) -> (HeaderValue, Bytes) {
    if let Some((content_type, body)) = bodies.and_then(|bodies| bodies.filled(values)) {
        return (content_type, body.into());
    }
    let ErrorValues { code, message, request_id, .. } = values;
    let body = format!(r#"{{"error":{{"requestId":"{request_id}","message":"{message}","code":"{code}"}}}}"#);
    (HeaderValue::from_static("application/json"), body.into())
}

/// Writes the header fields that every form of the response has.
pub(super) fn advise(headers: &mut HeaderMap, refused: &Refused, status: StatusCode) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    if let Some(allow) = &refused.allow {
        headers.insert(header::ALLOW, allow.clone());
    }
    // RFC 9110 section 15.5.16.
    match refused.detail.as_deref() {
        Some(Detail::Types(types)) => {
            drop(HeaderValue::from_str(types).map(|types| headers.insert(header::ACCEPT, types)))
        }
        Some(Detail::Coding) => drop(headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
        _ => {}
    }
    if let Some(cookie) = &refused.cookie {
        headers.insert(header::SET_COOKIE, cookie.clone());
    }
    let default = (status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS).then_some(1);
    if let Some(seconds) = refused.retry_after.or(default) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_begins_with_its_status() {
        for &refusal in Refusal::ALL {
            let Row { status, code, message } = row(refusal);
            let (begin, end) = code.split_once('-').unwrap();
            assert_eq!(begin, status.as_str());
            assert!(end.len() == 2 && end.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
            assert!(!message.contains(['"', '\\']), "{message}");
        }
    }

    #[test]
    fn words_share_a_code_only_where_the_caller_makes_nothing_of_the_difference() {
        use std::collections::{BTreeMap, BTreeSet};
        let mut messages: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for &refusal in Refusal::ALL {
            let row = row(refusal);
            messages.entry(row.code).or_default().insert(row.message.into_owned());
        }
        let several: Vec<_> =
            messages.iter().map(|(code, all)| (*code, all.len())).filter(|(_, all)| *all > 1).collect();
        // Heads and bodies that are not HTTP as they should be or have two readings, credentials too many, parameters, and
        // per kind of credential one that is missing.
        let known =
            [("400-01", 6), ("400-02", 2), ("400-04", 5), ("401-11", 2), ("401-13", 3), ("401-15", 2), ("403-01", 2)];
        assert_eq!(several, known, "{messages:?}");
    }

    #[test]
    fn what_would_teach_an_attacker_shares_a_code_and_a_message() {
        let same =
            |one: Refusal, other: Refusal| (row(one).code, row(one).message) == (row(other).code, row(other).message);
        assert!(same(Refusal::LoginUnknownUser, Refusal::LoginWrongPassword));
        assert!(same(Refusal::UnknownClient, Refusal::WrongClientSecret));
        let is_of_assertion = |refusal: &&Refusal| matches!(refusal, Refusal::ClientAssertion(_));
        for refusal in Refusal::ALL.iter().filter(is_of_assertion) {
            let is_outage = *refusal == Refusal::ClientAssertion(TokenFault::NoKeys);
            assert!(is_outage || same(Refusal::UnknownClient, *refusal));
        }
        let token = Refusal::CustomerToken;
        assert!(same(token(TokenFault::Signature), token(TokenFault::UnknownKey)));
        assert!(same(token(TokenFault::Signature), token(TokenFault::Audience)));
        assert!(!same(token(TokenFault::Signature), token(TokenFault::Expired)));
    }
}
