//! `POST /oauth/access_token` (docs/asapp.md): one file below here for each grant type of clients, and `refresh`.

mod client_credentials;
mod delegated;
mod exchange;
mod jwt_bearer;

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::audited::EndpointEvent;
use super::client_authentication::{is_shown, one_of, read_forms};
use super::form::{Form, MAX_FORM, MAX_FORM_WITH_TOKEN};
use super::json_answer::json_response;
use super::lockout::{Attempt, Who};
use crate::auth::Client;
use crate::config::raw::GrantType;
use crate::gateway::Gateway;
use crate::gateway::error::{self, Detail, Refused};
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::hex::hex;
use crate::policy::{AccessToken, Issuer};
use crate::refusal::{Refusal, TokenFault};
use crate::state::refresh_token::RefreshToken;

/// The route name in log and metrics.
pub(crate) const NAME: &str = "access_token";

/// The grant type of customers who log in, and of clients on their behalf.
const REFRESH: &str = "refresh_token";
/// The grant of authorization codes (RFC 6749 section 4.1.3).
const AUTHORIZATION_CODE: &str = "authorization_code";

/// The name of the grant type in the audit log.
const GRANT: &str = "grant";

/// Longest part of an unavailable scope in the log.
const LONGEST_SCOPE: usize = 64;

impl Gateway {
    /// Answers a token request.
    pub(crate) async fn access_token(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let basic = call.parts.headers.contains_key(header::AUTHORIZATION);
        let outcome = self.grant(call, record).await.map_err(|refused| Refused { basic, ..refused });
        self.worker_metrics().token(match &outcome {
            Ok(_) => "ok",
            Err(refused) => refused.refusal.as_str(),
        });
        self.note_outcome(EndpointEvent::Token, record, &outcome);
        outcome
    }

    async fn grant(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        // Before anything is looked at: what is revoked in between is revoked.
        let revocations = self.shared.state.revocations();
        let (known, checked) = (revocations.seen(), revocations.number());
        let endpoint = policy.access_token.as_ref().ok_or(Refusal::NoRoute)?;
        let issuer = policy.issuer.as_ref().ok_or(Refusal::Internal)?;
        let takes_tokens = endpoint.grant_types.iter().any(|kind| kind.needs_customers());
        let longest = if takes_tokens { MAX_FORM_WITH_TOKEN } else { MAX_FORM };
        let (query, form) = read_forms(&mut call, longest, record).await?;
        let missing = Refused::of_parameter(Refusal::ParameterMissing, "grant_type");
        let asked = one_of(&query, &form, "grant_type")?.ok_or(missing)?;
        let refreshes = policy.login.as_ref().is_some_and(|login| login.refresh.is_some());
        if asked == REFRESH && refreshes {
            record.fact(GRANT, REFRESH);
            let is_client = is_shown(&call.parts.headers, &form)?;
            let outcome = self.refresh(&call, &query, &form, endpoint, record).await;
            return match outcome {
                Err(refused) if !is_client => Err(self.refused_refresh(&call, &form, endpoint, refused).await),
                outcome => outcome,
            };
        }
        if asked == AUTHORIZATION_CODE && policy.authorizes_customers {
            record.fact(GRANT, AUTHORIZATION_CODE);
            return Box::pin(self.redeem(&call, &query, &form, endpoint, record)).await;
        }
        let offered = endpoint.grant_types.iter().copied();
        let Some(kind) = offered.clone().find(|kind| kind.as_str() == asked) else {
            let more = [refreshes.then_some(REFRESH), policy.authorizes_customers.then_some(AUTHORIZATION_CODE)];
            let words: Vec<&str> = offered.map(GrantType::as_str).chain(more.into_iter().flatten()).collect();
            return Err(Refused::with(Detail::Grants(words.join(", ").into()), Refusal::GrantType));
        };
        record.fact(GRANT, kind.as_str());
        let client = self.authenticate(&call, &query, &form, endpoint, record).await?;
        if !client.grant_types.contains(&kind) {
            return Err(Refusal::UnauthorizedClient.into());
        }
        let request = TokenRequest { call: &call, query: &query, form: &form, endpoint, issuer, known, checked };
        match kind {
            GrantType::ClientCredentials => self.client_credentials(&request, client, record).await,
            GrantType::TokenExchange => Box::pin(self.exchange_token(&request, client, record)).await,
            GrantType::JwtBearer => Box::pin(self.take_assertion(&request, client, record)).await,
        }
    }

    /// Counts an invalid refresh token of somebody who presents nothing else. A valid one has passed before: nobody can
    /// guess one, so it need not wait for the failures of others.
    async fn refused_refresh(&self, call: &Call<'_>, form: &Form, endpoint: &AccessToken, refused: Refused) -> Refused {
        if !matches!(refused.refusal, Refusal::RefreshToken | Refusal::RefreshTokenReused) {
            return refused;
        }
        let shown = form.one("refresh_token").ok().flatten().and_then(RefreshToken::parse);
        let family = shown.map(|token| hex(&token.family)).unwrap_or_default();
        let who = Who::new(Attempt::Refresh, &family, None, call.source.address);
        if let Some(locked) = self.refusal_here(&who) {
            return locked;
        }
        let outcome = self.judged(who, endpoint.attempts, async { Err::<(), _>(refused.refusal) }).await;
        outcome.err().unwrap_or(refused)
    }
}

