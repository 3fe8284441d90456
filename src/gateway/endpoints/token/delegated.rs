//! A short token of this gateway for a customer's token that a client hands in: with the opaque identifier, for this client
//! alone, and for no longer, no more and nobody else than the other one.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Response;
use serde_json::{Map, Value, json};

use super::super::json_answer::{json_response, times};
use super::{TokenRequest, granted};
use crate::auth::Client;
use crate::auth::attribution::Attribution;
use crate::auth::introspection::{Inquiry, Inspected, Purpose};
use crate::auth::jwt::confirmation::Binding;
use crate::auth::jwt::delegation::Delegation;
use crate::auth::jwt::{ACCOUNT, RULES};
use crate::customer::Deriver;
use crate::gateway::error::{Detail, Refused};
use crate::gateway::observe::record::Record;
use crate::gateway::rate_limit::keys::network;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::token_id::token_id;
use crate::gateway::{Gateway, unix_seconds};
use crate::refusal::{Refusal, TokenFault};
use crate::state::revocation::Subject;

/// A customer's token that a client hands in.
pub(super) struct HandedIn<'t> {
    /// The token; nothing of it has been verified.
    pub(super) token: &'t str,
    /// The parameter in which it stands.
    pub(super) parameter: &'static str,
    /// The parameters that may name an audience.
    pub(super) audience: &'static [&'static str],
    /// `issued_token_type`, where the response has it.
    pub(super) issued_type: Option<&'static str>,
}

