//! `grant_type=authorization_code` (RFC 6749 section 4.1.3): a code for the customer's JWT, as a login gives it. A code
//! that comes back after its use has been copied, and ends the login that it gave (section 4.1.2).

use std::time::{SystemTime, UNIX_EPOCH};

use http::Response;
use serde_json::json;

use super::authorization_endpoint::code::{AuthorizationCode, CodeText, CustomerProof, LIFETIME};
use super::client_authentication::one_of;
use super::customer_token::CustomerJwt;
use super::form::Form;
use super::json_answer::{json_response, times};
use super::logout::last_end;
use crate::auth::Client;
use crate::auth::jwt::confirmation::Binding;
use crate::gateway::Gateway;
use crate::gateway::authorize::dpop;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::policy::{AccessToken, Login};
use crate::refusal::Refusal;
use crate::state::Bound;
use crate::state::refresh_token::{Family, RefreshToken};
use crate::state::replay::{self, Use};
use crate::state::revocation::{Issued, Rule};
use crate::state::session::digest_of;

impl Gateway {
    /// Redeems a code. Only a request that is right in all its parts uses it up: nobody who merely saw a code can spoil
    /// it.
    pub(super) async fn redeem(
        &self,
        call: &Call<'_>,
        query: &Form,
        form: &Form,
        endpoint: &AccessToken,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let login = policy.login.as_ref().ok_or(Refusal::GrantType)?;
        let issuer = policy.issuer.as_ref().ok_or(Refusal::Internal)?;
        let deriver = policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let client = self.client_of_code(call, query, form, endpoint, record).await?;
        let text = CodeText::new(form.required("code")?.to_owned());
        let redirect_uri = form.required("redirect_uri")?;
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = issued.as_secs();
        let (code, proof) = AuthorizationCode::open(&text, deriver, now).ok_or(Refusal::AuthorizationCode)?;
        let shown = dpop::proof(call, now).transpose().map_err(Refusal::Dpop)?;
        let audience = call.audience(issuer);
        let request = &code.request;
        if request.client != *client.id || request.to.redirect_uri != redirect_uri || request.audience != *audience {
            return Err(Refusal::AuthorizationCode.into());
        }
        record.known.customer = Some(proof.customer.clone());
        let resource = one_of(query, form, "resource").map_err(|_| Refusal::ResourceNotAllowed)?;
        if resource.is_some_and(|resource| issuer.audience_named(resource, &audience, &[]).is_none()) {
            return Err(Refusal::ResourceNotAllowed.into());
        }
        if !code.is_proved_by(form.one("code_verifier")?) {
            return Err(Refusal::CodeVerifier.into());
        }
        let binding = self.customer_binding(shown, &proof.customer, call, now).await?;
        let kind = Binding::token_type(binding.as_ref());
        self.use_code(&text, &proof, login, code.expires_at, now).await?;
        let (lifetime, refresh) = self.begin_login(call, login, &text, &proof, now).await?;
        let scope = code.request.scope;
        let family = refresh.as_ref().map(|first| &first.family);
        // A rule that ends the login ends this too, however much is known now.
        let jwt = CustomerJwt {
            customer: &proof.customer,
            claims: proof.claims,
            issued: Issued { at: now, number: proof.issued.number },
            lifetime,
            login: proof.session.map_or_else(|| text.login(), |(login, _)| login),
            family,
            binding,
        };
        let jwt = jwt.sign(call)?;
        let (issued_at, expires_in) = times(issued, lifetime, endpoint.number_style);
        let mut answer = format!(
            r#"{{"token_type":"{kind}","issued_at":{issued_at},"access_token":"{jwt}","expires_in":{expires_in}"#
        );
        if let Some(refresh) = refresh {
            answer.push_str(&format!(r#","refresh_token":"{}""#, refresh.as_str()));
        }
        if !scope.is_empty() {
            answer.push_str(&format!(r#","scope":{}"#, json!(scope)));
        }
        answer.push('}');
        Ok(json_response(answer))
    }

    /// The client that redeems a code: a public one by its id alone, any other by its proof.
    async fn client_of_code<'a>(
        &self,
        call: &Call<'a>,
        query: &Form,
        form: &Form,
        endpoint: &AccessToken,
        record: &mut Record,
    ) -> Result<&'a Client, Refused> {
        let client = self.identify(call, query, form, endpoint, record).await?;
        if client.redirect_uris.is_empty() { Err(Refusal::UnauthorizedClient.into()) } else { Ok(client) }
    }

    /// Uses a code up. One that was used before ends the login that it gave.
    async fn use_code(
        &self,
        text: &CodeText,
        proof: &CustomerProof,
        login: &Login,
        expires_at: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        let state = &self.shared.state;
        let id = replay::owned(digest_of(&text.family), &format!("customer {}", proof.customer.as_str()));
        let made = expires_at.saturating_sub(LIFETIME);
        let used = state.use_once(id, made, expires_at, now).await.map_err(|_| Refusal::StateUnavailable)?;
        match used {
            Use::First => Ok(()),
            Use::ShareIsFull => Err(Refusal::ReplayShare),
            Use::Again => {
                let ends = last_end(Some(login), now);
                let ended = match proof.session {
                    // Also what its first use is only about to give.
                    None => state.end_family(&text.digest, ends).await,
                    Some((login, _)) => state.revoke(vec![Rule::forever(login.subject(), ends)]).await,
                };
                ended.map_err(|_| Refusal::StateUnavailable)?;
                Err(Refusal::AuthorizationCodeReused)
            }
        }
    }

    /// Begins the login of a code: the lifetime of its JWT in seconds, and the first refresh token, where it gives some.
    /// What a session gives belongs to that session's login, and ends with it.
    ///
    /// # Errors
    /// [`Refusal::AuthorizationCode`]: since the customer was proved, the login was revoked, or the account is gone.
    async fn begin_login(
        &self,
        call: &Call<'_>,
        login: &Login,
        text: &CodeText,
        proof: &CustomerProof,
        now: u64,
    ) -> Result<(u64, Option<RefreshToken>), Refusal> {
        let state = &self.shared.state;
        let refresh = login.refresh.filter(|_| proof.session.is_none());
        let first = RefreshToken::first_of(text.family);
        let family = Family {
            customer: proof.customer.clone(),
            issued_at: proof.issued.at,
            expires_at: now.saturating_add(refresh.map_or(0, |refresh| refresh.lifetime)),
            current: first.digest,
            predecessor: None,
            account: proof.account,
            number: proof.issued.number,
        };
        let is_of_session = proof.session.is_some_and(|(login, ends)| {
            now >= ends || state.revocations().covers(&login.subject(), Some(proof.issued))
        });
        let is_over = is_of_session || state.is_family_revoked(&text.digest, &family);
        if is_over || !call.policy.auth.accounts.admit(proof.account) {
            return Err(Refusal::AuthorizationCode);
        }
        let left = proof.session.map_or(u64::MAX, |(_, ends)| ends.saturating_sub(now));
        let lifetime = login.lifetime.min(left);
        if refresh.is_none() {
            return Ok((lifetime, None));
        }
        let bound = Bound { most: login.max_per_customer, until: family.expires_at.saturating_add(login.lifetime) };
        state.begin_family(&first, family, bound).await.map_err(|_| Refusal::StateUnavailable)?;
        Ok((lifetime, Some(first)))
    }
}