/// A token request of a client, read.
struct TokenRequest<'r> {
    call: &'r Call<'r>,
    query: &'r Form,
    form: &'r Form,
    endpoint: &'r AccessToken,
    issuer: &'r Issuer,
    /// The number of the last revocation rule that was given before the client is proved.
    known: u64,
    /// The number up to which every rule was known here by then.
    checked: u64,
}

impl TokenRequest<'_> {
    /// A parameter in the query or in the body.
    fn parameter(&self, name: &'static str) -> Result<Option<&str>, Refused> {
        one_of(self.query, self.form, name)
    }

    /// The audience of the token: the one that these parameters name (RFC 8707 section 2, RFC 8693 section 2.1), or the
    /// usual one.
    fn audience(&self, client: &Client, names: &[&'static str]) -> Result<Arc<str>, Refusal> {
        let usual = self.call.audience(self.issuer);
        let mut named = None;
        for name in names {
            // It may stand there twice, and a token is for one all the same.
            let value = self.parameter(name).map_err(|_| Refusal::ResourceNotAllowed)?;
            if value.is_some() && named.is_some_and(|named| Some(named) != value) {
                return Err(Refusal::ResourceNotAllowed);
            }
            named = value.or(named);
        }
        let Some(named) = named else { return Ok(usual) };
        // Where an audience is set apart, nothing is issued for others.
        let others = if self.call.audience_apart().is_some() { &[][..] } else { &client.audiences };
        self.issuer.audience_named(named, &usual, others).map(Arc::from).ok_or(Refusal::ResourceNotAllowed)
    }
}

fn granted(client: &Client, requested: Option<&str>, record: &mut Record) -> Result<String, Refused> {
    let Some(requested) = requested else {
        let all = client.scopes.join(" ");
        record.fact("scope", &all);
        return Ok(all);
    };
    let mut scopes: Vec<&str> = requested.split(' ').filter(|scope| !scope.is_empty()).collect();
    let is_had = |scope: &&str| client.scopes.iter().any(|known| known == *scope);
    if let Some(lacking) = scopes.iter().find(|scope| !is_had(scope)) {
        // As it comes from the client, in the log only, and not all of it.
        record.known.lacks = Some(lacking.chars().filter(char::is_ascii_graphic).take(LONGEST_SCOPE).collect());
        return Err(Refused::with(Detail::Available(client.scopes.join(" ").into()), Refusal::ScopeNotAllowed));
    }
    scopes.dedup();
    let scopes = scopes.join(" ");
    record.fact("scope", &scopes);
    Ok(scopes)
}

/// RFC 8693 section 2.2.2: a subject token that is not good makes the request invalid; RFC 7521 section 4.1.1: an assertion
/// is a grant.
fn word_of_customer_token(fault: TokenFault, refused: &Refused) -> &'static str {
    let is_assertion = matches!(refused.detail.as_deref(), Some(Detail::Parameter(jwt_bearer::ASSERTION)));
    if is_assertion || fault == TokenFault::Binding { "invalid_grant" } else { "invalid_request" }
}

/// The status of a refusal at the OAuth endpoints, and its `error`.
pub(crate) fn status_and_error(refused: &Refused) -> (StatusCode, &'static str) {
    let status = refused.row().status;
    match refused.refusal {
        Refusal::OtherCertificate | Refusal::ClientCertificate => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Refusal::Dpop(_) => (StatusCode::BAD_REQUEST, "invalid_dpop_proof"),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => (status, "temporarily_unavailable"),
        Refusal::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Refusal::CustomerToken(fault) => (StatusCode::BAD_REQUEST, word_of_customer_token(fault, refused)),
        Refusal::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        Refusal::ScopeNotAllowed => (StatusCode::BAD_REQUEST, "invalid_scope"),
        Refusal::ResourceNotAllowed => (StatusCode::BAD_REQUEST, "invalid_target"),
        Refusal::RefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::AuthorizationCode
        | Refusal::AuthorizationCodeReused
        | Refusal::CodeVerifier => (StatusCode::BAD_REQUEST, "invalid_grant"),
        Refusal::ContentType => (StatusCode::BAD_REQUEST, "invalid_request"),
        _ if status == StatusCode::UNAUTHORIZED => (status, "invalid_client"),
        _ => (status, "invalid_request"),
    }
}

/// A refusal in the form of RFC 6749 section 5.2.
pub(crate) fn error_response(refused: &Refused) -> Response<ResponseBody> {
    let (row, (status, word)) = (refused.row(), status_and_error(refused));
    let message = match refused.refusal {
        // Why a client is not the one that it says must not tell which clients there are.
        Refusal::OtherCertificate | Refusal::ClientCertificate => error::row(Refusal::UnknownClient).message,
        _ => row.message,
    };
    let mut response = json_response(format!(r#"{{"error":"{word}","error_description":"{message}"}}"#));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // RFC 6749 section 5.2: only who has tried to authenticate itself by this field is asked for it again.
    if status == StatusCode::UNAUTHORIZED && refused.basic {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="access_token""#));
    }
    error::advise(headers, refused, status);
    response
}