impl Gateway {
    /// The response with the new token.
    ///
    /// # Errors
    /// [`Refusal::CustomerToken`] where the token is not good; the scope, the audience or the key is not the client's.
    pub(super) async fn delegate(
        &self,
        request: &TokenRequest<'_>,
        client: &Client,
        handed_in: HandedIn<'_>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let call = request.call;
        let refused = |fault| Refused::with(Detail::Parameter(handed_in.parameter), Refusal::CustomerToken(fault));
        let inspected = self.inspect_handed_in(request, handed_in.token, record).await?.map_err(refused)?;
        let delegation = inspected.claims.delegation.as_ref();
        // Whoever acts already, or may, has been chosen by the issuer: no further client comes in between.
        if delegation.is_some_and(|known| known.has_actor() || !known.lets(&client.id)) {
            return Err(refused(TokenFault::Actor));
        }
        let audience = request.audience(client, handed_in.audience)?;
        let scope = granted(client, request.parameter("scope")?, record)?;
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = issued.as_secs();
        let lifetime = request.endpoint.exchange_lifetime.min(client.lifetime.unwrap_or(u64::MAX));
        // Nor does the tolerated clock difference add to it.
        let last = inspected.claims.key_ends.saturating_sub(request.issuer.clock_skew).min(inspected.claims.expires_at);
        let expires_at = now.saturating_add(lifetime).min(last);
        if expires_at <= now {
            return Err(refused(TokenFault::Expired));
        }
        let shown = call.certificate(unix_seconds(record.time)).map_err(|_| Refusal::ClientCertificate)?;
        let shown = shown.map(|certificate| Binding::Certificate(certificate.thumbprint));
        let binding = self.binding(call, client, unix_seconds(record.time)).await?;
        let bound_to = inspected.claims.binding;
        if bound_to.is_some() && bound_to != binding && bound_to != shown {
            return Err(refused(TokenFault::Binding));
        }
        let binding = binding.or(bound_to);
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let id = token_id();
        record.fact("jti", &id);
        let mut claims = ended_together(&inspected, client, deriver, request.checked).ok_or(Refusal::Internal)?;
        claims.extend(members(json!({
            "iss": request.issuer.url, "aud": *audience, "sub": inspected.customer().map(|customer| customer.as_str()),
            "client_id": *client.id, "iat": now, "nbf": now, "exp": expires_at, "jti": id,
        })));
        if !scope.is_empty() {
            claims.insert("scope".to_owned(), scope.as_str().into());
        }
        if let Some(binding) = &binding {
            claims.insert("cnf".to_owned(), binding.confirmation());
        }
        let token = request.issuer.keys.sign("JWT", &claims, now).map_err(|_| Refusal::Internal)?;
        self.would_be_good(request, &token).await?;
        let (issued_at, expires_in) = times(issued, expires_at - now, request.endpoint.number_style);
        let kind = Binding::token_type(binding.as_ref());
        let issued_type = handed_in.issued_type.map(|word| format!(r#""issued_token_type":"{word}","#));
        let issued_type = issued_type.unwrap_or_default();
        // Quotes and backslashes are in no scope.
        let scope = if scope.is_empty() { scope } else { format!(r#","scope":"{scope}""#) };
        Ok(json_response(format!(
            r#"{{"access_token":"{token}",{issued_type}"token_type":"{kind}","issued_at":{issued_at},"expires_in":{expires_in}{scope}}}"#
        )))
    }

    /// Checks that a new token is good at a route. It is not where a rule about its owner is known here and others before that
    /// are not: then it would count as older than the rule.
    ///
    /// # Errors
    /// [`Refusal::StateUnavailable`] where it would be taken for revoked.
    async fn would_be_good(&self, request: &TokenRequest<'_>, token: &str) -> Result<(), Refusal> {
        let (auth, state) = (&request.call.policy.auth, &self.shared.state);
        let now = unix_seconds(SystemTime::now());
        let inquiry = Inquiry { now, network: network(request.call.source.address), state };
        match auth.inspect_customer(token, inquiry, Purpose::Use, &mut Attribution::default()).await {
            Ok(_) => Ok(()),
            Err(TokenFault::Revoked) => Err(Refusal::StateUnavailable),
            Err(_) => Err(Refusal::Internal),
        }
    }

    /// The verdict that a route on this listener would reach. Whose token it is, is noted in the record.
    ///
    /// # Errors
    /// [`Refusal::StateUnavailable`] where revocations may be missing here.
    async fn inspect_handed_in(
        &self,
        request: &TokenRequest<'_>,
        token: &str,
        record: &mut Record,
    ) -> Result<Result<Inspected, TokenFault>, Refusal> {
        if self.shared.state.is_stale() {
            return Err(Refusal::StateUnavailable);
        }
        let (auth, state) = (&request.call.policy.auth, &self.shared.state);
        let mut known = Attribution::default();
        let now = unix_seconds(SystemTime::now());
        let inquiry = Inquiry { now, network: network(request.call.source.address), state };
        let inspected = auth.inspect_customer(token, inquiry, Purpose::Use, &mut known).await;
        let customer = inspected.as_ref().ok().and_then(Inspected::customer).cloned().or(known.customer);
        record.known.add(Attribution { customer, ..Attribution::default() });
        Ok(inspected.and_then(|inspected| {
            let isolated_audience = request.call.audience_apart();
            let is_for = auth.is_for(&inspected.claims, isolated_audience.as_deref());
            if is_for { Ok(inspected) } else { Err(TokenFault::Audience) }
        }))
    }
}

/// The claims by which the new token ends with the other one, with its login, its account and its issuer, and with the
/// client's tokens; `None` where they are too many. `checked`: every rule up to this number was held against the other one.
fn ended_together(
    inspected: &Inspected,
    client: &Client,
    deriver: &Deriver,
    checked: u64,
) -> Option<Map<String, Value>> {
    let mut ends_with = inspected.marks.subjects();
    ends_with.push(Subject::Client((*client.id).into()));
    let mut claims = members(Delegation::claims(&client.id, &inspected.issuer, &ends_with, deriver)?);
    // The other one comes after every rule up to its own number.
    claims.insert(RULES.to_owned(), checked.max(inspected.claims.rules.unwrap_or_default()).into());
    if let Some(account) = inspected.claims.account {
        claims.insert(ACCOUNT.to_owned(), account.to_string().into());
    }
    Some(claims)
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
